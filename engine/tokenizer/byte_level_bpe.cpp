#include <array>

#include "base/error.h"
#include "tokenizer/merge.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/tokenizer_base.h"
#include "tokenizer/unicode.h"

namespace lrc {

const std::vector<std::string>& byte_alphabet() {
  static const std::vector<std::string> alphabet = [] {
    std::vector<std::string> characters(256);
    char32_t next = 256;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      unicode::append_utf8(characters[byte], printable ? byte : next++);
    }
    return characters;
  }();
  return alphabet;
}

namespace {

class ByteLevelBpe final : public TokenizerBase {
 public:
  explicit ByteLevelBpe(TokenizerSpec spec) : TokenizerBase(std::move(spec)) {
    const auto splitter = find_splitter(spec_.pre);
    if (!splitter)
      throw Error(ErrorKind::unsupported,
                  "This model's tokenizer splits text by the rule \"" + unicode::replace_invalid(spec_.pre) +
                      "\", which this program lacks (it knows gpt-2, smollm, llama-bpe, qwen2 and deepseek-coder).");
    splitter_ = *splitter;
    std::unordered_map<std::string_view, char> bytes;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      byte_ids_[byte] = find(byte_alphabet()[byte]);
      bytes[byte_alphabet()[byte]] = static_cast<char>(byte);
    }
    pieces_.reserve(size());
    for (std::size_t id = 0; id < size(); ++id) {
      const std::string& text = spec_.tokens[id];
      if (type(id) == token_type::control || type(id) == token_type::user_defined || type(id) == token_type::unknown) {
        pieces_.push_back(text);
        continue;
      }
      std::string piece;
      for (std::size_t at = 0; at < text.size();) {
        const std::string_view character = std::string_view(text).substr(at, unicode::decode(text, at).length);
        if (const auto byte = bytes.find(character); byte != bytes.end())
          piece += byte->second;
        else
          piece += character;
        at += character.size();
      }
      pieces_.push_back(std::move(piece));
    }
    merges_ = read_merges();
    if (splitter_ == Splitter::llama_bpe)
      for (std::size_t id = 0; id < size(); ++id)
        if (type(id) == token_type::normal && !pieces_[id].empty()) whole_words_.try_emplace(pieces_[id], static_cast<TokenId>(id));
    finish();
  }

 private:
  void encode_text(std::string_view text, bool, std::vector<TokenId>& ids) const override {
    // Words repeat; those seen in this call are looked up. Views stay valid because `text` outlives the call.
    std::unordered_map<std::string_view, std::pair<std::size_t, std::size_t>> seen;
    for (std::string_view word : split_words(splitter_, text)) {
      if (const auto known = seen.find(word); known != seen.end()) {
        for (std::size_t i = 0; i < known->second.second; ++i) ids.push_back(ids[known->second.first + i]);
        continue;
      }
      const std::size_t begin = ids.size();
      encode_word(word, ids);
      if (word.size() <= longest_remembered) seen.try_emplace(word, begin, ids.size() - begin);
    }
  }

  void encode_word(std::string_view word, std::vector<TokenId>& ids) const {
    // Vocabularies of this family take a word that is a token as it is, even where no merges lead to it.
    if (const auto whole = whole_words_.find(word); whole != whole_words_.end()) {
      ids.push_back(whole->second);
      return;
    }
    std::vector<MergeSymbol> symbols;
    symbols.reserve(word.size());
    for (char byte : word)
      // A byte that the vocabulary lacks leaves nothing behind; that is what the reference does.
      if (const TokenId id = byte_ids_[static_cast<unsigned char>(byte)]; id >= 0) symbols.push_back({id, symbols.size(), 1});
    merge_symbols(symbols, [&](const MergeSymbol& left, const MergeSymbol& right) -> std::optional<MergeResult> {
      const auto found = merges_.find(pair_key(left.id, right.id));
      if (found == merges_.end()) return std::nullopt;
      return MergeResult{static_cast<double>(found->second.rank), found->second.result};
    });
    for (const MergeSymbol& symbol : symbols)
      if (symbol.length > 0) ids.push_back(symbol.id);
  }

  static constexpr std::size_t longest_remembered = 48;
  Splitter splitter_ = Splitter::gpt2;
  std::array<TokenId, 256> byte_ids_{};
  MergeTable merges_;
  std::unordered_map<std::string_view, TokenId> whole_words_;  // llama-bpe only; views into pieces_
};

}  // namespace

std::shared_ptr<const Tokenizer> make_byte_level_bpe(TokenizerSpec spec) { return std::make_shared<ByteLevelBpe>(std::move(spec)); }

}  // namespace lrc

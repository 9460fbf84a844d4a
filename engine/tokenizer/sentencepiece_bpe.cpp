#include <array>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "tokenizer/merge.h"
#include "tokenizer/tokenizer_base.h"
#include "tokenizer/unicode.h"

namespace lrc {

namespace {

constexpr std::string_view space_mark = "\xE2\x96\x81";  // U+2581, which stands for a space in these vocabularies

/// The byte that a token such as <0x0A> stands for, or -1.
int byte_of(std::string_view token) {
  int value = -1;
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
  return error == std::errc() && end == token.data() + 5 ? value : -1;
}

std::string with_spaces(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (text.substr(at).starts_with(space_mark)) {
      out += ' ';
      at += space_mark.size();
    } else {
      out += text[at++];
    }
  }
  return out;
}

class SentencePieceBpe final : public TokenizerBase {
 public:
  explicit SentencePieceBpe(TokenizerSpec spec) : TokenizerBase(std::move(spec)) {
    if (spec_.merges.empty() && spec_.scores.size() != size())
      throw Error(ErrorKind::bad_file, "The tokenizer is damaged: it has " + std::to_string(size()) + " tokens but " +
                                           std::to_string(spec_.scores.size()) + " scores. Get the model again from its source.");
    for (std::size_t id = 0; id < spec_.scores.size(); ++id)
      if (std::isnan(spec_.scores[id]))
        throw Error(ErrorKind::bad_file, "The tokenizer is damaged: the score of token " + std::to_string(id) + " is not a number.");
    byte_ids_.fill(-1);
    pieces_.reserve(size());
    for (std::size_t id = 0; id < size(); ++id) {
      const std::string& text = spec_.tokens[id];
      const int byte = type(id) == token_type::byte ? byte_of(text) : -1;
      if (type(id) == token_type::byte && byte < 0)
        throw Error(ErrorKind::bad_file, "The tokenizer is damaged: token " + std::to_string(id) +
                                             " is said to be a byte but is not written like <0x0A>. Get the model again from its source.");
      if (byte >= 0) {
        if (byte_ids_[static_cast<std::size_t>(byte)] < 0) byte_ids_[static_cast<std::size_t>(byte)] = static_cast<TokenId>(id);
        pieces_.emplace_back(1, static_cast<char>(byte));
      } else if (type(id) == token_type::control || type(id) == token_type::unknown) {
        pieces_.push_back(text);
      } else {
        pieces_.push_back(with_spaces(text));
      }
    }
    merges_ = read_merges();
    finish();
  }

  std::string decode(const std::vector<TokenId>& ids, bool skip_special) const override {
    std::string text = TokenizerBase::decode(ids, skip_special);
    if (spec_.add_space_prefix && text.starts_with(' ')) text.erase(0, 1);
    return text;
  }

 private:
  bool plain(TokenId id) const {
    const std::int32_t kind = type(static_cast<std::size_t>(id));
    return kind == token_type::normal || kind == token_type::user_defined || kind == token_type::unused;
  }

  TokenId find_plain(std::string_view text) const {
    const TokenId id = find(text);
    return id >= 0 && plain(id) ? id : -1;
  }

  void encode_text(std::string_view text, bool first, std::vector<TokenId>& ids) const override {
    std::string marked;
    marked.reserve(text.size() + text.size() / 2);
    if (spec_.add_space_prefix && (first || spec_.space_prefix_everywhere)) marked += space_mark;
    for (char c : text) {
      if (c == ' ')
        marked += space_mark;
      else
        marked += c;
    }
    std::vector<MergeSymbol> symbols;
    symbols.reserve(text.size());
    for (std::size_t at = 0; at < marked.size();) {
      const unicode::Decoded character = unicode::decode(marked, at);
      const std::size_t length = character.valid ? character.length : 1;
      symbols.push_back({find_plain(std::string_view(marked).substr(at, length)), at, length});
      at += length;
    }
    if (merges_.empty())
      merge_symbols(symbols, [&](const MergeSymbol& left, const MergeSymbol& right) -> std::optional<MergeResult> {
        const TokenId id = find_plain(std::string_view(marked).substr(left.begin, left.length + right.length));
        if (id < 0) return std::nullopt;
        return MergeResult{-static_cast<double>(spec_.scores[static_cast<std::size_t>(id)]), id};
      });
    else
      merge_symbols(symbols, [&](const MergeSymbol& left, const MergeSymbol& right) -> std::optional<MergeResult> {
        if (left.id < 0 || right.id < 0) return std::nullopt;
        const auto found = merges_.find(pair_key(left.id, right.id));
        if (found == merges_.end()) return std::nullopt;
        return MergeResult{static_cast<double>(found->second.rank), found->second.result};
      });
    emit(marked, symbols, ids);
  }

  void emit(const std::string& marked, const std::vector<MergeSymbol>& symbols, std::vector<TokenId>& ids) const {
    bool after_unknown = false;  // neighbouring unknown characters become one unknown token
    for (const MergeSymbol& symbol : symbols) {
      if (symbol.length == 0) continue;
      if (symbol.id >= 0) {
        ids.push_back(symbol.id);
        after_unknown = false;
        continue;
      }
      for (std::size_t i = 0; i < symbol.length; ++i) {
        const TokenId id = byte_ids_[static_cast<unsigned char>(marked[symbol.begin + i])];
        if (id >= 0) {
          ids.push_back(id);
          after_unknown = false;
        } else if (!after_unknown) {
          if (spec_.unknown) ids.push_back(*spec_.unknown);
          after_unknown = true;
        }
      }
    }
  }

  std::array<TokenId, 256> byte_ids_{};
  MergeTable merges_;
};

}  // namespace

std::shared_ptr<const Tokenizer> make_sentencepiece_bpe(TokenizerSpec spec) { return std::make_shared<SentencePieceBpe>(std::move(spec)); }

}  // namespace lrc

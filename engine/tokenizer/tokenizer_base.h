#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tokenizer/token_trie.h"
#include "tokenizer/tokenizer.h"

namespace lrc {

/// What both kinds of tokenizer share: control tokens, bytes of pieces, decoding. A kind fills pieces_, then calls finish().
class TokenizerBase : public Tokenizer {
 public:
  std::vector<TokenId> encode(std::string_view text, bool parse_special) const final;
  std::string piece(TokenId id) const final;
  std::string decode_bytes(const std::vector<TokenId>& ids, bool skip_special) const final;
  std::string decode(const std::vector<TokenId>& ids, bool skip_special) const override;
  bool is_special(TokenId id) const final;

 protected:
  /// Checks counts and ids. Throws Error(bad_file).
  explicit TokenizerBase(TokenizerSpec spec);
  void finish();

  /// Appends the ids of ordinary text that is not empty. `first`: nothing stands in front of it.
  virtual void encode_text(std::string_view text, bool first, std::vector<TokenId>& ids) const = 0;

  std::int32_t type(std::size_t id) const { return spec_.types[id]; }
  /// The id of an ordinary token by its text as the vocabulary writes it, or -1.
  TokenId find(std::string_view text) const;
  /// For each merge its (left, right) and result. Throws Error(bad_file) for one that names a token which is not there.
  struct PairHash {
    std::size_t operator()(std::uint64_t pair) const { return static_cast<std::size_t>((pair ^ (pair >> 29)) * 0x9E3779B97F4A7C15u); }
  };
  struct Merge {
    std::int32_t rank;
    TokenId result;
  };
  using MergeTable = std::unordered_map<std::uint64_t, Merge, PairHash>;
  static std::uint64_t pair_key(TokenId left, TokenId right) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
  }
  MergeTable read_merges() const;

  std::vector<std::string> pieces_;  ///< bytes by id

 private:
  void check_id(TokenId id, const char* what) const;
  std::unordered_map<std::string_view, TokenId> ids_;  // views into spec_.tokens
  TokenTrie always_, special_;                         // matched in any text; only where special tokens are parsed
  std::unordered_set<TokenId> strip_before_, strip_after_;
};

std::shared_ptr<const Tokenizer> make_byte_level_bpe(TokenizerSpec spec);
std::shared_ptr<const Tokenizer> make_sentencepiece_bpe(TokenizerSpec spec);

/// The 256 characters that stand for bytes in byte-level vocabularies.
const std::vector<std::string>& byte_alphabet();

}  // namespace lrc

#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace lrc {

using TokenId = std::int32_t;

/// What a tokenizer is made of, whatever file it came from.
struct TokenizerSpec {
  enum class Kind { byte_level_bpe, sentencepiece_bpe };
  Kind kind = Kind::byte_level_bpe;
  std::string pre;  ///< "gpt-2", "smollm", "llama-bpe", "qwen2", "deepseek-coder" …; byte-level only
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;  ///< as in GGUF: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte
  std::vector<float> scores;        ///< SentencePiece
  std::vector<std::string> merges;  ///< "left right", best first; SentencePiece: when not empty, used in place of scores
  std::optional<TokenId> bos, eos, unknown;
  std::vector<TokenId> stop;  ///< ids that end a turn (eos, eot, …)
  bool add_bos = false, add_eos = false, add_space_prefix = true;
  bool space_prefix_everywhere = true;  ///< SentencePiece: also before text that follows a control token
  /// Control tokens that swallow the white space before or after them (Hugging Face's lstrip and rstrip).
  std::vector<TokenId> strip_before, strip_after;
};

/// TokenizerSpec::types.
namespace token_type {
enum : std::int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
}

/// Text to ids and back. Immutable, safe from several threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// `parse_special`: text such as <|im_start|> becomes its control token; otherwise it is ordinary text. No BOS is added.
  virtual std::vector<TokenId> encode(std::string_view text, bool parse_special) const = 0;
  /// The bytes of one token (control tokens: their text).
  virtual std::string piece(TokenId id) const = 0;
  /// Concatenated bytes of all ids, `skip_special` leaves control tokens out. May be invalid UTF-8 in the middle of a character.
  virtual std::string decode_bytes(const std::vector<TokenId>& ids, bool skip_special) const = 0;
  /// The same as valid UTF-8: one U+FFFD for each maximal invalid part. SentencePiece: the dummy space is dropped.
  virtual std::string decode(const std::vector<TokenId>& ids, bool skip_special) const = 0;
  virtual bool is_special(TokenId id) const = 0;

  const TokenizerSpec& spec() const { return spec_; }
  std::size_t size() const { return spec_.tokens.size(); }

 protected:
  TokenizerSpec spec_;
};

/// Throws Error(unsupported) naming the pre-tokenizer or kind that this program lacks, Error(bad_file) for broken content.
std::shared_ptr<const Tokenizer> make_tokenizer(TokenizerSpec spec);
/// The ids that end a turn: `eos` and the control tokens <|im_end|>, <|eot_id|>, <|end|>, <|endoftext|>, where present.
std::vector<TokenId> usual_stop_ids(const TokenizerSpec& spec);
/// From a Hugging Face tokenizer.json (+ tokenizer_config.json); recognises the pre-tokenizers above by their patterns.
TokenizerSpec spec_from_huggingface(const Json& tokenizer_json, const Json* tokenizer_config);

/// Makes complete UTF-8 characters out of a stream of token bytes: what is shown while a model talks.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);  ///< the complete characters so far
  std::string flush();                       ///< what is left, invalid parts replaced

 private:
  std::string pending_;
};

}  // namespace lrc

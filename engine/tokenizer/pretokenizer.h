#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lrc {

/// The rules by which byte-level tokenizers cut text into words before merging, each equal to a published pattern.
enum class Splitter {
  gpt2,            ///< 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  smollm,          ///< every \p{N} apart, then gpt2 on what lies between
  llama_bpe,       ///< (?i:'s|…)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
  qwen2,           ///< the same with single \p{N}
  deepseek_coder,  ///< [\r\n], \s?\p{L}+, \s?\p{P}+, [一-龥ࠀ-一가-퟿]+, \p{N}: each isolated in turn
};

/// By the name that GGUF files use ("gpt-2", "smollm", "llama-bpe", "qwen2", "deepseek-coder" and their other spellings).
std::optional<Splitter> find_splitter(std::string_view name);

/// Cuts `text` into consecutive pieces that together are the text. A byte that is not UTF-8 counts as a symbol of its own.
std::vector<std::string_view> split_words(Splitter splitter, std::string_view text);

}  // namespace lrc

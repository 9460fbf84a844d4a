#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace lrc {

/// A text file taken byte for byte, or a .json list of strings joined by one blank line ("\n\n"). Throws Error naming the
/// file when it is missing, empty or not UTF-8 (with the byte offset).
std::string read_corpus(const std::filesystem::path& file);

/// Non-overlapping windows of `context` tokens, one after the other from the start, without BOS; the last partial window is
/// dropped. `count` 0 = as many as there are. Throws Error(bad_input) naming `origin` when the text is shorter than one window.
struct TokenWindows {
  std::size_t context = 0;
  std::vector<std::vector<TokenId>> windows;
  /// The first positions of every window, which carry massive activations in many models (methods.md pitfall 13): they are
  /// read, but nothing is measured there. Below `context`.
  std::size_t skipped_positions = 0;
  std::size_t measured_positions() const { return context - skipped_positions; }
  std::size_t tokens() const { return windows.size() * context; }
};
TokenWindows cut_windows(const std::vector<TokenId>& ids, std::size_t context, std::size_t count, const std::string& origin);

}  // namespace lrc

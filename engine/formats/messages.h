#pragma once
// For the files of this folder: what the contents of a file may do to a message.
#include <string>
#include <string_view>

namespace lrc {

/// A name that came out of a file, in quotes and fit to stand in a message: printable, at most 80 bytes.
inline std::string in_quotes(std::string_view name) {
  std::string text = "\"";
  for (const char c : name.substr(0, 80)) text += c >= 0x20 && c < 0x7f ? c : '?';
  return text + (name.size() > 80 ? "…\"" : "\"");
}

}  // namespace lrc

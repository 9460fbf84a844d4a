#pragma once
// For the files of this folder: what the contents of a file may do to a message or to JSON.
#include <string>
#include <string_view>

namespace lrc {

/// A name that came out of a file, in quotes and fit to stand in a message: printable, at most 80 bytes.
std::string in_quotes(std::string_view name);
/// The text with a question mark for each byte that is not part of valid UTF-8.
std::string valid_utf8(std::string_view text);

}  // namespace lrc

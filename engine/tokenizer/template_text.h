#pragma once
// Text work that filters and methods share, on characters as Python understands them.
#include <string>
#include <string_view>

namespace lrc::jinja {

std::string upper(const std::string& text);
std::string lower(const std::string& text);
std::string capitalize(const std::string& text);  ///< first character upper, all others lower
std::string title(const std::string& text);       ///< every word so
/// Without the characters of `set` (empty: white space) at the ends.
std::string stripped(const std::string& text, const std::string& set, bool left, bool right);
/// `count` below 0: every one. An empty `old` stands between all characters.
std::string replaced(const std::string& text, const std::string& old, const std::string& with, std::int64_t count, std::size_t most_bytes);
bool is_blank(char32_t code);  ///< what str.isspace() of Python says

}  // namespace lrc::jinja

#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lrc::unicode {

/// The categories that published splitting patterns tell apart: \p{L}, \p{N}, \p{P}, \s. One character has at most one.
enum Category : std::uint8_t { other = 0, letter = 1, number = 2, punctuation = 4, space = 8 };

Category category(char32_t code);
/// Simple one-to-one mappings; characters without one come back unchanged.
char32_t to_lower(char32_t code);
char32_t to_upper(char32_t code);

struct Decoded {
  char32_t code = 0;
  std::size_t length = 1;  ///< bytes read; of an invalid part: its maximal length (Unicode's "maximal subpart")
  bool valid = true;
  bool truncated = false;  ///< invalid only because the text ends here
};

/// The character that starts at text[at]; `at` lies inside the text.
Decoded decode(std::string_view text, std::size_t at);
void append_utf8(std::string& out, char32_t code);
/// The text with one U+FFFD in place of each maximal invalid part.
std::string replace_invalid(std::string_view text);
/// Characters of the text; each invalid part counts as one.
std::u32string to_code_points(std::string_view text);
std::string from_code_points(std::u32string_view codes);

}  // namespace lrc::unicode

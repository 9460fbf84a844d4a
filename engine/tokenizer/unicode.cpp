#include "tokenizer/unicode.h"

#include <algorithm>
#include <array>

#include "tokenizer/unicode_tables.h"

namespace lrc::unicode {

namespace {

Category search_category(char32_t code) {
  const CategoryRange* end = category_ranges + category_ranges_count;
  const CategoryRange* after =
      std::upper_bound(category_ranges, end, code, [](char32_t c, const CategoryRange& range) { return c < range.first; });
  if (after == category_ranges || code > (after - 1)->last) return other;
  return static_cast<Category>((after - 1)->category);
}

char32_t map_case(char32_t code, const CaseRange* ranges, std::size_t count) {
  const CaseRange* after =
      std::upper_bound(ranges, ranges + count, code, [](char32_t c, const CaseRange& range) { return c < range.first; });
  // Runs of stride 2 may interleave with their neighbours, so the one before may hold the character too.
  for (int back = 1; back <= 2 && after - back >= ranges; ++back) {
    const CaseRange& range = *(after - back);
    if (code <= range.last && (code - range.first) % range.stride == 0)
      return static_cast<char32_t>(static_cast<std::int32_t>(code) + range.difference);
  }
  return code;
}

}  // namespace

Category category(char32_t code) {
  static const auto low = [] {
    std::array<Category, 0x500> table{};
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = search_category(static_cast<char32_t>(i));
    return table;
  }();
  return code < low.size() ? low[code] : search_category(code);
}

char32_t to_lower(char32_t code) { return map_case(code, lower_ranges, lower_ranges_count); }
char32_t to_upper(char32_t code) { return map_case(code, upper_ranges, upper_ranges_count); }

Decoded decode(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned lead = byte(0);
  Decoded result;
  if (lead < 0x80) {
    result.code = lead;
    return result;
  }
  std::size_t length = 0;
  unsigned low = 0x80, high = 0xBF;  // of the second byte: no overlong forms, no surrogates, nothing above U+10FFFF
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
    result.code = lead & 0x1F;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    result.code = lead & 0x0F;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    result.code = lead & 0x07;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    result.valid = false;
    return result;
  }
  for (; result.length < length; ++result.length) {
    if (at + result.length >= text.size()) {
      result.valid = false;
      result.truncated = true;
      return result;
    }
    const unsigned next = byte(result.length);
    if (next < low || next > high) {
      result.valid = false;
      return result;
    }
    result.code = (result.code << 6) | (next & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  return result;
}

void append_utf8(std::string& out, char32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

std::string replace_invalid(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Decoded character = decode(text, at);
    if (character.valid)
      out.append(text.substr(at, character.length));
    else
      append_utf8(out, 0xFFFD);
    at += character.length;
  }
  return out;
}

std::u32string to_code_points(std::string_view text) {
  std::u32string codes;
  codes.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Decoded character = decode(text, at);
    codes += character.valid ? character.code : U'\uFFFD';
    at += character.length;
  }
  return codes;
}

std::string from_code_points(std::u32string_view codes) {
  std::string out;
  out.reserve(codes.size());
  for (char32_t code : codes) append_utf8(out, code);
  return out;
}

}  // namespace lrc::unicode

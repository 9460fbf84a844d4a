#include "tokenizer/template_text.h"

#include "tokenizer/unicode.h"

namespace lrc::jinja {

namespace {

template <class Map>
std::string mapped(const std::string& text, Map map) {
  std::u32string codes = unicode::to_code_points(text);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = map(codes[i], i);
  return unicode::from_code_points(codes);
}

}  // namespace

bool is_blank(char32_t code) { return unicode::category(code) == unicode::space || (code >= 0x1C && code <= 0x1F); }

std::string upper(const std::string& text) {
  return mapped(text, [](char32_t code, std::size_t) { return unicode::to_upper(code); });
}

std::string lower(const std::string& text) {
  return mapped(text, [](char32_t code, std::size_t) { return unicode::to_lower(code); });
}

std::string capitalize(const std::string& text) {
  return mapped(text, [](char32_t code, std::size_t i) { return i == 0 ? unicode::to_upper(code) : unicode::to_lower(code); });
}

std::string title(const std::string& text) {
  bool inside = false;
  return mapped(text, [&](char32_t code, std::size_t) {
    const char32_t written = inside ? unicode::to_lower(code) : unicode::to_upper(code);
    inside = unicode::category(code) == unicode::letter;
    return written;
  });
}

std::string stripped(const std::string& text, const std::string& set, bool left, bool right) {
  const std::u32string codes = unicode::to_code_points(text), wanted = unicode::to_code_points(set);
  const auto strip = [&](char32_t code) { return wanted.empty() ? is_blank(code) : wanted.find(code) != std::u32string::npos; };
  std::size_t first = 0, last = codes.size();
  while (left && first < last && strip(codes[first])) ++first;
  while (right && last > first && strip(codes[last - 1])) --last;
  return unicode::from_code_points(std::u32string_view(codes).substr(first, last - first));
}

std::string replaced(const std::string& text, const std::string& old, const std::string& with, std::int64_t count, std::size_t most_bytes) {
  std::string out;
  std::size_t at = 0;
  for (std::int64_t done = 0; (count < 0 || done < count) && out.size() <= most_bytes; ++done) {
    if (old.empty()) {
      out += with;
      if (at >= text.size()) return out;
      const std::size_t length = unicode::decode(text, at).length;
      out.append(text, at, length);
      at += length;
      continue;
    }
    const std::size_t found = text.find(old, at);
    if (found == std::string::npos) break;
    out.append(text, at, found - at);
    out += with;
    at = found + old.size();
  }
  return out.append(text, at, std::string::npos);
}

}  // namespace lrc::jinja

#include "formats/messages.h"

#include <cstddef>
#include <cstdint>

namespace lrc {
namespace {

/// Bytes of the valid UTF-8 sequence that begins at `i`, or 0.
std::size_t sequence_length(std::string_view text, std::size_t i) {
  const auto byte = [&](std::size_t k) { return k < text.size() ? std::uint8_t(text[k]) : std::uint8_t(0); };
  const auto follows = [&](std::size_t k, std::uint8_t low = 0x80, std::uint8_t high = 0xbf) { return byte(k) >= low && byte(k) <= high; };
  const std::uint8_t lead = byte(i);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return follows(i + 1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    // Overlong forms and surrogates are not UTF-8.
    const std::uint8_t low = lead == 0xe0 ? 0xa0 : 0x80, high = lead == 0xed ? 0x9f : 0xbf;
    return follows(i + 1, low, high) && follows(i + 2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const std::uint8_t low = lead == 0xf0 ? 0x90 : 0x80, high = lead == 0xf4 ? 0x8f : 0xbf;
    return follows(i + 1, low, high) && follows(i + 2) && follows(i + 3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string in_quotes(std::string_view name) {
  std::string text = "\"";
  for (const char c : name.substr(0, 80)) text += c >= 0x20 && c < 0x7f ? c : '?';
  return text + (name.size() > 80 ? "…\"" : "\"");
}

std::string valid_utf8(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = sequence_length(text, i);
    if (length == 0)
      result += '?';
    else
      result += text.substr(i, length);
    i += length == 0 ? 1 : length;
  }
  return result;
}

}  // namespace lrc

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "calibration/calibration.h"

namespace lrc {
namespace {

/// Length of the well-formed UTF-8 character at `at`, or 0 (no overlong forms, no surrogates, nothing above U+10FFFF).
std::size_t character_length(const std::string& text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned lead = byte(at), second = byte(at + 1);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(at + 1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return 0;
    return follows(at + 1) && follows(at + 2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return 0;
    return follows(at + 1) && follows(at + 2) && follows(at + 3) ? 4 : 0;
  }
  return 0;
}

std::string joined_strings(const Json& list, const std::filesystem::path& file) {
  if (!list.is_array()) throw Error(ErrorKind::bad_file, file.string() + " is not a list of strings.");
  std::string text;
  bool first = true;
  for (const Json& item : list) {
    if (!item.is_string())
      throw Error(ErrorKind::bad_file, file.string() + " is not a list of strings: it also holds a value of another kind.");
    if (!first) text += "\n\n";
    text += item.get_ref<const std::string&>();
    first = false;
  }
  return text;
}

}  // namespace

std::string read_corpus(const std::filesystem::path& file) {
  std::string text = file.extension() == ".json" ? joined_strings(read_json_file(file), file) : read_file(file);
  if (text.empty()) throw Error(ErrorKind::bad_file, file.string() + " holds no text.");
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = character_length(text, at);
    if (length == 0)
      throw Error(ErrorKind::bad_file, file.string() + " is not UTF-8 text: the byte at offset " + std::to_string(at) + " does not fit.");
    at += length;
  }
  return text;
}

TokenWindows cut_windows(const std::vector<TokenId>& ids, std::size_t context, std::size_t count, const std::string& origin) {
  if (context == 0) throw Error(ErrorKind::bad_input, "The context of a window must be at least 1 token.");
  if (ids.size() < context) {
    throw Error(ErrorKind::bad_input, origin + " is " + std::to_string(ids.size()) + " tokens long, shorter than one window of " +
                                          std::to_string(context) + "; take a longer text or a smaller context.");
  }
  const std::size_t available = ids.size() / context;
  const std::size_t taken = count == 0 ? available : std::min(count, available);
  TokenWindows result;
  result.context = context;
  result.windows.reserve(taken);
  for (std::size_t w = 0; w < taken; ++w) {
    const auto begin = ids.begin() + std::ptrdiff_t(w * context);
    result.windows.emplace_back(begin, begin + std::ptrdiff_t(context));
  }
  return result;
}

}  // namespace lrc

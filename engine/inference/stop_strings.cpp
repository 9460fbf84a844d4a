#include "inference/stop_strings.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "tokenizer/tokenizer.h"

namespace lrc {

StopStrings::StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
  for (const std::string& each : strings_) {
    if (each.empty()) throw Error(ErrorKind::bad_input, "A stop string is empty; give it at least one character, or leave it out.");
    // Parts of a character never stand in what a model has said.
    Utf8Stream characters;
    if (characters.push(each) != each) throw Error(ErrorKind::bad_input, "A stop string is not UTF-8 text; it can never be met.");
  }
}

std::string StopStrings::push(std::string_view text) {
  if (met_) return {};
  held_ += text;
  std::size_t begin = std::string::npos, end = std::string::npos;
  for (const std::string& each : strings_) {
    const std::size_t at = held_.find(each);
    if (at == std::string::npos) continue;
    const std::size_t behind = at + each.size();
    if (end == std::string::npos || behind < end || (behind == end && at < begin)) std::tie(begin, end) = std::pair(at, behind);
  }
  if (end != std::string::npos) {
    met_ = true;
    return std::exchange(held_, {}).substr(0, begin);
  }
  // The longest end of the text that a stop string begins with.
  std::size_t keep = 0;
  for (const std::string& each : strings_)
    for (std::size_t length = std::min(each.size() - 1, held_.size()); length > keep; --length)
      if (std::string_view(held_).substr(held_.size() - length) == std::string_view(each).substr(0, length)) {
        keep = length;
        break;
      }
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, shown.size());
  return shown;
}

std::string StopStrings::flush() { return met_ ? std::string() : std::exchange(held_, {}); }

}  // namespace lrc

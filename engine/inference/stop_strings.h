#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace lrc {

/// Watches an answer for the strings that end it, whatever pieces it comes in. What may be the beginning of one is held back, so
/// that no half of a stop string is ever shown. The one that is complete first ends the answer; of two that are complete with the
/// same character, the longer.
class StopStrings {
 public:
  /// Throws Error(bad_input) for an empty string, which would end every answer before it begins, and for one that is not UTF-8.
  explicit StopStrings(std::vector<std::string> strings);
  std::string push(std::string_view text);  ///< what may be shown now; nothing more once a stop string was met
  std::string flush();                      ///< what was held back, when the answer ends by itself
  bool met() const { return met_; }

 private:
  std::vector<std::string> strings_;
  std::string held_;
  bool met_ = false;
};

}  // namespace lrc

#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace lrc {

/// A recipe's name as part of a path, the same on every machine: "LRC 10 %, deflated" → "lrc-10-deflated".
std::string folder_name_of(const std::string& recipe_name);

/// A folder that one process (and one thread of it) writes to at a time. Made if missing; a folder that was made and got
/// nothing is taken away again, with those above it that were made for it.
class RunFolder {
 public:
  /// Throws Error(io) when it cannot be made or written, Error(bad_input) when somebody else is writing to it.
  explicit RunFolder(std::filesystem::path path);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Whether nothing but left-overs of an interrupted start is in it.
  bool is_fresh() const;
  /// Removes half-written files that a killed process left behind, here and in the folder `inner`.
  void remove_left_overs(const char* inner) const;

 private:
  std::filesystem::path path_;
  std::vector<std::filesystem::path> made_;  // innermost first
  int descriptor_ = -1;
};

}  // namespace lrc

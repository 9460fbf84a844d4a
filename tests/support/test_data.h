#pragma once
#include <filesystem>
#include <string>

namespace lrc::test {

/// A file below tests/data/.
std::filesystem::path data(const std::string& name);

/// The real sample model in the user's cache folder (tests/run.sh gets it), or an empty path where it is not there.
std::filesystem::path sample_model();

/// A new empty folder, removed when the object goes.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace lrc::test

#include "support/test_data.h"

#include <stdlib.h>

#include <stdexcept>

#include "base/files.h"

namespace lrc::test {

std::filesystem::path data(const std::string& name) { return std::filesystem::path(LRC_TEST_DATA) / name; }

std::filesystem::path sample_model() {
  const auto file = cache_folder() / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf";
  return std::filesystem::exists(file) ? file : std::filesystem::path();
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "lrc-test-XXXXXX").string();
  if (!::mkdtemp(pattern.data())) throw std::runtime_error("no temporary folder");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code code;
  std::filesystem::remove_all(path_, code);
}

}  // namespace lrc::test

#pragma once
// The built program on stories260K, and what its tests ask of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "support/program.h"
#include "support/test_data.h"

namespace lrc::test {

inline const std::string model = data("stories260K/stories260K-f32.gguf").string();

inline ProgramResult lrc(std::vector<std::string> arguments) { return run_program(LRC_PROGRAM, arguments); }

inline Json json_of(std::vector<std::string> arguments) {
  arguments.push_back("--json");
  const auto result = lrc(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return Json::parse(result.out);  // exactly one object: anything else throws
}

/// A calibration text that is long enough for a few windows of 128.
inline std::string corpus(const TemporaryFolder& folder) {
  const auto file = folder.path() / "stories.txt";
  std::ofstream out(file);
  for (int i = 0; i < 40; ++i)
    out << "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day she saw a big dog " << i
        << " and they ran together until the sun went down.\n\n";
  return file.string();
}

inline std::vector<std::string> quantize_arguments(const std::string& text, const std::string& out) {
  return {"quantize",
          model,
          "--out",
          out,
          "--recipe",
          "LRC 10 %",
          "--calibration",
          text,
          "--calibration-tokens",
          "1024",
          "--calibration-context",
          "128",
          "--progress",
          "none"};
}

inline std::string layer_bytes(const std::filesystem::path& run) {
  std::string all;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(run / "layers")) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const auto& file : files) all += file.filename().string() + read_file(file);
  return all;
}

}  // namespace lrc::test

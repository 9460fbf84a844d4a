#pragma once
// A run on the tiny model that takes a fraction of a second.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "base/error.h"
#include "base/files.h"
#include "run/open_model.h"
#include "run/runner.h"
#include "support/test_data.h"

namespace lrc::test {

inline std::shared_ptr<const Model> small_model() {
  static const auto model = Model::open(data("stories260K/stories260K-f32.gguf"));
  return model;
}

/// The first `bytes` of the shipped evaluation text, cut at a line end.
inline std::string some_text(std::size_t bytes) {
  const auto text = read_file(resources_folder() / "texts" / "wiki.test.raw");
  return text.substr(0, text.rfind('\n', bytes) + 1);
}

/// 4 windows of 256 tokens and one held out, LRC 10 %.
inline Recipe small_recipe(const std::filesystem::path& text) {
  if (!std::filesystem::exists(text)) write_file_atomically(text, some_text(12000));
  Recipe recipe;
  recipe.calibration = text.string();
  recipe.calibration_tokens = 1024;
  recipe.calibration_context = 256;
  return recipe;
}

inline RunRequest small_request(const std::filesystem::path& folder, const Recipe& recipe) {
  return {data("stories260K/stories260K-f32.gguf"), small_model(), recipe, folder};
}

inline Manifest carry_out(const RunRequest& request) {
  Progress progress;
  return lrc::carry_out(request, progress, {});
}

/// Layer file names to bytes.
inline std::map<std::string, std::string> layer_bytes(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "layers")) files[entry.path().filename()] = read_file(entry.path());
  return files;
}

/// The sentence of the Error that `work` throws, which must be of `kind`.
template <typename Work>
std::string sentence_of(ErrorKind kind, const Work& work) {
  try {
    work();
  } catch (const Error& e) {
    EXPECT_EQ(int(e.kind()), int(kind)) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace lrc::test

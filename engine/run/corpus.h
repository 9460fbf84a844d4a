#pragma once
// The text that a run calibrates on, as windows of tokens.
#include <string>

#include "calibration/calibration.h"
#include "model/model.h"
#include "run/recipe.h"

namespace lrc {

struct RunCorpus {
  std::string path;                  ///< where it was read
  std::string sha256;                ///< of the file's bytes
  std::string mix_path, mix_sha256;  ///< of the second text; empty when there is none
  TokenWindows windows;              ///< calibration windows first, then the held-out ones
  std::size_t calibration_windows = 0;
  /// That are measured: without the first positions that the recipe leaves out.
  std::size_t calibration_tokens() const { return calibration_windows * windows.measured_positions(); }
  std::string identity() const { return mix_sha256.empty() ? sha256 : sha256 + "+" + mix_sha256; }
};
std::filesystem::path corpus_file(const Recipe& recipe);
/// Reads, tokenizes and cuts. Windows are as long as the recipe says and at most the model's context; their number is the
/// recipe's tokens divided by it, rounded up. A text with fewer windows gives what it has, the last of them held out.
/// With a second text the windows of both stand one after the other, calibration and held-out ones in the same shares.
/// Throws Error naming the file when it is missing, not UTF-8 or shorter than one window.
RunCorpus open_corpus(const Recipe& recipe, const Model& model);

}  // namespace lrc

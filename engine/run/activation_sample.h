#pragma once
// A sample of what enters each site of the float model behind a recipe's rotations: about 1024 calibration tokens, float16,
// written by measure() and mapped when it is read. It depends on model, rotation and calibration text, not on bits or ranks.
// Layout of a sample folder:
//   sample.json                  what was sampled
//   blocks/N.safetensors         of one block, for each site (attention_input, …, experts.E.mlp_hidden):
//     SITE            F16 (tokens, width)
//     SITE.positions  I32 (tokens)     position in its window, −1 where it is not known (tokens that a router sent to an expert)
//     SITE.shares     F32 (tokens)     calibration tokens that each of them stands for; their sum is the number of tokens
//     SITE.rms        F32 (1, width)   root mean square of each channel, and .rms_before: in the basis of the file
#include <filesystem>
#include <optional>
#include <vector>

#include "calibration/block_walk.h"
#include "run/corpus.h"
#include "run/recipe.h"

namespace lrc {

constexpr std::size_t sample_tokens = 1024;

/// The tokens of one site.
struct SiteSample {
  Site site;
  MatrixF inputs;                       ///< (tokens, width), behind the rotations, before quantization
  std::vector<std::int32_t> positions;  ///< −1: not known
  std::vector<float> shares;            ///< calibration tokens that each stands for
};

/// Root mean square of each column; rows count by their shares. All zero when the shares are.
std::vector<double> channel_rms(const MatrixF& inputs, const std::vector<float>& shares);

/// Which positions of which windows are taken: `count` of them in all (or every token), evenly spread and shifted from window to
/// window. Position 0, where many models keep a few huge values, is taken from up to eight windows, so that it is always seen.
struct SamplePlan {
  std::vector<std::vector<std::size_t>> positions;  ///< by window, ascending
  double share_at_start = 0, share_elsewhere = 0;   ///< calibration tokens that a sampled one stands for
};
SamplePlan plan_sample(std::size_t windows, std::size_t context, std::size_t count);

/// Collects the sample of one block after the other while a stream walks through them.
class SampleGatherer {
 public:
  SampleGatherer(const Model& model, const RotationChoice& rotation, const RunCorpus& corpus);
  /// Whether the block is still to be gathered for this folder.
  static bool is_missing(const std::filesystem::path& folder, std::size_t block);
  WindowObserver listener();
  /// Writes what was heard since the last call as the sample of `block`, whole or not at all.
  void write(const std::filesystem::path& folder, std::size_t block);

 private:
  void take(std::size_t window, const Site& site, const float* x, std::size_t tokens, std::size_t width);
  const Model& model_;
  RotationChoice rotation_;
  std::size_t calibration_windows_, context_;
  SamplePlan plan_;
  std::vector<SiteSample> sites_;  // by Site::index(); rows grow
  std::vector<std::vector<float>> rows_;
};

/// Whether what enters the layers can be turned back into what the file's model has there: not behind imported rotations or smoothing.
bool can_sample(const Recipe& recipe);

/// Starts a sample folder or continues one. Throws Error(bad_input) when it holds the sample of something else.
void open_sample(const std::filesystem::path& folder, const Model& model, const Recipe& recipe, const RunCorpus& corpus);

/// Nothing when the folder has none of this site. Throws Error(bad_file) naming file and tensor when it is damaged.
std::optional<SiteSample> read_sample(const std::filesystem::path& folder, const Site& site);
/// Root mean squares of one site's channels, without its tokens.
struct ChannelSizes {
  std::vector<double> before, after;  ///< in the basis of the file, and behind the rotations
};
std::optional<ChannelSizes> read_channel_sizes(const std::filesystem::path& folder, const Site& site);

}  // namespace lrc

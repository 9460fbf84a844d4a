#pragma once
// "What would help": one layer solved under a few variants of its scheme, outside of a run.
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/progress.h"
#include "run/manifest.h"

namespace lrc {

/// One variant. Losses are relative to ‖W X‖², as LayerRecord's.
struct Suggestion {
  std::string title;                ///< "A6 here", "rank 115", "W5 here"
  Override change;                  ///< its pattern names `layers`
  LayerScheme scheme;               ///< of the layer with the change
  std::vector<std::string> layers;  ///< that must have it together: all that read the input, where it is about activations
  /// Instead of `change`: what the whole recipe must have. Its loss is over the positions that are left, as a run's would be.
  std::optional<std::size_t> skip_first_positions = {};
  /// Like for like, then: over those positions the layer as it is, and with the change. Estimated.
  double elsewhere_now = 0, elsewhere_loss = 0;
  double loss = 0, loss_regularized = 0;
  double bits_per_weight = 0;  ///< of the layer, above what the recipe gives it
  bool estimated = false;      ///< from a sample of the activations; else solved on all calibration tokens
};

/// The layer quantized plainly (GPTQ, or RTN where the recipe says so) with more bits and no branch.
struct PlainBits {
  int bits = 0;
  double loss = 0, loss_regularized = 0;
  double extra_bits_per_weight = 0;  ///< above the recipe's bits at rank 0
};

struct LayerTrials {
  LayerRecord now;  ///< under the recipe as it stands
  std::vector<Suggestion> suggestions;
  std::vector<PlainBits> plain;
};

/// Variants of weights, rank and method: solved from the site's kept or gathered moments, as solve_alone() does. Throws Error.
LayerTrials weight_trials(const Model& model, const Recipe& recipe, const LayerInfo& layer, const std::filesystem::path& keep,
                          Progress& progress, std::stop_token stop);

/// Variants of the activation scheme, and position 0 left out. Their moments are taken from the site's sample; a loss is the layer's own
/// (`now`, solved on all tokens) times what the variant changes on the sample. Throws Error.
std::vector<Suggestion> activation_trials(const Model& model, const Recipe& recipe, const LayerInfo& layer, const LayerRecord& now,
                                          const std::filesystem::path& keep, Progress& progress, std::stop_token stop);

}  // namespace lrc

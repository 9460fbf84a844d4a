#pragma once
// What a grid does with the numbers that it is laid over: histograms in steps of their own scale, levels in use, what is cut off.
// Of a layer's input (from an activation sample) and of its weight, before and after the rotations of a recipe.
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/model.h"
#include "model/weights.h"
#include "quantization/scheme.h"
#include "tensor/matrix.h"

namespace lrc {

/// Values in steps: divided by the scale that their token, row or group has. Where nothing is quantized (16 bits) the step is the
/// root mean square of the group, and there are no levels.
struct Spread {
  double lowest = 0, bin_width = 0;  ///< of the histogram, in steps
  std::vector<double> shares;        ///< of the values by bin; what lies outside is in the outermost bins
  std::vector<double> levels;        ///< grid points in steps, ascending; of zero points: those that are hit
  double levels_of_grid = 0;         ///< how many a single group can tell apart
  double levels_in_use = 0;          ///< exp of the entropy of the codes' shares: the number that equally frequent codes would have
  double max_over_rms = 0;           ///< mean over the groups that share a scale
  double clipped = 0;                ///< share of values more than half a step beyond the outermost level
  double rounded_to_zero = 0;        ///< share of values
};
/// x (tokens, width); tokens count by their shares.
Spread spread_of_activations(const MatrixF& x, const std::vector<float>& shares, const ActivationScheme& scheme);
/// W (out, in), on the grid that round-to-nearest fits to it.
Spread spread_of_weights(const MatrixF& weight, const WeightScheme& scheme);

/// Where in the text a layer's error from quantized activations arises.
struct PositionShare {
  std::size_t first = 0, last = 0;  ///< positions in a window
  double tokens = 0, error = 0;     ///< shares of the tokens, and of Σ ‖W (Q(x) − x)‖²
};
/// Position 0 alone, then ranges that grow by the factor four. W (out, in) and x in the same basis. Empty where positions are not
/// known or activations are not quantized.
std::vector<PositionShare> error_by_position(const MatrixF& weight, const MatrixF& x, const std::vector<std::int32_t>& positions,
                                             const std::vector<float>& shares, const ActivationScheme& scheme);

/// Everything the distributions tab shows of one layer. "before" is the basis of the file; equal to "after" where nothing rotates.
struct LayerDistributions {
  std::string layer;
  WeightScheme weight_scheme;
  ActivationScheme activation_scheme;
  bool rotates_input = false, rotates_weight = false;
  std::size_t sampled_tokens = 0;
  Spread input_before, input_after, weight_before, weight_after;
  std::vector<PositionShare> positions;  ///< behind the rotations
};
/// Nothing when the folder holds no sample of the layer's input.
std::optional<LayerDistributions> distributions_of(const Model& model, const LayerInfo& layer, const RotationChoice& rotation,
                                                   const WeightScheme& weight_scheme, const ActivationScheme& activation_scheme,
                                                   const std::filesystem::path& sample_folder);

/// Root mean square of each channel of one site's input over the median of them.
std::vector<double> over_median(const std::vector<double>& rms);
constexpr double outlier_factor = 4;

/// The channels of one kind of input in every block.
struct ChannelMap {
  std::size_t width = 0, group = 64;  ///< channels, and how many share a cell
  MatrixF before, after;              ///< (blocks, groups): the largest rms ÷ median of the group; 0 where a block was not sampled
  struct Persistent {
    std::size_t channel = 0;
    std::vector<std::size_t> blocks;
  };
  std::vector<Persistent> persistent_before, persistent_after;     ///< outliers in at least two blocks, most blocks first
  std::vector<std::vector<double>> profile_before, profile_after;  ///< by block: rms ÷ median of each channel
};
/// Reads the channels' root mean squares alone. `expert` as in Site. Nothing when no block was sampled.
std::optional<ChannelMap> channel_map(const Model& model, SiteKind site, std::size_t expert, const std::filesystem::path& sample_folder);

}  // namespace lrc

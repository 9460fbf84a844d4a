#pragma once
// Scales of single channels that change hands between a layer's input and what makes that input: x / s at the site, W diag(s) in
// the layers that read it, nothing at run time (methods.md 4.4, 4.5). The division is folded into a real predecessor:
//   attention_input, mlp_input   gain (and bias) of the norm; the router and all experts read the block's mlp_input
//   attention_output             rows of v_proj, or the value rows of a fused qkv_proj (softmax mixes tokens, not channels);
//                                query heads that share a value head share its scales
//   mlp_hidden                   rows of up_proj, of the up half of a fused gate_up_proj, of an expert's up_proj, or of fc1
//                                (ReLU lets positive factors through); not possible under an online rotation (R4)
#include <string>
#include <vector>

#include "model/weights.h"

namespace lrc {

/// One block's scales by Site::index(), each as long as the site's input is wide; an empty one leaves its site as it is. What
/// experts read is scaled by the block's mlp_input; their mlp_hidden have scales of their own.
struct ChannelScales {
  std::vector<std::vector<float>> by_site;
  bool any() const;
  /// These scales and then `more`, which may name fewer sites.
  void multiply(const ChannelScales& more);
  bool operator==(const ChannelScales&) const = default;
};

/// "attention_input", "experts.3.mlp_hidden": how files and messages call a site within its block.
std::string site_key(const Site& site);
/// Whether the block has this site and its scales can be folded into what makes its input. `online_rotation`: R4 stands in front
/// of mlp_hidden.
bool can_scale(const Site& site, const ModelConfig& config, bool online_rotation);
/// Number of input channels of a site.
std::size_t width_of(SiteKind site, const ModelConfig& config);
/// For each input channel of the site the row of the predecessor that makes it; channels with the same row share a scale. Only at
/// attention_output several channels may share one.
std::vector<std::size_t> source_rows(SiteKind site, const ModelConfig& config);

/// Throws Error(bad_input) naming `origin` and the site: lengths, values that are no numbers above 0, channels that must share a
/// scale and do not, a site that cannot be scaled.
void check_scales(const ChannelScales& scales, const ModelConfig& config, bool online_rotation, const std::string& origin);
/// Applies them in place; the float model's outputs stay the same up to rounding. Rotations come first, these scales act in the
/// rotated basis. Layers without a float weight are passed over (they were scaled before they were solved), biases are not.
/// `scales` must have been checked.
void fold_channel_scales(BlockWeights& block, const ModelConfig& config, const ChannelScales& scales);

}  // namespace lrc

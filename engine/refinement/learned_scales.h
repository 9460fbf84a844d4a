#pragma once
// LET (OmniQuant, arXiv 2308.13137, with LSI as arXiv 2406.16299 combines them): scales of single channels, learned with a block's other
// numbers. x / r at an input, W(I) diag(r) in the layers that read it; r starts at 1, on top of the scales that the block was solved
// with (run/choose_scales.h). Scaled are what the norms make and, head by head, the values that o_proj reads; as in OmniQuant the input
// of down_proj is not. Its further scale between queries and keys is left out: it multiplies rows alone, which the rows' own scales
// absorb, and attention itself is not quantized here. Shifts are for models with biases and not part of this.
#include <span>
#include <vector>

#include "correction/adam.h"
#include "model/config.h"
#include "refinement/tuned_layer.h"

namespace lrc::refinement {

class LearnedScales {
 public:
  /// `learning`: the layers with increments. An input that another layer reads, or whose values another layer makes, is left as it is.
  LearnedScales(const ModelConfig& config, std::span<const LinearWeights> linears, std::span<const Role> learning);
  /// Puts norms into the block and factors into its layers; these are then put into the block, too.
  void put(BlockFunction<float>& block, std::span<TunedLayer> layers, std::span<const Role> roles) const;
  /// Adds the slopes of a backward pass.
  void collect(const BlockFunction<float>& block);
  /// After the layers' own step.
  void step(double part, std::span<const TunedLayer> layers, std::span<const Role> roles);
  void keep() { best_ = state_; }
  void restore() { state_ = best_; }
  /// r by Site::index(), one for each channel of the input; empty where there is none.
  std::vector<std::vector<float>> scales() const;

 private:
  /// One input and the rows (of a norm, or of the values) that make its channels.
  struct Scaled {
    SiteKind site;
    std::vector<std::size_t> source;  // by channel
    std::size_t rows = 0;
  };
  std::vector<float> of_channels(std::size_t which) const;
  std::vector<Scaled> scaled_;
  std::vector<std::vector<float>> state_, best_;  // log r by row
  std::vector<std::vector<double>> slopes_;       // by channel, since the last step
  std::vector<Adam> averages_;
};

}  // namespace lrc::refinement

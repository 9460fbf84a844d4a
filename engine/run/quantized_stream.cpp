#include "run/quantized_stream.h"

#include <utility>

#include "base/progress.h"

namespace lrc {

QuantizedStream::QuantizedStream(FloatStream& original, const Recipe& recipe, std::size_t calibration_windows, std::size_t context,
                                 std::filesystem::path spill_folder)
    : original_(original),
      mode_(recipe.stream),
      cache_(recipe.cache),
      rotates_keys_(recipe.rotation.r3),
      calibration_windows_(calibration_windows),
      context_(context),
      hidden_(*original.shared_backend(), std::move(spill_folder)) {}

void QuantizedStream::enter() {
  weights_ = original_.weights();
  weights_.cache = cache_;
  if (rotates_keys_) weights_.head_hadamard = find_hadamard(weights_.config.head_dim);
  if (mode_ == Stream::replay || hidden_.size() != 0) return;
  for (std::size_t w = 0; w < original_.hidden().size(); ++w) hidden_.add(original_.hidden().copy(w));
}

QuantizedStream::SiteMoments QuantizedStream::measure(SiteKind kind, const ActivationScheme& activation, std::stop_token stop,
                                                      const Listening& listening) {
  Transformer transformer(original_.shared_backend(), weights_);
  SiteMoments moments;
  std::vector<float> original;
  const std::size_t skipped = original_.skipped_positions();
  for (std::size_t w = 0; w < hidden().size(); ++w) {
    throw_if_stopped(stop);
    const bool calibrates = w < calibration_windows_;
    if (!(calibrates ? listening.calibration : listening.held_out)) continue;
    listen_to_block(original_.transformer(), 0, original_.hidden().copy(w), context_,
                    [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
                      if (site.kind != kind) return false;
                      original.assign(x + skipped * width, x + tokens * width);
                      return true;
                    });
    auto& own = calibrates ? moments.calibration : moments.held_out;
    listen_to_block(transformer, 0, hidden().copy(w), context_,
                    [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
                      if (site.kind != kind) return false;
                      accumulate(own, x + skipped * width, original.data(), tokens - skipped, width, activation);
                      return true;
                    });
  }
  return moments;
}

void QuantizedStream::set(const LayerInfo& layer, LayerSolution solution) {
  const std::lock_guard lock(mutex_);
  LinearWeights& linear = weights_.blocks.front().linear(layer.role, layer.expert);
  linear.weight = {};
  linear.activation = solution.scheme.activation;
  linear.pair_input = solution.scheme.pair_input;
  linear.pair = std::move(solution.pair);
  linear.quantized = std::make_shared<const QuantizedWeight>(std::move(solution.weight));
}

void QuantizedStream::set_frame(const BlockWeights& block) {
  BlockWeights& own = weights_.blocks.front();
  own.attention_norm = block.attention_norm;
  own.attention_norm_bias = block.attention_norm_bias;
  own.mlp_norm = block.mlp_norm;
  own.mlp_norm_bias = block.mlp_norm_bias;
  for (const LinearWeights& from : block.linears) {
    LinearWeights& to = own.linear(from.info.role, from.info.expert);
    to.bias = from.bias;
    if (!to.quantized) to.weight = from.weight;
  }
}

void QuantizedStream::leave(std::stop_token stop) {
  if (mode_ == Stream::replay) return;  // the next block begins on the float model's hidden states
  Transformer transformer(original_.shared_backend(), weights_);
  for (std::size_t w = 0; w < hidden_.size(); ++w) {
    throw_if_stopped(stop);
    const Buffer hidden = hidden_.get(w);
    transformer.run_block(0, hidden, context_);
    hidden_.put(w, hidden);
  }
}

}  // namespace lrc

#include "run/quantized_stream.h"

#include <algorithm>

#include "base/error.h"
#include "base/progress.h"

namespace lrc {
namespace {

/// Thrown by an observer that has seen what it was after: the rest of the block need not run.
struct SeenEnough {};

}  // namespace

QuantizedStream::QuantizedStream(FloatStream& original, Stream mode, std::size_t calibration_windows, std::size_t context)
    : original_(original), mode_(mode), calibration_windows_(calibration_windows), context_(context) {}

Buffer QuantizedStream::copy_of(const Buffer& hidden) const {
  Backend& backend = original_.transformer().backend();
  Buffer copy = backend.allocate(hidden->bytes());
  backend.copy(hidden, 0, copy, 0, hidden->bytes());
  return copy;
}

void QuantizedStream::enter() {
  weights_ = original_.weights();
  if (!hidden_.empty() && mode_ == Stream::propagated) return;
  hidden_.clear();
  for (const auto& hidden : original_.hidden()) hidden_.push_back(copy_of(hidden));
}

QuantizedStream::SiteMoments QuantizedStream::measure(SiteKind kind, const ActivationScheme& activation, std::stop_token stop) {
  Transformer transformer(original_.shared_backend(), weights_);
  SiteMoments moments;
  std::vector<float> original;
  for (std::size_t w = 0; w < hidden_.size(); ++w) {
    throw_if_stopped(stop);
    const auto run = [&](Transformer& through, const Buffer& hidden, const SiteObserver& observer) {
      try {
        through.run_block(0, copy_of(hidden), context_, observer);
      } catch (const SeenEnough&) {
        // What was asked for is there; the buffers of the rest of the block are only scratch.
      }
    };
    run(original_.transformer(), original_.hidden()[w], [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
      if (site.kind != kind) return;
      original.assign(x, x + tokens * width);
      throw SeenEnough();
    });
    auto& own = w < calibration_windows_ ? moments.calibration : moments.held_out;
    run(transformer, hidden_[w], [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
      if (site.kind != kind) return;
      accumulate(own, x, original.data(), tokens, width, activation);
      throw SeenEnough();
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

void QuantizedStream::leave(std::stop_token stop) {
  if (mode_ == Stream::replay) return;  // the next block begins on the float model's hidden states
  Transformer transformer(original_.shared_backend(), weights_);
  for (const auto& hidden : hidden_) {
    throw_if_stopped(stop);
    transformer.run_block(0, hidden, context_);
  }
}

}  // namespace lrc

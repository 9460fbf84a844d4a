#include "run/alone_divergence.h"

#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "model/probabilities.h"

namespace lrc {
namespace {

constexpr std::size_t logit_rows = 64;  // in memory at a time, beside the float model's

}  // namespace

AloneDivergence::AloneDivergence(const Model& model, const RotationChoice& rotation, std::vector<TokenId> ids, const std::string& device,
                                 std::stop_token stop, const ImportedRotations* imported)
    : ids_(std::move(ids)), stop_(std::move(stop)), weights_(load_weights(model)), backend_(make_backend(device)) {
  rotate_weights(weights_, rotation, imported);
  throw_if_stopped(stop_);
  transformer_ = std::make_unique<Transformer>(backend_, weights_);
  const Buffer hidden = transformer_->embed(ids_);
  for (std::size_t b = 0; b < weights_.blocks.size(); ++b) {
    throw_if_stopped(stop_);
    before_.push_back(backend_->allocate(hidden->bytes()));
    backend_->copy(hidden, 0, before_.back(), 0, hidden->bytes());
    transformer_->run_block(b, hidden, ids_.size());
  }
  logits_ = transformer_->logits_of(hidden, 0, ids_.size());
}

double AloneDivergence::of(const LayerInfo& layer, std::shared_ptr<const QuantizedWeight> weight, const ActivationScheme& activation) {
  // The block with that layer quantized, as a model of one block.
  ModelWeights one;
  one.config = weights_.config;
  one.config.tied_embeddings = true;  // nobody asks it for logits
  one.embedding = MatrixF(1, weights_.config.hidden_size);
  one.final_norm.assign(weights_.config.hidden_size, 1.0f);
  one.down_hadamard = weights_.down_hadamard;
  one.blocks.push_back(weights_.blocks[layer.block]);
  LinearWeights& linear = one.blocks.front().linear(layer.role, layer.expert);
  linear.weight = {};
  linear.quantized = std::move(weight);
  linear.activation = activation;
  Transformer block(backend_, one);

  const Buffer& from = before_[layer.block];
  const Buffer hidden = backend_->allocate(from->bytes());
  backend_->copy(from, 0, hidden, 0, from->bytes());
  throw_if_stopped(stop_);
  block.run_block(0, hidden, ids_.size());
  for (std::size_t b = layer.block + 1; b < weights_.blocks.size(); ++b) {
    throw_if_stopped(stop_);
    transformer_->run_block(b, hidden, ids_.size());
  }
  std::vector<double> values(ids_.size());
  for (std::size_t first = 0; first < ids_.size(); first += logit_rows) {
    throw_if_stopped(stop_);
    const std::size_t rows = std::min(logit_rows, ids_.size() - first);
    const MatrixF logits = transformer_->logits_of(hidden, first, rows);
    parallel_for(rows, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t r = begin; r < end; ++r) values[first + r] = kl_divergence(logits_.row(first + r), logits.row(r), logits.columns());
    });
  }
  double sum = 0;
  for (const double value : values) sum += value;
  if (!std::isfinite(sum))
    throw Error(ErrorKind::numerical, "The model's output is not a number with " + layer.name + " quantized: the layer is unusable.");
  return sum / double(values.size());
}

}  // namespace lrc

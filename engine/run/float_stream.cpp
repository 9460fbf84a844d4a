#include "run/float_stream.h"

#include <cassert>

#include "base/parallel.h"

namespace lrc {
namespace {

std::string weight_name(const std::string& module) { return module + ".weight"; }

/// A model of no blocks around `embedding`: what rotate_weights and Transformer need beside the blocks.
ModelWeights frame(const Model& model, MatrixF embedding) {
  ModelWeights weights;
  weights.config = model.config();
  weights.config.tied_embeddings = true;  // nobody asks a walk for logits: no head is loaded
  weights.embedding = std::move(embedding);
  weights.final_norm.assign(model.config().hidden_size, 1.0f);
  return weights;
}

BlockWeights load_block(const Model& model, std::size_t block) {
  const auto& architecture = model.architecture();
  BlockWeights weights;
  weights.attention_norm = model.checkpoint().read_vector(weight_name(architecture.attention_norm_name(block)));
  weights.mlp_norm = model.checkpoint().read_vector(weight_name(architecture.mlp_norm_name(block)));
  const auto roles = all_roles();
  parallel_for(roles.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      auto& linear = weights.linear(roles[r]);
      linear.info = *model.find_layer(architecture.layer_name(block, roles[r]));
      linear.weight = model.layer_weight(linear.info);
    }
  });
  return weights;
}

}  // namespace

FloatStream::FloatStream(const Model& model, const RotationChoice& rotation, const TokenWindows& windows, std::size_t calibration_windows)
    : model_(model), rotation_(rotation), backend_(make_cpu_backend()) {
  auto embedding = frame(model, model.checkpoint().read_matrix(weight_name(std::string(model.architecture().embedding_name))));
  rotate_weights(embedding, rotation);
  embedding.head = {};  // made by untying; a walk ends before it
  transformer_ = std::make_unique<Transformer>(backend_, embedding);
  walk_ = std::make_unique<BlockWalk>(*transformer_, windows, calibration_windows);
}

void FloatStream::load() {
  assert(next_ < model_.config().blocks);
  weights_ = frame(model_, MatrixF(1, model_.config().hidden_size));
  weights_.blocks.push_back(load_block(model_, next_));
  rotate_weights(weights_, rotation_);
  weights_.head = {};
  transformer_ = std::make_unique<Transformer>(backend_, weights_);
  walk_->use(*transformer_, next_);
}

std::vector<BlockMoments> FloatStream::advance(std::span<const std::array<ActivationScheme, 4>> activations, std::stop_token stop) {
  auto moments = walk_->advance(activations, stop);
  ++next_;
  return moments;
}

}  // namespace lrc

#include "model/weights.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/parallel.h"

namespace lrc {
namespace {

std::string weight_name(std::string_view module) { return std::string(module) + ".weight"; }
std::string bias_name(std::string_view module) { return std::string(module) + ".bias"; }

std::vector<float> norm_bias(const Model& model, std::string_view module) {
  return model.architecture().norm == NormKind::layer ? model.checkpoint().read_vector(bias_name(module)) : std::vector<float>();
}

/// All of a block but the weights of its layers.
BlockWeights load_block_frame(const Model& model, std::size_t block) {
  const Checkpoint& checkpoint = model.checkpoint();
  const Architecture& architecture = model.architecture();
  BlockWeights weights;
  weights.attention_norm = checkpoint.read_vector(weight_name(architecture.attention_norm_name(block)));
  weights.mlp_norm = checkpoint.read_vector(weight_name(architecture.mlp_norm_name(block)));
  weights.attention_norm_bias = norm_bias(model, architecture.attention_norm_name(block));
  weights.mlp_norm_bias = norm_bias(model, architecture.mlp_norm_name(block));
  if (architecture.query_key_norm) {
    weights.query_norm = checkpoint.read_vector(weight_name(architecture.query_norm_name(block)));
    weights.key_norm = checkpoint.read_vector(weight_name(architecture.key_norm_name(block)));
  }
  weights.window = model.config().window_of(block);
  return weights;
}

LinearWeights load_linear(const Model& model, const LayerInfo& layer, bool with_weight) {
  LinearWeights linear;
  linear.info = layer;
  linear.bias = model.layer_bias(layer);
  if (with_weight) linear.weight = model.layer_weight(layer);
  return linear;
}

}  // namespace

const LinearWeights* BlockWeights::find(Role role, std::size_t expert) const {
  const auto found =
      std::ranges::find_if(linears, [&](const LinearWeights& linear) { return linear.info.role == role && linear.info.expert == expert; });
  return found == linears.end() ? nullptr : &*found;
}

const LinearWeights& BlockWeights::linear(Role role, std::size_t expert) const {
  const LinearWeights* found = find(role, expert);
  assert(found && "the block has no such layer");
  return *found;
}

LinearWeights& BlockWeights::linear(Role role, std::size_t expert) {
  return const_cast<LinearWeights&>(std::as_const(*this).linear(role, expert));
}

ModelWeights load_embedding(const Model& model) {
  const Checkpoint& checkpoint = model.checkpoint();
  const Architecture& architecture = model.architecture();
  ModelWeights weights;
  weights.config = model.config();
  weights.embedding = checkpoint.read_matrix(weight_name(architecture.embedding_name));
  if (architecture.learned_positions) weights.positions = checkpoint.read_matrix(weight_name(architecture.positions_name));
  weights.position_offset = architecture.position_offset;
  return weights;
}

BlockWeights load_block(const Model& model, std::size_t block) {
  BlockWeights weights = load_block_frame(model, block);
  for (const LayerInfo& layer : model.layers())
    if (layer.block == block) weights.linears.emplace_back().info = layer;
  parallel_for(weights.linears.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t l = begin; l < end; ++l) weights.linears[l] = load_linear(model, weights.linears[l].info, true);
  });
  return weights;
}

ModelWeights load_weights(const Model& model) { return load_weights(model, std::vector<bool>(model.layers().size(), true)); }

ModelWeights load_weights(const Model& model, const std::vector<bool>& layer_wanted) {
  assert(layer_wanted.size() == model.layers().size());
  const Checkpoint& checkpoint = model.checkpoint();
  const Architecture& architecture = model.architecture();
  ModelWeights weights = load_embedding(model);
  if (!weights.config.tied_embeddings) weights.head = checkpoint.read_matrix(weight_name(architecture.head_name));
  weights.final_norm = checkpoint.read_vector(weight_name(architecture.final_norm_name));
  weights.final_norm_bias = norm_bias(model, architecture.final_norm_name);
  for (std::size_t b = 0; b < weights.config.blocks; ++b) weights.blocks.push_back(load_block_frame(model, b));
  const auto& layers = model.layers();
  std::vector<LinearWeights> linears(layers.size());
  parallel_for(layers.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t l = begin; l < end; ++l) linears[l] = load_linear(model, layers[l], layer_wanted[l]);
  });
  for (LinearWeights& linear : linears) weights.blocks[linear.info.block].linears.push_back(std::move(linear));
  return weights;
}

}  // namespace lrc

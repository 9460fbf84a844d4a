#include "model/weights.h"

#include <cassert>

#include "base/error.h"
#include "base/parallel.h"

namespace lrc {
namespace {

std::string weight_name(std::string_view module) { return std::string(module) + ".weight"; }

HadamardOrder hadamard_for(std::size_t width, const std::string& what) {
  auto order = find_hadamard(width);
  if (!order) {
    throw Error(ErrorKind::unsupported, "There is no Hadamard matrix of order " + std::to_string(width) + " for the rotation of the " +
                                            what + "; choose a recipe without that rotation.");
  }
  return *std::move(order);
}

/// Layers that a run brings quantized have no float weight here; they were rotated before they were solved.
template <typename Change>
void change(LinearWeights& layer, const Change& apply) {
  if (!layer.weight.empty()) apply(layer.weight);
}

void fold_norms(ModelWeights& weights) {
  // The final norm moves into the head alone, so that a tied head must become a matrix of its own first.
  if (weights.head.empty()) weights.head = weights.embedding;
  weights.config.tied_embeddings = false;
  fold_gain(weights.final_norm, weights.head);
  weights.final_norm.assign(weights.final_norm.size(), 1.0f);
  parallel_for(weights.blocks.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t b = begin; b < end; ++b) {
      BlockWeights& block = weights.blocks[b];
      for (const Role role : {Role::q_proj, Role::k_proj, Role::v_proj}) {
        change(block.linear(role), [&](MatrixF& weight) { fold_gain(block.attention_norm, weight); });
      }
      for (const Role role : {Role::gate_proj, Role::up_proj}) {
        change(block.linear(role), [&](MatrixF& weight) { fold_gain(block.mlp_norm, weight); });
      }
      block.attention_norm.assign(block.attention_norm.size(), 1.0f);
      block.mlp_norm.assign(block.mlp_norm.size(), 1.0f);
    }
  });
}

}  // namespace

ModelWeights load_weights(const Model& model) { return load_weights(model, std::vector<bool>(model.layers().size(), true)); }

ModelWeights load_weights(const Model& model, const std::vector<bool>& layer_wanted) {
  assert(layer_wanted.size() == model.layers().size());
  const Checkpoint& checkpoint = model.checkpoint();
  const Architecture& architecture = model.architecture();
  ModelWeights weights;
  weights.config = model.config();
  weights.embedding = checkpoint.read_matrix(weight_name(architecture.embedding_name));
  if (!weights.config.tied_embeddings) weights.head = checkpoint.read_matrix(weight_name(architecture.head_name));
  weights.final_norm = checkpoint.read_vector(weight_name(architecture.final_norm_name));
  weights.blocks.resize(weights.config.blocks);
  parallel_for(weights.config.blocks, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t b = begin; b < end; ++b) {
      weights.blocks[b].attention_norm = checkpoint.read_vector(weight_name(architecture.attention_norm_name(b)));
      weights.blocks[b].mlp_norm = checkpoint.read_vector(weight_name(architecture.mlp_norm_name(b)));
    }
  });
  const auto& layers = model.layers();
  parallel_for(layers.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t l = begin; l < end; ++l) {
      LinearWeights& linear = weights.blocks[layers[l].block].linear(layers[l].role);
      linear.info = layers[l];
      if (layer_wanted[l]) linear.weight = model.layer_weight(layers[l]);
    }
  });
  return weights;
}

void rotate_weights(ModelWeights& weights, const RotationChoice& choice) {
  if (!choice.any()) return;
  const ModelConfig& config = weights.config;
  // All orders first: an impossible choice leaves the weights as they were.
  std::optional<ResidualRotation> residual;
  std::optional<HadamardOrder> head, feed_forward;
  if (choice.r1) residual = {hadamard_for(config.hidden_size, "residual stream (R1)"), random_signs(config.hidden_size, choice.seed)};
  if (choice.r2) head = hadamard_for(config.head_dim, "values within a head (R2)");
  if (choice.r4) feed_forward = hadamard_for(config.feed_forward, "input of down_proj (R4)");

  if (residual) {
    fold_norms(weights);
    rotate_input_side(*residual, weights.embedding);
    rotate_input_side(*residual, weights.head);
  }
  parallel_for(weights.blocks.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t b = begin; b < end; ++b) {
      BlockWeights& block = weights.blocks[b];
      if (residual) {
        for (const Role role : {Role::q_proj, Role::k_proj, Role::v_proj, Role::gate_proj, Role::up_proj}) {
          change(block.linear(role), [&](MatrixF& weight) { rotate_input_side(*residual, weight); });
        }
        for (const Role role : {Role::o_proj, Role::down_proj}) {
          change(block.linear(role), [&](MatrixF& weight) { rotate_output_side(*residual, weight); });
        }
      }
      if (head) {
        change(block.linear(Role::v_proj), [&](MatrixF& weight) { rotate_heads_output_side(*head, weight); });
        change(block.linear(Role::o_proj), [&](MatrixF& weight) { rotate_heads_input_side(*head, weight); });
      }
      if (feed_forward) {
        change(block.linear(Role::down_proj), [&](MatrixF& weight) { rotate_full_input_side(*feed_forward, weight); });
      }
    }
  });
  weights.down_hadamard = std::move(feed_forward);
}

}  // namespace lrc

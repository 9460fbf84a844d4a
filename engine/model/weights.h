#pragma once
// The parameters of a model in host memory: what rotation folds, what calibration walks, what a backend uploads.
#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "correction/low_rank_pair.h"
#include "model/model.h"
#include "quantization/quantized_weight.h"
#include "rotation/hadamard.h"

namespace lrc {

/// One linear layer: float (`weight` filled) or quantized (`quantized`, and `pair` unless the rank is 0). A quantized layer
/// takes codes of its site's activations by `activation`; the pair takes the unquantized ones.
struct LinearWeights {
  LayerInfo info;
  MatrixF weight;  ///< (out, in)
  std::shared_ptr<const QuantizedWeight> quantized;
  LowRankPair pair;
  ActivationScheme activation;
};

struct BlockWeights {
  std::vector<float> attention_norm, mlp_norm;
  std::array<LinearWeights, 7> linears;  ///< by Role
  LinearWeights& linear(Role role) { return linears[std::size_t(role)]; }
  const LinearWeights& linear(Role role) const { return linears[std::size_t(role)]; }
};

struct ModelWeights {
  ModelConfig config;
  MatrixF embedding;  ///< (vocabulary, hidden)
  std::vector<BlockWeights> blocks;
  std::vector<float> final_norm;
  MatrixF head;                                ///< (vocabulary, hidden); empty when tied
  std::optional<HadamardOrder> down_hadamard;  ///< R4: applied online to the input of down_proj
};

/// Everything widened to float32; blocks in parallel.
ModelWeights load_weights(const Model& model);
/// Without the linear layers named in `without` (a run brings them quantized).
ModelWeights load_weights(const Model& model, const std::vector<bool>& layer_wanted);

/// Which rotations a run folds or applies (methods.md 1.6).
struct RotationChoice {
  bool r1 = false, r2 = false, r4 = false;
  std::uint64_t seed = 0;
  bool any() const { return r1 || r2 || r4; }
  bool operator==(const RotationChoice&) const = default;
};
/// Applies the choice in place; outputs of the float model stay the same. R1 first folds the norm gains into the layers that
/// read them (the final norm into the head, which is untied for it). Layers without a float weight are passed over. A width
/// without a Hadamard order throws Error(unsupported) naming it and leaves the weights as they were.
void rotate_weights(ModelWeights& weights, const RotationChoice& choice);

}  // namespace lrc

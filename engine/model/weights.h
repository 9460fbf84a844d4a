#pragma once
// The parameters of a model in host memory: what rotation folds, what calibration walks, what a backend uploads.
#include <memory>
#include <optional>
#include <vector>

#include "correction/low_rank_pair.h"
#include "model/model.h"
#include "quantization/quantized_weight.h"
#include "rotation/hadamard.h"

namespace lrc {

/// One linear layer: float (`weight` filled) or quantized (`quantized`, and `pair` unless the rank is 0). A quantized layer
/// takes codes of its site's activations by `activation`; the pair takes the unquantized ones unless `pair_input` says otherwise.
struct LinearWeights {
  LayerInfo info;
  MatrixF weight;           ///< (out, in)
  std::vector<float> bias;  ///< (out); empty when there is none. Stays float32 beside quantized weights.
  std::shared_ptr<const QuantizedWeight> quantized;
  LowRankPair pair;
  ActivationScheme activation;
  PairInput pair_input = PairInput::unquantized;
};

struct BlockWeights {
  std::vector<float> attention_norm, mlp_norm;            ///< gains (hidden)
  std::vector<float> attention_norm_bias, mlp_norm_bias;  ///< of layer norms; empty for RMS norms
  std::vector<float> query_norm, key_norm;                ///< gains (head_dim) of each head's RMS norm; empty = none
  std::vector<LinearWeights> linears;                     ///< in the architecture's order
  std::size_t window = 0;                                 ///< how far back its attention sees; 0 = all the way
  /// Null when the block has no such layer.
  const LinearWeights* find(Role role, std::size_t expert = no_expert) const;
  LinearWeights& linear(Role role, std::size_t expert = no_expert);
  const LinearWeights& linear(Role role, std::size_t expert = no_expert) const;
};

struct ModelWeights {
  ModelConfig config;
  MatrixF embedding;                ///< (vocabulary, hidden)
  MatrixF positions;                ///< (positions, hidden), added to the embedding; empty with rotary positions
  std::size_t position_offset = 0;  ///< row of `positions` for position 0
  std::vector<BlockWeights> blocks;
  std::vector<float> final_norm, final_norm_bias;
  MatrixF head;                                ///< (vocabulary, hidden); empty when tied
  std::vector<float> head_bias;                ///< (vocabulary): a layer norm's bias folded into the head; else empty
  std::optional<HadamardOrder> down_hadamard;  ///< R4: applied online to the input of down_proj, fc2 or an expert's down_proj
  std::optional<HadamardOrder> head_hadamard;  ///< R3: applied online to each head of queries and keys, after norms and positions
  ActivationScheme cache{.bits = 16};          ///< of keys and values where they enter the cache (quantization/cache_rows.h)
};

/// Everything widened to float32; blocks in parallel.
ModelWeights load_weights(const Model& model);
/// Without the linear layers named in `without` (a run brings them quantized).
ModelWeights load_weights(const Model& model, const std::vector<bool>& layer_wanted);
/// One block; its layers in parallel.
BlockWeights load_block(const Model& model, std::size_t block);
/// The embedding and what belongs to it, no blocks and no head: what a walk through the blocks starts from.
ModelWeights load_embedding(const Model& model);

struct ImportedRotations;
/// Which rotations a run folds or applies (methods.md 1.6).
struct RotationChoice {
  bool r1 = false, r2 = false, r4 = false;
  std::uint64_t seed = 0;
  bool r3 = false;        ///< touches no weight: it cancels between queries and keys, and spreads outliers of keys that are to be quantized
  std::string file = {};  ///< not empty: R1 and R2 are the matrices of this file (model/imported_rotations.h), not Hadamard ones
  /// Above 0: R1 and R2 are principal bases of what the layers read, this share of their directions first (ResQ, methods.md 4.15;
  /// model/principal_rotations.h). A run finds them before its first block, unless `file` holds them already.
  double high_share = 0;
  bool matrices() const { return !file.empty() || high_share > 0; }  ///< R1 and R2 are given as matrices
  bool any() const { return r1 || r2 || r3 || r4; }
  bool folded() const { return r1 || r2; }
  bool operator==(const RotationChoice&) const = default;
};
/// Applies the choice in place; outputs of the float model stay the same. R1 first folds the norm gains into the layers that
/// read them (the final norm into the head, which is untied for it). Layer norms become RMS norms on the way: their biases
/// move into those of the layers behind them, and whatever is added to the residual stream loses its mean. Layers without a
/// float weight are passed over; where a layer norm's bias would be folded into them that is a mistake of the caller.
/// A width without a Hadamard order throws Error(unsupported) naming it and leaves the weights as they were.
/// `imported`: the matrices of R1 and R2 where the choice says that they are given (RotationChoice::matrices).
void rotate_weights(ModelWeights& weights, const RotationChoice& choice, const ImportedRotations* imported = nullptr);

}  // namespace lrc

#pragma once
// What one quantized layer alone does to the model's output: KL of the model with that layer quantized from the float model.
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "model/transformer.h"
#include "model/weights.h"

namespace lrc {

class AloneDivergence {
 public:
  /// `ids` are read as one sequence. The float model, rotated, and its logits of all ids stay in memory, and the hidden states
  /// before each block: only the blocks from the layer's own on are run again.
  AloneDivergence(const Model& model, const RotationChoice& rotation, std::vector<TokenId> ids, const std::string& device,
                  std::stop_token stop, const ImportedRotations* imported = nullptr);

  /// From here on this block's layers are quantized out of these weights, whose float outputs are the same (channel scales).
  void use(std::size_t block, BlockWeights weights) { weights_.blocks[block] = std::move(weights); }
  /// Mean KL(float ‖ with this layer quantized), nats per token, over all positions. The weight is that of the rotated model.
  double of(const LayerInfo& layer, std::shared_ptr<const QuantizedWeight> weight, const ActivationScheme& activation);
  std::size_t tokens() const { return ids_.size(); }

 private:
  std::vector<TokenId> ids_;
  std::stop_token stop_;
  ModelWeights weights_;
  std::shared_ptr<Backend> backend_;
  std::unique_ptr<Transformer> transformer_;
  std::vector<Buffer> before_;  // hidden states before each block
  MatrixF logits_;
};

}  // namespace lrc

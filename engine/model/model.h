#pragma once
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "model/architecture.h"
#include "model/config.h"
#include "tokenizer/tokenizer.h"

namespace lrc {

/// An opened model: headers only until weights are asked for. Immutable, shared between threads.
class Model {
 public:
  /// Throws Error when the file is unusable or the architecture is unknown (then open_checkpoint alone still lists tensors).
  static std::shared_ptr<const Model> open(const std::filesystem::path& path);

  const Checkpoint& checkpoint() const { return *checkpoint_; }
  const ModelConfig& config() const { return config_; }
  const Architecture& architecture() const { return *architecture_; }
  /// Block by block in the architecture's order: q k v o gate up down, or what the family has instead. The router of a
  /// mixture of experts is among them, though it is never quantized.
  const std::vector<LayerInfo>& layers() const { return layers_; }
  const LayerInfo* find_layer(std::string_view name) const;
  std::size_t parameters() const;         ///< all tensors
  std::size_t linear_parameters() const;  ///< of layers()
  /// Of the tables, norms and biases that the forward pass uses beside layers().
  std::size_t other_parameters() const;
  std::string display_name() const;  ///< the file's name without its ending, or the folder's

  /// The weight of a layer (out, in), float32.
  MatrixF layer_weight(const LayerInfo& layer) const;
  /// Its bias (out); empty when it has none.
  std::vector<float> layer_bias(const LayerInfo& layer) const;

  /// Made at first use. Throws Error(unsupported) when the tokenizer is one that this program lacks.
  std::shared_ptr<const Tokenizer> tokenizer() const;
  std::optional<std::string> tokenizer_problem() const;  ///< the sentence, when there is none
  std::string chat_template() const;                     ///< the model's own, empty if it has none

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;
  ModelConfig config_;
  const Architecture* architecture_ = nullptr;
  std::vector<LayerInfo> layers_;
  mutable std::once_flag tokenizer_once_;
  mutable std::shared_ptr<const Tokenizer> tokenizer_;
  mutable std::string tokenizer_error_;
};

}  // namespace lrc

#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/json.h"

namespace lrc {

/// The sizes of a model, from config.json or GGUF keys (one form, see formats/checkpoint.h).
struct ModelConfig {
  std::string architecture;  ///< "llama"
  std::size_t hidden_size = 0, blocks = 0, heads = 0, kv_heads = 0, head_dim = 0, feed_forward = 0, vocabulary = 0, context = 0;
  float norm_epsilon = 1e-5f;
  double rope_theta = 10000.0;
  Json rope_scaling;                ///< null or an object with `rope_type`; interpreted by make_rope
  std::vector<float> rope_factors;  ///< GGUF's rope_freqs.weight: frequencies are divided by it; empty if none
  std::size_t sliding_window = 0;
  bool tied_embeddings = false;
  bool tying_is_said = false;  ///< whether the file says so; if not, the presence of a head decides
  std::optional<std::int64_t> bos;
  std::vector<std::int64_t> eos;
};

/// Throws Error(bad_file) naming the file and the key, Error(unsupported) naming the architecture and the supported ones.
ModelConfig read_config(const Json& config, const std::string& origin);
/// Inverse frequencies with linear and llama3 scaling. Throws Error(unsupported) for other types.
RopeTable make_rope(const ModelConfig& config);

}  // namespace lrc

#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/json.h"

namespace lrc {

enum class NormKind { rms, layer };

/// The sizes of a model, from config.json or GGUF keys (one form, see formats/checkpoint.h).
struct ModelConfig {
  std::string architecture;  ///< "llama"
  std::size_t hidden_size = 0, blocks = 0, heads = 0, kv_heads = 0, head_dim = 0, feed_forward = 0, vocabulary = 0, context = 0;
  std::size_t experts = 0, experts_per_token = 0;  ///< 0 where the feed-forward part is one
  NormKind norm = NormKind::rms;                   ///< of the weights as they stand: rotation makes layer norms RMS norms
  float norm_epsilon = 1e-5f;
  double rope_theta = 10000.0;
  Json rope_scaling;                ///< null or an object with `rope_type`; interpreted by make_rope
  std::vector<float> rope_factors;  ///< GGUF's rope_freqs.weight: frequencies are divided by it; empty if none
  std::size_t sliding_window = 0;
  std::vector<bool> full_attention;              ///< by block: those that look back past the sliding window; empty = none
  std::optional<bool> attention_bias, mlp_bias;  ///< whether linear layers have biases, where the configuration says so
  bool tied_embeddings = false;
  bool tying_is_said = false;  ///< whether the file says so; if not, the presence of a head decides
  std::optional<std::int64_t> bos;
  std::vector<std::int64_t> eos;

  /// How far back the attention of a block sees, itself included; 0 = all the way.
  std::size_t window_of(std::size_t block) const { return block < full_attention.size() && full_attention[block] ? 0 : sliding_window; }
};

/// Throws Error(bad_file) naming the file and the key, Error(unsupported) naming the architecture and the supported ones.
ModelConfig read_config(const Json& config, const std::string& origin);

/// Inverse frequencies for sequences of `length` tokens: linear, llama3, dynamic and longrope scaling; the last two depend on
/// the length. Throws Error(unsupported) for other types, Error(bad_file) when a key is missing or wrong.
RopeTable make_rope(const ModelConfig& config, std::size_t length = 1);
/// Whether make_rope gives other frequencies at other lengths.
bool rope_depends_on_length(const ModelConfig& config);
/// Longrope has two sets of frequencies: whether sequences of this length take the second one. Keys that were cached under
/// the other set must be made anew. (Dynamic scaling leaves cached keys as they are, as the reference implementation does.)
bool rope_is_long(const ModelConfig& config, std::size_t length);

}  // namespace lrc

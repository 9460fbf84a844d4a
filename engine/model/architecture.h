#pragma once
// An architecture is data: which linear layers a block has and what their tensors are called, and which of the known parts
// (norm, positions, feed-forward) it is made of. A new family is one new file that defines an Architecture and one line in
// architecture.cpp's list.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/config.h"
#include "tensor/dtype.h"

namespace lrc {

/// What a linear layer is for. The fused ones hold the rows of their parts one after the other (q, k, v; gate, up). The
/// router chooses experts and is never quantized; the expert roles exist once for each expert.
enum class Role {
  q_proj,
  k_proj,
  v_proj,
  o_proj,
  gate_proj,
  up_proj,
  down_proj,
  qkv_proj,
  gate_up_proj,
  fc1,
  fc2,
  router,
  expert_gate,
  expert_up,
  expert_down
};
constexpr std::size_t role_count = 15;
std::string_view name(Role role);        ///< "down_proj", "expert.down_proj"
std::string_view short_name(Role role);  ///< "down", "expert.down"
bool of_an_expert(Role role);
/// Whether the output is added to the residual stream (o, down, fc2); the others read the stream, but for o and down's input.
bool writes_stream(Role role);

/// Where linear layers take their input from; calibration listens here and the run-time quantizer sits here. Layers of one
/// site share input, codes and second moments: qkv, o, gate/up, down. Each expert has its own mlp_input and mlp_hidden,
/// which see the tokens that were routed to it; the block's mlp_input, which the router reads, sees all.
enum class SiteKind { attention_input, attention_output, mlp_input, mlp_hidden };
constexpr std::size_t no_expert = SIZE_MAX;
struct Site {
  std::size_t block = 0;
  SiteKind kind = SiteKind::attention_input;
  std::size_t expert = no_expert;
  bool operator==(const Site&) const = default;
  /// Number within the block: the four kinds, then input and hidden of each expert.
  std::size_t index() const;
};
std::string name(const Site& site);                  ///< "model.layers.3.mlp_hidden", "model.layers.3.experts.5.mlp_hidden"
std::size_t site_count(const ModelConfig& config);   ///< of one block
Site site_at(std::size_t block, std::size_t index);  ///< the reverse of index()
SiteKind site_of(Role role);

struct LayerInfo {
  std::string name;  ///< Hugging Face module path: model.layers.7.mlp.down_proj
  std::size_t block = 0;
  Role role = Role::q_proj;
  std::size_t out_features = 0, in_features = 0;
  DType dtype = DType::f32;
  std::size_t expert = no_expert;
  std::size_t input_period = 0;  ///< of an input made of equal parts (heads): their width; 0 = it is one
  Site site() const { return {block, site_of(role), expert}; }
  std::size_t parameters() const { return out_features * in_features; }
};

struct Architecture {
  struct Layer {
    Role role;
    std::string_view path;  ///< below the block, "self_attn.q_proj"; '#' stands for the number of the expert
  };
  enum class Bias { none, present, as_in_file };

  std::string_view name = "";          ///< as configurations give it in `model_type`
  std::span<const Layer> layers = {};  ///< of a block, in order; those of experts together, last
  NormKind norm = NormKind::rms;
  std::string_view activation = "silu";
  bool query_key_norm = false;      ///< RMS norm of each head of q and k before the rotary embedding
  bool learned_positions = false;   ///< a table instead of the rotary embedding
  std::size_t position_offset = 0;  ///< row of the table for position 0
  bool tied_by_default = false;     ///< whether the embedding serves as head where the configuration is silent
  double default_rope_theta = 10000.0;
  std::string_view feed_forward_key = "intermediate_size";
  std::string_view block_prefix = "model.layers.";
  std::string_view attention_norm = "input_layernorm", mlp_norm = "post_attention_layernorm";
  std::string_view query_norm = "self_attn.q_norm", key_norm = "self_attn.k_norm";
  std::string_view embedding_name = "model.embed_tokens", positions_name = "", final_norm_name = "model.norm", head_name = "lm_head";
  /// Whether a layer of this role has a bias.
  Bias (*bias)(const ModelConfig& config, Role role) = nullptr;
  /// Reads and checks what this family's config.json has beside the common keys; may be null.
  void (*read_config)(const Json& config, const std::string& origin, ModelConfig& result) = nullptr;

  bool has(Role role) const;
  /// Module paths without ".weight".
  std::string layer_name(std::size_t block, Role role, std::size_t expert = no_expert) const;
  std::string attention_norm_name(std::size_t block) const;
  std::string mlp_norm_name(std::size_t block) const;
  std::string query_norm_name(std::size_t block) const;
  std::string key_norm_name(std::size_t block) const;
  /// (out, in) of a role.
  std::pair<std::size_t, std::size_t> layer_shape(const ModelConfig& config, Role role) const;
  /// The linear layers of a block in order, with their shapes; dtypes are those of the file and stay open here.
  std::vector<LayerInfo> block_layers(const ModelConfig& config, std::size_t block) const;
};
std::span<const Architecture* const> architectures();
/// By the name that configurations give as `model_type`. Throws Error(unsupported) naming `origin` and the supported ones.
const Architecture& find_architecture(std::string_view name, const std::string& origin = {});

}  // namespace lrc

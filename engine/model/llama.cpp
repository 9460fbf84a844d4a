// Llama: pre-norm blocks of grouped-query attention with rotary positions and a SwiGLU feed-forward part, no biases.
#include "base/error.h"
#include "model/architecture.h"

namespace lrc {
namespace {

std::string block_name(std::size_t block) { return "model.layers." + std::to_string(block) + "."; }

std::string layer_name(std::size_t block, Role role) {
  const bool attention = site_of(role) == SiteKind::attention_input || site_of(role) == SiteKind::attention_output;
  return block_name(block) + (attention ? "self_attn." : "mlp.") + std::string(name(role));
}

std::string attention_norm_name(std::size_t block) { return block_name(block) + "input_layernorm"; }
std::string mlp_norm_name(std::size_t block) { return block_name(block) + "post_attention_layernorm"; }

std::pair<std::size_t, std::size_t> layer_shape(const ModelConfig& config, Role role) {
  const std::size_t query_width = config.heads * config.head_dim, key_width = config.kv_heads * config.head_dim;
  switch (role) {
    case Role::q_proj:
      return {query_width, config.hidden_size};
    case Role::k_proj:
    case Role::v_proj:
      return {key_width, config.hidden_size};
    case Role::o_proj:
      return {config.hidden_size, query_width};
    case Role::gate_proj:
    case Role::up_proj:
      return {config.feed_forward, config.hidden_size};
    case Role::down_proj:
      break;
  }
  return {config.hidden_size, config.feed_forward};
}

}  // namespace

extern const Architecture llama_architecture;
const Architecture llama_architecture = {
    .name = "llama",
    .layer_name = layer_name,
    .attention_norm_name = attention_norm_name,
    .mlp_norm_name = mlp_norm_name,
    .embedding_name = "model.embed_tokens",
    .final_norm_name = "model.norm",
    .head_name = "lm_head",
    .layer_shape = layer_shape,
};

}  // namespace lrc

// OPT: LayerNorm, learned positions (row position + 2 of the table), two ReLU layers instead of a gated part, biases.
#include <array>

#include "base/error.h"
#include "model/architecture.h"
#include "model/config_fields.h"

namespace lrc {
namespace {

constexpr std::array<Architecture::Layer, 6> layers = {{{Role::q_proj, "self_attn.q_proj"},
                                                        {Role::k_proj, "self_attn.k_proj"},
                                                        {Role::v_proj, "self_attn.v_proj"},
                                                        {Role::o_proj, "self_attn.out_proj"},
                                                        {Role::fc1, "fc1"},
                                                        {Role::fc2, "fc2"}}};

Architecture::Bias bias(const ModelConfig& config, Role) {
  return config.attention_bias.value_or(true) ? Architecture::Bias::present : Architecture::Bias::none;
}

void read(const Json& config, const std::string& origin, ModelConfig& result) {
  const ConfigFields fields(config, origin);
  result.attention_bias = result.mlp_bias = fields.flag_or("enable_bias", true);
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorKind::unsupported, origin + ": OPT models " + what + " are not supported.");
  };
  if (!fields.flag_or("do_layer_norm_before", true)) refuse("that normalise after each part (do_layer_norm_before is false)");
  if (fields.flag_or("_remove_final_layer_norm", false)) refuse("without a final norm (_remove_final_layer_norm)");
  if (!fields.flag_or("layer_norm_elementwise_affine", true)) refuse("whose norms have no gains (layer_norm_elementwise_affine is false)");
  if (const auto width = fields.size_or("word_embed_proj_dim", result.hidden_size); width != result.hidden_size)
    refuse("whose embedding is " + std::to_string(width) + " wide (word_embed_proj_dim) beside a hidden_size of " +
           std::to_string(result.hidden_size));
}

}  // namespace

extern const Architecture opt_architecture;
const Architecture opt_architecture = {
    .name = "opt",
    .layers = layers,
    .norm = NormKind::layer,
    .activation = "relu",
    .learned_positions = true,
    .position_offset = 2,
    .tied_by_default = true,
    .feed_forward_key = "ffn_dim",
    .block_prefix = "model.decoder.layers.",
    .attention_norm = "self_attn_layer_norm",
    .mlp_norm = "final_layer_norm",
    .embedding_name = "model.decoder.embed_tokens",
    .positions_name = "model.decoder.embed_positions",
    .final_norm_name = "model.decoder.final_layer_norm",
    .bias = bias,
    .read_config = read,
};

}  // namespace lrc

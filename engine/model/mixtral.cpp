// Mixtral: Llama's attention; the feed-forward part is chosen for each token among experts by a router (softmax over all
// experts, the best few, their weights brought to the sum 1).
#include <array>

#include "model/config_fields.h"
#include "model/llama_block.h"

namespace lrc {
namespace {

constexpr std::array<Architecture::Layer, 8> layers = {{{Role::q_proj, "self_attn.q_proj"},
                                                        {Role::k_proj, "self_attn.k_proj"},
                                                        {Role::v_proj, "self_attn.v_proj"},
                                                        {Role::o_proj, "self_attn.o_proj"},
                                                        {Role::router, "block_sparse_moe.gate"},
                                                        {Role::expert_gate, "block_sparse_moe.experts.#.w1"},
                                                        {Role::expert_up, "block_sparse_moe.experts.#.w3"},
                                                        {Role::expert_down, "block_sparse_moe.experts.#.w2"}}};

Architecture::Bias no_bias(const ModelConfig&, Role) { return Architecture::Bias::none; }

void read(const Json& config, const std::string& origin, ModelConfig& result) {
  constexpr std::size_t most_experts = 1024;
  const ConfigFields fields(config, origin);
  result.experts = fields.required_size("num_local_experts", most_experts);
  result.experts_per_token = fields.size_or("num_experts_per_tok", 2);
  if (result.experts_per_token > result.experts)
    fields.bad("num_experts_per_tok (" + std::to_string(result.experts_per_token) + ")",
               "is above num_local_experts (" + std::to_string(result.experts) + ")");
}

}  // namespace

extern const Architecture mixtral_architecture;
const Architecture mixtral_architecture = {
    .name = "mixtral", .layers = layers, .default_rope_theta = 1e6, .bias = no_bias, .read_config = read};

}  // namespace lrc

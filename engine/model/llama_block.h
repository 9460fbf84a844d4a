#pragma once
// The block that most families share with Llama: names of its linear layers, and no biases unless the file says so.
#include <array>

#include "model/architecture.h"

namespace lrc {

inline constexpr std::array<Architecture::Layer, 7> llama_layers = {{{Role::q_proj, "self_attn.q_proj"},
                                                                     {Role::k_proj, "self_attn.k_proj"},
                                                                     {Role::v_proj, "self_attn.v_proj"},
                                                                     {Role::o_proj, "self_attn.o_proj"},
                                                                     {Role::gate_proj, "mlp.gate_proj"},
                                                                     {Role::up_proj, "mlp.up_proj"},
                                                                     {Role::down_proj, "mlp.down_proj"}}};

/// Biases as `attention_bias` and `mlp_bias` of the configuration say; where it is silent (GGUF), as the file has them.
Architecture::Bias bias_by_config(const ModelConfig& config, Role role);

}  // namespace lrc

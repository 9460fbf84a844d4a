// Phi-3: Llama's arithmetic with q, k, v in one matrix and gate, up in another. Both are quantized as the one layer that they
// are in the file. Long contexts stretch each rotary frequency by a factor of its own (longrope, see rope.cpp).
#include <array>

#include "model/llama_block.h"

namespace lrc {
namespace {

constexpr std::array<Architecture::Layer, 4> layers = {{{Role::qkv_proj, "self_attn.qkv_proj"},
                                                        {Role::o_proj, "self_attn.o_proj"},
                                                        {Role::gate_up_proj, "mlp.gate_up_proj"},
                                                        {Role::down_proj, "mlp.down_proj"}}};

Architecture::Bias no_bias(const ModelConfig&, Role) { return Architecture::Bias::none; }

}  // namespace

extern const Architecture phi3_architecture;
const Architecture phi3_architecture = {.name = "phi3", .layers = layers, .bias = no_bias};

}  // namespace lrc

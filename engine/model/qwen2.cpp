// Qwen2: Llama's block with biases on q, k and v; the sliding window that files name is used only where they say so.
#include "model/config_fields.h"
#include "model/llama_block.h"

namespace lrc {
namespace {

Architecture::Bias bias(const ModelConfig&, Role role) {
  return site_of(role) == SiteKind::attention_input ? Architecture::Bias::present : Architecture::Bias::none;
}

}  // namespace

extern const Architecture qwen2_architecture;
const Architecture qwen2_architecture = {.name = "qwen2", .layers = llama_layers, .bias = bias, .read_config = read_optional_window};

}  // namespace lrc

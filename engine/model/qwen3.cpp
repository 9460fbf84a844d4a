// Qwen3: Llama's block with an RMS norm of each head of q and k before the rotary embedding; heads have a size of their own.
#include "model/config_fields.h"
#include "model/llama_block.h"

namespace lrc {
namespace {

void read(const Json& config, const std::string& origin, ModelConfig& result) {
  read_optional_window(config, origin, result);
  if (!ConfigFields(config, origin).find("head_dim")) result.head_dim = 128;  // the reference implementation's value
}

}  // namespace

extern const Architecture qwen3_architecture;
const Architecture qwen3_architecture = {
    .name = "qwen3", .layers = llama_layers, .query_key_norm = true, .bias = bias_by_config, .read_config = read};

}  // namespace lrc

// Mistral: Llama's block with attention that looks back over a sliding window.
#include "model/llama_block.h"

namespace lrc {
namespace {

void read(const Json& config, const std::string&, ModelConfig& result) {
  // The reference implementation's value where a configuration leaves the key out; null means none.
  if (!config.contains("sliding_window")) result.sliding_window = 4096;
}

}  // namespace

extern const Architecture mistral_architecture;
const Architecture mistral_architecture = {.name = "mistral", .layers = llama_layers, .bias = bias_by_config, .read_config = read};

}  // namespace lrc

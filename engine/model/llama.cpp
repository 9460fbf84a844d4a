// Llama 1–3: pre-norm blocks of grouped-query attention with rotary positions and a SwiGLU feed-forward part.
#include "model/llama_block.h"

namespace lrc {

Architecture::Bias bias_by_config(const ModelConfig& config, Role role) {
  const SiteKind site = site_of(role);
  const bool attention = site == SiteKind::attention_input || site == SiteKind::attention_output;
  const auto& said = attention ? config.attention_bias : config.mlp_bias;
  if (!said) return Architecture::Bias::as_in_file;
  return *said ? Architecture::Bias::present : Architecture::Bias::none;
}

extern const Architecture llama_architecture;
const Architecture llama_architecture = {.name = "llama", .layers = llama_layers, .bias = bias_by_config};

}  // namespace lrc

#include "formats/gguf_names.h"

#include <algorithm>
#include <utility>

namespace lrc {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

constexpr Pair outer[] = {{"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}};
constexpr Pair inner[] = {{"attn_norm", "input_layernorm"},
                          {"attn_q", "self_attn.q_proj"},
                          {"attn_k", "self_attn.k_proj"},
                          {"attn_v", "self_attn.v_proj"},
                          {"attn_qkv", "self_attn.qkv_proj"},
                          {"attn_output", "self_attn.o_proj"},
                          {"attn_q_norm", "self_attn.q_norm"},
                          {"attn_k_norm", "self_attn.k_norm"},
                          {"ffn_norm", "post_attention_layernorm"},
                          {"ffn_gate", "mlp.gate_proj"},
                          {"ffn_up", "mlp.up_proj"},
                          {"ffn_down", "mlp.down_proj"},
                          {"ffn_gate_inp", "block_sparse_moe.gate"}};

constexpr std::string_view gguf_blocks = "blk.", huggingface_blocks = "model.layers.";

/// The counterpart of a module name inside a block, in the direction that `from` and `to` say.
std::string_view counterpart(std::string_view module, std::string_view architecture, std::string_view Pair::*from,
                             std::string_view Pair::*to) {
  constexpr Pair fused = {"ffn_up", "mlp.gate_up_proj"};  // Phi-3 keeps gate and up in one matrix
  if (architecture == "phi3" && module == fused.*from) return fused.*to;
  for (const auto& entry : inner)
    if (entry.*from == module) return entry.*to;
  return {};
}

constexpr Pair expert_modules[] = {{"ffn_gate", "w1"}, {"ffn_down", "w2"}, {"ffn_up", "w3"}};

/// "ffn_gate.5" → "block_sparse_moe.experts.5.w1"; empty for other modules.
std::string separate_expert(std::string_view module) {
  const std::size_t dot = module.find('.');
  if (dot == std::string_view::npos || dot + 1 == module.size()) return {};
  const auto number = module.substr(dot + 1);
  if (number.find_first_not_of("0123456789") != std::string_view::npos) return {};
  for (const auto& entry : expert_modules)
    if (entry.first == module.substr(0, dot)) return "block_sparse_moe.experts." + std::string(number) + "." + std::string(entry.second);
  return {};
}

/// Splits "PREFIXnumber.module.suffix"; the suffix is "weight" or "bias".
struct Parts {
  std::string_view block, module, suffix;
};
std::optional<Parts> split(std::string_view name, std::string_view prefix) {
  const std::size_t last = name.rfind('.');
  if (last == std::string_view::npos) return std::nullopt;
  Parts parts;
  parts.suffix = name.substr(last + 1);
  if (parts.suffix != "weight" && parts.suffix != "bias") return std::nullopt;
  parts.module = name.substr(0, last);
  if (parts.module.starts_with(prefix)) {
    const auto rest = parts.module.substr(prefix.size());
    const std::size_t dot = rest.find('.');
    if (dot == 0 || dot == std::string_view::npos || rest.find_first_not_of("0123456789") != dot) return std::nullopt;
    parts.block = rest.substr(0, dot);
    parts.module = rest.substr(dot + 1);
  }
  return parts;
}

std::optional<std::string> translate(std::string_view name, std::string_view architecture, std::string_view prefix,
                                     std::string_view new_prefix, std::string_view Pair::*from, std::string_view Pair::*to) {
  const auto parts = split(name, prefix);
  if (!parts) return std::nullopt;
  if (parts->block.empty()) {
    for (const auto& entry : outer)
      if (entry.*from == parts->module) return std::string(entry.*to) + "." + std::string(parts->suffix);
    return std::nullopt;
  }
  const auto module = counterpart(parts->module, architecture, from, to);
  if (module.empty()) return std::nullopt;
  return std::string(new_prefix) + std::string(parts->block) + "." + std::string(module) + "." + std::string(parts->suffix);
}

}  // namespace

std::string huggingface_name(std::string_view gguf_name, std::string_view architecture) {
  if (const auto parts = split(gguf_name, gguf_blocks); parts && !parts->block.empty())
    if (const auto module = separate_expert(parts->module); !module.empty())
      return std::string(huggingface_blocks) + std::string(parts->block) + "." + module + "." + std::string(parts->suffix);
  return translate(gguf_name, architecture, gguf_blocks, huggingface_blocks, &Pair::first, &Pair::second).value_or(std::string(gguf_name));
}

std::optional<std::string> gguf_name(std::string_view huggingface_name, std::string_view architecture) {
  return translate(huggingface_name, architecture, huggingface_blocks, gguf_blocks, &Pair::second, &Pair::first);
}

std::optional<std::string> expert_name(std::string_view gguf_name, std::size_t expert) {
  const auto parts = split(gguf_name, gguf_blocks);
  if (!parts || parts->block.empty() || !parts->module.ends_with("_exps") || parts->suffix != "weight") return std::nullopt;
  const auto module = separate_expert(std::string(parts->module.substr(0, parts->module.size() - 5)) + "." + std::to_string(expert));
  if (module.empty()) return std::nullopt;
  return std::string(huggingface_blocks) + std::string(parts->block) + "." + module + ".weight";
}

bool has_permuted_rows(std::string_view gguf_name, std::string_view architecture) {
  if (architecture != "llama") return false;
  const auto parts = split(gguf_name, gguf_blocks);
  return parts && !parts->block.empty() && (parts->module == "attn_q" || parts->module == "attn_k");
}

std::size_t permuted_row(std::size_t row, std::size_t head_dim) {
  const std::size_t half = head_dim / 2, head = row / head_dim, within = row % head_dim;
  return head * head_dim + (within < half ? 2 * within : 2 * (within - half) + 1);
}

}  // namespace lrc

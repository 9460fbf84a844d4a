#include "model/architecture.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <tuple>

#include "base/error.h"

namespace lrc {

extern const Architecture llama_architecture, mistral_architecture, qwen2_architecture, qwen3_architecture, phi3_architecture,
    mixtral_architecture, opt_architecture;

namespace {

constexpr std::array known_architectures = {&llama_architecture, &mistral_architecture, &mixtral_architecture, &qwen2_architecture,
                                            &qwen3_architecture, &phi3_architecture,    &opt_architecture};
constexpr std::array<std::string_view, role_count> role_names = {
    "q_proj",       "k_proj", "v_proj", "o_proj", "gate_proj",        "up_proj",        "down_proj",       "qkv_proj",
    "gate_up_proj", "fc1",    "fc2",    "router", "expert.gate_proj", "expert.up_proj", "expert.down_proj"};
constexpr std::array<std::string_view, 4> site_names = {"attention_input", "attention_output", "mlp_input", "mlp_hidden"};
constexpr std::size_t plain_sites = site_names.size();

}  // namespace

std::string_view name(Role role) { return role_names[std::size_t(role)]; }

std::string_view short_name(Role role) {
  std::string_view full = name(role);
  if (full.ends_with("_proj")) full.remove_suffix(5);
  return full;
}

bool of_an_expert(Role role) { return role >= Role::expert_gate; }

bool writes_stream(Role role) { return role == Role::o_proj || role == Role::down_proj || role == Role::fc2 || role == Role::expert_down; }

std::size_t Site::index() const {
  if (expert == no_expert) return std::size_t(kind);
  assert(kind == SiteKind::mlp_input || kind == SiteKind::mlp_hidden);
  return plain_sites + 2 * expert + (kind == SiteKind::mlp_hidden ? 1 : 0);
}

std::string name(const Site& site) {
  return "model.layers." + std::to_string(site.block) + "." +
         (site.expert == no_expert ? std::string() : "experts." + std::to_string(site.expert) + ".") +
         std::string(site_names[std::size_t(site.kind)]);
}

std::size_t site_count(const ModelConfig& config) { return plain_sites + 2 * config.experts; }

Site site_at(std::size_t block, std::size_t index) {
  if (index < plain_sites) return {block, SiteKind(index)};
  return {block, (index - plain_sites) % 2 == 0 ? SiteKind::mlp_input : SiteKind::mlp_hidden, (index - plain_sites) / 2};
}

SiteKind site_of(Role role) {
  switch (role) {
    case Role::q_proj:
    case Role::k_proj:
    case Role::v_proj:
    case Role::qkv_proj:
      return SiteKind::attention_input;
    case Role::o_proj:
      return SiteKind::attention_output;
    case Role::gate_proj:
    case Role::up_proj:
    case Role::gate_up_proj:
    case Role::fc1:
    case Role::router:
    case Role::expert_gate:
    case Role::expert_up:
      return SiteKind::mlp_input;
    case Role::down_proj:
    case Role::fc2:
    case Role::expert_down:
      break;
  }
  return SiteKind::mlp_hidden;
}

bool Architecture::has(Role role) const {
  return std::ranges::any_of(layers, [&](const Layer& layer) { return layer.role == role; });
}

std::string Architecture::layer_name(std::size_t block, Role role, std::size_t expert) const {
  const auto found = std::ranges::find(layers, role, &Layer::role);
  assert(found != layers.end() && "a role that this architecture does not have");
  std::string path(found->path);
  if (const auto mark = path.find('#'); mark != std::string::npos) path.replace(mark, 1, std::to_string(expert));
  return std::string(block_prefix) + std::to_string(block) + "." + path;
}

namespace {
std::string in_block(const Architecture& architecture, std::size_t block, std::string_view path) {
  return std::string(architecture.block_prefix) + std::to_string(block) + "." + std::string(path);
}
}  // namespace

std::string Architecture::attention_norm_name(std::size_t block) const { return in_block(*this, block, attention_norm); }
std::string Architecture::mlp_norm_name(std::size_t block) const { return in_block(*this, block, mlp_norm); }
std::string Architecture::query_norm_name(std::size_t block) const { return in_block(*this, block, query_norm); }
std::string Architecture::key_norm_name(std::size_t block) const { return in_block(*this, block, key_norm); }

std::pair<std::size_t, std::size_t> Architecture::layer_shape(const ModelConfig& config, Role role) const {
  const std::size_t hidden = config.hidden_size, query = config.heads * config.head_dim, key = config.kv_heads * config.head_dim;
  switch (role) {
    case Role::q_proj:
      return {query, hidden};
    case Role::k_proj:
    case Role::v_proj:
      return {key, hidden};
    case Role::qkv_proj:
      return {query + 2 * key, hidden};
    case Role::o_proj:
      return {hidden, query};
    case Role::gate_proj:
    case Role::up_proj:
    case Role::fc1:
    case Role::expert_gate:
    case Role::expert_up:
      return {config.feed_forward, hidden};
    case Role::gate_up_proj:
      return {2 * config.feed_forward, hidden};
    case Role::router:
      return {config.experts, hidden};
    case Role::down_proj:
    case Role::fc2:
    case Role::expert_down:
      break;
  }
  return {hidden, config.feed_forward};
}

std::vector<LayerInfo> Architecture::block_layers(const ModelConfig& config, std::size_t block) const {
  std::vector<LayerInfo> result;
  const auto add = [&](Role role, std::size_t expert) {
    LayerInfo layer;
    layer.name = layer_name(block, role, expert);
    layer.block = block;
    layer.role = role;
    layer.expert = expert;
    std::tie(layer.out_features, layer.in_features) = layer_shape(config, role);
    if (site_of(role) == SiteKind::attention_output) layer.input_period = config.head_dim;
    result.push_back(std::move(layer));
  };
  for (const Layer& layer : layers)
    if (!of_an_expert(layer.role)) add(layer.role, no_expert);
  for (std::size_t expert = 0; expert < config.experts; ++expert)
    for (const Layer& layer : layers)
      if (of_an_expert(layer.role)) add(layer.role, expert);
  return result;
}

std::span<const Architecture* const> architectures() { return known_architectures; }

const Architecture& find_architecture(std::string_view name, const std::string& origin) {
  std::string supported;
  for (const Architecture* architecture : known_architectures) {
    if (architecture->name == name) return *architecture;
    supported += (supported.empty() ? "" : ", ") + std::string(architecture->name);
  }
  throw Error(ErrorKind::unsupported, (origin.empty() ? "The" : origin + ": the") + " architecture \"" + std::string(name) +
                                          "\" is not supported; supported: " + supported + ".");
}

}  // namespace lrc

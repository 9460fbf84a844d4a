#include "model/architecture.h"

#include <array>

#include "base/error.h"

namespace lrc {

extern const Architecture llama_architecture;

namespace {

constexpr std::array known_architectures = {&llama_architecture};
constexpr std::array roles = {Role::q_proj, Role::k_proj, Role::v_proj, Role::o_proj, Role::gate_proj, Role::up_proj, Role::down_proj};
constexpr std::array<std::string_view, 7> role_names = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
constexpr std::array<std::string_view, 4> site_names = {"attention_input", "attention_output", "mlp_input", "mlp_hidden"};

}  // namespace

std::string_view name(Role role) { return role_names[std::size_t(role)]; }

std::string_view short_name(Role role) {
  const std::string_view full = name(role);
  return full.substr(0, full.find('_'));
}

std::span<const Role> all_roles() { return roles; }

std::string name(const Site& site) {
  return "model.layers." + std::to_string(site.block) + "." + std::string(site_names[std::size_t(site.kind)]);
}

SiteKind site_of(Role role) {
  switch (role) {
    case Role::q_proj:
    case Role::k_proj:
    case Role::v_proj:
      return SiteKind::attention_input;
    case Role::o_proj:
      return SiteKind::attention_output;
    case Role::gate_proj:
    case Role::up_proj:
      return SiteKind::mlp_input;
    case Role::down_proj:
      break;
  }
  return SiteKind::mlp_hidden;
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

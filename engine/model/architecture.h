#pragma once
// An architecture is mostly data: the names and shapes of its tensors. A new family is one new file that defines an
// Architecture and one line in architecture.cpp's list.
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/config.h"
#include "tensor/dtype.h"

namespace lrc {

enum class Role { q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj };
std::string_view name(Role role);        ///< "down_proj"
std::string_view short_name(Role role);  ///< "down"
std::span<const Role> all_roles();

/// Where linear layers take their input from; calibration listens here and the run-time quantizer sits here. Layers of one
/// site share input, codes and second moments: qkv, o, gate/up, down.
enum class SiteKind { attention_input, attention_output, mlp_input, mlp_hidden };
struct Site {
  std::size_t block = 0;
  SiteKind kind = SiteKind::attention_input;
  bool operator==(const Site&) const = default;
};
std::string name(const Site& site);  ///< "model.layers.3.mlp_hidden"
SiteKind site_of(Role role);

struct LayerInfo {
  std::string name;  ///< Hugging Face module path: model.layers.7.mlp.down_proj
  std::size_t block = 0;
  Role role = Role::q_proj;
  std::size_t out_features = 0, in_features = 0;
  DType dtype = DType::f32;
  Site site() const { return {block, site_of(role)}; }
  std::size_t parameters() const { return out_features * in_features; }
};

struct Architecture {
  std::string_view name;
  /// Module path of a layer, norm gains and the other tensors, without ".weight".
  std::string (*layer_name)(std::size_t block, Role role);
  std::string (*attention_norm_name)(std::size_t block);
  std::string (*mlp_norm_name)(std::size_t block);
  std::string_view embedding_name, final_norm_name, head_name;
  /// (out, in) of a role.
  std::pair<std::size_t, std::size_t> (*layer_shape)(const ModelConfig& config, Role role);
};
std::span<const Architecture* const> architectures();
/// By the name that configurations give as `model_type`. Throws Error(unsupported) naming `origin` and the supported ones.
const Architecture& find_architecture(std::string_view name, const std::string& origin = {});

}  // namespace lrc

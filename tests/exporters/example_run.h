#pragma once
// A run as an exporter sees it, made without solving: codes by rounding to nearest, pairs at random.
#include <functional>
#include <string>

#include "exporters/exporter.h"
#include "support/test_data.h"
#include "support/tiny_model.h"

namespace lrc::test {

struct ExampleRun {
  std::shared_ptr<const Model> model;
  std::string name = "LRC 10 %";
  RotationChoice rotation;
  std::vector<std::pair<LayerInfo, LayerScheme>> layers;
  ModelWeights weights;

  ExportSource source() const { return {*model, name, rotation, layers, &weights}; }
  ExportSource plan() const { return {*model, name, rotation, layers, nullptr}; }
};

/// `change` may alter the scheme of each layer: ranks by default 5, and 0 for v_proj.
inline ExampleRun example_run(const std::filesystem::path& path, const RotationChoice& rotation = {true, true, false, 3},
                              const std::function<void(const LayerInfo&, LayerScheme&)>& change = {}) {
  ExampleRun run;
  run.model = Model::open(path);
  run.rotation = rotation;
  run.weights = load_weights(*run.model);
  rotate_weights(run.weights, rotation);
  Random random(9);
  for (const auto& info : run.model->layers()) {
    LayerScheme scheme;
    scheme.rank = info.role == Role::v_proj ? 0 : 5;
    if (change) change(info, scheme);
    run.layers.emplace_back(info, scheme);
    auto& linear = run.weights.blocks[info.block].linear(info.role);
    if (scheme.skipped || scheme.weight.bits >= 16) continue;
    const bool divides = scheme.weight.group_size == 0 || info.in_features % scheme.weight.group_size == 0;
    auto weight_scheme = scheme.weight;
    if (!divides) weight_scheme.group_size = 0;
    linear.quantized = std::make_shared<QuantizedWeight>(quantize_rtn(convert<double>(linear.weight), weight_scheme, true));
    linear.weight = {};
    linear.activation = scheme.activation;
    if (scheme.rank == 0) continue;
    linear.pair.u = random.matrix(info.out_features, scheme.rank, 0.1);
    linear.pair.v = random.matrix(info.in_features, scheme.rank, 0.1);
    for (auto* factor : {&linear.pair.u, &linear.pair.v})
      for (auto& value : factor->flat()) value = round_to_half(value);
  }
  return run;
}

inline std::filesystem::path stories_gguf() { return data("stories260K/stories260K-f16.gguf"); }
inline std::filesystem::path stories_folder() { return data("stories260K/hf"); }

}  // namespace lrc::test

#include "run/export_run.h"

#include <algorithm>

#include "base/error.h"

namespace lrc {
namespace {

// The weight groups of Q4_0 and Q4_1 blocks.
constexpr std::size_t gguf_group = 32;

}  // namespace

RunExport::RunExport(const OpenedModel& run) : run_(run) {
  if (!run_.run)
    throw Error(ErrorKind::bad_input, run_.path.string() + " is a plain model; only a run can be exported, lrc quantize makes one.");
  if (run_.run->layers.size() < run_.run->layers_total)
    throw Error(ErrorKind::bad_input, "The run " + run_.path.string() + " is not finished (" + std::to_string(run_.run->layers.size()) +
                                          " of " + std::to_string(run_.run->layers_total) + " layers); continue it first.");
}

ExportSource RunExport::source_without_weights() const {
  ExportSource source{*run_.model, run_.run->recipe.name, run_.run->recipe.rotation, {}, nullptr, run_.run->recipe.cache};
  for (const auto& [name, scheme] : run_.run->effective) {
    const auto* layer = run_.model->find_layer(name);
    if (!layer)
      throw Error(ErrorKind::bad_file,
                  (run_.path / "manifest.json").string() + ": effective names " + name + ", which the model does not have.");
    source.layers.emplace_back(*layer, scheme);
  }
  return source;
}

ExportSource RunExport::source() {
  if (!weights_) weights_ = weights_of(run_);
  auto source = source_without_weights();
  source.weights = &*weights_;
  return source;
}

Recipe recipe_for_export(const Recipe& recipe, const Exporter& exporter) {
  Recipe result = recipe;
  result.name += " for " + std::string(exporter.name);
  result.rotation.r3 = result.rotation.r4 = false;
  result.rotation.high_share = 0;
  result.cache = Recipe{}.cache;
  result.activation.bits = 16;
  result.weight.bits = 4;
  result.weight.group_size = gguf_group;
  result.weight.format = NumberFormat::integer;
  result.weight.symmetric = true;
  result.pair_input = PairInput::unquantized;
  for (auto& rule : result.overrides) {
    rule.activation_bits.reset();
    rule.clip.reset();
    rule.weight_bits.reset();
    rule.group_size.reset();
    rule.weight_format.reset();
    rule.weight_asymmetric.reset();
    rule.activation_format.reset();
    rule.activation_asymmetric.reset();
    rule.activation_group_size.reset();
    rule.pair_input.reset();
  }
  // Rules that said nothing else have nothing left to say.
  std::erase_if(result.overrides, [](const Override& rule) {
    Override empty;
    empty.pattern = rule.pattern;
    return rule == empty;
  });
  return result;
}

}  // namespace lrc

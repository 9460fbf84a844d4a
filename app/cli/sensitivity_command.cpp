#include <algorithm>
#include <iostream>

#include "base/error.h"
#include "base/files.h"
#include "cli/commands.h"
#include "cli/fitted_recipe.h"
#include "cli/parse.h"
#include "run/manifest.h"
#include "run/sensitivity.h"

namespace lrc::cli {

void sensitivity_command(const Context& context, const SensitivityOptions& options) {
  const auto model = original_model(options.model);
  SensitivityRequest request;
  request.recipe = fitted_recipe(context, options.recipe, *model);
  request.exact = options.exact;
  request.exact_tokens = options.exact_tokens;
  request.device = context.device;
  const auto progress = context.make_progress();
  const auto layers = sensitivity(*model, request, *progress, context.stop);

  Json list = Json::array();
  for (const auto& layer : layers) {
    Json row = {{"name", layer.name},
                {"block", layer.block},
                {"role", layer.role},
                {"parameters", layer.parameters},
                {"weight_bits", layer.weight_bits},
                {"activation_bits", layer.activation_bits},
                {"weights_only", layer.weights_only},
                {"activations_only", layer.activations_only},
                {"both", layer.both}};
    if (layer.kl) row["kl"] = *layer.kl;
    list.push_back(std::move(row));
  }
  const Json json = {{"model", model->display_name()}, {"method", without_correction(request.recipe).method}, {"layers", list}};
  if (!options.out.empty()) write_file_atomically(options.out, json.dump(1) + "\n");
  context.print_json(json);
  if (context.json) return;
  auto sorted = layers;
  std::ranges::stable_sort(sorted, [](const auto& a, const auto& b) { return a.kl && b.kl ? *a.kl > *b.kl : a.both > b.both; });
  std::vector<std::vector<std::string>> table = {{"layer", "weights only", "activations only", "both"}};
  if (options.exact) table[0].push_back("KL alone, mnat");
  for (const auto& layer : sorted) {
    table.push_back({layer.name, per_cent(layer.weights_only, 3), per_cent(layer.activations_only, 3), per_cent(layer.both, 3)});
    if (layer.kl) table.back().push_back(fixed(1000 * *layer.kl, 2));
  }
  print_table(table);
}

}  // namespace lrc::cli

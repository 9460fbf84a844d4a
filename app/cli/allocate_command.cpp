#include <iostream>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "cli/commands.h"
#include "cli/fitted_recipe.h"
#include "cli/parse.h"
#include "run/allocate.h"

namespace lrc::cli {
namespace {

void show_achieved(const Context& context, const AllocateOptions& options) {
  const auto achieved = compare_with_run(read_json_file(options.report), options.report, read_manifest(options.achieved));
  Json list = Json::array();
  std::vector<std::vector<std::string>> table = {{"layer", "predicted", "achieved", "held out"}};
  for (const auto& layer : achieved.layers) {
    list.push_back({{"name", layer.name}, {"predicted_loss", layer.predicted}, {"loss", layer.achieved}});
    if (layer.held_out) list.back()["held_out_loss"] = *layer.held_out;
    table.push_back({layer.name, per_cent(layer.predicted), per_cent(layer.achieved), layer.held_out ? per_cent(*layer.held_out) : "–"});
  }
  context.print_json({{"layers", list},
                      {"mean_predicted_loss", achieved.mean_predicted},
                      {"mean_loss", achieved.mean_achieved},
                      {"rank_correlation", achieved.rank_correlation}});
  if (context.json) return;
  print_table(table);
  std::cout << "mean layer error: predicted " << per_cent(achieved.mean_predicted) << ", achieved " << per_cent(achieved.mean_achieved)
            << "; rank correlation " << fixed(achieved.rank_correlation, 3) << " over " << achieved.layers.size() << " layers\n";
}

std::string cost(const AllocationReport& report, double value) {
  return report.exact_weights ? fixed(1000 * value, 1) + " mnat" : fixed(value, 4);
}

void print_report(const AllocationReport& report) {
  std::vector<std::vector<std::string>> table = {{"layer", "bits", "rank", "factors", "b/w", "error", "cost", "why"}};
  for (const auto& layer : report.layers)
    table.push_back({layer.name, std::to_string(layer.weight_bits), std::to_string(layer.rank),
                     layer.rank > 0 ? to_string(layer.factors) : "–", fixed(layer.bits_per_weight, 2), per_cent(layer.predicted_loss),
                     cost(report, layer.weight * layer.predicted_loss), layer.reason});
  print_table(table);
  std::cout << fixed(report.bits_per_weight, 3) << " of " << fixed(report.budget_bits_per_weight, 3) << " bits per weight; predicted "
            << (report.exact_weights ? "sum of what each layer alone adds to the KL " : "sum of relative layer errors ")
            << cost(report, report.predicted_cost)
            << (report.optimal ? ", optimal among these choices" : ", sizes rounded up for the search") << " (bound "
            << cost(report, report.bound) << ")\n";
  if (report.uniform_fits)
    std::cout << "alike for all layers: " << report.uniform_bits << " bits, rank " << fixed(report.uniform_rank_per_cent, 1) << " % in "
              << to_string(report.uniform_factors) << ", " << fixed(report.uniform_bits_per_weight, 3)
              << " bits per weight: " << cost(report, report.uniform_cost) << '\n';
}

}  // namespace

void allocate_command(const Context& context, const AllocateOptions& options) {
  if (!options.achieved.empty()) {
    if (options.report.empty()) throw Error(ErrorKind::bad_input, "--achieved needs --report, the file that lrc allocate wrote.");
    show_achieved(context, options);
    return;
  }
  if (options.bits_per_weight <= 0) throw Error(ErrorKind::bad_input, "--bits-per-weight is needed: how large the layers may become.");
  const auto model = original_model(options.model);
  AllocationRequest request;
  request.recipe = fitted_recipe(context, options.recipe, *model);
  request.bits_per_weight = options.bits_per_weight;
  request.weight_bits = parse_ids(options.bits);
  request.factors = parse_factor_schemes(options.factors);
  if (options.factors.empty() && request.recipe.factors == FactorScheme{}) request.factors = parse_factor_schemes("fp16,int8");
  request.most_rank_per_cent = options.most_rank;
  request.rank_step = options.rank_step;
  request.exact = !options.relative;
  request.exact_tokens = options.exact_tokens;
  request.device = context.device;
  const auto progress = context.make_progress();
  const AllocationReport report = allocate_bits(*model, request, *progress, context.stop);
  const Json json = to_json(report);
  if (!options.out.empty()) write_file_atomically(options.out, to_text(report.recipe));
  if (!options.report.empty()) write_file_atomically(options.report, json.dump(1) + "\n");
  context.print_json(json);
  if (!context.json) print_report(report);
}

}  // namespace lrc::cli

#include <algorithm>
#include <iostream>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/fitted_recipe.h"
#include "cli/parse.h"
#include "run/memory_plan.h"
#include "run/open_model.h"
#include "run/runner.h"
#include "run/spectra.h"

namespace lrc::cli {
namespace {

void print_summary(const Manifest& m, const std::string& folder) {
  double loss = 0, uncorrected = 0, held_out = 0;
  std::optional<double> missed;
  std::size_t held = 0;
  for (const auto& layer : m.layers) {
    loss += layer.loss;
    uncorrected += layer.loss_uncorrected;
    if (layer.range_finder_missed) missed = std::max(missed.value_or(0), *layer.range_finder_missed);
    if (layer.held_out_loss) {
      held_out += *layer.held_out_loss;
      ++held;
    }
  }
  const double n = double(std::max<std::size_t>(1, m.layers.size()));
  std::cout << folder << ": " << m.recipe.name << ", " << m.layers.size() << " layers, " << fixed(m.bits_per_weight, 2)
            << " bits per weight, " << megabytes(m.file_bytes) << "\n"
            << "mean layer error " << per_cent(loss / n) << " (without the correction " << per_cent(uncorrected / n) << ")";
  if (held > 0) std::cout << ", on held-out text " << per_cent(held_out / double(held));
  std::cout << "\n";
  if (missed) std::cout << "the randomized range finder missed at most " << per_cent(*missed) << " of what a layer's exact pair carries\n";
  for (const auto& [stage, seconds] : m.timings) std::cout << stage << " " << fixed(seconds, 1) << " s  ";
  std::cout << "\npeak memory " << megabytes(m.peak_memory_bytes) << "\n";
  for (const auto& layer : m.layers)
    if (!layer.warning.empty()) std::cout << "warning: " << layer.name << ": " << layer.warning << "\n";
}

}  // namespace

void quantize(const Context& context, const QuantizeOptions& options) {
  RunRequest request;
  request.model_path = options.model;
  request.model = original_model(options.model);
  request.recipe = fitted_recipe(context, options.recipe, *request.model);
  request.folder = options.out;
  request.memory_limit_bytes = parse_bytes(options.memory_limit);
  if (const auto problem = problem_of(request.recipe, *request.model)) throw Error(ErrorKind::bad_input, *problem);
  const auto progress = context.make_progress();
  const Manifest manifest = carry_out(request, *progress, context.stop);
  context.print_json(to_json(manifest));
  if (!context.json) print_summary(manifest, options.out);
}

void measure_command(const Context& context, const QuantizeOptions& options) {
  const auto model = original_model(options.model);
  const Recipe recipe = fitted_recipe(context, options.recipe, *model);
  const auto progress = context.make_progress();
  measure(*model, recipe, options.out, *progress, context.stop);
  context.print_json({{"folder", options.out}, {"layers", model->layers().size()}});
  if (!context.json)
    std::cout << options.out << ": curves of " << model->layers().size() << " layers; lrc spectrum " << options.out << " shows them\n";
}

void forecast_command(const Context& context, const QuantizeOptions& options) {
  const auto model = original_model(options.model);
  const Recipe recipe = fitted_recipe(context, options.recipe, *model);
  if (const auto problem = problem_of(recipe, *model)) throw Error(ErrorKind::bad_input, *problem);
  const Forecast f = forecast_within(recipe, *model, parse_bytes(options.memory_limit));
  Json stages = Json::object();
  for (const auto& [stage, seconds] : f.by_stage) stages[stage] = seconds;
  context.print_json({{"file_bytes", f.file_bytes},
                      {"layer_bytes", f.layer_bytes},
                      {"bits_per_weight", f.bits_per_weight},
                      {"code_bytes", f.code_bytes},
                      {"scale_bytes", f.scale_bytes},
                      {"factor_bytes", f.factor_bytes},
                      {"peak_memory_bytes", f.peak_memory_bytes},
                      {"cache_bytes_per_token", f.cache_bytes_per_token},
                      {"seconds", f.seconds},
                      {"by_stage", stages}});
  if (context.json) return;
  std::cout << recipe.name << ": " << fixed(f.bits_per_weight, 2) << " bits per weight, " << megabytes(f.file_bytes)
            << " with embedding and head\n"
            << "peak memory " << megabytes(f.peak_memory_bytes) << ", about " << fixed(f.seconds, 0) << " s; keys and values "
            << f.cache_bytes_per_token << " bytes for each token of context\n";
}

}  // namespace lrc::cli

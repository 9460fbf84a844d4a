#include <set>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/fitted_recipe.h"
#include "cli/parse.h"
#include "run/match_size.h"
#include "run/run_folder.h"
#include "run/runner.h"

namespace lrc::cli {

void sweep(const Context& context, const SweepOptions& options) {
  const auto model = original_model(options.model);
  std::vector<RunRequest> requests;
  std::set<std::string> names;
  for (const auto& chosen : options.recipes) {
    RecipeOptions recipe = options.overrides;
    recipe.recipe = chosen;
    RunRequest request{options.model, model, fitted_recipe(context, recipe, *model), {}, parse_bytes(options.memory_limit)};
    if (options.bits_per_weight != 0) request.recipe = matched_to(request.recipe, *model, options.bits_per_weight);
    const std::string name = folder_name_of(request.recipe.name);
    if (!names.insert(name).second)
      throw Error(ErrorKind::bad_input, "Two of the recipes are called \"" + request.recipe.name + "\"; give them names of their own.");
    request.folder = std::filesystem::path(options.out) / name;
    requests.push_back(std::move(request));
  }
  const auto solving = context.make_progress();
  carry_out_together(requests, *solving, context.stop);

  CompareOptions compared;
  compared.svg = options.svg;
  std::vector<std::filesystem::path> folders;
  EvaluationRequest evaluation;
  evaluation.text = options.text;
  evaluation.context = options.window_context;
  evaluation.windows = options.windows;
  evaluation.device = context.device;
  evaluation.again = false;
  for (const auto& request : requests) {
    compared.runs.push_back(request.folder.string());
    folders.push_back(request.folder);
  }
  const auto evaluating = context.make_progress();
  evaluate_runs(folders, evaluation, *evaluating, context.stop);
  compare(context, compared);
}

}  // namespace lrc::cli

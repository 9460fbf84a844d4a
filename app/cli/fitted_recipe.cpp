#include "cli/fitted_recipe.h"

#include <iostream>

#include "base/error.h"
#include "run/fit_rotation.h"
#include "run/manifest.h"

namespace lrc::cli {

std::shared_ptr<const Model> original_model(const std::string& path) {
  if (is_run_folder(path)) throw Error(ErrorKind::bad_input, path + " is a run folder; name the original model that is to be quantized.");
  return Model::open(path);
}

Recipe fitted_recipe(const Context& context, const RecipeOptions& options, const Model& model) {
  Recipe recipe = recipe_of(options, context.seed);
  const auto sentences = leave_out_impossible_rotations(recipe, model);
  // With JSON progress every line on stderr is an object; what was done stands in the manifest.
  if (context.progress_mode != ProgressMode::json)
    for (const auto& sentence : sentences) std::cerr << sentence << "\n";
  return recipe;
}

}  // namespace lrc::cli

#include "cli/fitted_recipe.h"

#include <iostream>

#include "run/fit_rotation.h"

namespace lrc::cli {

Recipe fitted_recipe(const Context& context, const RecipeOptions& options, const Model& model) {
  Recipe recipe = recipe_of(options, context.seed);
  const auto sentences = leave_out_impossible_rotations(recipe, model);
  // With JSON progress every line on stderr is an object; what was done stands in the manifest.
  if (context.progress_mode != ProgressMode::json)
    for (const auto& sentence : sentences) std::cerr << sentence << "\n";
  return recipe;
}

}  // namespace lrc::cli

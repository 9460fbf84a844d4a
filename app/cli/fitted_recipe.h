#pragma once
#include "cli/context.h"
#include "cli/parse.h"
#include "model/model.h"

namespace lrc::cli {

/// MODEL of the commands that quantize: a run folder throws Error(bad_input), for its original is meant.
std::shared_ptr<const Model> original_model(const std::string& path);
/// The chosen recipe without rotations that this model's widths do not allow; says on stderr which these are.
Recipe fitted_recipe(const Context& context, const RecipeOptions& options, const Model& model);

}  // namespace lrc::cli

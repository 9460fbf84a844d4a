#pragma once
#include "cli/context.h"
#include "cli/parse.h"
#include "model/model.h"

namespace lrc::cli {

/// The chosen recipe without rotations that this model's widths do not allow; says on stderr which these are.
Recipe fitted_recipe(const Context& context, const RecipeOptions& options, const Model& model);

}  // namespace lrc::cli

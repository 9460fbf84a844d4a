#pragma once
#include <string>
#include <vector>

#include "model/model.h"
#include "run/recipe.h"

namespace lrc {

/// Takes those rotations out of the recipe for which this model has a width without a Hadamard matrix; a sentence for each.
std::vector<std::string> leave_out_impossible_rotations(Recipe& recipe, const Model& model);

}  // namespace lrc

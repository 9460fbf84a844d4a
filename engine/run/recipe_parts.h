#pragma once
// Parts of a recipe that decide a result on their own. Two recipes with equal parts may share that result, so caches and
// fingerprints are made of these and of nothing else.
#include <string>

#include "run/recipe.h"

namespace lrc {

/// What enters the layers of the float model: calibration text, rotations, channel scales. The rest is as in a new recipe.
Recipe inputs_part(const Recipe& recipe);

/// What a measurement says of every layer: inputs_part(), one scheme for all layers (no rules), the positions that count and
/// the damping.
Recipe measured_part(const Recipe& recipe);

/// The folder name of what a model and such a part give: 24 hexadecimal digits.
std::string cache_key(const std::string& model_sha256, const Recipe& part);

}  // namespace lrc

#include "run/recipe_parts.h"

#include "base/hash.h"

namespace lrc {

Recipe inputs_part(const Recipe& recipe) {
  Recipe part;
  part.name = "inputs";
  part.rotation = recipe.rotation;
  part.smoothing = recipe.smoothing;
  part.smoothing_strength = recipe.smoothing_strength;
  part.calibration = recipe.calibration;
  part.calibration_mix = recipe.calibration_mix;
  part.calibration_tokens = recipe.calibration_tokens;
  part.calibration_context = recipe.calibration_context;
  return part;
}

Recipe measured_part(const Recipe& recipe) {
  Recipe part = inputs_part(recipe);
  part.name = "measurement";
  part.method = "rtn";
  part.rank = {false, 0};
  part.weight = recipe.weight;
  part.activation = recipe.activation;
  part.skip_first_positions = recipe.skip_first_positions;
  if (part.weight.group_size == 0) part.weight.group_size = default_block(part.weight.format);
  if (part.activation.group_size == 0) part.activation.group_size = default_block(part.activation.format);
  part.damping = recipe.damping;
  part.damping_toward = recipe.damping_toward;
  part.held_out_windows = 0;
  return part;
}

std::string cache_key(const std::string& model_sha256, const Recipe& part) {
  return sha256_of(model_sha256 + "\n" + to_text(part)).substr(0, 24);
}

}  // namespace lrc

#include "run/fit_rotation.h"

#include "rotation/hadamard.h"

namespace lrc {

std::vector<std::string> leave_out_impossible_rotations(Recipe& recipe, const Model& model) {
  const auto& config = model.config();
  std::vector<std::string> sentences;
  const auto check = [&](bool& wanted, const char* name, std::size_t width, const char* of_what) {
    if (!wanted || find_hadamard(width)) return;
    wanted = false;
    sentences.push_back("The rotation " + std::string(name) + " is left out: " + of_what + " " + std::to_string(width) +
                        " wide, and there is no Hadamard matrix of that order.");
  };
  // Matrices that are given need no Hadamard order.
  if (!recipe.rotation.matrices()) {
    check(recipe.rotation.r1, "R1", config.hidden_size, "the residual stream is");
    check(recipe.rotation.r2, "R2", config.head_dim, "the heads are");
  }
  check(recipe.rotation.r3, "R3", config.head_dim, "the heads are");
  check(recipe.rotation.r4, "R4", config.feed_forward, "the input of down_proj is");
  return sentences;
}

}  // namespace lrc

#pragma once
// What a recipe's result weighs, from shapes alone: the runner's manifest and the forecast say the same number because both
// ask here.
#include <cstdint>

#include "model/model.h"
#include "run/recipe.h"

namespace lrc {

struct RunSizes {
  std::uint64_t code_bits = 0, scale_bits = 0, factor_bits = 0;  ///< of the quantized linear layers
  std::uint64_t weights = 0;                                     ///< of the quantized linear layers
  std::uint64_t float_bytes = 0;  ///< embedding, head (its own matrix after R1), norms and skipped layers in float16
  std::size_t layers = 0;         ///< quantized ones

  std::uint64_t layer_bytes() const { return bytes(code_bits) + bytes(scale_bits) + bytes(factor_bits); }
  std::uint64_t file_bytes() const { return layer_bytes() + float_bytes; }
  double bits_per_weight() const { return weights == 0 ? 0.0 : double(code_bits + scale_bits + factor_bits) / double(weights); }
  static std::uint64_t bytes(std::uint64_t bits) { return (bits + 7) / 8; }
};
RunSizes sizes_of(const Recipe& recipe, const Model& model);

}  // namespace lrc

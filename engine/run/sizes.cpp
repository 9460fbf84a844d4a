#include "run/sizes.h"

namespace lrc {

RunSizes sizes_of(const Recipe& recipe, const Model& model) {
  const auto& config = model.config();
  RunSizes sizes;
  // All that is no linear layer: tables, norms, biases. R1 makes a tied head a matrix of its own.
  std::uint64_t float_values = model.other_parameters();
  if (config.tied_embeddings && recipe.rotation.r1) float_values += std::uint64_t(config.vocabulary) * config.hidden_size;
  for (const auto& layer : model.layers()) {
    const auto scheme = effective_scheme(recipe, layer);
    if (scheme.skipped) {
      float_values += layer.parameters();
      continue;
    }
    const auto size = layer_size(scheme, layer.out_features, layer.in_features);
    sizes.code_bits += size.code_bits;
    sizes.scale_bits += size.scale_bits;
    sizes.factor_bits += size.factor_bits;
    sizes.weights += layer.parameters();
    ++sizes.layers;
  }
  sizes.float_bytes = 2 * float_values;
  return sizes;
}

}  // namespace lrc

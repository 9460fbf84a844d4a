#pragma once
// `lrc sensitivity`: what quantizing each layer costs, before any correction.
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/progress.h"
#include "run/recipe.h"

namespace lrc {

/// Errors of the layer's output over the calibration tokens, relative to ‖W X‖², of the plainly quantized layer (GPTQ, or RTN
/// where the recipe says so).
struct LayerSensitivity {
  std::string name;
  std::string role;
  std::size_t block = 0, parameters = 0;
  int weight_bits = 0, activation_bits = 0;
  double weights_only = 0;      ///< ‖(W − Ŵ) X‖²
  double activations_only = 0;  ///< ‖W (X − Y)‖²
  double both = 0;              ///< ‖W X − Ŵ Y‖²
  std::optional<double> kl;     ///< nats per token that this layer alone adds
};

struct SensitivityRequest {
  Recipe recipe;  ///< bits, grids, rotation, calibration; its method and ranks only choose between gptq and rtn
  bool exact = false;
  std::size_t exact_tokens = 512;  ///< of the held-out text, read as one sequence
  std::string device = "cpu";      ///< of the exact part
};

/// In the model's order; layers that the recipe leaves in float are left out. Throws Error.
std::vector<LayerSensitivity> sensitivity(const Model& model, const SensitivityRequest& request, Progress& progress, std::stop_token stop);

/// The recipe with every layer plainly quantized: rank 0, and gptq unless the method is rtn.
Recipe without_correction(const Recipe& recipe);
/// Tokens for an exact divergence: the beginning of the text behind the calibration windows.
std::vector<TokenId> tokens_behind_calibration(const Recipe& recipe, const Model& model, std::size_t count);

}  // namespace lrc

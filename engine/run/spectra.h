#pragma once
// Curves for the spectrum panel and `lrc spectrum`: of a finished run (stored with each layer), and of a model that was only
// measured (one calibration pass: `lrc measure`).
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/progress.h"
#include "run/manifest.h"

namespace lrc {

/// All relative to ‖W X‖² (loss curves), or plain singular values (weight).
struct LayerSpectrum {
  std::string name;
  std::size_t out_features = 0, in_features = 0;
  std::vector<double> whitened_error;       ///< eigenvalues of W S_{x|y} Wᵀ / ‖WX‖², descending
  std::vector<double> lower_bound_by_rank;  ///< rank 0…n
  std::vector<double> same_codes_by_rank;   ///< of a run; empty before
  std::vector<double> weight_error;         ///< singular values of W − Ŵ
  std::vector<double> weight;               ///< singular values of W
  std::optional<std::size_t> achieved_rank;
  std::optional<double> achieved_loss, achieved_loss_regularized;
  std::optional<double> range_finder_missed;  ///< LayerLosses::range_finder_missed
};
LayerSpectrum spectrum_of_run(const std::filesystem::path& run_folder, const std::string& layer);
/// Singular values of W and of W − RTN(W): needs no calibration.
LayerSpectrum spectrum_of_weights(const Model& model, const LayerInfo& layer, const WeightScheme& scheme);

/// The measuring pass: every layer's curves for this activation scheme and rotation, before any run. Cached in `folder`
/// (layer by layer, resumable like a run).
struct Measurement {
  std::filesystem::path folder;
  std::vector<LayerSpectrum> layers;
};
/// With a `sample_folder` the same pass writes an activation sample there (activation_sample.h); with a `keep` folder second
/// moments that layers can be solved alone from (kept_sites.h).
void measure(const Model& model, const Recipe& recipe, const std::filesystem::path& folder, Progress& progress, std::stop_token stop,
             const std::filesystem::path& sample_folder = {}, const std::filesystem::path& keep = {});
/// Names of the layers that a folder of measure() holds. Throws Error(bad_input) when it is none.
std::vector<std::string> measured_layers(const std::filesystem::path& folder);
std::optional<LayerSpectrum> measured_spectrum(const std::filesystem::path& folder, const std::string& layer);

}  // namespace lrc

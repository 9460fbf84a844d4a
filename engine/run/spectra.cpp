#include "run/spectra.h"

#include "base/error.h"
#include "correction/linalg.h"
#include "run/layer_file.h"
#include "run/solve_alone.h"

namespace lrc {
namespace {

std::vector<double> relative(std::vector<double> values, double norm) {
  if (!(norm > 0)) return {};
  for (auto& value : values) value /= norm;
  return values;
}

LayerSpectrum spectrum_of(const std::string& layer, LayerFacts facts) {
  LayerSpectrum spectrum;
  spectrum.name = layer;
  spectrum.out_features = facts.out_features;
  spectrum.in_features = facts.in_features;
  const double norm = facts.losses.norm_wx;
  spectrum.whitened_error = relative(std::move(facts.curves.eigenvalues), norm);
  spectrum.lower_bound_by_rank = relative(std::move(facts.curves.lower_bound_by_rank), norm);
  spectrum.same_codes_by_rank = relative(std::move(facts.curves.same_codes_by_rank), norm);
  spectrum.weight_error = std::move(facts.curves.weight_error_singular_values);
  spectrum.achieved_rank = facts.scheme.rank;
  spectrum.range_finder_missed = facts.losses.range_finder_missed;
  if (norm > 0) {
    spectrum.achieved_loss = facts.losses.loss / norm;
    spectrum.achieved_loss_regularized = facts.losses.loss_regularized / norm;
  }
  return spectrum;
}

}  // namespace

LayerSpectrum spectrum_of_run(const std::filesystem::path& run_folder, const std::string& layer) {
  return spectrum_of(layer, read_layer_facts(run_folder, layer));
}

LayerSpectrum spectrum_of_solution(const std::string& layer, const LayerSolution& solution) {
  return spectrum_of(layer, {solution.scheme, solution.weight.out_features, solution.weight.in_features, solution.losses, solution.curves});
}

LayerSpectrum spectrum_of_weights(const Model& model, const LayerInfo& layer, const WeightScheme& scheme) {
  LayerSpectrum spectrum;
  spectrum.name = layer.name;
  spectrum.out_features = layer.out_features;
  spectrum.in_features = layer.in_features;
  const MatrixD weight = convert<double>(model.layer_weight(layer));
  spectrum.weight = linalg::singular_values(weight);
  if (scheme.bits < 16) {
    check_scheme(scheme, layer.in_features, layer.name);
    spectrum.weight_error = linalg::singular_values(linalg::subtract(weight, quantize_rtn(weight, scheme, true).dequantize()));
  }
  return spectrum;
}

}  // namespace lrc

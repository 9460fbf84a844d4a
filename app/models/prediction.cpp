#include "models/prediction.h"

#include <algorithm>
#include <vector>

#include "models/run_facts.h"
#include "models/spectrum_curves.h"

namespace lrc::app {

namespace {

std::optional<double> factor_of(const LayerRecord* record) {
  if (!record || !(record->lower_bound > 0) || !(record->loss_regularized > 0)) return {};
  return std::max(1.0, record->loss_regularized / record->lower_bound);
}

}  // namespace

std::optional<Prediction> prediction_from(const Workspace& workspace, Slot run, int layer, const Recipe& recipe,
                                          const std::optional<LayerScheme>& wanted) {
  const RunEntry* b = run_in(workspace, run);
  if (!b || !workspace.hasModel() || layer < 0 || std::size_t(layer) >= workspace.model()->layers().size()) return {};
  const auto& layers = workspace.model()->layers();
  const LayerInfo& info = layers[std::size_t(layer)];
  if (!wanted || !same_transforms(b->manifest.recipe, recipe)) return {};
  if (b->manifest.recipe.skip_first_positions != recipe.skip_first_positions) return {};  // errors over other tokens
  try {
    LayerScheme ran = effective_scheme(b->manifest.recipe, info);
    ran.rank = wanted->rank;
    if (!(ran == *wanted)) return {};
  } catch (const Error&) {
    return {};
  }
  const auto own = factor_of(workspace.record(run, layer));
  if (!own) return {};
  std::vector<double> factors;
  for (std::size_t i = 0; i < layers.size(); ++i)
    if (layers[i].role == info.role)
      if (const auto factor = factor_of(workspace.record(run, int(i)))) factors.push_back(*factor);
  std::sort(factors.begin(), factors.end());
  const auto quantile = [&](double q) { return factors[std::size_t(q * double(factors.size() - 1) + 0.5)]; };
  return Prediction{*own, std::min(*own, quantile(0.1)), std::max(*own, quantile(0.9))};
}

std::optional<Prediction> prediction_of(const Workspace& workspace, int layer) {
  if (!workspace.hasModel() || layer < 0 || std::size_t(layer) >= workspace.draftSchemes().size()) return {};
  return prediction_from(workspace, workspace.slotB(), layer, workspace.draft(), workspace.draftSchemes()[std::size_t(layer)]);
}

std::optional<double> predicted_at(const LayerSpectrum& spectrum, double factor, std::size_t rank) {
  const auto bound = value_at(spectrum.lower_bound_by_rank, rank);
  if (!bound) return {};
  double value = *bound * factor;
  if (const auto same = value_at(spectrum.same_codes_by_rank, rank)) value = std::min(value, *same);
  return std::max(value, *bound);
}

std::optional<double> predicted_loss_from(Workspace& workspace, Slot run, int layer, const Recipe& recipe,
                                          const std::optional<LayerScheme>& wanted) {
  const auto prediction = prediction_from(workspace, run, layer, recipe, wanted);
  const LayerRecord* record = workspace.record(run, layer);
  if (!prediction || !record || !(record->loss_regularized > 0)) return {};
  const auto spectrum = workspace.spectrum(layer, run);
  if (!spectrum) return {};
  const auto regularized = predicted_at(*spectrum, prediction->factor, wanted->rank);
  if (!regularized) return {};
  return *regularized * record->loss / record->loss_regularized;
}

std::optional<double> predicted_loss(Workspace& workspace, int layer) {
  if (!workspace.hasModel() || layer < 0 || std::size_t(layer) >= workspace.draftSchemes().size()) return {};
  return predicted_loss_from(workspace, workspace.slotB(), layer, workspace.draft(), workspace.draftSchemes()[std::size_t(layer)]);
}

}  // namespace lrc::app

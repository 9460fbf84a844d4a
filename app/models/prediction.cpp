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

/// By how much the run's solve of this layer missed its bound; nothing where the wanted solve is another problem.
std::optional<double> own_factor(const Workspace& workspace, Slot run, int layer, const Recipe& recipe,
                                 const std::optional<LayerScheme>& wanted) {
  const RunEntry* entry = run_in(workspace, run);
  if (!entry || !workspace.hasModel() || layer < 0 || std::size_t(layer) >= workspace.model()->layers().size()) return {};
  const Recipe& had = entry->manifest.recipe;
  if (!wanted || !same_transforms(had, recipe)) return {};
  if (had.skip_first_positions != recipe.skip_first_positions) return {};  // errors over other tokens
  try {
    LayerScheme ran = effective_scheme(had, workspace.model()->layers()[std::size_t(layer)]);
    ran.rank = wanted->rank;
    if (!(ran == *wanted)) return {};
  } catch (const Error&) {
    return {};
  }
  return factor_of(workspace.record(run, layer));
}

}  // namespace

std::optional<Prediction> prediction_of(const Workspace& workspace, int layer) {
  if (!workspace.hasModel() || layer < 0 || std::size_t(layer) >= workspace.draftSchemes().size()) return {};
  const Slot b = workspace.slotB();
  const auto own = own_factor(workspace, b, layer, workspace.draft(), workspace.draftSchemes()[std::size_t(layer)]);
  if (!own) return {};
  const auto& layers = workspace.model()->layers();
  std::vector<double> factors;
  for (std::size_t i = 0; i < layers.size(); ++i)
    if (layers[i].role == layers[std::size_t(layer)].role)
      if (const auto factor = factor_of(workspace.record(b, int(i)))) factors.push_back(*factor);
  std::sort(factors.begin(), factors.end());
  const auto quantile = [&](double q) { return factors[std::size_t(q * double(factors.size() - 1) + 0.5)]; };
  return Prediction{*own, std::min(*own, quantile(0.1)), std::max(*own, quantile(0.9))};
}

bool foretells(const Workspace& workspace, Slot run, int layer, const Recipe& recipe, const std::optional<LayerScheme>& wanted) {
  return own_factor(workspace, run, layer, recipe, wanted).has_value();
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
  const auto factor = own_factor(workspace, run, layer, recipe, wanted);
  const LayerRecord* record = workspace.record(run, layer);
  if (!factor || !record || !(record->loss_regularized > 0)) return {};
  const auto spectrum = workspace.spectrum(layer, run);
  if (!spectrum) return {};
  const auto regularized = predicted_at(*spectrum, *factor, wanted->rank);
  if (!regularized) return {};
  return *regularized * record->loss / record->loss_regularized;
}

std::optional<double> predicted_loss(Workspace& workspace, int layer) {
  if (!workspace.hasModel() || layer < 0 || std::size_t(layer) >= workspace.draftSchemes().size()) return {};
  return predicted_loss_from(workspace, workspace.slotB(), layer, workspace.draft(), workspace.draftSchemes()[std::size_t(layer)]);
}

}  // namespace lrc::app

#pragma once
// What a new solve at another rank is expected to reach. An estimate: shown dashed, hollow and with ≈, never written anywhere.
#include <optional>

#include "run/spectra.h"
#include "workspace.h"

namespace lrc::app {

/// By how much solves of B missed their bound: this layer's own, and the spread over the layers of its role.
struct Prediction {
  double factor = 1, low = 1, high = 1;  ///< loss_regularized ÷ lower_bound; 10th and 90th percentile of the role
};
/// Nothing where B has not solved the layer, or where the draft asks for other bits, activations, method or rotation than B: then
/// B's factor says nothing.
std::optional<Prediction> prediction_of(const Workspace& workspace, int layer);

/// Whether a finished run says something about any recipe's solve of the layer, by the scheme that the recipe gives it.
bool foretells(const Workspace& workspace, Slot run, int layer, const Recipe& recipe, const std::optional<LayerScheme>& wanted);

/// Regularised loss at `rank`: bound × factor, never below the bound and never above what B's own codes reach there.
std::optional<double> predicted_at(const LayerSpectrum& spectrum, double factor, std::size_t rank);

/// The loss that the draft's rank is expected to reach, relative to ‖W X‖²: the above with B's own share of the regularization taken off.
/// Nothing where nothing can be said, or while B's curves are on their way (they are asked for).
std::optional<double> predicted_loss(Workspace& workspace, int layer);
std::optional<double> predicted_loss_from(Workspace& workspace, Slot run, int layer, const Recipe& recipe,
                                          const std::optional<LayerScheme>& wanted);

}  // namespace lrc::app

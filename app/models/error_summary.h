#pragma once
// What the Errors panel says in words, computed from a run's records; the plot beside it draws the same numbers.
#include <QString>
#include <vector>

#include "run/manifest.h"

namespace lrc::app {

/// One layer, before and after. All relative to ‖WX‖².
struct LayerChange {
  int layer = -1;  ///< index in the model
  QString name;    ///< short
  double before = 0, after = 0;
  double after_regularized = 0, bound = 0;  ///< the bound certifies the regularised loss
  double removed() const { return before - after; }
};
enum class ChangeOrder { before, after, removed, model };
void sort_changes(std::vector<LayerChange>& changes, ChangeOrder order);
/// Share of the summed error that is gone, after the first 1, 2, … layers of the list.
std::vector<double> cumulative_removed(const std::vector<LayerChange>& changes);

/// "The branch removes 58.5 % of …" (rich text). `before_is_run`: A is a run of its own and not B without its branch.
QString describe_changes(const std::vector<LayerChange>& changes, const QString& a, const QString& b, bool before_is_run);
/// What one layer's error comes from and what would help.
QString describe_sources(const LayerRecord& record);

}  // namespace lrc::app

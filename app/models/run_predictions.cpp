#include "models/run_predictions.h"

#include <algorithm>

#include "models/prediction.h"

namespace lrc::app {

namespace {

std::optional<LayerScheme> scheme_of(const Workspace& workspace, const Recipe& recipe, int layer) {
  try {
    return effective_scheme(recipe, workspace.model()->layers()[std::size_t(layer)]);
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

void RunPredictions::follow(Workspace& workspace, int run) {
  if (run == run_) return;
  run_ = run;
  reference_ = {};
  losses_.clear();
  const RunEntry* entry = workspace.findRun(run);
  if (!entry || entry->usable() || !workspace.hasModel()) return;
  recipe_ = entry->manifest.recipe;
  const int layers = int(workspace.model()->layers().size());
  losses_.resize(std::size_t(layers));
  schemes_.clear();
  for (int layer = 0; layer < layers; ++layer) schemes_.push_back(scheme_of(workspace, recipe_, layer));
  const auto& runs = workspace.runs();
  const auto found = std::find_if(runs.rbegin(), runs.rend(), [&](const RunEntry& other) {
    if (other.number == run || !other.usable()) return false;
    for (int layer = 0; layer < layers; ++layer)
      if (foretells(workspace, {other.number}, layer, recipe_, schemes_[std::size_t(layer)])) return true;
    return false;
  });
  if (found == runs.rend()) return;
  reference_ = {found->number};
  for (int layer = 0; layer < layers; ++layer) take(workspace, layer);
}

bool RunPredictions::take(Workspace& workspace, int layer) {
  if (!reference_.run || std::size_t(layer) >= losses_.size() || losses_[std::size_t(layer)]) return false;
  losses_[std::size_t(layer)] = predicted_loss_from(workspace, reference_, layer, recipe_, schemes_[std::size_t(layer)]);
  return losses_[std::size_t(layer)].has_value();
}

}  // namespace lrc::app

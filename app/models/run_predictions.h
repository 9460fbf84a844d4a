#pragma once
// What the layers of a run under way are expected to come to, before they are solved.
#include <optional>
#include <vector>

#include "workspace.h"

namespace lrc::app {

/// By the newest finished run that differs from it in ranks alone; nothing where there is none. Estimates: drawn hollow.
class RunPredictions {
 public:
  /// Of this run from now on; asks for the curves that are not at hand. Nothing of a run that is finished: its layers are known.
  void follow(Workspace& workspace, int run);
  /// The layer's curves have come; whether that says something new.
  bool take(Workspace& workspace, int layer);
  /// Relative to ‖W X‖², by the layer's place in the model.
  const std::vector<std::optional<double>>& losses() const { return losses_; }
  int run() const { return run_; }

 private:
  int run_ = 0;
  Slot reference_;
  Recipe recipe_;
  std::vector<std::optional<LayerScheme>> schemes_;  // by layer
  std::vector<std::optional<double>> losses_;
};

}  // namespace lrc::app

#pragma once
#include "exporters/exporter.h"
#include "run/open_model.h"

namespace lrc {

/// A run as an exporter sees it. Keeps what ExportSource refers to alive.
class RunExport {
 public:
  explicit RunExport(const OpenedModel& run);  ///< throws Error(bad_input) for a plain model or an unfinished run
  ExportSource source_without_weights() const;
  ExportSource source();  ///< loads the weights at first use

 private:
  OpenedModel run_;
  std::optional<ModelWeights> weights_;
};

/// The recipe with what refuses taken out: R4 off, activations 16 … "solve again for this target".
Recipe recipe_for_export(const Recipe& recipe, const Exporter& exporter);

}  // namespace lrc

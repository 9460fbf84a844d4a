#pragma once
// How far each stage of a run has come. The stages of a solve take turns, block by block, so that several are under way at once.
#include <QString>
#include <optional>
#include <vector>

#include "workspace.h"

namespace lrc::app {

struct Stage {
  QString name;
  double seconds = 0;    ///< measured, or forecast
  double fraction = 0;   ///< done, 0…1
  bool current = false;  ///< reported last
  QString remark;        ///< under the name: "131 of 210", "≈ 35 s"
};

/// Of a finished run as measured; else the forecast's stages, filled as far as the run has reported. An evaluation comes after all
/// of them: while it runs, they are over.
std::vector<Stage> stages_of(const RunEntry& run, const std::optional<Forecast>& forecast);

}  // namespace lrc::app

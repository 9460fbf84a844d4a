#pragma once
// The filter line of the runs table: words match names, `state:done`, `method:lrc`, `bpw<7`, `kl<0.2`, `ppl<30`, `rank=0`, `!word`;
// a space means and.
#include <QString>
#include <functional>
#include <optional>

#include "workspace.h"

namespace lrc::app {

QString state_name(RunEntry::State state);  ///< "done"

struct RunFilter {
  std::function<bool(const RunEntry&)> accepts;
  QString problem;  ///< what is wrong with the text, empty when it is valid
};
RunFilter parse_run_filter(const QString& text);

}  // namespace lrc::app

#include "models/run_stages.h"

#include <algorithm>

#include "plot_style.h"

namespace lrc::app {

namespace {

QString stage_title(const std::string& stage) {
  if (stage.empty()) return {};
  QString title = QString::fromStdString(stage);
  title[0] = title[0].toUpper();
  return title;
}

QString count_of(const ProgressUpdate& update) { return QObject::tr("%1 of %2").arg(update.done).arg(update.total); }
double part_of(const ProgressUpdate& update) { return update.total > 0 ? double(update.done) / double(update.total) : 0; }

}  // namespace

std::vector<Stage> stages_of(const RunEntry& run, const std::optional<Forecast>& forecast) {
  std::vector<Stage> stages;
  const bool running = run.state == RunEntry::State::running;
  const bool evaluating = running && run.progress.stage == "evaluate";
  if (run.usable()) {
    for (const auto& [stage, seconds] : run.manifest.timings)
      stages.push_back({stage_title(stage), seconds, 1, false, format_duration(seconds)});
  } else if (forecast) {
    for (const auto& [stage, seconds] : forecast->by_stage) {
      Stage item{stage_title(stage), seconds, 0, false, QStringLiteral("≈ ") + format_duration(seconds)};
      const auto reported =
          std::find_if(run.stages.begin(), run.stages.end(), [&](const ProgressUpdate& each) { return each.stage == stage; });
      if (running && reported != run.stages.end()) {
        item.fraction = part_of(*reported);
        item.current = run.progress.stage == stage;
        item.remark = count_of(*reported);
      }
      stages.push_back(item);
    }
  }
  if (evaluating)
    stages.push_back({stage_title(run.progress.stage), run.progress.elapsed_s + run.progress.remaining_s.value_or(0), part_of(run.progress),
                      true, count_of(run.progress)});
  return stages;
}

}  // namespace lrc::app

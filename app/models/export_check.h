#pragma once
// What a preflight says about one target, gathered off the window's thread.
#include <QString>
#include <string>
#include <vector>

#include "exporters/exporter.h"
#include "run/open_model.h"
#include "workspace.h"

namespace lrc::app {

struct Preflight {
  std::string exporter;
  std::vector<Check> checks;  ///< refusals first
  std::vector<ArithmeticRow> arithmetic;
  ExportForecast forecast;
  QString problem;  ///< why there is no preflight
  int count(CheckStatus status) const;
  bool fixable() const;  ///< a re-solved run would take something away
};
/// Of a finished run, for every target. Throws Error where the run cannot be exported at all.
std::vector<Preflight> preflight_of(const OpenedModel& run, const std::filesystem::path& folder, const ExportOptions& options);
void sort_checks(std::vector<Check>& checks);
/// "Not yet. 1 refusal, 2 warnings, 7 passed."
QString verdict(const Preflight& preflight);
/// The divergence from the original: measured here; there only where nothing is computed otherwise, as an estimate.
ArithmeticRow divergence_row(const Manifest& run, const std::vector<ArithmeticRow>& arithmetic);
/// "1.2 GiB free on the disk", and whether that is too little for what will be written.
struct DiskRoom {
  QString sentence;
  bool short_of_room = false;
};
DiskRoom room_for(quint64 needed_bytes, quint64 free_bytes);
/// Finished runs by what they lose, the best first: for who has to choose one. Only runs evaluated alike stand beside each other.
std::vector<int> best_by_divergence(const std::vector<RunEntry>& runs, std::size_t most);
/// "online-rotation" → "Online rotation"
QString check_title(const std::string& name);

}  // namespace lrc::app

#include "models/export_check.h"

#include <QCoreApplication>
#include <algorithm>
#include <map>

#include "base/error.h"
#include "models/run_facts.h"
#include "plot_style.h"
#include "run/export_run.h"

namespace lrc::app {

namespace {
QString tr(const char* text) { return QCoreApplication::translate("export_check", text); }
QString counted(int count, const QString& one, const QString& several) {
  return count == 1 ? "1 " + one : QString("%1 %2").arg(count).arg(several);
}
}  // namespace

int Preflight::count(CheckStatus status) const {
  return int(std::count_if(checks.begin(), checks.end(), [&](const Check& check) { return check.status == status; }));
}

bool Preflight::fixable() const {
  return std::any_of(checks.begin(), checks.end(),
                     [](const Check& check) { return check.status != CheckStatus::ok && !check.fix_id.empty(); });
}

std::vector<Preflight> preflight_of(const OpenedModel& opened, const std::filesystem::path& folder, const ExportOptions& chosen) {
  const RunExport run(opened);
  const ExportSource source = run.source_without_weights();
  std::vector<Preflight> all;
  for (const Exporter& exporter : exporters()) {
    Preflight one;
    one.exporter = exporter.name;
    try {
      one.checks = exporter.preflight(source, chosen);
      sort_checks(one.checks);
      one.arithmetic = exporter.arithmetic(source);
      one.forecast = exporter.forecast(source, folder, chosen);
    } catch (const Error& error) {
      one.problem = QString::fromUtf8(error.what());
    }
    all.push_back(std::move(one));
  }
  return all;
}

void sort_checks(std::vector<Check>& checks) {
  std::stable_sort(checks.begin(), checks.end(), [](const Check& a, const Check& b) { return int(a.status) > int(b.status); });
}

QString verdict(const Preflight& preflight) {
  const int refused = preflight.count(CheckStatus::refused), warnings = preflight.count(CheckStatus::warning),
            passed = preflight.count(CheckStatus::ok);
  QStringList parts;
  if (refused > 0) parts << counted(refused, tr("refusal"), tr("refusals"));
  if (warnings > 0) parts << counted(warnings, tr("warning"), tr("warnings"));
  parts << tr("%1 passed").arg(passed);
  return (refused > 0    ? tr("<b>Not yet.</b> ")
          : warnings > 0 ? tr("<b>Ready, with remarks.</b> ")
                         : tr("<b>Ready.</b> ")) +
         parts.join(", ") + '.';
}

ArithmeticRow divergence_row(const Manifest& run, const std::vector<ArithmeticRow>& arithmetic) {
  ArithmeticRow row{tr("KL to the original").toStdString(), tr("– (not evaluated)").toStdString(), "–"};
  const bool measured = run.evaluation && run.evaluation->kl;
  if (measured) row.here = tr("%1 nat/token, measured").arg(format_kl(run.evaluation->kl->mean)).toStdString();
  const bool alike = std::all_of(arithmetic.begin(), arithmetic.end(), [](const ArithmeticRow& each) { return each.here == each.there; });
  if (measured && alike)
    row.there = tr("≈ %1 nat/token, predicted: the same arithmetic").arg(format_kl(run.evaluation->kl->mean)).toStdString();
  else if (!alike)
    row.there = tr("– (other arithmetic: not known before it is measured there)").toStdString();
  return row;
}

DiskRoom room_for(quint64 needed_bytes, quint64 free_bytes) {
  if (free_bytes >= needed_bytes) return {tr("%1 free on the disk").arg(format_gibibytes(free_bytes)), false};
  return {tr("%1 are needed, %2 are free on the disk").arg(format_megabytes(needed_bytes), format_megabytes(free_bytes)), true};
}

std::vector<int> best_by_divergence(const std::vector<RunEntry>& runs, std::size_t most) {
  const auto measured = [](const RunEntry& run) { return run.usable() && run.manifest.evaluation && run.manifest.evaluation->kl; };
  // Of the protocol that most of them share; the newest decides between two.
  std::map<QString, int> votes;
  QString protocol;
  for (const RunEntry& run : runs) {
    if (!measured(run)) continue;
    const int now = ++votes[protocol_of(run.manifest)];
    if (now >= votes[protocol]) protocol = protocol_of(run.manifest);
  }
  std::vector<const RunEntry*> found;
  for (const RunEntry& run : runs)
    if (measured(run) && protocol_of(run.manifest) == protocol) found.push_back(&run);
  std::stable_sort(found.begin(), found.end(), [](const RunEntry* a, const RunEntry* b) {
    return a->manifest.evaluation->kl->mean < b->manifest.evaluation->kl->mean;
  });
  std::vector<int> numbers;
  for (const RunEntry* run : found)
    if (numbers.size() < most) numbers.push_back(run->number);
  return numbers;
}

QString check_title(const std::string& name) {
  QString title = QString::fromStdString(name).replace('-', ' ');
  if (!title.isEmpty()) title[0] = title[0].toUpper();
  return title;
}

}  // namespace lrc::app

#include "models/export_check.h"

#include <QCoreApplication>
#include <algorithm>

#include "base/error.h"
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

QString check_title(const std::string& name) {
  QString title = QString::fromStdString(name).replace('-', ' ');
  if (!title.isEmpty()) title[0] = title[0].toUpper();
  return title;
}

}  // namespace lrc::app

#include <iostream>

#include "base/error.h"
#include "cli/commands.h"
#include "run/export_run.h"

namespace lrc::cli {

void export_command(const Context& context, const ExportOptionsCli& options) {
  const Exporter& exporter = find_exporter(options.to);
  const auto opened = open_model(options.run);
  RunExport run(opened);
  ExportOptions settings;
  settings.base_type = options.base_type;
  settings.pad_rank_to = options.pad_rank_to;
  const auto checks = exporter.preflight(run.source_without_weights(), settings);
  Json list = Json::array();
  std::string refusal;
  for (const auto& check : checks) {
    list.push_back({{"name", check.name}, {"status", std::string(name(check.status))}, {"why", check.why}, {"fix", check.fix}});
    if (check.status == CheckStatus::refused && refusal.empty()) refusal = check.why + (check.fix.empty() ? "" : " " + check.fix);
    if (!context.json)
      std::cout << name(check.status) << "  " << check.name << ": " << check.why << (check.fix.empty() ? "" : " " + check.fix) << '\n';
  }
  Json result = {{"to", options.to}, {"checks", list}};
  if (options.check_only) {
    const ExportForecast forecast = exporter.forecast(run.source_without_weights(), options.out, settings);
    result["forecast_bytes"] = forecast.bytes();
    for (const auto& part : forecast.parts) result["forecast_parts"][part.what] = part.bytes;
    context.print_json(result);
    return;
  }
  if (!refusal.empty()) throw Error(ErrorKind::bad_input, "The export of " + options.run + " is refused: " + refusal);

  const auto progress = context.make_progress();
  const ExportResult done = exporter.write(run.source(), options.out, settings, *progress, context.stop);
  Json files = Json::array();
  for (const auto& file : done.files) files.push_back({{"path", file.path.string()}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  result["verified"] = done.verified;
  result["verified_facts"] = done.verified_facts;
  result["files"] = files;
  result["command"] = done.command;
  context.print_json(result);
  if (context.json) return;
  for (const auto& file : done.files)
    std::cout << file.path.string() << "  " << megabytes(file.bytes) << "  sha256 " << file.sha256 << '\n';
  for (const auto& fact : done.verified_facts) std::cout << "verified: " << fact << '\n';
  std::cout << done.command << '\n';
}

}  // namespace lrc::cli

#include <cmath>
#include <iostream>
#include <sstream>

#include "base/files.h"
#include "cli/commands.h"
#include "run/task_evaluation.h"

namespace lrc::cli {
namespace {

std::string points(double fraction) { return (fraction < 0 ? "−" : "+") + fixed(100 * std::abs(fraction), 1); }

std::string with_error(const Share& share) {
  return per_cent(share.value, 1) + (share.standard_error ? " ± " + fixed(100 * *share.standard_error, 1) : "");
}

void print_report(const TaskReport& report) {
  std::vector<std::vector<std::string>> table = {{"task", "items", "acc", "acc_norm", "95 %"}};
  if (report.reference) table[0].insert(table[0].end(), {"reference", "difference", "95 %", "same answer"});
  for (const TaskResult& result : report.results) {
    const TaskFigures& f = result.figures;
    const Share& main = f.normalized_accuracy ? *f.normalized_accuracy : f.accuracy;
    std::vector<std::string> line = {result.task, std::to_string(f.accuracy.count), with_error(f.accuracy),
                                     f.normalized_accuracy ? with_error(*f.normalized_accuracy) : "–",
                                     fixed(100 * main.low, 1) + "–" + fixed(100 * main.high, 1)};
    if (result.reference) {
      const PairedShares& paired = result.paired_normalized ? *result.paired_normalized : *result.paired;
      const Share& other = result.reference->normalized_accuracy ? *result.reference->normalized_accuracy : result.reference->accuracy;
      line.insert(line.end(), {with_error(other),
                               points(paired.difference) + (paired.standard_error ? " ± " + fixed(100 * *paired.standard_error, 1) : ""),
                               paired.low ? points(*paired.low) + " to " + points(*paired.high) : "–", per_cent(paired.agreement, 1)});
    }
    table.push_back(line);
  }
  std::cout << report.model.name;
  if (report.reference) std::cout << " beside " << report.reference->name;
  std::cout << ", " << (report.bos ? "with" : "without") << " BOS; ± is the standard error; intervals"
            << (report.reference ? ", reference and difference" : "") << " are of acc_norm where there is one\n";
  print_table(table);
  for (const TaskResult& result : report.results)
    if (result.figures.perplexity)
      std::cout << result.task << ": perplexity of the word " << fixed(*result.figures.perplexity, 2)
                << (result.reference ? " (reference " + fixed(*result.reference->perplexity, 2) + ")" : "") << '\n';
  if (report.resumed > 0) std::cout << report.resumed << " items were scored before; ";
  std::cout << report.scored << " items in " << fixed(report.seconds, 1) << " s";
  if (report.scored > 0 && report.seconds > 0) std::cout << ", " << fixed(double(report.scored) / report.seconds, 1) << " items/s";
  std::cout << '\n';
}

}  // namespace

void evaluate_command(const Context& context, const TaskOptions& options) {
  const OpenedModel model = open_model(options.model);
  std::optional<OpenedModel> reference;
  if (!options.reference.empty()) reference = open_model(options.reference, model.model);

  TaskRequest request;
  std::istringstream names(options.tasks);
  for (std::string name; std::getline(names, name, ',');)
    if (!name.empty()) request.tasks.push_back(name);
  request.data.assign(options.data.begin(), options.data.end());
  request.limit = options.limit;
  if (options.bos != "auto") request.bos = options.bos == "on";
  request.device = context.device;
  if (!options.state.empty())
    request.state = options.state;
  else if (model.run)
    request.state = task_state_of_run(model.path);
  else if (!options.out.empty())
    request.state = options.out + ".state";

  const auto progress = context.make_progress();
  const TaskReport report = evaluate_tasks(model, reference ? &*reference : nullptr, request, *progress, context.stop);
  const Json json = to_json(report);
  if (!options.out.empty()) write_file_atomically(options.out, json.dump(2) + "\n");
  context.print_json(json);
  if (!context.json) print_report(report);
}

}  // namespace lrc::cli

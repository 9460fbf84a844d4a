#include <algorithm>
#include <iostream>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "cli/commands.h"
#include "cli/svg_plot.h"
#include "run/frontier.h"
#include "run/open_model.h"
#include "run/task_evaluation.h"

namespace lrc::cli {
namespace {

struct ComparedRun {
  std::string path;
  Manifest manifest;
  StoredTasks tasks;
};

const StoredTaskResult* result_of(const ComparedRun& run, const std::string& task) {
  for (const auto& result : run.tasks.results)
    if (result.task == task) return &result;
  return nullptr;
}

/// The tasks that any of the runs has, in the order of their first appearance.
std::vector<std::string> tasks_of(const std::vector<ComparedRun>& runs) {
  std::vector<std::string> names;
  for (const auto& run : runs)
    for (const auto& result : run.tasks.results)
      if (std::ranges::find(names, result.task) == names.end()) names.push_back(result.task);
  return names;
}

/// Figures on other items are not comparable; the sentence that says so.
std::vector<std::string> warnings_of(const std::vector<ComparedRun>& runs, const std::vector<std::string>& tasks) {
  std::vector<std::string> warnings;
  for (const auto& run : runs)
    if (run.tasks.outdated) warnings.push_back(run.path + " was solved again after its tasks were evaluated; they are not shown");
  for (const auto& task : tasks) {
    const StoredTaskResult* first = nullptr;
    for (const auto& run : runs) {
      const StoredTaskResult* result = result_of(run, task);
      if (!result) continue;
      if (!first) first = result;
      if (first->sha256 == result->sha256 && first->count == result->count) continue;
      warnings.push_back(task + " was evaluated on other items in some runs (" + std::to_string(first->count) + " and " +
                         std::to_string(result->count) + " items); these figures do not compare");
      break;
    }
  }
  return warnings;
}

/// Runs of one model share the text's tokens and the reference's forward pass.
void evaluate_all(const Context& context, const CompareOptions& options, std::vector<ComparedRun>& runs) {
  const auto progress = context.make_progress();
  std::map<std::string, std::vector<ComparedRun*>> by_model;
  for (auto& run : runs) by_model[run.manifest.model_sha256].push_back(&run);
  for (const auto& [model_sha256, group] : by_model) {
    std::shared_ptr<const Model> known;
    std::vector<std::shared_ptr<Transformer>> transformers;
    std::vector<Transformer*> models;
    for (const ComparedRun* run : group) {
      const auto opened = open_model(run->path, known);
      known = opened.model;
      transformers.push_back(make_transformer(opened, context.device));
      models.push_back(transformers.back().get());
    }
    const auto original = options.reference.empty() ? nullptr : make_transformer(open_model(options.reference, known), context.device);
    const auto ids = known->tokenizer()->encode(read_corpus(options.text), false);
    const auto windows = cut_windows(ids, std::min(options.window_context, known->config().context), options.windows, options.text);
    const auto evaluations = evaluate_each(models, original.get(), windows, *progress, context.stop);
    for (std::size_t i = 0; i < group.size(); ++i) {
      group[i]->manifest.evaluation = evaluations[i];
      group[i]->manifest.evaluation_protocol = {{"text", options.text}, {"windows", options.windows}};
    }
  }
}

SvgPlot::Marker marker_of(const std::string& method) {
  if (method == "rtn") return SvgPlot::Marker::square;
  if (method == "gptq") return SvgPlot::Marker::circle;
  return method == "lrc" ? SvgPlot::Marker::diamond : SvgPlot::Marker::triangle;
}

/// What all labels end in after a comma, such as ", 16,384 tokens at 5.30 b/w"; empty where they do not.
std::string shared_ending(const std::vector<std::string>& labels) {
  if (labels.size() < 2) return {};
  const std::string& first = labels.front();
  for (std::size_t comma = first.find(", "); comma != std::string::npos; comma = first.find(", ", comma + 1)) {
    const std::string ending = first.substr(comma);
    if (std::ranges::all_of(labels, [&](const std::string& label) { return label.size() > ending.size() && label.ends_with(ending); }))
      return ending;
  }
  return {};
}

/// Bits per weight against KL (against perplexity where no run has a KL), and for each number of activation bits the line of runs that
/// no smaller one is as good as. Runs that were not evaluated, or on something else than the first that was, are left out.
std::string frontier_picture(const std::vector<ComparedRun>& runs) {
  std::vector<const ComparedRun*> shown;
  for (const auto& run : runs)
    if (run.manifest.evaluation &&
        (shown.empty() || same_protocol(run.manifest.evaluation_protocol, shown.front()->manifest.evaluation_protocol)))
      shown.push_back(&run);
  if (shown.empty()) throw Error(ErrorKind::bad_input, "None of these runs is evaluated yet: there is nothing to draw; name a --text.");
  const bool with_kl = std::ranges::all_of(shown, [](const ComparedRun* run) { return run->manifest.evaluation->kl.has_value(); });
  const Evaluation& first = *shown.front()->manifest.evaluation;
  std::vector<std::string> labels;
  for (const ComparedRun* run : shown) labels.push_back(run->manifest.recipe.name);
  const std::string ending = shared_ending(labels);
  SvgPlot plot(shown.front()->manifest.model_name + ending + ": size against quality",
               "bits per weight of the linear layers, factors and scales counted",
               with_kl ? "mean KL to the original, nat per token" : "perplexity");
  std::map<int, std::vector<SizeAndQuality>> by_activation_bits;
  std::map<std::string, std::size_t> colours;
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const Manifest& m = shown[i]->manifest;
    const double quality = with_kl ? m.evaluation->kl->mean : m.evaluation->perplexity;
    by_activation_bits[m.recipe.activation.bits].push_back({m.bits_per_weight, quality});
    const std::size_t colour = colours.try_emplace(m.recipe.method, colours.size()).first->second;
    plot.add_point(m.bits_per_weight, quality, marker_of(m.recipe.method), colour, labels[i].substr(0, labels[i].size() - ending.size()));
  }
  for (const auto& [bits, points] : by_activation_bits) {
    SvgPlot::Line line;
    for (const std::size_t i : frontier(points)) line.emplace_back(points[i].size, points[i].quality);
    plot.add_line(std::move(line), SvgPlot::colours - 2);
  }
  for (const PlainFormat& format : plain_formats) plot.add_vertical(format.bits_per_weight, format.name);
  std::string caption = std::to_string(first.tokens) + " predicted tokens in " + std::to_string(first.windows) + " windows of " +
                        std::to_string(first.context);
  if (first.reference_perplexity) caption += "; perplexity of the original " + fixed(*first.reference_perplexity, 2);
  plot.set_caption(caption + "; lines: nothing smaller is as good");
  return plot.text();
}

}  // namespace

void compare(const Context& context, const CompareOptions& options) {
  std::vector<ComparedRun> runs;
  for (const auto& path : options.runs) {
    if (!is_run_folder(path))
      throw Error(ErrorKind::bad_input, path + " is no run folder (it has no manifest.json); lrc quantize makes one.");
    runs.push_back({path, read_manifest(path), {}});
    runs.back().tasks = stored_tasks(path, runs.back().manifest);
  }
  if (!options.text.empty()) evaluate_all(context, options, runs);

  Json list = Json::array();
  std::vector<std::vector<std::string>> table = {{"run", "b/w", "MB", "layer error", "PPL", "KL", "top-1", "solve s"}};
  const auto tasks = tasks_of(runs);
  const auto warnings = warnings_of(runs, tasks);
  for (const auto& task : tasks) {
    const bool normalized = std::ranges::any_of(runs, [&](const ComparedRun& run) {
      const StoredTaskResult* result = result_of(run, task);
      return result && result->normalized;
    });
    table[0].push_back(task + (normalized ? " (norm)" : ""));
  }
  for (const auto& run : runs) {
    const auto& [path, m, stored] = run;
    double loss = 0, seconds = 0;
    for (const auto& layer : m.layers) loss += layer.loss / double(m.layers.size());
    for (const auto& [stage, s] : m.timings) seconds += s;
    Json row = {{"path", path}, {"name", m.recipe.name}, {"bits_per_weight", m.bits_per_weight}, {"file_bytes", m.file_bytes},
                {"loss", loss}, {"seconds", seconds}};
    std::vector<std::string> line = {
        m.recipe.name, fixed(m.bits_per_weight, 2), fixed(double(m.file_bytes) / 1e6, 1), per_cent(loss), "–", "–", "–", fixed(seconds, 0)};
    if (m.evaluation) {
      row["perplexity"] = m.evaluation->perplexity;
      line[4] = fixed(m.evaluation->perplexity, 2);
      if (m.evaluation->kl) {
        row["kl"] = m.evaluation->kl->mean;
        row["top1_agreement"] = *m.evaluation->top1_agreement;
        line[5] = fixed(m.evaluation->kl->mean, 3);
        line[6] = per_cent(*m.evaluation->top1_agreement, 1);
      }
      if (m.evaluation->reference_perplexity) row["reference_perplexity"] = *m.evaluation->reference_perplexity;
    }
    if (!stored.results.empty()) row["tasks"] = stored.report["tasks"];
    for (const auto& task : tasks) {
      const StoredTaskResult* result = result_of(run, task);
      line.push_back(!result ? "–"
                             : per_cent(result->value, 1) +
                                   (result->standard_error ? " ± " + fixed(100 * *result->standard_error, 1) : std::string()));
    }
    list.push_back(row);
    table.push_back(line);
  }
  Json differences = Json::array();
  std::vector<Json> recipes;
  for (const auto& run : runs) recipes.push_back(to_json(run.manifest.recipe));
  // A field at its default may be left out of a recipe: the names are those of all of them.
  Json fields = Json::object();
  for (const auto& recipe : recipes) fields.update(recipe);
  for (const auto& [field, any] : fields.items()) {
    Json values = Json::array();
    for (const auto& recipe : recipes) values.push_back(recipe.value(field, Json(nullptr)));
    if (std::any_of(values.begin(), values.end(), [&](const Json& v) { return v != values.front(); }))
      differences.push_back({{"field", field}, {"values", values}});
  }
  if (!options.svg.empty()) write_file_atomically(options.svg, frontier_picture(runs));
  context.print_json({{"runs", list}, {"differences", differences}, {"warnings", warnings}});
  if (context.json) return;
  const auto& first = runs.front().manifest.evaluation;
  std::vector<std::string> original = {"original", "16.00", "–", "0.00 %", "–", "0.000", "100.0 %", "–"};
  bool known = first && first->reference_perplexity;
  if (known) original[4] = fixed(*first->reference_perplexity, 2);
  for (const auto& task : tasks) {
    const StoredTaskResult* result = result_of(runs.front(), task);
    original.push_back(result && result->original ? per_cent(*result->original, 1) : "–");
    known = known || (result && result->original);
  }
  if (known) table.insert(table.begin() + 1, original);
  print_table(table);
  for (const auto& warning : warnings) std::cout << warning << '\n';
  for (const auto& difference : differences) {
    std::cout << difference["field"].get<std::string>() << ":";
    for (const auto& value : difference["values"])
      std::cout << "  " << (value.is_null() ? "default" : value.is_string() ? value.get<std::string>() : value.dump());
    std::cout << '\n';
  }
}

}  // namespace lrc::cli

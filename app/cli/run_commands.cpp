#include <algorithm>
#include <iostream>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/parse.h"
#include "run/open_model.h"
#include "run/runner.h"
#include "run/spectra.h"

namespace lrc::cli {
namespace {

std::shared_ptr<const Model> original_model(const std::string& path) {
  if (is_run_folder(path)) throw Error(ErrorKind::bad_input, path + " is a run folder; name the original model that is to be quantized.");
  return Model::open(path);
}

void print_summary(const Manifest& m, const std::string& folder) {
  double loss = 0, uncorrected = 0, held_out = 0;
  std::size_t held = 0;
  for (const auto& layer : m.layers) {
    loss += layer.loss;
    uncorrected += layer.loss_uncorrected;
    if (layer.held_out_loss) {
      held_out += *layer.held_out_loss;
      ++held;
    }
  }
  const double n = double(std::max<std::size_t>(1, m.layers.size()));
  std::cout << folder << ": " << m.recipe.name << ", " << m.layers.size() << " layers, " << fixed(m.bits_per_weight, 2)
            << " bits per weight, " << megabytes(m.file_bytes) << "\n"
            << "mean layer error " << per_cent(loss / n) << " (without the correction " << per_cent(uncorrected / n) << ")";
  if (held > 0) std::cout << ", on held-out text " << per_cent(held_out / double(held));
  std::cout << "\n";
  for (const auto& [stage, seconds] : m.timings) std::cout << stage << " " << fixed(seconds, 1) << " s  ";
  std::cout << "\npeak memory " << megabytes(m.peak_memory_bytes) << "\n";
}

}  // namespace

void quantize(const Context& context, const QuantizeOptions& options) {
  RunRequest request;
  request.model_path = options.model;
  request.model = original_model(options.model);
  request.recipe = recipe_of(options.recipe, context.seed);
  request.folder = options.out;
  if (const auto problem = problem_of(request.recipe, *request.model)) throw Error(ErrorKind::bad_input, *problem);
  const auto progress = context.make_progress();
  const Manifest manifest = carry_out(request, *progress, context.stop);
  context.print_json(to_json(manifest));
  if (!context.json) print_summary(manifest, options.out);
}

void measure_command(const Context& context, const QuantizeOptions& options) {
  const auto model = original_model(options.model);
  const Recipe recipe = recipe_of(options.recipe, context.seed);
  const auto progress = context.make_progress();
  measure(*model, recipe, options.out, *progress, context.stop);
  context.print_json({{"folder", options.out}, {"layers", model->layers().size()}});
  if (!context.json)
    std::cout << options.out << ": curves of " << model->layers().size() << " layers; lrc spectrum " << options.out << " shows them\n";
}

void forecast_command(const Context& context, const QuantizeOptions& options) {
  const auto model = original_model(options.model);
  const Recipe recipe = recipe_of(options.recipe, context.seed);
  if (const auto problem = problem_of(recipe, *model)) throw Error(ErrorKind::bad_input, *problem);
  const Forecast f = forecast(recipe, *model);
  Json stages = Json::object();
  for (const auto& [stage, seconds] : f.by_stage) stages[stage] = seconds;
  context.print_json({{"file_bytes", f.file_bytes},
                      {"layer_bytes", f.layer_bytes},
                      {"bits_per_weight", f.bits_per_weight},
                      {"code_bytes", f.code_bytes},
                      {"scale_bytes", f.scale_bytes},
                      {"factor_bytes", f.factor_bytes},
                      {"peak_memory_bytes", f.peak_memory_bytes},
                      {"seconds", f.seconds},
                      {"by_stage", stages}});
  if (context.json) return;
  std::cout << recipe.name << ": " << fixed(f.bits_per_weight, 2) << " bits per weight, " << megabytes(f.file_bytes)
            << " with embedding and head\n"
            << "peak memory " << megabytes(f.peak_memory_bytes) << ", about " << fixed(f.seconds, 0) << " s\n";
}

void compare(const Context& context, const CompareOptions& options) {
  struct Row {
    std::string path;
    Manifest manifest;
  };
  std::vector<Row> runs;
  for (const auto& path : options.runs) {
    if (!is_run_folder(path))
      throw Error(ErrorKind::bad_input, path + " is no run folder (it has no manifest.json); lrc quantize makes one.");
    runs.push_back({path, read_manifest(path)});
  }
  if (!options.text.empty()) {
    std::shared_ptr<const Model> known;
    std::optional<OpenedModel> reference;
    std::shared_ptr<Transformer> original;
    const auto progress = context.make_progress();
    for (auto& run : runs) {
      const auto opened = open_model(run.path, known);
      known = opened.model;
      if (!options.reference.empty() && !original) {
        reference = open_model(options.reference, known);
        original = make_transformer(*reference, context.device);
      }
      const auto ids = opened.model->tokenizer()->encode(read_corpus(options.text), false);
      const auto windows =
          cut_windows(ids, std::min(options.window_context, opened.model->config().context), options.windows, options.text);
      const auto transformer = make_transformer(opened, context.device);
      run.manifest.evaluation = evaluate(*transformer, original.get(), windows, *progress, context.stop);
    }
  }

  Json list = Json::array();
  std::vector<std::vector<std::string>> table = {{"run", "b/w", "MB", "layer error", "PPL", "KL", "top-1", "solve s"}};
  for (const auto& [path, m] : runs) {
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
    list.push_back(row);
    table.push_back(line);
  }
  Json differences = Json::array();
  std::vector<Json> recipes;
  for (const auto& run : runs) recipes.push_back(to_json(run.manifest.recipe));
  for (const auto& [field, value] : recipes.front().items()) {
    Json values = Json::array();
    for (const auto& recipe : recipes) values.push_back(recipe.value(field, Json(nullptr)));
    if (std::any_of(values.begin(), values.end(), [&](const Json& v) { return v != value; }))
      differences.push_back({{"field", field}, {"values", values}});
  }
  context.print_json({{"runs", list}, {"differences", differences}});
  if (context.json) return;
  const auto& first = runs.front().manifest.evaluation;
  if (first && first->reference_perplexity)
    table.insert(table.begin() + 1, {"original", "16.00", "–", "0.00 %", fixed(*first->reference_perplexity, 2), "0.000", "100.0 %", "–"});
  print_table(table);
  for (const auto& difference : differences) {
    std::cout << difference["field"].get<std::string>() << ":";
    for (const auto& value : difference["values"]) std::cout << "  " << (value.is_string() ? value.get<std::string>() : value.dump());
    std::cout << '\n';
  }
}

}  // namespace lrc::cli

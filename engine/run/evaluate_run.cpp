#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "run/open_model.h"
#include "run/run_folder.h"
#include "run/runner.h"

namespace lrc {

Evaluation evaluate_run(const std::filesystem::path& run_folder, const EvaluationRequest& request, Progress& progress,
                        std::stop_token stop) {
  return std::move(evaluate_runs({&run_folder, 1}, request, progress, stop).front());
}

std::vector<Evaluation> evaluate_runs(std::span<const std::filesystem::path> run_folders, const EvaluationRequest& request,
                                      Progress& progress, std::stop_token stop) {
  std::vector<std::unique_ptr<RunFolder>> folders;
  std::vector<OpenedModel> runs;
  for (const auto& path : run_folders) {
    if (!is_run_folder(path))
      throw Error(ErrorKind::bad_input, path.string() + " is no run folder (it has no manifest.json); lrc quantize makes one.");
    folders.push_back(std::make_unique<RunFolder>(path));
    runs.push_back(open_model(path, runs.empty() ? nullptr : runs.front().model));
    if (runs.back().model->checkpoint().sha256() != runs.front().model->checkpoint().sha256())
      throw Error(ErrorKind::bad_input,
                  path.string() + " is a run of another model than " + run_folders.front().string() + "; evaluate them one by one.");
  }
  if (runs.empty()) return {};
  const auto& model = runs.front().model;
  const auto text = request.text.empty() ? resources_folder() / "texts" / "wiki.test.raw" : request.text;
  const auto ids = model->tokenizer()->encode(read_corpus(text), false);
  const auto windows = cut_windows(ids, std::min(request.context, model->config().context), request.windows, text.string());
  std::vector<std::shared_ptr<Transformer>> transformers;
  std::vector<Transformer*> models;
  for (const auto& run : runs) {
    transformers.push_back(make_transformer(run, request.device));
    models.push_back(transformers.back().get());
  }
  OpenedModel original;
  original.model = model;
  original.path = model->checkpoint().path();
  const auto reference = request.with_reference ? make_transformer(original, request.device) : nullptr;
  auto results = evaluate_each(models, reference.get(), windows, progress, stop);

  std::error_code code;
  const Json protocol = {{"text", std::filesystem::absolute(text, code).string()},
                         {"sha256", sha256_of_file(text)},
                         {"context", windows.context},
                         {"windows", windows.windows.size()},
                         {"device", request.device}};
  for (std::size_t i = 0; i < results.size(); ++i) {
    // Read again: a longer evaluation must not bring an older manifest back.
    auto manifest = read_manifest(run_folders[i]);
    manifest.evaluation = results[i];
    manifest.evaluation_protocol = protocol;
    write_manifest(run_folders[i], manifest);
  }
  return results;
}

}  // namespace lrc

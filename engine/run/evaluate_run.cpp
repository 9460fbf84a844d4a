#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "run/frontier.h"
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
  if (run_folders.empty()) return {};
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
  const auto& model = runs.front().model;
  const auto text = request.text.empty() ? resources_folder() / "texts" / "wiki.test.raw" : request.text;
  const auto ids = model->tokenizer()->encode(read_corpus(text), false);
  const auto windows = cut_windows(ids, std::min(request.context, model->config().context), request.windows, text.string());
  std::error_code code;
  const Json protocol = {{"text", std::filesystem::absolute(text, code).string()},
                         {"sha256", sha256_of_file(text)},
                         {"context", windows.context},
                         {"windows", windows.windows.size()},
                         {"device", request.device}};

  std::vector<Evaluation> results(run_folders.size());
  std::vector<std::size_t> missing;
  std::vector<std::shared_ptr<Transformer>> transformers;
  std::vector<Transformer*> models;
  for (std::size_t i = 0; i < run_folders.size(); ++i) {
    const Manifest manifest = read_manifest(run_folders[i]);
    if (!request.again && manifest.evaluation && same_protocol(manifest.evaluation_protocol, protocol) &&
        manifest.evaluation->kl.has_value() == request.with_reference) {
      results[i] = *manifest.evaluation;
      continue;
    }
    missing.push_back(i);
    transformers.push_back(make_transformer(runs[i], request.device));
    models.push_back(transformers.back().get());
  }
  if (missing.empty()) return results;
  OpenedModel original;
  original.model = model;
  original.path = model->checkpoint().path();
  const auto reference = request.with_reference ? make_transformer(original, request.device) : nullptr;
  const auto evaluations = evaluate_each(models, reference.get(), windows, progress, stop);
  for (std::size_t m = 0; m < missing.size(); ++m) {
    const auto& path = run_folders[missing[m]];
    results[missing[m]] = evaluations[m];
    // Read again: a longer evaluation must not bring an older manifest back.
    auto manifest = read_manifest(path);
    manifest.evaluation = evaluations[m];
    manifest.evaluation_protocol = protocol;
    write_manifest(path, manifest);
  }
  return results;
}

}  // namespace lrc

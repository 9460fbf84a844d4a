#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "run/open_model.h"
#include "run/run_folder.h"
#include "run/runner.h"

namespace lrc {

Evaluation evaluate_run(const std::filesystem::path& run_folder, const EvaluationRequest& request, Progress& progress,
                        std::stop_token stop) {
  if (!is_run_folder(run_folder))
    throw Error(ErrorKind::bad_input, run_folder.string() + " is no run folder (it has no manifest.json); lrc quantize makes one.");
  const RunFolder folder(run_folder);
  auto run = open_model(run_folder);
  const auto text = request.text.empty() ? resources_folder() / "texts" / "wiki.test.raw" : request.text;
  const auto ids = run.model->tokenizer()->encode(read_corpus(text), false);
  const auto windows = cut_windows(ids, std::min(request.context, run.model->config().context), request.windows, text.string());
  const auto model = make_transformer(run, request.device);
  OpenedModel original;
  original.model = run.model;
  original.path = run.model->checkpoint().path();
  const auto reference = request.with_reference ? make_transformer(original, request.device) : nullptr;
  auto result = evaluate(*model, reference.get(), windows, progress, stop);

  // Read again: a longer evaluation must not bring an older manifest back.
  auto manifest = read_manifest(run_folder);
  manifest.evaluation = result;
  std::error_code code;
  manifest.evaluation_protocol = {{"text", std::filesystem::absolute(text, code).string()},
                                  {"sha256", sha256_of_file(text)},
                                  {"context", windows.context},
                                  {"windows", windows.windows.size()},
                                  {"device", request.device}};
  write_manifest(run_folder, manifest);
  return result;
}

}  // namespace lrc

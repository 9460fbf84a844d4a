#include "run/sensitivity.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "base/error.h"
#include "run/alone_divergence.h"
#include "run/block_solver.h"
#include "run/choose_scales.h"
#include "run/corpus.h"
#include "run/float_stream.h"

namespace lrc {
namespace {

double relative(double value, double norm) { return norm > 0 ? value / norm : 0; }

LayerSensitivity sensitivity_of(const LayerTask& task, const LayerLosses& losses) {
  LayerSensitivity result;
  result.name = task.layer->name;
  result.role = std::string(name(task.layer->role));
  result.block = task.layer->block;
  result.parameters = task.layer->out_features * task.layer->in_features;
  result.weight_bits = task.scheme.weight.bits;
  result.activation_bits = task.scheme.activation.bits;
  result.weights_only = relative(losses.weights_only, losses.norm_wx);
  result.activations_only = relative(losses.activations_only, losses.norm_wx);
  result.both = relative(losses.loss, losses.norm_wx);
  return result;
}

}  // namespace

Recipe without_correction(const Recipe& recipe) {
  Recipe plain = recipe;
  plain.name = "plain";
  plain.method = recipe.method == "rtn" ? "rtn" : "gptq";
  plain.rank = {false, 0};
  for (auto& rule : plain.overrides) {
    rule.method.reset();
    rule.rank.reset();
  }
  return plain;
}

std::vector<TokenId> tokens_behind_calibration(const Recipe& recipe, const Model& model, std::size_t count) {
  const RunCorpus corpus = open_corpus(recipe, model);
  // A recipe without held-out windows measures on its last calibration window.
  const auto& windows = corpus.windows.windows;
  const auto& window = windows[std::min(corpus.calibration_windows, windows.size() - 1)];
  return {window.begin(), window.begin() + std::ptrdiff_t(std::min(count, window.size()))};
}

std::vector<LayerSensitivity> sensitivity(const Model& model, const SensitivityRequest& request, Progress& progress, std::stop_token stop) {
  throw_if_stopped(stop);
  const Recipe plain = without_correction(request.recipe);
  if (const auto problem = problem_of(plain, model)) throw Error(ErrorKind::bad_input, *problem);
  if (request.exact && request.exact_tokens < 2) throw Error(ErrorKind::bad_input, "An exact divergence needs at least 2 tokens.");
  std::vector<std::vector<LayerTask>> tasks(model.config().blocks);
  std::size_t total = 0;
  for (const auto& layer : model.layers()) {
    LayerScheme scheme = effective_scheme(plain, layer);
    if (scheme.skipped) continue;
    tasks[layer.block].push_back({&layer, std::move(scheme)});
    ++total;
  }
  progress.report("measure", 0, total);
  const RunCorpus corpus = open_corpus(plain, model);
  const auto imported = rotations_of(plain.rotation, model.config());
  std::optional<AloneDivergence> alone;
  if (request.exact)
    alone.emplace(model, plain.rotation, tokens_behind_calibration(plain, model, request.exact_tokens), request.device, stop,
                  imported.get());

  std::vector<LayerSensitivity> result;
  FloatStream stream(model, plain.rotation, corpus.windows, corpus.calibration_windows, imported);
  for (std::size_t block = 0; block < tasks.size() && result.size() < total; ++block) {
    throw_if_stopped(stop);
    stream.load();
    smooth_loaded_block(stream, model, plain, stop);
    if (alone) alone->use(block, stream.block());
    if (tasks[block].empty()) {
      stream.advance({}, stop);
      continue;
    }
    const auto schemes = site_schemes(tasks[block], site_count(model.config()));
    auto moments = std::move(stream.advance({&schemes, 1}, stop).front());
    std::mutex mutex;
    std::map<const LayerInfo*, LayerSolution> solutions;
    std::size_t solved = 0;
    solve_block(stream.block(), std::move(moments), tasks[block], stop, [&](SolvedLayer layer) {
      const std::lock_guard lock(mutex);
      solutions[layer.task.layer] = std::move(layer.solution);
      if (!alone) progress.report("measure", result.size() + ++solved, total, layer.task.layer->name);
    });
    for (const LayerTask& task : tasks[block]) {
      LayerSolution& solution = solutions.at(task.layer);
      result.push_back(sensitivity_of(task, solution.losses));
      if (!alone) continue;
      result.back().kl =
          alone->of(*task.layer, std::make_shared<const QuantizedWeight>(std::move(solution.weight)), solution.scheme.activation);
      progress.report("measure", result.size(), total, task.layer->name);
    }
  }
  return result;
}

}  // namespace lrc

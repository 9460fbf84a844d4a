#include "run/predicted_losses.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "run/choose_scales.h"
#include "run/corpus.h"
#include "run/float_stream.h"
#include "run/sensitivity.h"

namespace lrc {

Freedom freedom_of(const AllocationRequest& request, const LayerInfo& layer) {
  Freedom freedom;
  freedom.layer = &layer;
  freedom.scheme = effective_scheme(request.recipe, layer);
  if (freedom.scheme.skipped) return freedom;
  bool factors_fixed = request.factors.empty();
  for (const auto& rule : request.recipe.overrides) {
    if (!matches(rule.pattern, layer.name)) continue;
    freedom.bits_fixed = freedom.bits_fixed || rule.weight_bits;
    freedom.rank_fixed = freedom.rank_fixed || rule.rank;
    factors_fixed = factors_fixed || rule.factors;
  }
  if (!find_method(freedom.scheme.method).uses_rank) freedom.rank_fixed = true;
  freedom.bits = freedom.bits_fixed ? std::vector<int>{freedom.scheme.weight.bits} : request.weight_bits;
  freedom.factors = factors_fixed ? std::vector<FactorScheme>{freedom.scheme.factors} : request.factors;
  freedom.scheme.factors = freedom.factors.front();
  const std::size_t smaller = std::min(layer.out_features, layer.in_features);
  if (freedom.rank_fixed) {
    freedom.ranks = {freedom.scheme.rank};
    freedom.anchor = freedom.scheme.rank;
    return freedom;
  }
  const auto most = std::size_t(request.most_rank_per_cent / 100 * double(smaller) + 1e-9);
  for (std::size_t rank = 0; rank <= most; rank += request.rank_step) freedom.ranks.push_back(rank);
  if (freedom.ranks.size() > 1)
    freedom.anchor =
        std::min(most, rank_of_fraction(request.anchor_per_cent / 100, RankRule::min_dimension, layer.out_features, layer.in_features));
  return freedom;
}

LayerScheme scheme_of(const Freedom& freedom, const Option& option) {
  LayerScheme scheme = freedom.scheme;
  scheme.weight.bits = option.bits;
  scheme.rank = option.rank;
  scheme.factors = option.factors;
  return scheme;
}

void Predictions::measure() {
  const RunCorpus corpus = open_corpus(request_.recipe, model_);
  const auto imported = rotations_of(request_.recipe.rotation, model_.config());
  std::optional<AloneDivergence> alone;
  if (request_.exact)
    alone.emplace(model_, request_.recipe.rotation, tokens_behind_calibration(request_.recipe, model_, request_.exact_tokens),
                  request_.device, stop_, imported.get());
  progress_.report("allocate", 0, freedoms_.size());
  FloatStream stream(model_, request_.recipe.rotation, corpus.windows, corpus.calibration_windows, imported);
  std::size_t done = 0;
  for (std::size_t block = 0; block < model_.config().blocks && done < freedoms_.size(); ++block) {
    throw_if_stopped(stop_);
    stream.load();
    smooth_loaded_block(stream, model_, request_.recipe, stop_);
    if (alone) alone->use(block, stream.block());
    const auto tasks = tasks_of(block);
    if (tasks.empty()) {
      stream.advance({}, stop_);
      continue;
    }
    const auto schemes = site_schemes(tasks, site_count(model_.config()));
    auto moments = std::move(stream.advance({&schemes, 1}, stop_).front());
    std::map<std::size_t, LayerSolution> plain;  // by layer, at rank 0 and the middle bits: what the weight is measured with
    solve_block(stream.block(), std::move(moments), tasks, stop_, [&](SolvedLayer solved) {
      const std::lock_guard lock(mutex_);
      take(solved.task, std::move(solved.solution), plain);
    });
    for (std::size_t l = 0; l < freedoms_.size(); ++l) {
      if (freedoms_[l].layer->block != block) continue;
      settle(l);
      if (alone) weigh(l, plain.at(l), *alone);
      progress_.report("allocate", ++done, freedoms_.size(), freedoms_[l].layer->name);
    }
  }
}

int Predictions::middle_bits(const Freedom& freedom) const {
  const auto& bits = freedom.bits;
  return std::ranges::find(bits, request_.recipe.weight.bits) != bits.end() ? request_.recipe.weight.bits : bits[bits.size() / 2];
}

std::vector<LayerTask> Predictions::tasks_of(std::size_t block) const {
  std::vector<LayerTask> tasks;
  for (const Freedom& freedom : freedoms_) {
    if (freedom.layer->block != block) continue;
    for (const int bits : freedom.bits) {
      // A rank that is fixed is solved alone, unless the weight is measured with rank 0.
      if (!freedom.rank_fixed || freedom.anchor == 0 || (request_.exact && bits == middle_bits(freedom)))
        tasks.push_back({freedom.layer, scheme_of(freedom, {bits, 0, freedom.factors.front()})});
      if (freedom.anchor > 0) tasks.push_back({freedom.layer, scheme_of(freedom, {bits, freedom.anchor, freedom.factors.front()})});
    }
    // What other factors add is nearly the same at all bits: they round the same subspace.
    for (std::size_t f = 1; f < freedom.factors.size() && freedom.anchor > 0; ++f)
      tasks.push_back({freedom.layer, scheme_of(freedom, {middle_bits(freedom), freedom.anchor, freedom.factors[f]})});
  }
  return tasks;
}

void Predictions::take(const LayerTask& task, LayerSolution solution, std::map<std::size_t, LayerSolution>& plain) {
  const auto found = std::ranges::find(freedoms_, task.layer, &Freedom::layer);
  const auto l = std::size_t(found - freedoms_.begin());
  if (!(task.scheme.factors == found->factors.front())) {
    added_[l][to_string(task.scheme.factors)] = solution.losses.loss;  // relative to the anchor's once that is there, see settle()
    return;
  }
  PredictedLoss& predicted = losses_[l][task.scheme.weight.bits];
  predicted.norm = solution.losses.norm_wx;
  predicted.anchors.push_back(
      {task.scheme.rank, solution.losses.loss, solution.losses.loss_regularized, std::move(solution.curves.same_codes_by_rank)});
  std::ranges::sort(predicted.anchors, {}, &PredictedLoss::Anchor::rank);
  if (task.scheme.rank == 0 && task.scheme.weight.bits == middle_bits(*found)) plain[l] = std::move(solution);
}

void Predictions::settle(std::size_t l) {
  for (auto& [factors, loss] : added_[l]) {
    const PredictedLoss& predicted = losses_[l].at(middle_bits(freedoms_[l]));
    loss = predicted.norm > 0 ? (loss - predicted.anchors.back().loss) / predicted.norm : 0;
  }
}

void Predictions::weigh(std::size_t l, const LayerSolution& solution, AloneDivergence& alone) {
  const double relative = solution.losses.norm_wx > 0 ? solution.losses.loss / solution.losses.norm_wx : 0;
  const double kl = alone.of(*freedoms_[l].layer, std::make_shared<const QuantizedWeight>(solution.weight), solution.scheme.activation);
  // KL grows with the square of a small perturbation, so with the relative loss itself.
  weights_[l] = relative > 0 ? kl / relative : 0;
}

}  // namespace lrc

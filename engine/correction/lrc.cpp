// LRC(T) (methods.md 1.3): the correction is taken out of W before quantization, and refitted after it.
#include <algorithm>

#include "base/progress.h"
#include "correction/linalg.h"
#include "correction/low_rank_steps.h"
#include "correction/methods.h"

namespace lrc {
namespace {

constexpr int kPolishSweeps = 20;

class Rounds {
 public:
  Rounds(const SolveRequest& request, std::stop_token stop)
      : weight_(request.weight),
        site_(request.site),
        scheme_(request.scheme),
        layer_(request.layer),
        stop_(stop),
        finding_(range_finding_of(request)) {
    options_.damping = scheme_.gptq_damping;
    options_.act_order = scheme_.act_order;
    options_.round_to_half = scheme_.store_rounded;
    // Without a correction every round would be the first one again.
    count_ = scheme_.rank == 0 ? 1 : scheme_.iterations;
  }

  LayerSolution run(bool curves) {
    LayerSolution solution;
    solution.scheme = scheme_;
    if (scheme_.rank != 0) {
      fit_ = init_low_rank(weight_, site_, scheme_.rank, scheme_.drift, finding_);
      init_missed_ = fit_.missed;
      solution.curves.eigenvalues = fit_.eigenvalues;
    }
    QuantizedWeight before;
    for (int round = 1; round <= count_; ++round) {
      throw_if_stopped(stop_);
      QuantizationTarget step = scheme_.deflate ? deflated_retarget(weight_, fit_.v, site_, layer_, scheme_.drift)
                                                : retarget(weight_, fit_.u, fit_.v, site_, scheme_.drift);
      QuantizedWeight weight = quantize(step, before);
      step.hessian = MatrixD();
      throw_if_stopped(stop_);
      const MatrixD quantized = weight.dequantize();
      if (scheme_.rank != 0) fit_ = update_low_rank(weight_, quantized, site_, scheme_.rank, scheme_.drift, finding_);
      if (scheme_.polish) before = weight;
      if (count_ > 1 && !is_best(round, quantized, solution.losses)) continue;
      solution.weight = std::move(weight);
      solution.u = fit_.u;
      solution.v = fit_.v;
      if (scheme_.rank != 0 && finding_.kind == RangeFinder::randomized)
        solution.losses.range_finder_missed = std::max(init_missed_, fit_.missed);
      solution.target = std::move(step.target);
      if (curves && scheme_.rank != 0) solution.curves.same_codes_by_rank = loss_by_rank(0, scheme_.rank, fit_.eigenvalues);
    }
    return solution;
  }

 private:
  // With `polish` the first round's grid is kept, and a round starts from the better of GPTQ's codes and those of the round before
  // (identity 11 of methods.md 6): under one (U, V) neither can then be worse than what was there.
  QuantizedWeight quantize(const QuantizationTarget& step, const QuantizedWeight& before) const {
    if (!scheme_.polish) return quantize_gptq(step.target, step.hessian, scheme_.weight, options_).weight;
    QuantizedWeight weight;
    if (before.codes.empty()) {
      weight = quantize_gptq(step.target, step.hessian, scheme_.weight, options_).weight;
    } else {
      weight =
          quantize_gptq(step.target, step.hessian, scheme_.weight, options_, {before.scales, before.zeros, before.tensor_scale}).weight;
      if (!(distance(weight, step) < distance(before, step))) weight = before;
    }
    polish_codes(weight, step.target, step.hessian, kPolishSweeps);
    return weight;
  }

  static double distance(const QuantizedWeight& weight, const QuantizationTarget& step) {
    return linalg::quadratic_trace(linalg::subtract(step.target, weight.dequantize()), step.hessian);
  }

  // GPTQ does not always improve on the round before: the best one is kept.
  bool is_best(int round, const MatrixD& quantized, LayerLosses& losses) const {
    const MatrixD rest = linalg::subtract(weight_, linalg::multiply(fit_.u, fit_.v, false, true));
    losses.of_each_round.push_back(
        regularized(output_error(weight_, rest, quantized, site_.moments, scheme_.drift), rest, quantized, site_));
    if (losses.best_round != 0 && !(losses.of_each_round.back() < losses.of_each_round[std::size_t(losses.best_round - 1)])) return false;
    losses.best_round = round;
    return true;
  }

  const MatrixD& weight_;
  const SiteStatistics& site_;
  const LayerScheme& scheme_;
  const std::string& layer_;
  std::stop_token stop_;
  GptqOptions options_;
  int count_ = 1;
  RangeFinding finding_;
  LowRankFit fit_;
  double init_missed_ = 0;
};

}  // namespace

LayerSolution solve_lrc(const SolveRequest& request, std::stop_token stop) { return Rounds(request, stop).run(request.curves); }

}  // namespace lrc

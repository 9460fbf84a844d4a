// LRC(T) (methods.md 1.3): the correction is taken out of W before quantization, and refitted after it.
#include "base/progress.h"
#include "correction/linalg.h"
#include "correction/low_rank_steps.h"
#include "correction/methods.h"

namespace lrc {

LayerSolution solve_lrc(const SolveRequest& request, std::stop_token stop) {
  const LayerScheme& scheme = request.scheme;
  const SiteStatistics& site = request.site;
  GptqOptions options;
  options.damping = scheme.gptq_damping;
  options.round_to_half = scheme.store_rounded;

  LayerSolution solution;
  solution.scheme = scheme;
  LowRankFit fit;
  if (scheme.rank != 0) {
    fit = init_low_rank(request.weight, site, scheme.rank);
    solution.curves.eigenvalues = fit.eigenvalues;
  }
  // Without a correction every round would be the first one again.
  const int rounds = scheme.rank == 0 ? 1 : scheme.iterations;
  for (int round = 1; round <= rounds; ++round) {
    throw_if_stopped(stop);
    QuantizationTarget step =
        scheme.deflate ? deflated_retarget(request.weight, fit.v, site, request.layer) : retarget(request.weight, fit.u, fit.v, site);
    QuantizedWeight weight = quantize_gptq(step.target, step.hessian, scheme.weight, options).weight;
    step.hessian = MatrixD();
    throw_if_stopped(stop);
    const MatrixD quantized = weight.dequantize();
    if (scheme.rank != 0) fit = update_low_rank(request.weight, quantized, site, scheme.rank);
    if (rounds > 1) {
      auto& losses = solution.losses;
      const MatrixD rest = linalg::subtract(request.weight, linalg::multiply(fit.u, fit.v, false, true));
      losses.of_each_round.push_back(regularized(output_error(rest, quantized, site.moments), rest, quantized, site));
      // GPTQ does not always improve on the round before: the best one is kept.
      if (losses.best_round != 0 && !(losses.of_each_round.back() < losses.of_each_round[std::size_t(losses.best_round - 1)])) continue;
      losses.best_round = round;
    }
    solution.weight = std::move(weight);
    solution.u = fit.u;
    solution.v = fit.v;
    solution.target = std::move(step.target);
    if (request.curves && scheme.rank != 0) solution.curves.same_codes_by_rank = loss_by_rank(0, scheme.rank, fit.eigenvalues);
  }
  return solution;
}

}  // namespace lrc

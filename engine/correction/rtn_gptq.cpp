// The two methods without a correction.
#include "base/progress.h"
#include "correction/linalg.h"
#include "correction/low_rank_steps.h"
#include "correction/methods.h"
#include "correction/smoothing.h"

namespace lrc {
namespace {

LayerSolution uncorrected(const SolveRequest& request, QuantizedWeight weight) {
  LayerSolution solution;
  solution.scheme = request.scheme;
  solution.weight = std::move(weight);
  solution.target = request.weight;
  return solution;
}

// Behind a quantized prefix: W + α W S_dx S_x⁻¹ (QEP, methods.md 4.12), which is W where nothing drifted.
MatrixD gptq_target(const SolveRequest& request) {
  if (!request.site.moments.has_drift() || request.scheme.drift == 0) return request.weight;
  MatrixD target = linalg::right_solve_spd(request.site.cholesky_x, linalg::multiply(request.weight, request.site.moments.s_dx));
  for (std::size_t i = 0; i < target.size(); ++i) target.data()[i] = request.weight.data()[i] + request.scheme.drift * target.data()[i];
  return target;
}

}  // namespace

WeightGrid grid_for(const SolveRequest& request, const MatrixD& target) {
  const LayerScheme& scheme = request.scheme;
  if (scheme.weight.clip != WeightClip::awq) return fit_grid(target, scheme.weight, scheme.store_rounded);
  return awq_clipped_grid(target, request.site.moments.s_x(), scheme.weight, scheme.store_rounded);
}

QuantizedWeight plain_rtn(const SolveRequest& request) {
  return round_to_grid(request.weight, request.scheme.weight, grid_for(request, request.weight));
}

QuantizedWeight plain_gptq(const SolveRequest& request) {
  GptqOptions options;
  options.damping = request.scheme.gptq_damping;
  options.act_order = request.scheme.act_order;
  options.round_to_half = request.scheme.store_rounded;
  MatrixD s_x = request.site.s_x;  // as it was before damping: GPTQ adds its own
  linalg::add_to_diagonal(s_x, -request.site.added_to_x());
  const MatrixD target = gptq_target(request);
  if (request.scheme.weight.clip != WeightClip::awq) return quantize_gptq(target, s_x, request.scheme.weight, options).weight;
  return quantize_gptq(target, s_x, request.scheme.weight, options, grid_for(request, target)).weight;
}

LayerSolution solve_rtn(const SolveRequest& request, std::stop_token stop) {
  throw_if_stopped(stop);
  return uncorrected(request, plain_rtn(request));
}

LayerSolution solve_gptq(const SolveRequest& request, std::stop_token stop) {
  throw_if_stopped(stop);
  LayerSolution solution = uncorrected(request, plain_gptq(request));
  solution.target = gptq_target(request);
  return solution;
}

}  // namespace lrc

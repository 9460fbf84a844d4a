// The two methods without a correction.
#include "base/progress.h"
#include "correction/linalg.h"
#include "correction/methods.h"

namespace lrc {
namespace {

LayerSolution uncorrected(const SolveRequest& request, QuantizedWeight weight) {
  LayerSolution solution;
  solution.scheme = request.scheme;
  solution.weight = std::move(weight);
  solution.target = request.weight;
  return solution;
}

}  // namespace

QuantizedWeight plain_gptq(const SolveRequest& request) {
  GptqOptions options;
  options.damping = request.scheme.gptq_damping;
  options.round_to_half = request.scheme.store_rounded;
  MatrixD s_x = request.site.s_x;  // as it was before damping: GPTQ adds its own
  linalg::add_to_diagonal(s_x, -request.site.epsilon_x);
  return quantize_gptq(request.weight, s_x, request.scheme.weight, options).weight;
}

LayerSolution solve_rtn(const SolveRequest& request, std::stop_token stop) {
  throw_if_stopped(stop);
  return uncorrected(request, quantize_rtn(request.weight, request.scheme.weight, request.scheme.store_rounded));
}

LayerSolution solve_gptq(const SolveRequest& request, std::stop_token stop) {
  throw_if_stopped(stop);
  return uncorrected(request, plain_gptq(request));
}

}  // namespace lrc

// Corrections of a plain quantizer's residual E = W − Ŵ: C = [E R]_k R⁻¹ with another square root R of the input's second moments
// for each method (methods.md 2.1, 4.9; E of svd and lqer is taken as it is).
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/progress.h"
#include "correction/linalg.h"
#include "correction/low_rank_steps.h"
#include "correction/methods.h"

namespace lrc {
namespace {

QuantizedWeight base_of(const SolveRequest& request) {
  if (request.scheme.base == "gptq") return plain_gptq(request);
  return plain_rtn(request);
}

/// [E diag(s)]_k diag(1/s).
LowRankFit scaled_fit(MatrixD error, const std::vector<double>& scale, const SolveRequest& request) {
  MatrixD diagonal(scale.size(), scale.size());
  for (std::size_t i = 0; i < scale.size(); ++i) diagonal(i, i) = scale[i];
  for (std::size_t r = 0; r < error.rows(); ++r)
    for (std::size_t i = 0; i < scale.size(); ++i) error(r, i) *= scale[i];
  return truncated(error, diagonal, request.scheme.rank, range_finding_of(request));
}

/// Filled up with columns of zeros.
MatrixD widened(const MatrixD& columns, std::size_t count) {
  MatrixD result(columns.rows(), count);
  for (std::size_t r = 0; r < columns.rows(); ++r) std::copy_n(columns.row(r), columns.columns(), result.row(r));
  return result;
}

template <typename Fit>
LayerSolution solve_residual(const SolveRequest& request, std::stop_token stop, const Fit& fit) {
  throw_if_stopped(stop);
  LayerSolution solution;
  solution.scheme = request.scheme;
  solution.weight = base_of(request);
  solution.target = request.weight;
  throw_if_stopped(stop);
  if (request.scheme.rank == 0) return solution;
  LowRankFit result = fit(linalg::subtract(request.weight, solution.weight.dequantize()));
  if (request.scheme.range_finder == RangeFinder::randomized) solution.losses.range_finder_missed = result.missed;
  solution.u = std::move(result.u);
  solution.v = std::move(result.v);
  return solution;
}

/// The damped moments of what the correction will multiply.
const MatrixD& moments_of_input(const SolveRequest& request) {
  return request.scheme.pair_input == PairInput::quantized ? request.site.s_y : request.site.s_x;
}

}  // namespace

LayerSolution solve_svd(const SolveRequest& request, std::stop_token stop) {
  return solve_residual(request, stop,
                        [&](const MatrixD& error) { return scaled_fit(error, std::vector<double>(error.columns(), 1.0), request); });
}

LayerSolution solve_qera(const SolveRequest& request, std::stop_token stop) {
  return solve_residual(request, stop, [&](const MatrixD& error) {
    const bool quantized = request.scheme.pair_input == PairInput::quantized;
    const MatrixD& lower = quantized ? request.site.cholesky_y : request.site.cholesky_x;
    return truncated(linalg::multiply_lower(error, lower), lower, request.scheme.rank, range_finding_of(request));
  });
}

LayerSolution solve_eora(const SolveRequest& request, std::stop_token stop) {
  return solve_residual(request, stop, [&](const MatrixD& error) {
    const bool quantized = request.scheme.pair_input == PairInput::quantized;
    const auto eigen = linalg::eigen_symmetric(quantized ? request.site.moments.s_y : request.site.moments.s_x());
    const std::size_t width = error.columns();
    // What float32 moments cannot tell from nothing is left out: the pseudo-inverse.
    const double floor = double(std::max<std::size_t>(1, width)) * double(std::numeric_limits<float>::epsilon()) * eigen.values.front();
    std::size_t kept = 0;
    while (kept < width && eigen.values[kept] > floor) ++kept;
    MatrixD vectors(kept, width), root(kept, kept);
    for (std::size_t k = 0; k < kept; ++k) {
      std::copy_n(eigen.vectors.row(k), width, vectors.row(k));
      root(k, k) = std::sqrt(eigen.values[k]);
    }
    MatrixD projected = linalg::multiply(error, vectors, false, true);
    for (std::size_t r = 0; r < projected.rows(); ++r)
      for (std::size_t k = 0; k < kept; ++k) projected(r, k) *= root(k, k);
    const std::size_t rank = request.scheme.rank, possible = std::min({rank, kept, error.rows()});
    LowRankFit fit = truncated(projected, root, possible, range_finding_of(request));
    fit.v = linalg::multiply(vectors, fit.v, true);
    fit.u = widened(fit.u, rank);
    fit.v = widened(fit.v, rank);
    return fit;
  });
}

LayerSolution solve_qera_diagonal(const SolveRequest& request, std::stop_token stop) {
  return solve_residual(request, stop, [&](const MatrixD& error) {
    const bool quantized = request.scheme.pair_input == PairInput::quantized;
    const double damping = quantized ? request.site.added_to_y() : request.site.added_to_x();  // the diagonal is taken undamped
    const MatrixD& moments = moments_of_input(request);
    std::vector<double> scale(error.columns());
    for (std::size_t i = 0; i < scale.size(); ++i) scale[i] = std::sqrt(std::max(moments(i, i) - damping, 1e-12));
    return scaled_fit(error, scale, request);
  });
}

std::vector<double> l2qer_scales(const ChannelStatistics& channels, const std::string& layer) {
  if (channels.largest_batch_mean.empty())
    throw Error(ErrorKind::bad_input,
                layer + ": l2qer needs the mean magnitude of every input channel, and none was measured; calibrate again.");
  std::vector<double> scale = channels.largest_batch_mean;
  for (double& v : scale) v = std::max(v, 1e-4);
  const auto [smallest, largest] = std::minmax_element(scale.begin(), scale.end());
  const double norm = std::sqrt(*smallest * *largest);
  for (double& v : scale) v /= norm;
  return scale;
}

LayerSolution solve_l2qer(const SolveRequest& request, std::stop_token stop) {
  return solve_residual(request, stop, [&](const MatrixD& error) {
    return scaled_fit(error, l2qer_scales(request.site.moments.channels, request.layer), request);
  });
}

}  // namespace lrc

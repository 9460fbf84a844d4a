// What depends on the input alone (methods.md 1.4).
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "correction/linalg.h"
#include "correction/solve.h"

namespace lrc {
namespace {

constexpr int kRetries = 3;

// S_{x|y} must have a Cholesky factor also where activations are hardly quantized: this much of the mean diagonal is a ridge on S_x.
constexpr double kLeastRidge = 1e-9;

void check(const SecondMoments& moments, double damping, const std::string& site) {
  const std::size_t n = moments.width();
  if (moments.tokens == 0 || n == 0)
    throw Error(ErrorKind::bad_input, site + ": no calibration token reached this input; use more calibration text.");
  std::vector<const MatrixD*> all = {&moments.s_y, &moments.s_ey, &moments.s_e};
  if (moments.has_drift()) all.insert(all.end(), {&moments.s_dx, &moments.s_dy, &moments.s_d});
  for (const MatrixD* s : all) {
    if (s->rows() != n || s->columns() != n)
      throw Error(ErrorKind::bad_input, site + ": the second moments contradict each other in size.");
    for (const double v : s->flat())
      if (!std::isfinite(v))
        throw Error(ErrorKind::numerical, site + ": the inputs seen in calibration hold NaN or infinity; check the model's weights.");
  }
  if (!(damping >= 0) || !std::isfinite(damping))
    throw Error(ErrorKind::bad_input, site + ": the damping of the second moments must be 0 or more, not " + std::to_string(damping) + ".");
}

// The factorizations for one damping; false when one of them fails. `site.s_x` and `site.s_xy` hold S_x and S_xy but for the damping
// of their diagonals, which are `diagonal_x` and `diagonal_xy` without. Nothing of the order is kept or copied without need: of a wide
// input each matrix counts.
bool factorize(SiteStatistics& site, Damping damping, const std::vector<double>& diagonal_x, const std::vector<double>& diagonal_xy) {
  const std::size_t n = diagonal_x.size();
  const SecondMoments& moments = site.moments;
  double trace_x = 0;
  for (const double v : diagonal_x) trace_x += v;
  site.damping = damping.share;
  const double mean_x = trace_x / double(n);
  if (damping.toward == DampingToward::original) {
    site.epsilon_tokens = damping.share * mean_x;
    site.epsilon_x = kLeastRidge * mean_x;
    site.epsilon_y = 0;
  } else {
    site.epsilon_tokens = 0;
    site.epsilon_x = damping.share * mean_x;
    site.epsilon_y = damping.share * linalg::trace(moments.s_y) / double(n);
  }
  site.s_y = moments.s_y;
  linalg::add_to_diagonal(site.s_y, site.added_to_y());
  for (std::size_t i = 0; i < n; ++i) {
    site.s_x(i, i) = diagonal_x[i] + site.added_to_x();
    site.s_xy(i, i) = diagonal_xy[i] + site.epsilon_tokens;
  }
  auto lower_y = linalg::cholesky(site.s_y);
  if (!lower_y) return false;
  site.cholesky_y = std::move(*lower_y);
  auto lower_x = linalg::cholesky(site.s_x);
  if (!lower_x) return false;
  site.cholesky_x = std::move(*lower_x);

  // S_{x|y} = S_e + (ε_x + ε_y) I − Kᵀ K, Kᵀ Lᵀ = S_ey + ε_y I: no cancellation of large numbers. Tokens with Y = X have no E.
  MatrixD shifted = moments.s_ey;
  linalg::add_to_diagonal(shifted, site.epsilon_y);
  site.s_x_given_y = linalg::gram(linalg::right_solve_lower(site.cholesky_y, std::move(shifted), true));
  for (std::size_t i = 0; i < site.s_x_given_y.size(); ++i) site.s_x_given_y.data()[i] = moments.s_e.data()[i] - site.s_x_given_y.data()[i];
  linalg::add_to_diagonal(site.s_x_given_y, site.epsilon_x + site.epsilon_y);
  if (auto lower = linalg::cholesky(site.s_x_given_y))
    site.cholesky_x_given_y = std::move(*lower);
  else
    site.cholesky_x_given_y = MatrixD();
  if (moments.has_drift()) {
    const MatrixD drift = linalg::right_solve_lower(site.cholesky_y, moments.s_dy, true);  // S_dy L⁻ᵀ
    site.drift_given_y =
        linalg::subtract(moments.s_dx, linalg::multiply(drift, linalg::right_solve_lower(site.cholesky_y, site.s_xy, true), false, true));
    site.drift_norm_given_y = linalg::subtract(moments.s_d, linalg::gram(drift));
  }
  return true;
}

}  // namespace

SiteStatistics prepare_site(SecondMoments moments, Damping damping, const ActivationScheme& activation, const std::string& site) {
  check(moments, damping.share, site);
  SiteStatistics result;
  result.unquantized = activation.off();
  result.moments = std::move(moments);
  result.s_xy = result.moments.s_xy();
  result.s_x = result.moments.s_x();
  if (!(linalg::trace(result.s_x) > 0))
    throw Error(ErrorKind::numerical, site + ": every calibration token is zero at this input; check the model's weights.");
  std::vector<double> diagonal_x(result.s_x.rows()), diagonal_xy(result.s_x.rows());
  for (std::size_t i = 0; i < diagonal_x.size(); ++i) {
    diagonal_x[i] = result.s_x(i, i);
    diagonal_xy[i] = result.s_xy(i, i);
  }
  for (int attempt = 0; attempt <= kRetries; ++attempt) {
    // Without damping there is nothing to multiply: a retry starts from a millionth.
    Damping tried = damping;
    if (attempt > 0) tried.share = std::max(damping.share, 1e-6) * std::pow(10.0, attempt);
    if (factorize(result, tried, diagonal_x, diagonal_xy)) return result;
  }
  throw Error(ErrorKind::numerical, site + ": the second moments of " + std::to_string(result.moments.tokens) + " tokens (width " +
                                        std::to_string(result.moments.width()) +
                                        ") have no Cholesky factor even with more damping; use more calibration text or a larger damping.");
}

}  // namespace lrc

#include "correction/low_rank_steps.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "correction/linalg.h"

namespace lrc {
namespace {

// The first `rank` rows of `vectors`, as columns.
MatrixD leading_columns(const MatrixD& vectors, std::size_t rank) {
  MatrixD result(vectors.columns(), rank);
  for (std::size_t k = 0; k < rank; ++k)
    for (std::size_t i = 0; i < vectors.columns(); ++i) result(i, k) = vectors(k, i);
  return result;
}

MatrixD small_gram(const MatrixD& p) { return p.rows() <= p.columns() ? linalg::gram(p) : linalg::gram(linalg::transpose(p)); }

void clamp_at_zero(std::vector<double>& values) {
  for (double& v : values) v = std::max(0.0, v);  // a Gram matrix has none below 0 but for rounding
}

// U Vᵀ = [P]_rank L⁻¹ from the eigenproblem of the small side of P; never divides by an eigenvalue.
LowRankFit truncate(const MatrixD& p, const MatrixD& lower, std::size_t rank) {
  const auto eigen = linalg::eigen_symmetric(small_gram(p));
  LowRankFit fit;
  fit.eigenvalues = eigen.values;
  clamp_at_zero(fit.eigenvalues);
  const MatrixD z = leading_columns(eigen.vectors, rank);
  if (p.rows() <= p.columns()) {
    fit.u = z;
    fit.v = linalg::solve_lower(lower, linalg::multiply(p, z, true), true);
  } else {
    fit.u = linalg::multiply(p, z);
    fit.v = linalg::solve_lower(lower, z, true);
  }
  return fit;
}

// W S_{x|y} Wᵀ where S_{x|y} has no Cholesky factor.
MatrixD whitened_error_of(const MatrixD& weight, const SiteStatistics& site) {
  MatrixD result = linalg::multiply(linalg::multiply(weight, site.s_x_given_y), weight, false, true);
  linalg::symmetrize(result);
  return result;
}

std::vector<double> shortened(std::vector<double> values, const MatrixD& weight) {
  values.resize(std::min(weight.rows(), weight.columns()));
  clamp_at_zero(values);
  return values;
}

// P = M L with M = W − Ŵ S_yx S_x⁻¹, S_x = L Lᵀ: P = W L − Ŵ S_yx L⁻ᵀ.
MatrixD whitened_residual(const MatrixD& weight, const MatrixD& quantized, const SiteStatistics& site) {
  const MatrixD explained = linalg::right_solve_lower(site.cholesky_x, linalg::multiply(quantized, site.s_xy, false, true), true);
  return linalg::subtract(linalg::multiply_lower(weight, site.cholesky_x), explained);
}

}  // namespace

LowRankFit init_low_rank(const MatrixD& weight, const SiteStatistics& site, std::size_t rank) {
  if (!site.cholesky_x_given_y.empty())
    return truncate(linalg::multiply_lower(weight, site.cholesky_x_given_y), site.cholesky_x_given_y, rank);
  const auto eigen = linalg::eigen_symmetric(whitened_error_of(weight, site));
  LowRankFit fit;
  fit.eigenvalues = shortened(eigen.values, weight);
  fit.u = leading_columns(eigen.vectors, rank);
  fit.v = linalg::multiply(weight, fit.u, true);
  return fit;
}

std::vector<double> init_eigenvalues(const MatrixD& weight, const SiteStatistics& site) {
  const MatrixD& lower = site.cholesky_x_given_y;
  return shortened(
      linalg::eigenvalues_symmetric(lower.empty() ? whitened_error_of(weight, site) : small_gram(linalg::multiply_lower(weight, lower))),
      weight);
}

LowRankFit update_low_rank(const MatrixD& weight, const MatrixD& quantized, const SiteStatistics& site, std::size_t rank) {
  return truncate(whitened_residual(weight, quantized, site), site.cholesky_x, rank);
}

std::vector<double> update_eigenvalues(const MatrixD& weight, const MatrixD& quantized, const SiteStatistics& site) {
  return shortened(linalg::eigenvalues_symmetric(small_gram(whitened_residual(weight, quantized, site))), weight);
}

QuantizationTarget retarget(const MatrixD& weight, const MatrixD& u, const MatrixD& v, const SiteStatistics& site) {
  const MatrixD rest = u.empty() ? weight : linalg::subtract(weight, linalg::multiply(u, v, false, true));
  return {linalg::right_solve_spd(site.cholesky_y, linalg::multiply(rest, site.s_xy)), site.s_y};
}

QuantizationTarget deflated_retarget(const MatrixD& weight, const MatrixD& v, const SiteStatistics& site, const std::string& layer) {
  if (v.empty()) return retarget(weight, {}, {}, site);
  // An S_x-orthonormal basis B of V's span: G's place is taken by V G Vᵀ = B Bᵀ, which stays sound when V has lost rank.
  const MatrixD s_x_v = linalg::multiply(site.s_x, v);
  MatrixD inner = linalg::multiply(v, s_x_v, true);
  linalg::symmetrize(inner);
  const auto eigen = linalg::eigen_symmetric(inner);
  std::size_t kept = 0;
  while (kept < eigen.values.size() && eigen.values[kept] > 1e-13 * eigen.values[0]) ++kept;
  MatrixD turn = leading_columns(eigen.vectors, kept);
  for (std::size_t i = 0; i < turn.rows(); ++i)
    for (std::size_t k = 0; k < kept; ++k) turn(i, k) /= std::sqrt(eigen.values[k]);
  const MatrixD basis = linalg::multiply(v, turn);                  // (in, kept)
  const MatrixD seen = linalg::multiply(basis, site.s_xy, true);    // Bᵀ S_xy (kept, in)
  const MatrixD explained = linalg::gram(linalg::transpose(seen));  // S_yx B Bᵀ S_xy
  QuantizationTarget result;
  result.hessian = linalg::subtract(site.s_y, explained);
  const auto lower = linalg::cholesky(result.hessian);
  if (!lower)
    throw Error(ErrorKind::numerical,
                layer + ": the deflated second moments have no Cholesky factor; use a larger damping or turn deflation off.");
  // W (S_xy − S_x B (Bᵀ S_xy)), the product with W first: it is the thin side.
  const MatrixD weight_on_basis = linalg::multiply(linalg::multiply(weight, s_x_v), turn);  // W S_x B (out, kept)
  const MatrixD numerator = linalg::subtract(linalg::multiply(weight, site.s_xy), linalg::multiply(weight_on_basis, seen));
  result.target = linalg::right_solve_spd(*lower, numerator);
  return result;
}

double output_error(const MatrixD& a, const MatrixD& quantized, const SecondMoments& moments) {
  // A X − Ŵ Y = (A − Ŵ) Y − A E: no difference of large numbers.
  const MatrixD difference = linalg::subtract(a, quantized);
  const double loss = linalg::quadratic_trace(difference, moments.s_y) - 2 * linalg::trace_of_product(a, moments.s_ey, difference) +
                      linalg::quadratic_trace(a, moments.s_e);
  return std::max(0.0, loss);
}

double regularized(double loss, const MatrixD& a, const MatrixD& quantized, const SiteStatistics& site) {
  return loss + site.epsilon_x * linalg::squared_norm(a) + site.epsilon_y * linalg::squared_norm(quantized);
}

}  // namespace lrc

#include "correction/low_rank_steps.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "correction/linalg.h"
#include "correction/range_finder.h"

namespace lrc {
namespace {

// The first `rank` rows of `vectors`, as columns.
MatrixD leading_columns(const MatrixD& vectors, std::size_t rank) {
  MatrixD result(vectors.columns(), rank);
  for (std::size_t k = 0; k < rank; ++k)
    for (std::size_t i = 0; i < vectors.columns(); ++i) result(i, k) = vectors(k, i);
  return result;
}

void add_scaled(MatrixD& to, double factor, const MatrixD& from) {
  for (std::size_t i = 0; i < to.size(); ++i) to.data()[i] += factor * from.data()[i];
}

MatrixD small_gram(const MatrixD& p) { return p.rows() <= p.columns() ? linalg::gram(p) : linalg::gram(linalg::transpose(p)); }

void clamp_at_zero(std::vector<double>& values) {
  for (double& v : values) v = std::max(0.0, v);  // a Gram matrix has none below 0 but for rounding
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
// Behind a quantized prefix + α W S_dx L⁻ᵀ.
MatrixD whitened_residual(const MatrixD& weight, const MatrixD& quantized, const SiteStatistics& site, double alpha) {
  MatrixD rest = linalg::multiply(quantized, site.s_xy, false, true);
  if (site.moments.has_drift()) add_scaled(rest, -alpha, linalg::multiply(weight, site.moments.s_dx));
  return linalg::subtract(linalg::multiply_lower(weight, site.cholesky_x), linalg::right_solve_lower(site.cholesky_x, rest, true));
}

// P with Init-LR = [P]_rank L⁻¹: W L, behind a quantized prefix + α W S_dx|y L⁻ᵀ.
MatrixD whitened_init(const MatrixD& weight, const SiteStatistics& site, double alpha) {
  MatrixD p = linalg::multiply_lower(weight, site.cholesky_x_given_y);
  if (!site.drift_given_y.empty())
    add_scaled(p, alpha, linalg::right_solve_lower(site.cholesky_x_given_y, linalg::multiply(weight, site.drift_given_y), true));
  return p;
}

/// The first `rank` eigenvectors of a symmetric matrix as columns, all its eigenvalues, and what the vectors miss.
struct Leading {
  MatrixD columns;
  std::vector<double> eigenvalues;
  double missed = 0;
};

Leading leading_of(const MatrixD& s, std::size_t rank, const RangeFinding& finding) {
  if (finding.kind == RangeFinder::exact || !range_finder_pays(s.rows(), rank)) {
    auto eigen = linalg::eigen_symmetric(s);
    return {leading_columns(eigen.vectors, rank), std::move(eigen.values)};
  }
  // The eigenvalues alone are a fraction of the eigenproblem: the curves and the certified bound need them, and they tell the error.
  Leading result{{}, linalg::eigenvalues_symmetric(s)};
  const auto found = leading_eigenvectors(s, rank, finding.seed);
  result.columns = leading_columns(found.vectors, rank);
  double best = 0, captured = 0;
  for (std::size_t k = 0; k < rank; ++k) {
    best += std::max(0.0, result.eigenvalues[k]);
    captured += found.values[k];
  }
  if (best > 0) result.missed = std::max(0.0, 1 - captured / best);
  return result;
}

// The Schur complement has no Cholesky factor only where nothing was damped.
void check_drift(const SiteStatistics& site) {
  if (!site.drift_given_y.empty() && site.cholesky_x_given_y.empty())
    throw Error(ErrorKind::numerical, "Behind a quantized prefix the second moments must be damped; use a damping above 0.");
}

}  // namespace

RangeFinding range_finding_of(const SolveRequest& request) {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : request.layer) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return {request.scheme.range_finder, hash};
}

// U Vᵀ = [P]_rank L⁻¹ from the eigenproblem of the small side of P; never divides by an eigenvalue.
LowRankFit truncated(const MatrixD& p, const MatrixD& lower, std::size_t rank, const RangeFinding& finding) {
  Leading leading = leading_of(small_gram(p), rank, finding);
  LowRankFit fit;
  fit.eigenvalues = std::move(leading.eigenvalues);
  fit.missed = leading.missed;
  clamp_at_zero(fit.eigenvalues);
  const MatrixD& z = leading.columns;
  if (p.rows() <= p.columns()) {
    fit.u = z;
    fit.v = linalg::solve_lower(lower, linalg::multiply(p, z, true), true);
  } else {
    fit.u = linalg::multiply(p, z);
    fit.v = linalg::solve_lower(lower, z, true);
  }
  return fit;
}

LowRankFit init_low_rank(const MatrixD& weight, const SiteStatistics& site, std::size_t rank, double alpha, const RangeFinding& finding) {
  check_drift(site);
  if (!site.cholesky_x_given_y.empty()) return truncated(whitened_init(weight, site, alpha), site.cholesky_x_given_y, rank, finding);
  Leading leading = leading_of(whitened_error_of(weight, site), rank, finding);
  LowRankFit fit;
  fit.eigenvalues = shortened(std::move(leading.eigenvalues), weight);
  fit.missed = leading.missed;
  fit.u = std::move(leading.columns);
  fit.v = linalg::multiply(weight, fit.u, true);
  return fit;
}

std::vector<double> init_eigenvalues(const MatrixD& weight, const SiteStatistics& site, double alpha) {
  check_drift(site);
  return shortened(linalg::eigenvalues_symmetric(site.cholesky_x_given_y.empty() ? whitened_error_of(weight, site)
                                                                                 : small_gram(whitened_init(weight, site, alpha))),
                   weight);
}

double relaxed_floor(const MatrixD& weight, const SiteStatistics& site, const std::vector<double>& eigenvalues, double alpha) {
  if (site.drift_given_y.empty()) return 0;
  double floor = linalg::quadratic_trace(weight, site.s_x_given_y) +
                 2 * alpha * linalg::trace_of_product(weight, site.drift_given_y, weight) +
                 alpha * alpha * linalg::quadratic_trace(weight, site.drift_norm_given_y);
  for (const double v : eigenvalues) floor -= v;
  return std::max(0.0, floor);
}

LowRankFit update_low_rank(const MatrixD& weight, const MatrixD& quantized, const SiteStatistics& site, std::size_t rank, double alpha,
                           const RangeFinding& finding) {
  return truncated(whitened_residual(weight, quantized, site, alpha), site.cholesky_x, rank, finding);
}

std::vector<double> update_eigenvalues(const MatrixD& weight, const MatrixD& quantized, const SiteStatistics& site, double alpha) {
  return shortened(linalg::eigenvalues_symmetric(small_gram(whitened_residual(weight, quantized, site, alpha))), weight);
}

MatrixD best_u(const MatrixD& weight, const MatrixD& quantized, const MatrixD& v, const SiteStatistics& site, double alpha) {
  const MatrixD s_x_v = linalg::multiply(site.s_x, v);
  MatrixD right = linalg::multiply(weight, s_x_v);
  add_scaled(right, -1, linalg::multiply(quantized, linalg::multiply(site.s_xy, v, true)));
  if (site.moments.has_drift()) add_scaled(right, alpha, linalg::multiply(weight, linalg::multiply(site.moments.s_dx, v)));
  // The pseudo-inverse: a component that rounding made dependent, or zero, adds nothing.
  MatrixD inner = linalg::multiply(v, s_x_v, true);
  linalg::symmetrize(inner);
  const auto eigen = linalg::eigen_symmetric(inner);
  MatrixD scaled = eigen.vectors;  // rows
  for (std::size_t k = 0; k < scaled.rows(); ++k) {
    const bool kept = eigen.values[k] > 1e-13 * eigen.values[0] && eigen.values[k] > 0;
    for (std::size_t i = 0; i < scaled.columns(); ++i) scaled(k, i) *= kept ? 1 / eigen.values[k] : 0.0;
  }
  return linalg::multiply(right, linalg::multiply(scaled, eigen.vectors, true));
}

QuantizationTarget retarget(const MatrixD& weight, const MatrixD& u, const MatrixD& v, const SiteStatistics& site, double alpha) {
  const MatrixD rest = u.empty() ? weight : linalg::subtract(weight, linalg::multiply(u, v, false, true));
  MatrixD numerator = linalg::multiply(rest, site.s_xy);
  if (site.moments.has_drift()) add_scaled(numerator, alpha, linalg::multiply(weight, site.moments.s_dy));
  return {linalg::right_solve_spd(site.cholesky_y, numerator), site.s_y};
}

QuantizationTarget deflated_retarget(const MatrixD& weight, const MatrixD& v, const SiteStatistics& site, const std::string& layer,
                                     double alpha) {
  if (v.empty()) return retarget(weight, {}, {}, site, alpha);
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
  MatrixD weight_on_basis = linalg::multiply(linalg::multiply(weight, s_x_v), turn);  // W S_x B (out, kept)
  MatrixD numerator = linalg::multiply(weight, site.s_xy);
  if (site.moments.has_drift()) {
    add_scaled(weight_on_basis, alpha, linalg::multiply(weight, linalg::multiply(site.moments.s_dx, basis)));
    add_scaled(numerator, alpha, linalg::multiply(weight, site.moments.s_dy));
  }
  add_scaled(numerator, -1, linalg::multiply(weight_on_basis, seen));
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

double output_error(const MatrixD& weight, const MatrixD& a, const MatrixD& quantized, const SecondMoments& moments, double alpha) {
  const double loss = output_error(a, quantized, moments);
  if (!moments.has_drift() || alpha == 0) return loss;
  const double with_input = linalg::trace_of_product(weight, moments.s_dx, a) - linalg::trace_of_product(weight, moments.s_dy, quantized);
  return std::max(0.0, loss + 2 * alpha * with_input + alpha * alpha * linalg::quadratic_trace(weight, moments.s_d));
}

double regularized(double loss, const MatrixD& a, const MatrixD& quantized, const SiteStatistics& site) {
  double sum = loss + site.epsilon_x * linalg::squared_norm(a) + site.epsilon_y * linalg::squared_norm(quantized);
  if (site.epsilon_tokens > 0) sum += site.epsilon_tokens * linalg::squared_norm(linalg::subtract(a, quantized));
  return sum;
}

}  // namespace lrc

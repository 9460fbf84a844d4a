// The algebra of LRC on random correlated inputs (methods.md 6): every closed form against the explicit sum over tokens.
#include <gtest/gtest.h>

#include <cmath>

#include "correction/linalg.h"
#include "correction/low_rank_steps.h"
#include "correction/solve.h"
#include "support/solver_case.h"

namespace lrc {
namespace {

using linalg::multiply;
using linalg::subtract;
using linalg::transpose;
using test::random_inputs;
using test::random_matrix;
using test::relative_difference;

// A problem with its explicit X and Y (tokens, in).
struct Problem {
  MatrixD w, x, y;
  SiteStatistics site;

  Problem(std::size_t out, std::size_t in, std::size_t tokens, unsigned seed, double damping = 0.01, ActivationScheme scheme = {})
      : w(random_matrix(out, in, seed)), x(random_inputs(tokens, in, seed + 50)), y(x) {
    SecondMoments moments = moments_in_double(x, scheme);
    if (!scheme.off()) quantize(scheme);
    site = prepare_site(std::move(moments), damping, scheme, "site");
  }

 private:
  // Y in float64, one scale a token.
  void quantize(const ActivationScheme& scheme) {
    const double highest = double((1 << (scheme.bits - 1)) - 1);
    for (std::size_t t = 0; t < x.rows(); ++t) {
      double largest = 0;
      for (std::size_t i = 0; i < x.columns(); ++i) largest = std::max(largest, std::abs(x(t, i)));
      const double scale = 0.9 * largest / highest;
      for (std::size_t i = 0; i < x.columns(); ++i)
        y(t, i) = scale == 0 ? 0 : std::clamp(std::nearbyint(x(t, i) / scale), -highest - 1, highest) * scale;
    }
  }
};

double explicit_loss(const Problem& p, const MatrixD& quantized, const MatrixD& correction) {
  const MatrixD left = multiply(p.x, subtract(p.w, correction), false, true), right = multiply(p.y, quantized, false, true);
  return linalg::squared_norm(subtract(left, right));
}

double regularized_loss(const Problem& p, const MatrixD& quantized, const MatrixD& u, const MatrixD& v) {
  const MatrixD rest = u.empty() ? p.w : subtract(p.w, multiply(u, v, false, true));
  return regularized(output_error(rest, quantized, p.site.moments), rest, quantized, p.site);
}

double sum_from(const std::vector<double>& values, std::size_t from) {
  double sum = 0;
  for (std::size_t i = from; i < values.size(); ++i) sum += values[i];
  return sum;
}

class Identities : public testing::TestWithParam<std::pair<std::size_t, std::size_t>> {
 protected:
  std::size_t out = GetParam().first, in = GetParam().second, smaller = std::min(out, in);
  Problem p{out, in, 20 * in, unsigned(out)};
  MatrixD rtn = quantize_rtn(p.w, {4, 0}, false).dequantize();
};

TEST_P(Identities, LossFromMomentsIsTheLossOverTokens) {
  const MatrixD u = random_matrix(out, 3, 1), v = random_matrix(in, 3, 2), correction = multiply(u, v, false, true);
  const double expected = explicit_loss(p, rtn, correction);
  EXPECT_NEAR(output_error(subtract(p.w, correction), rtn, p.site.moments), expected, 1e-9 * expected);
  const QuantizedWeight q = quantize_rtn(p.w, {4, 0}, false);
  EXPECT_NEAR(layer_loss(p.w, q, correction, p.site.moments), expected, 1e-9 * expected);
  EXPECT_NEAR(layer_loss(p.w, q, {}, p.site.moments), explicit_loss(p, rtn, MatrixD(out, in)), 1e-9 * expected);
  const double norm = linalg::squared_norm(multiply(p.x, p.w, false, true));
  EXPECT_NEAR(output_norm(p.w, p.site.moments), norm, 1e-9 * norm);
}

TEST_P(Identities, LossSplitsIntoQuantizationAndRest) {
  const MatrixD u = random_matrix(out, 3, 1), v = random_matrix(in, 3, 2), rest = subtract(p.w, multiply(u, v, false, true));
  const auto step = retarget(p.w, u, v, p.site);
  const double total = regularized_loss(p, rtn, u, v);
  const MatrixD difference = subtract(step.target, rtn);
  const double split = linalg::trace_of_product(difference, p.site.s_y, difference) + linalg::quadratic_trace(rest, p.site.s_x_given_y);
  EXPECT_NEAR(split, total, 1e-9 * total);
}

TEST_P(Identities, SchurComplementFromTheNoiseForm) {
  const MatrixD direct = subtract(p.site.s_x, multiply(linalg::right_solve_spd(p.site.cholesky_y, p.site.s_xy), p.site.s_xy, false, true));
  EXPECT_LT(relative_difference(p.site.s_x_given_y, direct), 1e-9);
  const Problem undamped(out, in, 20 * in, 3, 0.0);
  EXPECT_EQ(undamped.site.epsilon_x, 0);
  const MatrixD plain = subtract(
      undamped.site.s_x, multiply(linalg::right_solve_spd(undamped.site.cholesky_y, undamped.site.s_xy), undamped.site.s_xy, false, true));
  EXPECT_LT(relative_difference(undamped.site.s_x_given_y, plain), 1e-8);
}

TEST_P(Identities, InitIsTheRelaxedOptimum) {
  for (const std::size_t k : {std::size_t(1), smaller / 3, smaller}) {
    const LowRankFit fit = init_low_rank(p.w, p.site, k);
    ASSERT_EQ(fit.eigenvalues.size(), smaller);
    const auto value = [&](const MatrixD& u, const MatrixD& v) { return regularized_loss(p, retarget(p.w, u, v, p.site).target, u, v); };
    const double scale = sum_from(fit.eigenvalues, 0), optimum = value(fit.u, fit.v);
    EXPECT_NEAR(optimum, sum_from(fit.eigenvalues, k), 1e-9 * scale);
    for (unsigned seed = 0; seed < 5; ++seed) {
      MatrixD u = fit.u, v = fit.v;
      const MatrixD du = random_matrix(out, k, seed), dv = random_matrix(in, k, seed + 9);
      for (std::size_t i = 0; i < u.size(); ++i) u.data()[i] += 0.01 * du.data()[i];
      for (std::size_t i = 0; i < v.size(); ++i) v.data()[i] += 0.01 * dv.data()[i];
      EXPECT_GE(value(u, v), optimum - 1e-9 * scale);
    }
    const auto alone = init_eigenvalues(p.w, p.site);
    for (std::size_t i = 0; i < smaller; ++i) EXPECT_NEAR(alone[i], fit.eigenvalues[i], 1e-10 * scale);
  }
}

TEST_P(Identities, NothingGoesBelowTheBound) {
  const auto eigenvalues = init_eigenvalues(p.w, p.site);
  for (const std::size_t k : {std::size_t(0), std::size_t(2), smaller / 2})
    for (unsigned seed = 0; seed < 4; ++seed) {
      const MatrixD quantized = seed == 0 ? rtn : random_matrix(out, in, seed);
      const LowRankFit fit = update_low_rank(p.w, quantized, p.site, k);
      EXPECT_GE(regularized_loss(p, quantized, fit.u, fit.v), sum_from(eigenvalues, k) * (1 - 1e-9));
    }
}

TEST_P(Identities, UpdateIsTheOptimumForTheseCodes) {
  // The floor that no pair of any rank goes below: tr(Ŵ S_{y|x} Ŵᵀ).
  const MatrixD explained = linalg::right_solve_lower(p.site.cholesky_x, transpose(p.site.s_xy), true);
  MatrixD s_y_given_x = subtract(p.site.s_y, linalg::gram(explained));
  linalg::symmetrize(s_y_given_x);
  for (const MatrixD& quantized : {rtn, random_matrix(out, in, 77)}) {
    const double floor = linalg::quadratic_trace(quantized, s_y_given_x);
    double before = regularized_loss(p, quantized, {}, {});
    const double scale = before;
    for (const std::size_t k : {std::size_t(0), std::size_t(1), smaller / 2, smaller}) {
      const LowRankFit fit = update_low_rank(p.w, quantized, p.site, k);
      const double value = regularized_loss(p, quantized, fit.u, fit.v);
      EXPECT_NEAR(value, floor + sum_from(fit.eigenvalues, k), 1e-9 * scale) << k;
      EXPECT_LE(value, before + 1e-9 * scale);
      before = value;
      EXPECT_LE(value, regularized_loss(p, quantized, random_matrix(out, k, 5), random_matrix(in, k, 6)));
    }
    EXPECT_NEAR(before, floor, 1e-9 * scale);
  }
}

TEST_P(Identities, FullRankExplainsEverything) {
  const LowRankFit fit = init_low_rank(p.w, p.site, smaller);
  EXPECT_LT(relative_difference(multiply(fit.u, fit.v, false, true), p.w), 1e-9);
  const MatrixD target = retarget(p.w, fit.u, fit.v, p.site).target;
  for (const double v : target.flat()) EXPECT_NEAR(v, 0, 1e-9);
}

TEST_P(Identities, ComponentsAreNested) {
  const LowRankFit large = update_low_rank(p.w, rtn, p.site, smaller / 2), small = update_low_rank(p.w, rtn, p.site, 2);
  MatrixD u(out, 2), v(in, 2);
  for (std::size_t i = 0; i < out; ++i) u(i, 0) = large.u(i, 0), u(i, 1) = large.u(i, 1);
  for (std::size_t i = 0; i < in; ++i) v(i, 0) = large.v(i, 0), v(i, 1) = large.v(i, 1);
  EXPECT_LT(relative_difference(multiply(u, v, false, true), multiply(small.u, small.v, false, true)), 1e-8);
}

TEST_P(Identities, ExactUpdateQuantStaysAtTheOptimum) {
  LowRankFit fit = init_low_rank(p.w, p.site, 3);
  const double optimum = sum_from(fit.eigenvalues, 3);
  for (int round = 0; round < 3; ++round) {
    const MatrixD target = retarget(p.w, fit.u, fit.v, p.site).target;
    fit = update_low_rank(p.w, target, p.site, 3);
    EXPECT_NEAR(regularized_loss(p, target, fit.u, fit.v), optimum, 1e-9 * optimum);
  }
}

TEST_P(Identities, WithoutActivationNoise) {
  const Problem exact(out, in, 20 * in, 4, 0.0, {16});
  EXPECT_TRUE(exact.site.unquantized);
  for (const double v : exact.site.s_x_given_y.flat()) EXPECT_NEAR(v, 0, 1e-9 * linalg::trace(exact.site.s_x));
  const MatrixD u = random_matrix(out, 2, 1), v = random_matrix(in, 2, 2), rest = subtract(exact.w, multiply(u, v, false, true));
  EXPECT_LT(relative_difference(retarget(exact.w, u, v, exact.site).target, rest), 1e-9);
  // Update-LR is then the best approximation of W − Ŵ in the norm of S_x: its loss the discarded squared singular values of E L.
  const MatrixD quantized = quantize_rtn(exact.w, {4, 0}, false).dequantize();
  const LowRankFit fit = update_low_rank(exact.w, quantized, exact.site, 2);
  const auto singular = linalg::singular_values(linalg::multiply_lower(subtract(exact.w, quantized), exact.site.cholesky_x));
  double discarded = 0;
  for (std::size_t i = 2; i < singular.size(); ++i) discarded += singular[i] * singular[i];
  EXPECT_NEAR(explicit_loss(exact, quantized, multiply(fit.u, fit.v, false, true)), discarded, 1e-8 * discarded);
  // … and thus not worse than the plain truncation of the residual.
  const auto eigen = linalg::eigen_symmetric(linalg::gram(subtract(exact.w, quantized)));
  MatrixD top(out, 2);
  for (std::size_t i = 0; i < out; ++i) top(i, 0) = eigen.vectors(0, i), top(i, 1) = eigen.vectors(1, i);
  const MatrixD plain = multiply(top, multiply(top, subtract(exact.w, quantized), true));
  EXPECT_LE(discarded, explicit_loss(exact, quantized, plain) * (1 + 1e-9));
}

TEST_P(Identities, DeflationEliminatesU) {
  const MatrixD v = random_matrix(in, 3, 8);
  const auto step = deflated_retarget(p.w, v, p.site, "layer");
  EXPECT_TRUE(linalg::cholesky(step.hessian));
  // min over U of the regularized loss for these codes and this V …
  const auto best_u = [&](const MatrixD& quantized) {
    const MatrixD inner = multiply(v, multiply(p.site.s_x, v), true);
    const MatrixD numerator = multiply(subtract(multiply(p.w, p.site.s_x), multiply(quantized, p.site.s_xy, false, true)), v);
    return linalg::right_solve_spd(*linalg::cholesky(inner), numerator);
  };
  const auto deflated = [&](const MatrixD& quantized) {
    const MatrixD d = subtract(step.target, quantized);
    return linalg::trace_of_product(d, step.hessian, d);
  };
  // … differs from the deflated quadratic by a constant.
  const MatrixD other = random_matrix(out, in, 31);
  const double first = regularized_loss(p, rtn, best_u(rtn), v), second = regularized_loss(p, other, best_u(other), v);
  EXPECT_NEAR(first - deflated(rtn), second - deflated(other), 1e-8 * second);

  const Problem exact(out, in, 20 * in, 4, 0.0, {16});
  const MatrixD killed = multiply(subtract(exact.site.s_y,
                                           [&] {
                                             const MatrixD s_v = multiply(exact.site.s_x, v);
                                             const MatrixD inner = multiply(v, s_v, true);
                                             return multiply(linalg::right_solve_spd(*linalg::cholesky(inner), s_v), s_v, false, true);
                                           }()),
                                  v);
  for (const double value : killed.flat()) EXPECT_NEAR(value, 0, 1e-8 * linalg::trace(exact.site.s_y));
}

TEST_P(Identities, DeflationAcceptsDependentColumns) {
  MatrixD v = random_matrix(in, 3, 8);
  for (std::size_t i = 0; i < in; ++i) v(i, 2) = 2 * v(i, 0);
  MatrixD two(in, 2);
  for (std::size_t i = 0; i < in; ++i) two(i, 0) = v(i, 0), two(i, 1) = v(i, 1);
  const auto a = deflated_retarget(p.w, v, p.site, "layer"), b = deflated_retarget(p.w, two, p.site, "layer");
  EXPECT_LT(relative_difference(a.hessian, b.hessian), 1e-9);
  EXPECT_LT(relative_difference(a.target, b.target), 1e-8);
  EXPECT_LT(relative_difference(deflated_retarget(p.w, MatrixD(in, 2), p.site, "layer").target, retarget(p.w, {}, {}, p.site).target),
            1e-9);
}

TEST_P(Identities, RotationAndScaleEquivariance) {
  // X → X R and Y → Y R for an orthogonal R, W → W R: the product turns with them and the loss stays.
  const MatrixD r = linalg::eigen_symmetric(linalg::gram(random_matrix(in, in, 3))).vectors;
  const auto turned = [&](const MatrixD& s) { return multiply(multiply(r, s, true), r); };
  SecondMoments moments = p.site.moments;
  moments.s_y = turned(moments.s_y);
  moments.s_ey = turned(moments.s_ey);
  moments.s_e = turned(moments.s_e);
  const SiteStatistics site = prepare_site(moments, 0.01, {}, "turned");
  const LowRankFit plain = init_low_rank(p.w, p.site, 2), other = init_low_rank(multiply(p.w, r), site, 2);
  EXPECT_LT(relative_difference(multiply(other.u, other.v, false, true), multiply(multiply(plain.u, plain.v, false, true), r)), 1e-7);
  EXPECT_NEAR(sum_from(other.eigenvalues, 0), sum_from(plain.eigenvalues, 0), 1e-9 * sum_from(plain.eigenvalues, 0));

  // Output side: W → P W.
  const MatrixD o = linalg::eigen_symmetric(linalg::gram(random_matrix(out, out, 4))).vectors;
  const LowRankFit outer = init_low_rank(multiply(o, p.w), p.site, 2);
  EXPECT_LT(relative_difference(multiply(outer.u, outer.v, false, true), multiply(o, multiply(plain.u, plain.v, false, true))), 1e-7);

  MatrixD scaled = p.w;
  for (double& v : scaled.flat()) v *= 3;
  const LowRankFit tripled = init_low_rank(scaled, p.site, 2);
  MatrixD expected = multiply(plain.u, plain.v, false, true);
  for (double& v : expected.flat()) v *= 3;
  EXPECT_LT(relative_difference(multiply(tripled.u, tripled.v, false, true), expected), 1e-8);
  for (std::size_t i = 0; i < smaller; ++i) EXPECT_NEAR(tripled.eigenvalues[i], 9 * plain.eigenvalues[i], 1e-9 * tripled.eigenvalues[0]);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Identities,
                         testing::Values(std::pair<std::size_t, std::size_t>{40, 24}, std::pair<std::size_t, std::size_t>{24, 40},
                                         std::pair<std::size_t, std::size_t>{32, 32}));

}  // namespace
}  // namespace lrc

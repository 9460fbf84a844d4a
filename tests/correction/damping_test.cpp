// What damping toward the original means: tokens with Y = X along every axis, as many and as large as the damping says.
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
using test::random_inputs;
using test::random_matrix;
using test::relative_difference;

constexpr std::size_t kOut = 20, kIn = 28, kTokens = 500;
const Damping kTowardOriginal{0.02, DampingToward::original};

SecondMoments moments() { return moments_in_double(random_inputs(kTokens, kIn, 3), {}); }

/// The same moments with the tokens added by hand: x = y = √ε e_i.
SecondMoments with_tokens(SecondMoments m, double epsilon) {
  linalg::add_to_diagonal(m.s_y, epsilon);
  return m;
}

SolveRequest request_of(const MatrixD& w, const SiteStatistics& site, const LayerScheme& scheme) {
  static const std::string layer = "layer";
  return {w, site, scheme, layer};
}

LayerScheme scheme_of(std::size_t rank) {
  LayerScheme scheme;
  scheme.rank = rank;
  scheme.damping_toward = DampingToward::original;
  scheme.store_rounded = false;
  return scheme;
}

TEST(DampingTowardOriginal, IsTheSolutionWithTheTokensAdded) {
  const MatrixD w = random_matrix(kOut, kIn, 1);
  const SiteStatistics damped = prepare_site(moments(), kTowardOriginal, {}, "site");
  EXPECT_EQ(damped.epsilon_y, 0);
  EXPECT_GT(damped.epsilon_tokens, 0);
  const SiteStatistics added = prepare_site(with_tokens(moments(), damped.epsilon_tokens), {0.0}, {}, "site");
  for (const bool deflate : {false, true}) {
    LayerScheme scheme = scheme_of(4);
    scheme.deflate = deflate;
    const LayerSolution a = solve_layer(request_of(w, damped, scheme), {}), b = solve_layer(request_of(w, added, scheme), {});
    EXPECT_LT(relative_difference(a.target, b.target), 1e-6);
    EXPECT_EQ(a.weight.codes, b.weight.codes);
    EXPECT_LT(relative_difference(multiply(a.u, a.v, false, true), multiply(b.u, b.v, false, true)), 1e-6);
    EXPECT_NEAR(a.losses.loss_regularized / b.losses.loss_regularized, 1, 1e-6) << "the tokens are part of what is minimised";
    EXPECT_NEAR(a.losses.lower_bound / b.losses.lower_bound, 1, 1e-6);
    EXPECT_LT(a.losses.loss, b.losses.loss) << "but not of the loss that is shown";
  }
}

TEST(DampingTowardOriginal, BoundsTheRegularizedLossAtEveryRank) {
  const MatrixD w = random_matrix(kOut, kIn, 1);
  const SiteStatistics site = prepare_site(moments(), kTowardOriginal, {}, "site");
  double before = INFINITY;
  for (const std::size_t rank : {0, 1, 3, 8, 20}) {
    const LayerSolution solution = solve_layer(request_of(w, site, scheme_of(rank)), {});
    EXPECT_LE(solution.losses.lower_bound, solution.losses.loss_regularized * (1 + 1e-12)) << rank;
    EXPECT_LE(solution.losses.lower_bound, before);
    before = solution.losses.lower_bound;
  }
}

TEST(DampingTowardOriginal, LeavesWhatCalibrationNeverShowedAsItWas) {
  // The last four channels are never used.
  MatrixD x = random_inputs(kTokens, kIn, 3);
  for (std::size_t t = 0; t < kTokens; ++t)
    for (std::size_t i = kIn - 4; i < kIn; ++i) x(t, i) = 0;
  const MatrixD w = random_matrix(kOut, kIn, 1);
  const auto unseen_error = [&](DampingToward toward) {
    LayerScheme scheme = scheme_of(3);
    scheme.damping_toward = toward;
    const SiteStatistics site = prepare_site(moments_in_double(x, {}), {0.01, toward}, {}, "site");
    const LayerSolution solution = solve_layer(request_of(w, site, scheme), {});
    const MatrixD left = subtract(subtract(w, multiply(solution.u, solution.v, false, true)), solution.weight.dequantize());
    double error = 0, all = 0;
    for (std::size_t r = 0; r < kOut; ++r)
      for (std::size_t i = kIn - 4; i < kIn; ++i) {
        error += left(r, i) * left(r, i);
        all += w(r, i) * w(r, i);
      }
    return error / all;
  };
  EXPECT_GT(unseen_error(DampingToward::zero), 0.5) << "a ridge takes W away there";
  EXPECT_LT(unseen_error(DampingToward::original), 0.05) << "what rounding leaves";
}

TEST(DampingTowardOriginal, FloatActivationsStillGiveASubspace) {
  ActivationScheme off;
  off.bits = 16;
  const MatrixD w = random_matrix(kOut, kIn, 1);
  const SiteStatistics site = prepare_site(moments_in_double(random_inputs(kTokens, kIn, 3), off), kTowardOriginal, off, "site");
  const LayerSolution corrected = solve_layer(request_of(w, site, scheme_of(5)), {}),
                      plain = solve_layer(request_of(w, site, scheme_of(0)), {});
  EXPECT_LT(corrected.losses.loss, plain.losses.loss);
}

TEST(DampingTowardOriginal, IsTriedAgainWithMore) {
  // One token: no factor without damping.
  const SiteStatistics site = prepare_site(moments_in_double(random_inputs(1, kIn, 3), {}), {0.0, DampingToward::original}, {}, "site");
  EXPECT_GT(site.damping, 0);
  EXPECT_NEAR(site.s_xy(2, 2), site.moments.s_xy()(2, 2) + site.epsilon_tokens, 1e-12);
}

}  // namespace
}  // namespace lrc

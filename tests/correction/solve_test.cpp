// What solve_layer promises beyond the closed forms: stored precision, best round, baselines, curves, edges, errors.
#include "correction/solve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "correction/linalg.h"
#include "correction/low_rank_steps.h"
#include "support/solver_case.h"
#include "tensor/dtype.h"

namespace lrc {
namespace {

using test::random_inputs;
using test::random_matrix;

LayerScheme lrc_scheme(std::size_t rank, bool rounded = true) {
  LayerScheme scheme;
  scheme.rank = rank;
  scheme.store_rounded = rounded;
  return scheme;
}

SiteStatistics site_of(const MatrixD& x, const ActivationScheme& activation = {}, double damping = 0.01) {
  return prepare_site(moments_in_double(x, activation), damping, activation, "blk.0.attn_in");
}

LayerSolution solve(const MatrixD& w, const SiteStatistics& site, const LayerScheme& scheme, bool curves = true) {
  return solve_layer({w, site, scheme, "blk.0.attn_q", curves}, {});
}

std::string sentence_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(SolveLayer, StoredNumbersAreHalfPrecisionAndTheLossesAreTheirs) {
  const MatrixD w = random_matrix(40, 32, 1);
  const SiteStatistics site = site_of(random_inputs(600, 32, 2));
  const LayerSolution solution = solve(w, site, lrc_scheme(5));
  ASSERT_EQ(solution.pair.rank(), 5u);
  for (const MatrixF* factor : {&solution.pair.u, &solution.pair.v})
    for (const float v : factor->flat()) ASSERT_EQ(round_to_half(v), v);
  for (const double s : solution.weight.scales.flat()) ASSERT_EQ(double(round_to_half(float(s))), s);
  EXPECT_TRUE(solution.u.empty());
  EXPECT_TRUE(solution.target.empty());
  const double loss = layer_loss(w, solution.weight, product(solution.pair), site.moments);
  EXPECT_DOUBLE_EQ(solution.losses.loss, loss);
  EXPECT_GE(solution.losses.loss_regularized, solution.losses.lower_bound);
  EXPECT_GT(solution.losses.loss_uncorrected, solution.losses.loss);
  // Rounding costs next to nothing.
  const LayerSolution exact = solve(w, site, lrc_scheme(5, false));
  EXPECT_NEAR(solution.losses.loss_regularized, exact.losses.loss_regularized, 0.02 * exact.losses.loss_regularized);
  EXPECT_TRUE(exact.pair.empty());
  // Components are balanced, so that neither factor leaves float16.
  for (std::size_t k = 0; k < 5; ++k) {
    double u = 0, v = 0;
    for (std::size_t i = 0; i < 40; ++i) u += exact.u(i, k) * exact.u(i, k);
    for (std::size_t i = 0; i < 32; ++i) v += exact.v(i, k) * exact.v(i, k);
    EXPECT_NEAR(u, v, 1e-9 * u);
  }
}

TEST(SolveLayer, TheFirstComponentsAreTheBestOfTheirRank) {
  const MatrixD w = random_matrix(30, 44, 1);
  const SiteStatistics site = site_of(random_inputs(900, 44, 2));
  const LayerSolution solution = solve(w, site, lrc_scheme(8, false));
  for (std::size_t k = 0; k <= 8; ++k) {
    MatrixD correction(30, 44);
    for (std::size_t c = 0; c < k; ++c)
      for (std::size_t i = 0; i < 30; ++i)
        for (std::size_t j = 0; j < 44; ++j) correction(i, j) += solution.u(i, c) * solution.v(j, c);
    const MatrixD rest = linalg::subtract(w, correction), quantized = solution.weight.dequantize();
    const double value = regularized(output_error(rest, quantized, site.moments), rest, quantized, site);
    EXPECT_NEAR(value, solution.curves.same_codes_by_rank[k], 1e-9 * value) << k;
  }
}

TEST(SolveLayer, CurvesBoundEachOther) {
  for (const auto& [method, rank] : std::vector<std::pair<std::string, std::size_t>>{{"rtn", 0}, {"gptq", 0}, {"lrc", 0}, {"lrc", 4}}) {
    const MatrixD w = random_matrix(24, 36, 1);
    const SiteStatistics site = site_of(random_inputs(700, 36, 2));
    LayerScheme scheme = lrc_scheme(rank);
    scheme.method = method;
    const LayerSolution solution = solve(w, site, scheme);
    const RankCurves& curves = solution.curves;
    ASSERT_EQ(curves.eigenvalues.size(), 24u);
    ASSERT_EQ(curves.lower_bound_by_rank.size(), 25u);
    ASSERT_EQ(curves.same_codes_by_rank.size(), 25u);
    ASSERT_EQ(curves.weight_error_singular_values.size(), 24u);
    for (std::size_t k = 0; k < 24; ++k) {
      EXPECT_GE(curves.lower_bound_by_rank[k], curves.lower_bound_by_rank[k + 1]);
      EXPECT_GE(curves.same_codes_by_rank[k], curves.same_codes_by_rank[k + 1]);
      EXPECT_GE(curves.same_codes_by_rank[k], curves.lower_bound_by_rank[k] * (1 - 1e-9));
      EXPECT_GE(curves.eigenvalues[k == 0 ? 0 : k - 1], curves.eigenvalues[k]);
    }
    EXPECT_EQ(curves.same_codes_by_rank[rank], solution.losses.loss_regularized) << method;
    EXPECT_EQ(curves.lower_bound_by_rank[rank], solution.losses.lower_bound);
    const LayerSolution blind = solve(w, site, scheme, false);
    EXPECT_EQ(blind.weight, solution.weight);
    EXPECT_EQ(blind.pair, solution.pair);
    EXPECT_TRUE(blind.curves.eigenvalues.empty());
    EXPECT_NEAR(blind.losses.lower_bound, solution.losses.lower_bound, 1e-9 * solution.losses.lower_bound);
  }
}

TEST(SolveLayer, TheBestRoundIsKept) {
  int later_is_worse = 0;
  for (unsigned seed = 0; seed < 8; ++seed) {
    const MatrixD w = random_matrix(20, 16, seed);
    const SiteStatistics site = site_of(random_inputs(300, 16, seed + 20));
    double before = INFINITY;
    for (const int rounds : {2, 4, 8}) {
      LayerScheme scheme = lrc_scheme(2, false);
      scheme.iterations = rounds;
      const LayerSolution solution = solve(w, site, scheme);
      const auto& losses = solution.losses;
      ASSERT_EQ(losses.of_each_round.size(), std::size_t(rounds));
      const auto best = std::min_element(losses.of_each_round.begin(), losses.of_each_round.end());
      EXPECT_EQ(losses.best_round, best - losses.of_each_round.begin() + 1);
      EXPECT_NEAR(losses.loss_regularized, *best, 1e-10 * *best);
      EXPECT_LE(losses.loss_regularized, before * (1 + 1e-10));
      before = losses.loss_regularized;
      later_is_worse += losses.best_round != rounds;
    }
  }
  EXPECT_GT(later_is_worse, 0);  // otherwise this test would not see the last round being taken
}

TEST(SolveLayer, MethodsAreOrderedByLoss) {
  double rtn = 0, gptq = 0, retargeted = 0, corrected = 0;
  for (unsigned seed = 0; seed < 6; ++seed) {
    const MatrixD w = random_matrix(48, 40, seed);
    const SiteStatistics site = site_of(random_inputs(1000, 40, seed + 20));
    const auto loss = [&](const std::string& method, std::size_t rank) {
      LayerScheme scheme = lrc_scheme(rank);
      scheme.method = method;
      const LayerSolution s = solve(w, site, scheme);
      const double of_activations = output_error(w, w, site.moments);  // ‖W X − W Y‖²
      EXPECT_NEAR(s.losses.activations_only, of_activations, 1e-9 * of_activations);
      return s.losses.loss / s.losses.norm_wx;
    };
    rtn += loss("rtn", 0);
    gptq += loss("gptq", 0);
    retargeted += loss("lrc", 0);
    corrected += loss("lrc", 4);
  }
  EXPECT_LT(gptq, rtn);
  EXPECT_LT(retargeted, gptq);
  EXPECT_LT(corrected, 0.8 * retargeted);
}

TEST(SolveLayer, UncorrectedLossesAreThoseOfGptq) {
  const MatrixD w = random_matrix(24, 36, 1);
  const SiteStatistics site = site_of(random_inputs(700, 36, 2));
  LayerScheme scheme = lrc_scheme(0);
  scheme.method = "gptq";
  const LayerLosses gptq = solve(w, site, scheme).losses, corrected = solve(w, site, lrc_scheme(3)).losses;
  EXPECT_EQ(gptq.loss, gptq.loss_uncorrected);
  EXPECT_DOUBLE_EQ(corrected.loss_uncorrected, gptq.loss);
  EXPECT_DOUBLE_EQ(corrected.weights_only, gptq.weights_only);
  EXPECT_EQ(gptq.of_each_round, std::vector<double>{gptq.loss_regularized});
}

TEST(SolveLayer, EdgesOfTheData) {
  for (const bool deflate : {false, true})
    for (const auto& [out, in, tokens] :
         std::vector<std::array<std::size_t, 3>>{{12, 16, 200}, {16, 12, 5}, {1, 8, 40}, {8, 1, 40}, {3, 20, 1}}) {
      MatrixD w = random_matrix(out, in, 1), x = random_inputs(tokens, in, 2);
      if (tokens > 10)
        for (std::size_t i = 0; i < in; ++i) x(3, i) = 0;  // a zero token
      if (in > 4)
        for (std::size_t t = 0; t < tokens; ++t) x(t, 4) = 0;  // a dead channel
      if (out > 4)
        for (std::size_t i = 0; i < in; ++i) w(4, i) = 0;  // a zero row
      const SiteStatistics site = site_of(x);
      for (const std::size_t rank : {std::size_t(0), std::size_t(1), std::min(out, in)}) {
        LayerScheme scheme = lrc_scheme(rank);
        scheme.deflate = deflate;
        const LayerSolution solution = solve(w, site, scheme);
        EXPECT_TRUE(std::isfinite(solution.losses.loss));
        EXPECT_GE(solution.losses.loss_regularized, solution.losses.lower_bound * (1 - 1e-6));
        for (const float v : solution.pair.u.flat()) ASSERT_TRUE(std::isfinite(v));
        for (const float v : solution.pair.v.flat()) ASSERT_TRUE(std::isfinite(v));
        for (std::size_t r = 0; r < out; ++r)
          for (std::size_t c = 0; c < in; ++c) {
            const bool nothing = (in > 4 && c == 4) || (out > 4 && r == 4);
            EXPECT_TRUE(!nothing || solution.weight.codes[r * in + c] == 0) << r << ", " << c;
          }
      }
    }
}

TEST(SolveLayer, ZeroWeightAndNoNoise) {
  const MatrixD x = random_inputs(200, 16, 2);
  const LayerSolution zero = solve(MatrixD(8, 16), site_of(x), lrc_scheme(3));
  EXPECT_EQ(zero.losses.loss, 0);
  EXPECT_EQ(zero.losses.norm_wx, 0);
  for (const auto code : zero.weight.codes) EXPECT_EQ(code, 0);
  const ActivationScheme off{16};
  LayerScheme scheme = lrc_scheme(2);
  scheme.activation = off;
  const LayerSolution weight_only = solve(random_matrix(8, 16, 1), site_of(x, off), scheme);
  EXPECT_EQ(weight_only.losses.activations_only, 0);
  EXPECT_LT(weight_only.losses.loss, weight_only.losses.loss_uncorrected);
}

TEST(SolveLayer, ErrorsNameTheLayer) {
  MatrixD w = random_matrix(8, 12, 1);
  const SiteStatistics site = site_of(random_inputs(200, 12, 2));
  const auto sentence = [&](LayerScheme scheme) { return sentence_of([&] { solve(w, site, scheme); }); };
  LayerScheme rank = lrc_scheme(9), group = lrc_scheme(2), rounds = lrc_scheme(2), factors = lrc_scheme(2), skipped = lrc_scheme(2),
              bits = lrc_scheme(2), asymmetric = lrc_scheme(2), gptq = lrc_scheme(2), damping = lrc_scheme(2);
  group.weight.group_size = 5;
  rounds.iterations = 0;
  factors.drift = 2;
  skipped.skipped = true;
  bits.weight.bits = 1;
  asymmetric.weight = {8, 0, false};
  gptq.method = "gptq";
  damping.gptq_damping = -1;
  for (const auto& scheme : {rank, group, rounds, factors, skipped, bits, asymmetric, gptq, damping})
    EXPECT_EQ(sentence(scheme).find("blk.0.attn_q: "), 0u) << sentence(scheme);
  EXPECT_THAT(sentence(rank), testing::HasSubstr("rank 9 is more than the smaller side of its 8 × 12 weight; choose 8 or less"));
  LayerScheme unknown = lrc_scheme(1);
  unknown.method = "magic";
  EXPECT_THAT(sentence(unknown), testing::HasSubstr("\"magic\"; choose one of rtn, gptq, svd"));
  w(3, 5) = NAN;
  EXPECT_THAT(sentence(lrc_scheme(2)), testing::HasSubstr("blk.0.attn_q: the weight holds NaN or infinity in row 3, column 5"));
  w = random_matrix(8, 10, 1);
  EXPECT_THAT(sentence(lrc_scheme(2)), testing::HasSubstr("blk.0.attn_q: it reads 10 features"));
}

TEST(SolveLayer, StopsWhenAsked) {
  const MatrixD w = random_matrix(8, 12, 1);
  const SiteStatistics site = site_of(random_inputs(200, 12, 2));
  std::stop_source source;
  source.request_stop();
  const LayerScheme scheme = lrc_scheme(2);
  try {
    solve_layer({w, site, scheme, "layer", true}, source.get_token());
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::stopped);
  }
}

TEST(SolveLayer, DoesNotDependOnThreads) {
  const MatrixD w = random_matrix(260, 210, 1), x = random_inputs(500, 210, 2);
  LayerScheme scheme = lrc_scheme(20);
  scheme.deflate = true;
  std::vector<LayerSolution> solutions;
  for (const int threads : {1, 2, 3}) {
    set_thread_count(threads);
    solutions.push_back(solve(w, site_of(x), scheme));
  }
  set_thread_count(0);
  for (std::size_t i = 1; i < solutions.size(); ++i) {
    EXPECT_EQ(solutions[i].weight, solutions[0].weight);
    EXPECT_EQ(solutions[i].pair, solutions[0].pair);
    EXPECT_EQ(solutions[i].losses.loss, solutions[0].losses.loss);
    EXPECT_EQ(solutions[i].curves.same_codes_by_rank, solutions[0].curves.same_codes_by_rank);
  }
  // Several layers at once, as the runner does it.
  std::vector<LayerSolution> parallel(4);
  const SiteStatistics site = site_of(x);
  parallel_for(4, 1, [&](std::size_t begin, std::size_t) { parallel[begin] = solve(w, site, scheme); });
  for (const auto& solution : parallel) EXPECT_EQ(solution.weight, solutions[0].weight);
}

TEST(PrepareSite, ErrorsNameTheSite) {
  const MatrixD x = random_inputs(50, 8, 1);
  SecondMoments moments = moments_in_double(x, {});
  moments.s_ey(2, 3) = NAN;
  EXPECT_EQ(sentence_of([&] { prepare_site(moments, 0.01, {}, "blk.7.ffn_in"); }).find("blk.7.ffn_in: "), 0u);
  EXPECT_EQ(sentence_of([&] { prepare_site({}, 0.01, {}, "blk.7.ffn_in"); }).find("blk.7.ffn_in: no calibration token"), 0u);
  EXPECT_EQ(sentence_of([&] { site_of(MatrixD(20, 6)); }).find("blk.0.attn_in: every calibration token is zero"), 0u);
  EXPECT_EQ(sentence_of([&] { site_of(x, {}, -0.5); }).find("blk.0.attn_in: the damping"), 0u);
}

TEST(PrepareSite, DampsMoreWhereAFactorizationFails) {
  const SiteStatistics site = site_of(random_inputs(5, 12, 1), {}, 0.0);  // fewer tokens than channels
  EXPECT_GT(site.damping, 0);
  EXPECT_GT(site.epsilon_x, 0);
  EXPECT_TRUE(std::isfinite(solve(random_matrix(6, 12, 3), site, lrc_scheme(2)).losses.loss));
  EXPECT_EQ(site_of(random_inputs(500, 12, 1), {}, 0.0).damping, 0);
}

TEST(RankOfFraction, RoundsDown) {
  EXPECT_EQ(rank_of_fraction(0.1, RankRule::min_dimension, 1536, 576), 57u);
  EXPECT_EQ(rank_of_fraction(0.1, RankRule::min_dimension, 4096, 1024), 102u);
  EXPECT_EQ(rank_of_fraction(0.3, RankRule::min_dimension, 4096, 11008), 1228u);
  EXPECT_EQ(rank_of_fraction(0.29, RankRule::min_dimension, 100, 100), 29u);
  EXPECT_EQ(rank_of_fraction(0.1, RankRule::parameters, 11008, 4096), 298u);
  EXPECT_EQ(rank_of_fraction(0.3, RankRule::parameters, 4096, 4096), 614u);
  EXPECT_EQ(rank_of_fraction(0.0, RankRule::min_dimension, 100, 100), 0u);
  EXPECT_EQ(rank_of_fraction(0.001, RankRule::min_dimension, 100, 100), 1u);
  EXPECT_EQ(rank_of_fraction(7, RankRule::parameters, 100, 50), 50u);
  EXPECT_EQ(rank_of_fraction(-1, RankRule::min_dimension, 100, 100), 0u);
  EXPECT_EQ(rank_of_fraction(NAN, RankRule::min_dimension, 100, 100), 0u);
}

TEST(LayerSizes, CountCodesScalesAndFactors) {
  LayerScheme scheme = lrc_scheme(409);
  const LayerSize row = layer_size(scheme, 4096, 4096);
  EXPECT_EQ(row.code_bits, 4u * 4096 * 4096);
  EXPECT_EQ(row.scale_bits, 16u * 4096);
  EXPECT_EQ(row.factor_bits, 16u * 409 * 8192);
  EXPECT_NEAR(row.bits_per_weight(4096 * 4096), 4 + 3.2 + 16.0 / 4096, 0.01);
  scheme.weight.group_size = 128;
  EXPECT_EQ(layer_size(scheme, 4096, 4096).scale_bits, 16u * 4096 * 32);
  scheme.skipped = true;
  EXPECT_EQ(layer_size(scheme, 10, 20).bits_per_weight(200), 16);
}

TEST(Methods, AreListedOnce) {
  for (const SolveMethod& method : methods()) {
    EXPECT_EQ(&find_method(method.name), &method);
    EXPECT_FALSE(method.title.empty());
    EXPECT_EQ(method.explanation.back(), '.');
  }
}

}  // namespace
}  // namespace lrc

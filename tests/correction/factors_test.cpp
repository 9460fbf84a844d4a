// Corrections in other formats, on other inputs and behind a quantized prefix (methods.md 6: 11, 13, 24 to 27).
#include <gtest/gtest.h>

#include <cmath>

#include "correction/linalg.h"
#include "correction/low_rank_steps.h"
#include "correction/methods.h"
#include "quantization/activation.h"
#include "support/solver_case.h"
#include "tensor/dtype.h"

namespace lrc {
namespace {

using linalg::multiply;
using linalg::subtract;
using test::random_inputs;
using test::random_matrix;
using test::relative_difference;

struct Layer {
  MatrixD w, x;
  SiteStatistics site;
  Layer(std::size_t out, std::size_t in, unsigned seed, double damping = 0.01, ActivationScheme scheme = {})
      : w(random_matrix(out, in, seed)),
        x(random_inputs(20 * in, in, seed + 50)),
        site(prepare_site(moments_in_double(x, scheme, 3), damping, scheme, "site")) {}
  LayerSolution solve(LayerScheme scheme) const { return solve_layer({w, site, scheme, "layer"}, {}); }
};

LayerScheme scheme_of(const std::string& method, std::size_t rank, bool stored = false) {
  LayerScheme scheme;
  scheme.method = method;
  scheme.rank = rank;
  scheme.store_rounded = stored;
  scheme.pair_input = find_method(method).pair_input;
  return scheme;
}

MatrixD product_of(const LayerSolution& s) { return multiply(s.u, s.v, false, true); }

double sum_from(const std::vector<double>& values, std::size_t from) {
  double sum = 0;
  for (std::size_t i = from; i < values.size(); ++i) sum += values[i];
  return sum;
}

TEST(Residual, SvdLeavesTheDiscardedSingularValues) {
  for (const auto& [out, in] : {std::pair<std::size_t, std::size_t>{40, 24}, {24, 40}}) {
    const Layer layer(out, in, 1);
    const LayerSolution s = layer.solve(scheme_of("svd", 5));
    const MatrixD error = subtract(layer.w, s.weight.dequantize());
    const auto values = linalg::singular_values(error);
    double expected = 0;
    for (std::size_t i = 5; i < values.size(); ++i) expected += values[i] * values[i];
    EXPECT_NEAR(linalg::squared_norm(subtract(error, product_of(s))), expected, 1e-9 * expected);
    EXPECT_LT(relative_difference(product_of(layer.solve(scheme_of("lqer", 5))), product_of(s)), 1e-9);
  }
}

TEST(Residual, L2qerIsTheSvdOfTheScaledErrorAndGlobalScalesDropOut) {
  Layer layer(30, 22, 2);
  const LayerSolution s = layer.solve(scheme_of("l2qer", 4));
  const auto scale = l2qer_scales(layer.site.moments.channels, "layer");
  MatrixD error = subtract(layer.w, s.weight.dequantize()), rest = subtract(error, product_of(s));
  for (std::size_t r = 0; r < 30; ++r)
    for (std::size_t i = 0; i < 22; ++i) {
      error(r, i) *= scale[i];
      rest(r, i) *= scale[i];
    }
  const auto values = linalg::singular_values(error);
  double expected = 0;
  for (std::size_t i = 4; i < values.size(); ++i) expected += values[i] * values[i];
  EXPECT_NEAR(linalg::squared_norm(rest), expected, 1e-9 * expected);

  for (double& v : layer.site.moments.channels.largest_batch_mean) v *= 7;
  EXPECT_LT(relative_difference(product_of(layer.solve(scheme_of("l2qer", 4))), product_of(s)), 1e-9);
  // Batches count: their largest mean is not the mean of all.
  const SecondMoments whole = moments_in_double(layer.x, {}, 1), cut = moments_in_double(layer.x, {}, 5);
  for (std::size_t i = 0; i < 22; ++i) {
    EXPECT_GT(cut.channels.largest_batch_mean[i], whole.channels.largest_batch_mean[i]);
    EXPECT_NEAR(whole.channels.sum_of_magnitudes[i], cut.channels.sum_of_magnitudes[i], 1e-9 * whole.channels.sum_of_magnitudes[i]);
  }
}

TEST(Residual, QeraByAnySquareRootAndItsError) {
  const Layer layer(28, 36, 3, 0.01, {16});
  const LayerSolution s = layer.solve(scheme_of("qera", 6));
  const MatrixD error = subtract(layer.w, s.weight.dequantize());
  // The symmetric root instead of the Cholesky factor.
  const auto eigen = linalg::eigen_symmetric(layer.site.s_x);
  MatrixD scaled = eigen.vectors, inverse = eigen.vectors;
  for (std::size_t k = 0; k < 36; ++k)
    for (std::size_t i = 0; i < 36; ++i) {
      scaled(k, i) *= std::sqrt(eigen.values[k]);
      inverse(k, i) /= std::sqrt(eigen.values[k]);
    }
  const MatrixD root = multiply(eigen.vectors, scaled, true), inverse_root = multiply(eigen.vectors, inverse, true);
  const MatrixD weighted = multiply(error, root);
  const auto left = linalg::eigen_symmetric(linalg::gram(weighted));
  MatrixD u(28, 6);
  for (std::size_t k = 0; k < 6; ++k)
    for (std::size_t i = 0; i < 28; ++i) u(i, k) = left.vectors(k, i);
  const MatrixD other = multiply(multiply(u, multiply(u, weighted, true)), inverse_root);
  EXPECT_LT(relative_difference(product_of(s), other), 1e-8);
  const double rest = linalg::quadratic_trace(subtract(error, product_of(s)), layer.site.s_x);
  EXPECT_NEAR(rest, sum_from(left.values, 6), 1e-9 * rest);
}

TEST(Residual, OrderingInTheOutputMetric) {
  for (unsigned seed = 10; seed < 16; ++seed) {
    const Layer layer(32, 24, seed, 1e-9, {16});
    const auto loss = [&](const char* method) { return layer.solve(scheme_of(method, 4)).losses.loss; };
    const double exact = loss("qera");
    EXPECT_LE(exact, loss("qera-diagonal") * (1 + 1e-6));
    EXPECT_LE(exact, loss("svd") * (1 + 1e-6));
    EXPECT_LE(exact, loss("l2qer") * (1 + 1e-6));
  }
}

TEST(Residual, DiagonalMomentsMakeQeraDiagonal) {
  Layer layer(20, 16, 5, 0, {16});
  SecondMoments moments = layer.site.moments;
  for (std::size_t i = 0; i < 16; ++i)
    for (std::size_t j = 0; j < 16; ++j)
      if (i != j) moments.s_y(i, j) = 0;
  layer.site = prepare_site(moments, 0, {16}, "site");
  EXPECT_LT(relative_difference(product_of(layer.solve(scheme_of("qera", 3))), product_of(layer.solve(scheme_of("qera-diagonal", 3)))),
            1e-9);
}

// Y = X: LRC's Update-LR is QERA.
TEST(Residual, UpdateWithoutActivationNoiseIsQera) {
  const Layer layer(26, 30, 6, 0.01, {16});
  const LayerSolution s = layer.solve(scheme_of("qera", 5));
  const LowRankFit fit = update_low_rank(layer.w, s.weight.dequantize(), layer.site, 5);
  // Update-LR damps the correction's target as well: the two agree where Ŵ is damped towards W.
  const Layer bare(26, 30, 6, 1e-12, {16});
  const LayerSolution t = bare.solve(scheme_of("qera", 5));
  const LowRankFit undamped = update_low_rank(bare.w, t.weight.dequantize(), bare.site, 5);
  EXPECT_LT(relative_difference(multiply(undamped.u, undamped.v, false, true), product_of(t)), 1e-5);
  EXPECT_GT(relative_difference(multiply(fit.u, fit.v, false, true), product_of(t)), 1e-5);
}

TEST(Residual, PairOnTheQuantizedActivationIsMeasuredThere) {
  const Layer layer(24, 20, 7);
  LayerScheme scheme = scheme_of("lqer", 4);
  const LayerSolution on_codes = layer.solve(scheme);
  const MatrixF single = convert<float>(layer.x);
  MatrixF y(layer.x.rows(), 20);
  fake_quantize_activations(single.data(), y.rows(), 20, {}, y.data());
  const MatrixD w_hat = on_codes.weight.dequantize(), correction = product_of(on_codes);
  MatrixD both = w_hat;
  for (std::size_t i = 0; i < both.size(); ++i) both.data()[i] += correction.data()[i];
  const MatrixD target = multiply(layer.x, layer.w, false, true);
  const double expected = linalg::squared_norm(subtract(target, multiply(convert<double>(y), both, false, true)));
  EXPECT_NEAR(on_codes.losses.loss, expected, 1e-5 * expected);
  EXPECT_NEAR(layer_loss(layer.w, on_codes.weight, correction, layer.site.moments, PairInput::quantized), on_codes.losses.loss,
              1e-12 * expected);
  scheme.pair_input = PairInput::unquantized;
  EXPECT_GT(std::abs(layer.solve(scheme).losses.loss - on_codes.losses.loss), 1e-4 * expected);
  EXPECT_GE(on_codes.losses.loss_regularized, on_codes.losses.lower_bound);
}

TEST(Residual, BaseMayBeGptq) {
  const Layer layer(24, 20, 8);
  LayerScheme scheme = scheme_of("svd", 3);
  scheme.base = "gptq";
  EXPECT_EQ(layer.solve(scheme).weight, layer.solve(scheme_of("gptq", 0)).weight);
  EXPECT_NE(layer.solve(scheme).weight, layer.solve(scheme_of("svd", 3)).weight);
}

TEST(Factors, NamesAreReadBack) {
  for (const char* text : {"fp16", "int8", "mxint8", "mxint6", "mxint8/32", "mxint8/16-across", "mxint4/32-across"}) {
    ASSERT_TRUE(factor_scheme(text)) << text;
    EXPECT_EQ(to_string(*factor_scheme(text)), text);
  }
  for (const char* text : {"", "fp8", "int4", "mxint", "mxint9", "mxint8/", "mxint8/0", "mxint8/x", "mxint8 "})
    EXPECT_FALSE(factor_scheme(text)) << text;
}

TEST(Factors, CodesAreWithinHalfAStepAndDecodeToHalfPrecision) {
  const MatrixD factor = random_matrix(37, 21, 1);
  for (const char* text : {"int8", "mxint8", "mxint6/32", "mxint8/16-across"})
    for (const bool is_v : {false, true}) {
      const FactorScheme scheme = *factor_scheme(text);
      const FactorCodes codes = encode_factor(factor, scheme, is_v);
      const MatrixF values = decode_factor(codes, 37, 21, scheme, is_v);
      const int highest = scheme.format == FactorFormat::int8 ? 127 : (1 << (scheme.bits - 1)) - 1;
      for (std::size_t i = 0; i < 37; ++i)
        for (std::size_t k = 0; k < 21; ++k) {
          EXPECT_EQ(values(i, k), round_to_half(values(i, k)));
          const bool in_rows = scheme.along_contraction != is_v;
          const float scale = scheme.format == FactorFormat::int8 ? codes.scales(0, k)
                              : in_rows                           ? codes.scales(i, k / scheme.block)
                                                                  : codes.scales(i / scheme.block, k);
          const int code = codes.codes[i * 21 + k];
          EXPECT_LE(std::abs(code), highest);
          const double slack = 1e-3 * std::abs(factor(i, k));
          if (std::abs(code) < highest) {
            EXPECT_LE(std::abs(double(values(i, k)) - factor(i, k)), double(scale) / 2 + slack) << text;
          }
        }
    }
}

TEST(Factors, SizesCountScales) {
  LayerScheme scheme = scheme_of("lrc", 32);
  scheme.factors = *factor_scheme("int8");
  EXPECT_EQ(layer_size(scheme, 100, 64).factor_bits, 8u * 32 * 164 + 2 * 16 * 32);
  scheme.factors = *factor_scheme("mxint8");
  EXPECT_EQ(layer_size(scheme, 100, 64).factor_bits, 8u * 32 * 164 + 8 * (100 * 2 + 4 * 32));
  scheme.weight = {4, 16, true, WeightClip::none, NumberFormat::mxint};
  EXPECT_EQ(layer_size(scheme, 100, 64).scale_bits, 8u * 100 * 4);  // 4.5 bits a weight in all
  scheme.weight = {4, 64, false};
  EXPECT_EQ(layer_size(scheme, 100, 64).scale_bits, 20u * 100);
}

TEST(Factors, Int8CostsLittleAndIsMeasuredAsStored) {
  const Layer layer(48, 40, 9);
  const LayerSolution half = layer.solve(scheme_of("lrc", 6, true));
  for (const char* text : {"int8", "mxint8"}) {
    LayerScheme scheme = scheme_of("lrc", 6, true);
    scheme.factors = *factor_scheme(text);
    const LayerSolution s = layer.solve(scheme);
    EXPECT_EQ(s.weight, half.weight);
    EXPECT_EQ(s.pair.u, decode_factor(s.pair.u_codes, 48, 6, scheme.factors, false));
    EXPECT_EQ(s.pair.v, decode_factor(s.pair.v_codes, 40, 6, scheme.factors, true));
    EXPECT_GT(s.losses.loss, half.losses.loss * (1 - 1e-9)) << text;
    EXPECT_LT(s.losses.loss, half.losses.loss * 1.02) << text;
    EXPECT_NEAR(s.losses.loss, layer_loss(layer.w, s.weight, product(s.pair), layer.site.moments), 1e-9 * s.losses.loss);
  }
}

TEST(Factors, BestUForAGivenVCannotBeImproved) {
  const Layer layer(30, 26, 10);
  const MatrixD quantized = quantize_rtn(layer.w, {4, 0}, false).dequantize(), v = random_matrix(26, 4, 3);
  const MatrixD u = best_u(layer.w, quantized, v, layer.site);
  const auto value = [&](const MatrixD& candidate) {
    const MatrixD rest = subtract(layer.w, multiply(candidate, v, false, true));
    return regularized(output_error(rest, quantized, layer.site.moments), rest, quantized, layer.site);
  };
  for (unsigned seed = 0; seed < 4; ++seed) {
    MatrixD other = u;
    const MatrixD step = random_matrix(30, 4, seed);
    for (std::size_t i = 0; i < other.size(); ++i) other.data()[i] += 1e-3 * step.data()[i];
    EXPECT_GT(value(other), value(u));
  }
  // With V of the optimum it is the optimum's U.
  const LowRankFit fit = update_low_rank(layer.w, quantized, layer.site, 4);
  EXPECT_LT(
      relative_difference(multiply(best_u(layer.w, quantized, fit.v, layer.site), fit.v, false, true), multiply(fit.u, fit.v, false, true)),
      1e-7);
}

// Identity 11: with the grid frozen, the better codes kept and coordinate descent no round is worse than the one before.
TEST(Polish, RoundsNeverGetWorse) {
  std::size_t better = 0;
  for (unsigned seed = 0; seed < 6; ++seed)
    for (const bool deflate : {false, true}) {
      const Layer layer(32, 24, 20 + seed);
      LayerScheme scheme = scheme_of("lrc", 3);
      scheme.iterations = 6;
      scheme.deflate = deflate;
      const auto plain = layer.solve(scheme);
      scheme.polish = true;
      scheme.weight.symmetric = seed % 2 == 0;
      if (seed == 3) scheme.weight.group_size = 8;
      const auto rounds = layer.solve(scheme).losses.of_each_round;
      ASSERT_EQ(rounds.size(), 6u);
      for (std::size_t i = 1; i < rounds.size(); ++i) EXPECT_LE(rounds[i], rounds[i - 1] * (1 + 1e-9)) << seed << " round " << i;
      better += rounds.back() < plain.losses.loss_regularized;
    }
  EXPECT_GE(better, 7u);  // of 12: mostly better than the best of as many rounds of GPTQ alone
}

// The input behind a quantized prefix: X plus an error that depends on it.
MatrixD drifted(const MatrixD& x, unsigned seed) {
  const MatrixD noise = random_matrix(x.rows(), x.columns(), seed);
  MatrixD z = x;
  for (std::size_t t = 0; t < x.rows(); ++t)
    for (std::size_t i = 0; i < x.columns(); ++i) {
      const std::size_t other = (i + 1) % x.columns();
      z(t, i) = double(float(0.9 * x(t, i) + 0.1 * x(t, other) + 0.2 * noise(t, i)));
    }
  return z;
}

struct Drifted {
  MatrixD w, x, z, y;
  SiteStatistics site;
  Drifted(std::size_t out, std::size_t in, unsigned seed, double damping = 0.01)
      : w(random_matrix(out, in, seed)), x(random_inputs(20 * in, in, seed + 1)), z(drifted(x, seed + 2)) {
    site = prepare_site(moments_in_double(z, x, {}), damping, {}, "site");
    const MatrixF single = convert<float>(z);
    MatrixF values(z.rows(), in);
    fake_quantize_activations(single.data(), z.rows(), in, {}, values.data());
    y = convert<double>(values);
  }
  double loss(const MatrixD& quantized, const MatrixD& correction, double alpha) const {
    MatrixD aimed = z;
    for (std::size_t i = 0; i < aimed.size(); ++i) aimed.data()[i] += alpha * (x.data()[i] - z.data()[i]);
    MatrixD rest = multiply(aimed, w, false, true);
    rest = subtract(rest, multiply(y, quantized, false, true));
    return linalg::squared_norm(subtract(rest, multiply(z, correction, false, true)));
  }
};

TEST(Drift, LossIsThatOverTokens) {
  const Drifted d(20, 16, 30);
  const MatrixD quantized = quantize_rtn(d.w, {4, 0}, false).dequantize(), u = random_matrix(20, 3, 1), v = random_matrix(16, 3, 2);
  const MatrixD correction = multiply(u, v, false, true);
  for (const double alpha : {0.0, 0.4, 1.0}) {
    const double expected = d.loss(quantized, correction, alpha);
    EXPECT_NEAR(output_error(d.w, subtract(d.w, correction), quantized, d.site.moments, alpha), expected, 1e-5 * expected) << alpha;
  }
  const double norm = linalg::squared_norm(multiply(d.x, d.w, false, true));
  EXPECT_NEAR(output_norm(d.w, d.site.moments), norm, 1e-9 * norm);
}

TEST(Drift, RelaxedOptimumIsTheFloorPlusWhatIsDiscarded) {
  const Drifted d(22, 18, 31);
  for (const double alpha : {0.3, 1.0})
    for (const std::size_t k : {std::size_t(0), std::size_t(2), std::size_t(18)}) {
      const LowRankFit fit = init_low_rank(d.w, d.site, k, alpha);
      const auto value = [&](const MatrixD& u, const MatrixD& v) {
        const MatrixD quantized = retarget(d.w, u, v, d.site, alpha).target;
        const MatrixD rest = subtract(d.w, multiply(u, v, false, true));
        return regularized(output_error(d.w, rest, quantized, d.site.moments, alpha), rest, quantized, d.site);
      };
      const double optimum = value(fit.u, fit.v), floor = relaxed_floor(d.w, d.site, fit.eigenvalues, alpha);
      EXPECT_NEAR(optimum, floor + sum_from(fit.eigenvalues, k), 1e-8 * optimum);
      if (k == 0) continue;
      for (unsigned seed = 0; seed < 3; ++seed) {
        MatrixD u = fit.u, v = fit.v;
        const MatrixD du = random_matrix(22, k, seed), dv = random_matrix(18, k, seed + 7);
        for (std::size_t i = 0; i < u.size(); ++i) u.data()[i] += 0.01 * du.data()[i];
        for (std::size_t i = 0; i < v.size(); ++i) v.data()[i] += 0.01 * dv.data()[i];
        EXPECT_GE(value(u, v), optimum * (1 - 1e-9));
      }
    }
}

TEST(Drift, UpdateIsTheBestPairForTheseCodes) {
  const Drifted d(22, 18, 32);
  const MatrixD quantized = quantize_rtn(d.w, {4, 0}, false).dequantize();
  const auto value = [&](const MatrixD& u, const MatrixD& v, double alpha) {
    const MatrixD rest = subtract(d.w, multiply(u, v, false, true));
    return regularized(output_error(d.w, rest, quantized, d.site.moments, alpha), rest, quantized, d.site);
  };
  for (const double alpha : {0.5, 1.0}) {
    const LowRankFit fit = update_low_rank(d.w, quantized, d.site, 3, alpha);
    const double bare = value(MatrixD(22, 1), MatrixD(18, 1), alpha), best = value(fit.u, fit.v, alpha);
    double removed = 0;
    for (std::size_t i = 0; i < 3; ++i) removed += fit.eigenvalues[i];
    EXPECT_NEAR(best, bare - removed, 1e-8 * bare);
    EXPECT_LT(relative_difference(multiply(best_u(d.w, quantized, fit.v, d.site, alpha), fit.v, false, true),
                                  multiply(fit.u, fit.v, false, true)),
              1e-7);
  }
}

// Identity 13.
TEST(Drift, WithoutDriftItIsTheFloatStream) {
  const Layer layer(26, 20, 33);
  Layer same = layer;
  same.site = prepare_site(moments_in_double(layer.x, layer.x, {}), 0.01, {}, "site");
  ASSERT_TRUE(same.site.moments.has_drift());
  for (const char* method : {"lrc", "gptq"})
    for (const bool deflate : {false, true}) {
      LayerScheme scheme = scheme_of(method, method == std::string("lrc") ? 3 : 0);
      scheme.deflate = deflate;
      const LayerSolution a = layer.solve(scheme), b = same.solve(scheme);
      EXPECT_EQ(a.weight.codes, b.weight.codes);
      EXPECT_NEAR(a.losses.loss, b.losses.loss, 1e-9 * a.losses.loss);
      EXPECT_NEAR(a.losses.lower_bound, b.losses.lower_bound, 1e-7 * a.losses.loss);
    }
}

TEST(Drift, RankZeroIsQepWithTheQuantizerInside) {
  const Drifted d(20, 16, 34);
  // QEP: W + α W (X − Y) Yᵀ (Y Yᵀ)⁻¹ at α = 1 is W S_xy S_y⁻¹ with the float model's X.
  const MatrixD s_xy = multiply(d.x, d.y, true);
  const MatrixD expected = linalg::right_solve_spd(d.site.cholesky_y, multiply(d.w, s_xy));
  EXPECT_LT(relative_difference(retarget(d.w, {}, {}, d.site, 1).target, expected), 1e-5);
  LayerScheme scheme = scheme_of("gptq", 0);
  const LayerSolution solution = solve_layer({d.w, d.site, scheme, "layer"}, {});
  MatrixD drift = linalg::right_solve_spd(d.site.cholesky_x, multiply(d.w, multiply(subtract(d.x, d.z), d.z, true)));
  for (std::size_t i = 0; i < drift.size(); ++i) drift.data()[i] += d.w.data()[i];
  EXPECT_LT(relative_difference(solution.target, drift), 1e-9);
  scheme.drift = 0;
  EXPECT_EQ(solve_layer({d.w, d.site, scheme, "layer"}, {}).target, d.w);
}

TEST(Drift, DeflationIsTheBestForItsV) {
  const Drifted d(24, 18, 35);
  const double alpha = 0.7;
  const LowRankFit init = init_low_rank(d.w, d.site, 3, alpha);
  const auto step = deflated_retarget(d.w, init.v, d.site, "layer", alpha);
  const auto value = [&](const MatrixD& quantized) {
    const MatrixD u = best_u(d.w, quantized, init.v, d.site, alpha), rest = subtract(d.w, multiply(u, init.v, false, true));
    return regularized(output_error(d.w, rest, quantized, d.site.moments, alpha), rest, quantized, d.site);
  };
  const MatrixD a = quantize_rtn(d.w, {4, 0}, false).dequantize(), b = random_matrix(24, 18, 3);
  const auto quadratic = [&](const MatrixD& q) { return linalg::quadratic_trace(subtract(step.target, q), step.hessian); };
  EXPECT_NEAR(value(b) - value(a), quadratic(b) - quadratic(a), 1e-8 * value(b));
}

TEST(Drift, SolutionsRespectTheBoundAndTheDriftPays) {
  const Drifted d(32, 24, 36);
  LayerScheme scheme = scheme_of("lrc", 3);
  scheme.deflate = true;
  double before = INFINITY;
  for (const double alpha : {0.0, 0.5, 1.0}) {
    scheme.drift = alpha;
    const LayerSolution s = solve_layer({d.w, d.site, scheme, "layer"}, {});
    EXPECT_GE(s.losses.loss_regularized, s.losses.lower_bound * (1 - 1e-9)) << alpha;
    EXPECT_LT(s.losses.loss, before) << alpha;
    before = s.losses.loss;
    const double over_tokens = d.loss(s.weight.dequantize(), product_of(s), 1);
    EXPECT_NEAR(s.losses.loss, over_tokens, 1e-5 * over_tokens);
  }
}

}  // namespace
}  // namespace lrc

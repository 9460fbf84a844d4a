// Channel scales and AWQ's clips against sums over explicit tokens.
#include "correction/smoothing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "correction/linalg.h"
#include "correction/solve.h"
#include "support/solver_case.h"

namespace lrc {
namespace {

using linalg::multiply;
using linalg::subtract;
using test::random_inputs;
using test::random_matrix;

ActivationScheme off() {
  ActivationScheme scheme;
  scheme.bits = 16;
  return scheme;
}

std::vector<std::size_t> apart(std::size_t width) {
  std::vector<std::size_t> numbers(width);
  std::iota(numbers.begin(), numbers.end(), std::size_t(0));
  return numbers;
}

/// Inputs with two channels 20 times the others.
MatrixD inputs_with_outliers(std::size_t tokens, std::size_t width, unsigned seed) {
  MatrixD x = random_inputs(tokens, width, seed);
  for (std::size_t t = 0; t < tokens; ++t)
    for (const std::size_t channel : {std::size_t(3), width - 2}) x(t, channel) *= 20;
  return x;
}

MatrixD scaled(MatrixD weight, const std::vector<float>& scales) {
  for (std::size_t r = 0; r < weight.rows(); ++r)
    for (std::size_t c = 0; c < weight.columns(); ++c) weight(r, c) *= double(scales[c]);
  return weight;
}

/// ‖(W − Q(W diag s) diag(1/s)) X‖² by its tokens.
double explicit_error(const MatrixD& weight, const MatrixD& x, const std::vector<float>& scales, WeightScheme scheme) {
  scheme.clip = WeightClip::none;
  MatrixD quantized = quantize_rtn(scaled(weight, scales), scheme, true).dequantize();
  for (std::size_t r = 0; r < quantized.rows(); ++r)
    for (std::size_t c = 0; c < quantized.columns(); ++c) quantized(r, c) /= double(scales[c]);
  return linalg::squared_norm(multiply(x, subtract(weight, quantized), false, true));
}

TEST(SmoothQuant, IsItsFormula) {
  ChannelStatistics input;
  input.largest = {4, 0, 1, 100};
  SmoothedLayer a, b;
  a.weight = MatrixD(1, 4);
  b.weight = MatrixD(2, 4);
  const std::vector<double> of_a = {1, 1, -2, 0.5};
  std::copy(of_a.begin(), of_a.end(), a.weight.data());
  b.weight(1, 0) = -0.25;
  b.weight(0, 2) = 4;
  const std::vector<SmoothedLayer> layers = {a, b};
  const auto half = smoothquant_scales(input, layers, 0.5, apart(4));
  ASSERT_EQ(half.size(), 4u);
  EXPECT_FLOAT_EQ(half[0], 2);
  EXPECT_FLOAT_EQ(half[1], 1) << "a channel that is always zero";
  EXPECT_FLOAT_EQ(half[2], 0.5f) << "the larger of both layers";
  EXPECT_FLOAT_EQ(half[3], float(std::sqrt(200.0)));
  EXPECT_FLOAT_EQ(smoothquant_scales(input, layers, 1, apart(4))[3], 100);
  EXPECT_FLOAT_EQ(smoothquant_scales(input, layers, 0, apart(4))[2], 0.25f);
  const std::vector<std::size_t> pairs = {0, 1, 0, 1};
  const auto shared = smoothquant_scales(input, layers, 0.5, pairs);
  EXPECT_FLOAT_EQ(shared[0], float(std::sqrt(4.0 / 4.0)));
  EXPECT_EQ(shared[0], shared[2]);
  EXPECT_FLOAT_EQ(shared[1], float(std::sqrt(100.0 / 1.0)));
  EXPECT_EQ(shared[1], shared[3]);
}

TEST(AwqScales, AreTheBestOfTheirTwentyByExplicitTokens) {
  const MatrixD x = inputs_with_outliers(300, 32, 4);
  const SecondMoments moments = moments_in_double(x, off());
  for (const std::size_t group : {std::size_t(0), std::size_t(16)}) {
    SmoothedLayer first{random_matrix(24, 32, 1), {}}, second{random_matrix(16, 32, 2), {}};
    first.scheme.group_size = second.scheme.group_size = group;
    second.scheme.bits = 3;
    const std::vector<SmoothedLayer> layers = {first, second};
    const auto chosen = awq_scales(moments, layers, apart(32));
    ASSERT_EQ(chosen.size(), 32u) << "outliers are worth a scale";
    const auto error = [&](const std::vector<float>& scales) {
      return explicit_error(first.weight, x, scales, first.scheme) + explicit_error(second.weight, x, scales, second.scheme);
    };
    const double reached = error(chosen);
    EXPECT_LT(reached, 0.9 * error(std::vector<float>(32, 1.0f)));
    bool found = false;
    for (int step = 0; step < 20; ++step) {
      std::vector<float> scales(32);
      for (std::size_t c = 0; c < 32; ++c) {
        double mean = 0;
        for (std::size_t t = 0; t < x.rows(); ++t) mean += std::abs(x(t, c)) / double(x.rows());
        scales[c] = float(std::pow(mean, 0.05 * step));
      }
      const auto [low, high] = std::minmax_element(scales.begin(), scales.end());
      const float norm = std::sqrt(*low * *high);
      for (float& s : scales) s /= norm;
      EXPECT_GE(error(scales), reached * (1 - 1e-5)) << "r = " << 0.05 * step;
      double apart_by = 0;
      for (std::size_t c = 0; c < 32; ++c) apart_by = std::max(apart_by, std::abs(double(scales[c]) / double(chosen[c]) - 1));
      found = found || apart_by < 1e-5;
    }
    EXPECT_TRUE(found) << "one of the twenty";
  }
}

TEST(AwqScales, EvenChannelsNeedNone) {
  MatrixD x(64, 16);
  for (std::size_t t = 0; t < 64; ++t)
    for (std::size_t c = 0; c < 16; ++c) x(t, c) = (t * 7 + c * 3) % 2 == 0 ? 1 : -1;
  const std::vector<SmoothedLayer> layers = {{random_matrix(8, 16, 3), {}}};
  EXPECT_TRUE(awq_scales(moments_in_double(x, off()), layers, apart(16)).empty());
}

TEST(ClosedForm, IsStationaryAndOfGeometricMeanOne) {
  const MatrixD x = inputs_with_outliers(200, 24, 8);
  const SecondMoments moments = moments_in_double(x, off());
  const std::vector<SmoothedLayer> layers = {{random_matrix(16, 24, 5), {}}};
  const auto scales = closed_form_scales(moments, layers, apart(24));
  ASSERT_EQ(scales.size(), 24u);
  double logarithm = 0;
  for (const float s : scales) logarithm += std::log(double(s));
  EXPECT_NEAR(logarithm, 0, 1e-4);
  // Σ_j h_j s_j⁻² · Σ_ij |W_ij s_j|²: no change of one scale makes it smaller.
  const auto objective = [&](const std::vector<float>& s) {
    double of_inputs = 0, of_weights = 0;
    for (std::size_t j = 0; j < s.size(); ++j) {
      of_inputs += moments.s_y(j, j) / double(s[j] * s[j]);
      for (std::size_t r = 0; r < 16; ++r) of_weights += std::pow(layers[0].weight(r, j) * double(s[j]), 2);
    }
    return of_inputs * of_weights;
  };
  const double best = objective(scales);
  for (std::size_t j = 0; j < scales.size(); ++j)
    for (const float factor : {0.95f, 1.05f}) {
      auto other = scales;
      other[j] *= factor;
      EXPECT_GT(objective(other), best) << j;
    }
}

TEST(AwqClips, AreTheBestOfTheirTenForEachRowAndGroup) {
  const std::size_t width = 32, group = 16, rows = 6;
  const MatrixD x = inputs_with_outliers(200, width, 6);
  const SecondMoments moments = moments_in_double(x, off());
  const MatrixD weight = random_matrix(rows, width, 9);
  for (const bool symmetric : {true, false}) {
    WeightScheme scheme;
    scheme.bits = 3;
    scheme.group_size = group;
    scheme.symmetric = symmetric;
    scheme.clip = WeightClip::none;
    const WeightGrid whole = fit_grid(weight, scheme, false);
    const WeightGrid best = awq_clipped_grid(weight, moments.s_x(), scheme, false);
    std::size_t clipped = 0;
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t g = 0; g < 2; ++g) {
        // The part of the output that this group makes.
        const auto error_at = [&](double scale) {
          WeightGrid grid = whole;
          grid.scales(r, g) = scale;
          const MatrixD values = round_to_grid(weight, scheme, grid).dequantize();
          double sum = 0;
          for (std::size_t t = 0; t < x.rows(); ++t) {
            double out = 0;
            for (std::size_t c = g * group; c < (g + 1) * group; ++c) out += (weight(r, c) - values(r, c)) * x(t, c);
            sum += out * out;
          }
          return sum;
        };
        const double reached = error_at(best.scales(r, g));
        for (int step = 0; step < 10; ++step) EXPECT_GE(error_at(whole.scales(r, g) * (1 - 0.05 * step)), reached * (1 - 1e-9));
        const double ratio = best.scales(r, g) / whole.scales(r, g);
        EXPECT_NEAR(ratio * 20, std::round(ratio * 20), 1e-9);
        EXPECT_GE(ratio, 0.55 - 1e-12);
        clipped += ratio < 1;
      }
    EXPECT_GT(clipped, 0u) << "else this says nothing";
    EXPECT_EQ(best.zeros, whole.zeros);
  }
}

TEST(AwqClips, LowerTheLossOfPlainCodes) {
  const MatrixD x = inputs_with_outliers(400, 32, 3), weight = random_matrix(24, 32, 7);
  SiteStatistics site = prepare_site(moments_in_double(x, off()), 0.01, off(), "site");
  const auto loss = [&](const char* method, WeightClip clip) {
    LayerScheme scheme;
    scheme.method = method;
    scheme.weight.bits = 3;
    scheme.weight.clip = clip;
    scheme.activation = off();
    return solve_layer({weight, site, scheme, "layer"}, {}).losses.loss;
  };
  EXPECT_LT(loss("rtn", WeightClip::awq), loss("rtn", WeightClip::none));
  EXPECT_NE(loss("gptq", WeightClip::awq), loss("gptq", WeightClip::none)) << "GPTQ rounds on that grid, too";
  LayerScheme lrc;
  lrc.weight.clip = WeightClip::awq;
  lrc.rank = 2;
  EXPECT_THROW(solve_layer({weight, site, lrc, "layer"}, {}), Error);
}

TEST(Eora, IsTheExactCorrectionThroughTheEigenbasis) {
  // Identity 25: symmetric root, Cholesky factor and eigenbasis give the same C.
  const MatrixD x = random_inputs(400, 24, 11), weight = random_matrix(20, 24, 12);
  const SiteStatistics site = prepare_site(moments_in_double(x, off()), 0, off(), "site");
  LayerScheme scheme;
  scheme.activation = off();
  scheme.rank = 5;
  scheme.store_rounded = false;
  scheme.damping = 0;
  scheme.method = "qera";
  const auto qera = solve_layer({weight, site, scheme, "layer"}, {});
  scheme.method = "eora";
  const auto eora = solve_layer({weight, site, scheme, "layer"}, {});
  EXPECT_EQ(qera.weight, eora.weight);
  EXPECT_LT(test::relative_difference(multiply(eora.u, eora.v, false, true), multiply(qera.u, qera.v, false, true)), 1e-9);
}

TEST(Eora, DirectionsThatNoTokenTookAreLeftOut) {
  // 10 tokens in 24 channels: QERA has no undamped factor. The error that is left is the discarded part of E X.
  const MatrixD x = random_inputs(10, 24, 13), weight = random_matrix(20, 24, 14);
  const SiteStatistics site = prepare_site(moments_in_double(x, off()), 0.01, off(), "site");
  for (const std::size_t rank : {std::size_t(4), std::size_t(15)}) {
    LayerScheme scheme;
    scheme.method = "eora";
    scheme.activation = off();
    scheme.rank = rank;
    scheme.store_rounded = false;
    const auto solution = solve_layer({weight, site, scheme, "layer"}, {});
    const MatrixD error = subtract(weight, solution.weight.dequantize());
    const auto values = linalg::eigenvalues_symmetric(linalg::gram(multiply(error, x, false, true)));
    double discarded = 0, all = 0;
    for (std::size_t i = 0; i < values.size(); ++i) (i < rank ? all : discarded) += values[i];
    all += discarded;
    const MatrixD rest = subtract(error, multiply(solution.u, solution.v, false, true));
    EXPECT_NEAR(linalg::squared_norm(multiply(rest, x, false, true)), std::max(0.0, discarded), 1e-9 * all) << rank;
    for (const double value : solution.v.flat()) ASSERT_TRUE(std::isfinite(value));
  }
}

}  // namespace
}  // namespace lrc

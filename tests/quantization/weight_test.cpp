// Properties of the weight quantizers that hold for any matrix.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "quantization/activation.h"
#include "quantization/quantized_weight.h"
#include "support/solver_case.h"
#include "tensor/dtype.h"

namespace lrc {
namespace {

using test::random_inputs;
using test::random_matrix;

MatrixD gram_of(const MatrixD& x) {
  MatrixD s(x.columns(), x.columns());
  for (std::size_t t = 0; t < x.rows(); ++t)
    for (std::size_t i = 0; i < s.rows(); ++i)
      for (std::size_t j = 0; j < s.rows(); ++j) s(i, j) += x(t, i) * x(t, j);
  return s;
}

// tr(D H Dᵀ)
double error_in(const MatrixD& w, const QuantizedWeight& q, const MatrixD& h) {
  const MatrixD v = q.dequantize();
  double sum = 0;
  for (std::size_t r = 0; r < w.rows(); ++r)
    for (std::size_t i = 0; i < w.columns(); ++i)
      for (std::size_t j = 0; j < w.columns(); ++j) sum += (w(r, i) - v(r, i)) * h(i, j) * (w(r, j) - v(r, j));
  return sum;
}

// The search as it is defined, without any shortcut.
double plain_search(const double* w, std::size_t count, int bits) {
  const double highest = highest_code(bits), lowest = lowest_code(bits);
  double largest = 0, best = INFINITY, scale = 0;
  for (std::size_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(w[i]));
  for (int step = 0; step < 80; ++step) {
    const double s = (1 - step / 100.0) * largest / highest;
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i)
      sum += std::pow(std::abs(std::clamp(std::nearbyint(w[i] / s), lowest, highest) * s - w[i]), 2.4);
    if (sum < best) best = sum, scale = s;
  }
  return scale;
}

TEST(ClipSearch, EqualsItsDefinitionForEveryWidth) {
  for (const int bits : {2, 3, 4, 5, 6, 7, 8})
    for (const std::size_t group : {1, 2, 7, 16, 33, 320}) {
      const std::size_t columns = group * (group < 50 ? 6 : 2);
      MatrixD w = random_matrix(12, columns, unsigned(bits * 1000 + int(group)));
      for (std::size_t c = 0; c < columns; ++c) w(0, c) = double(int(c * 7 % 5) - 2);   // many exact ties
      for (std::size_t c = 0; c < columns; ++c) w(1, c) = c % group == 0 ? -1.0 : 0.0;  // exact at several scales
      for (std::size_t c = 0; c < columns; ++c) w(2, c) = w(2, c) * std::exp2(-double(c % 40));
      const WeightScheme scheme{bits, group, true, WeightClip::search};
      const MatrixD scales = fit_scales(w, scheme, false);
      for (std::size_t r = 0; r < w.rows(); ++r)
        for (std::size_t g = 0; g < scales.columns(); ++g) {
          if (scales(r, g) == 0) continue;
          ASSERT_DOUBLE_EQ(scales(r, g), plain_search(w.row(r) + g * group, group, bits))
              << bits << " bits, group " << group << ", row " << r;
        }
    }
}

TEST(ClipSearch, NeverWorseThanNoClipInItsNorm) {
  const MatrixD w = random_matrix(20, 96, 3);
  const auto norm = [&](const QuantizedWeight& q, std::size_t r) {
    const MatrixD v = q.dequantize();
    double sum = 0;
    for (std::size_t c = 0; c < 96; ++c) sum += std::pow(std::abs(v(r, c) - w(r, c)), 2.4);
    return sum;
  };
  const auto plain = quantize_rtn(w, {4, 0, true, WeightClip::none}, false), searched = quantize_rtn(w, {4, 0}, false);
  bool better = false;
  for (std::size_t r = 0; r < 20; ++r) {
    EXPECT_LE(norm(searched, r), norm(plain, r) * (1 + 1e-12));
    better |= norm(searched, r) < 0.99 * norm(plain, r);
  }
  EXPECT_TRUE(better);
}

TEST(RoundToNearest, SymmetricGridProperties) {
  const WeightScheme scheme{4, 0, true, WeightClip::none};
  const MatrixD w = random_matrix(16, 40, 9);
  const auto q = quantize_rtn(w, scheme, false);
  const MatrixD v = q.dequantize();
  for (std::size_t r = 0; r < 16; ++r)
    for (std::size_t c = 0; c < 40; ++c) EXPECT_LE(std::abs(v(r, c) - w(r, c)), q.scales(r, 0) * (0.5 + 1e-12));
  EXPECT_EQ(quantize_rtn(v, scheme, false).codes, q.codes);  // idempotent
  MatrixD negative = w, larger = w;
  for (double& value : negative.flat()) value = -value;
  for (double& value : larger.flat()) value *= 3.7;
  auto mirrored = q.codes;
  for (auto& code : mirrored) code = std::int8_t(-code);
  EXPECT_EQ(quantize_rtn(negative, scheme, false).codes, mirrored);
  EXPECT_EQ(quantize_rtn(larger, scheme, false).codes, q.codes);
}

TEST(RoundToNearest, TiesGoToEven) {
  MatrixD w(1, 5);
  const double values[] = {7, 0.5, 1.5, 2.5, -2.5};
  std::copy_n(values, 5, w.row(0));
  EXPECT_EQ(quantize_rtn(w, {4, 0, true, WeightClip::none}, false).codes, (std::vector<std::int8_t>{7, 0, 2, 2, -2}));
}

TEST(RoundToNearest, ZeroRowsOneHotRowsAndNoise) {
  MatrixD w(3, 8);
  w(1, 2) = 0.3;
  for (std::size_t c = 0; c < 8; ++c) w(2, c) = 1e-17 * double(c);  // what arithmetic leaves of a zero row
  for (const auto clip : {WeightClip::none, WeightClip::search}) {
    const auto q = quantize_rtn(w, {4, 0, true, clip}, false);
    EXPECT_DOUBLE_EQ(q.dequantize()(1, 2), 0.3);
    for (std::size_t i = 0; i < q.codes.size(); ++i) {
      if (i == 10) continue;
      EXPECT_EQ(q.codes[i], 0) << i;
    }
  }
}

TEST(RoundToNearest, StoredScalesAreHalfPrecisionBeforeCodesAreTaken) {
  const MatrixD w = random_matrix(40, 64, 4);
  const auto q = quantize_rtn(w, {4, 16}, true);
  for (std::size_t r = 0; r < 40; ++r)
    for (std::size_t c = 0; c < 64; ++c) {
      const double s = q.scales(r, c / 16);
      ASSERT_EQ(double(round_to_half(float(s))), s);
      ASSERT_EQ(double(q.codes[r * 64 + c]), std::clamp(std::nearbyint(w(r, c) / s), -8.0, 7.0));
    }
  EXPECT_NE(q.scales, quantize_rtn(w, {4, 16}, false).scales);
  MatrixD huge(1, 2, 1e6);
  EXPECT_THROW(quantize_rtn(huge, {4, 0}, true), Error);
}

TEST(WeightScheme, ErrorsNameTheLayer) {
  const auto sentence = [](const WeightScheme& scheme) -> std::string {
    try {
      check_scheme(scheme, 96, "blk.3.ffn_up");
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(sentence({4, 32}), "");
  for (const WeightScheme& bad : {WeightScheme{4, 36}, WeightScheme{1, 0}, WeightScheme{9, 0}, WeightScheme{8, 0, false}})
    EXPECT_EQ(sentence(bad).find("blk.3.ffn_up: "), 0u);
  MatrixD w(2, 4, 1.0);
  w(1, 3) = NAN;
  EXPECT_THROW(fit_scales(w, {}, false), Error);
}

TEST(Gptq, SumOfNormalisedErrorsIsTheTrace) {
  const MatrixD w = random_matrix(70, 150, 1), h = gram_of(random_inputs(400, 150, 2));
  for (const bool act_order : {false, true}) {
    GptqOptions options;
    options.act_order = act_order;
    const auto result = quantize_gptq(w, h, {4, 50}, options);
    MatrixD damped = h;
    double mean = 0;
    for (std::size_t i = 0; i < 150; ++i) mean += h(i, i) / 150;
    for (std::size_t i = 0; i < 150; ++i) damped(i, i) += 0.01 * mean;
    const double trace = error_in(w, result.weight, damped);
    EXPECT_NEAR(result.sum_of_squared_normalised_errors, trace, 1e-10 * trace);
  }
}

TEST(Gptq, DiagonalHessianIsRoundToNearest) {
  const MatrixD w = random_matrix(30, 140, 5);
  MatrixD h(140, 140);
  for (std::size_t i = 0; i < 140; ++i) h(i, i) = 1 + double(i * 37 % 11);
  EXPECT_EQ(quantize_gptq(w, h, {3, 20}, {}).weight.codes, quantize_rtn(w, {3, 20}, false).codes);
}

// The loop of the paper without blocks.
std::vector<std::int8_t> gptq_by_columns(MatrixD w, MatrixD h, const MatrixD& scales) {
  const std::size_t n = h.rows();
  double mean = 0;
  for (std::size_t i = 0; i < n; ++i) mean += h(i, i) / double(n);
  for (std::size_t i = 0; i < n; ++i) h(i, i) += 0.01 * mean;
  std::vector<std::int8_t> codes(w.size());
  // Elimination: after column j is fixed, the inverse of the rest is the Schur complement of the inverse.
  MatrixD inverse(n, n), a = h;
  for (std::size_t i = 0; i < n; ++i) inverse(i, i) = 1;
  for (std::size_t c = 0; c < n; ++c)
    for (std::size_t r = 0; r < n; ++r) {
      if (r == c) continue;
      const double f = a(r, c) / a(c, c);
      for (std::size_t k = 0; k < n; ++k) a(r, k) -= f * a(c, k), inverse(r, k) -= f * inverse(c, k);
    }
  for (std::size_t r = 0; r < n; ++r)
    for (std::size_t k = 0; k < n; ++k) inverse(r, k) /= a(r, r);
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t r = 0; r < w.rows(); ++r) {
      const double code = std::clamp(std::nearbyint(w(r, j) / scales(r, 0)), -8.0, 7.0);
      codes[r * n + j] = std::int8_t(code);
      const double error = (w(r, j) - code * scales(r, 0)) / inverse(j, j);
      for (std::size_t k = j; k < n; ++k) w(r, k) -= error * inverse(j, k);
    }
    const MatrixD before = inverse;
    for (std::size_t i = j; i < n; ++i)
      for (std::size_t k = j; k < n; ++k) inverse(i, k) = before(i, k) - before(i, j) * before(j, k) / before(j, j);
  }
  return codes;
}

TEST(Gptq, BlocksAreAReorderingOnly) {
  for (const std::size_t n : {15, 16, 17, 128, 150}) {
    const MatrixD w = random_matrix(9, n, unsigned(n)), h = gram_of(random_inputs(3 * n, n, 8));
    const auto result = quantize_gptq(w, h, {4, 0}, {});
    EXPECT_EQ(result.weight.codes, gptq_by_columns(w, h, result.weight.scales)) << n;
  }
}

TEST(Gptq, ScalingTheHessianChangesNothing) {
  const MatrixD w = random_matrix(20, 48, 1);
  MatrixD h = gram_of(random_inputs(200, 48, 3));
  const auto before = quantize_gptq(w, h, {4, 16}, {}).weight;
  for (double& v : h.flat()) v *= 1024;
  EXPECT_EQ(quantize_gptq(w, h, {4, 16}, {}).weight, before);
}

TEST(Gptq, ActOrderIsAPermutation) {
  const std::size_t n = 40;
  const MatrixD w = random_matrix(12, n, 1), h = gram_of(random_inputs(200, n, 3));
  std::vector<std::size_t> order(n);
  for (std::size_t i = 0; i < n; ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return h(a, a) > h(b, b); });
  MatrixD pw(12, n), ph(n, n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t r = 0; r < 12; ++r) pw(r, i) = w(r, order[i]);
    for (std::size_t j = 0; j < n; ++j) ph(i, j) = h(order[i], order[j]);
  }
  GptqOptions options;
  options.act_order = true;
  const auto ordered = quantize_gptq(w, h, {4, 0}, options).weight;
  const auto permuted = quantize_gptq(pw, ph, {4, 0}, {}).weight;
  for (std::size_t r = 0; r < 12; ++r)
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(ordered.codes[r * n + order[i]], permuted.codes[r * n + i]);
  EXPECT_NE(ordered.codes, quantize_gptq(w, h, {4, 0}, {}).weight.codes);
}

TEST(Gptq, WeightsOnTheGridComeBack) {
  const MatrixD h = gram_of(random_inputs(200, 48, 3));
  const WeightScheme scheme{4, 0, true, WeightClip::none};
  const auto q = quantize_rtn(random_matrix(20, 48, 1), scheme, false);
  const auto again = quantize_gptq(q.dequantize(), h, scheme, {});
  EXPECT_EQ(again.weight.codes, q.codes);
  EXPECT_LT(again.sum_of_squared_normalised_errors, 1e-18);
}

TEST(Gptq, BeatsRoundToNearestOnAverage) {
  double gptq = 0, rtn = 0;
  int worse = 0;
  for (unsigned seed = 0; seed < 50; ++seed) {
    const MatrixD w = random_matrix(8, 24, 100 + seed), h = gram_of(random_inputs(120, 24, 200 + seed));
    const double a = error_in(w, quantize_gptq(w, h, {4, 0}, {}).weight, h), b = error_in(w, quantize_rtn(w, {4, 0}, false), h);
    gptq += a;
    rtn += b;
    worse += a > b;
  }
  EXPECT_LT(gptq, 0.8 * rtn);
  EXPECT_LE(worse, 3);
}

TEST(Gptq, DeadChannelsSingularHessiansAndNaN) {
  MatrixD w = random_matrix(10, 24, 1), x = random_inputs(100, 24, 2);
  for (std::size_t t = 0; t < 100; ++t) x(t, 7) = 0;
  const auto q = quantize_gptq(w, gram_of(x), {4, 8}, {}).weight;
  for (std::size_t r = 0; r < 10; ++r) EXPECT_EQ(q.codes[r * 24 + 7], 0);

  GptqOptions undamped;
  undamped.damping = 0;
  const MatrixD few = random_inputs(6, 24, 3);  // rank 6: no factor without damping, which a retry adds
  const auto result = quantize_gptq(w, gram_of(few), {4, 0}, undamped);
  EXPECT_EQ(result.weight.codes.size(), w.size());
  EXPECT_TRUE(std::isfinite(result.sum_of_squared_normalised_errors));

  MatrixD indefinite(24, 24);
  for (std::size_t i = 0; i < 24; ++i) indefinite(i, i) = i == 3 ? -100.0 : 1.0;
  EXPECT_THROW(quantize_gptq(w, indefinite, {4, 0}, {}), Error);
  MatrixD h = gram_of(x);
  h(3, 4) = NAN;
  EXPECT_THROW(quantize_gptq(w, h, {4, 0}, {}), Error);
  EXPECT_THROW(quantize_gptq(w, MatrixD(23, 23, 1.0), {4, 0}, {}), Error);
}

TEST(Gptq, DoesNotDependOnThreads) {
  const MatrixD w = random_matrix(200, 160, 1), h = gram_of(random_inputs(300, 160, 2));
  set_thread_count(1);
  const auto one = quantize_gptq(w, h, {4, 32}, {});
  set_thread_count(2);
  const auto two = quantize_gptq(w, h, {4, 32}, {});
  set_thread_count(0);
  EXPECT_EQ(one.weight, two.weight);
  EXPECT_EQ(one.sum_of_squared_normalised_errors, two.sum_of_squared_normalised_errors);
}

TEST(Packing, EveryPairOfNibbles) {
  std::vector<std::int8_t> codes;
  for (int a = -8; a < 8; ++a)
    for (int b = -8; b < 8; ++b) codes.insert(codes.end(), {std::int8_t(a), std::int8_t(b)});
  const auto packed = pack_nibbles(codes.data(), 16, 32);
  EXPECT_EQ(packed.size(), 256u);
  EXPECT_EQ(packed[0], 0x00);  // −8, −8
  EXPECT_EQ(packed[1], 0x10);  // −8, −7: the first in the low nibble
  EXPECT_EQ(unpack_nibbles(packed.data(), 16, 32), codes);
  const std::vector<std::int8_t> odd = {1, -2, 3, 7, -8, 0};  // rows of 3 fill 2 bytes each
  const auto padded = pack_nibbles(odd.data(), 2, 3);
  EXPECT_EQ(padded, (std::vector<std::uint8_t>{0x69, 0x0b, 0x0f, 0x08}));
  EXPECT_EQ(unpack_nibbles(padded.data(), 2, 3), odd);
}

}  // namespace
}  // namespace lrc

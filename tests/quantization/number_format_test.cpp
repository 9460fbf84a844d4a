// Zero points, block formats and coordinate descent (methods.md 6, identities 11, 32 to 38).
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "quantization/activation.h"
#include "quantization/block_grid.h"
#include "quantization/grid.h"
#include "quantization/quantized_weight.h"
#include "support/solver_case.h"

namespace lrc {
namespace {

using test::random_matrix;

constexpr double kE2m1[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};

// The nearest of all fifteen values, ties to the even code, by comparing them all.
double nearest_of_fifteen(double value) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < 8; ++i) {
    const double here = std::abs(std::abs(value) - kE2m1[i]), there = std::abs(std::abs(value) - kE2m1[best]);
    if (here < there || (here == there && i % 2 == 0)) best = i;
  }
  return value < 0 ? -kE2m1[best] : kE2m1[best];
}

TEST(E2m1, EveryValueIsTheNearestOfFifteen) {
  for (int i = -1700; i <= 1700; ++i) {
    const double value = i / 256.0;  // all ties are among these
    EXPECT_EQ(nearest_e2m1(2 * value) / 2, nearest_of_fifteen(value)) << value;
  }
}

TEST(E4m3, DecodesEncodesAndRoundsToNearest) {
  EXPECT_EQ(decode_e4m3(0x7e), 448);
  EXPECT_EQ(decode_e4m3(0x01), std::ldexp(1.0, -9));
  EXPECT_TRUE(std::isnan(decode_e4m3(0x7f)));
  for (int bits = 0; bits < 256; ++bits) {
    if ((bits & 127) == 127) continue;
    EXPECT_EQ(encode_e4m3(decode_e4m3(std::uint8_t(bits))), bits) << bits;
  }
  for (int bits = 0; bits < 126; ++bits) {
    const double low = decode_e4m3(std::uint8_t(bits)), high = decode_e4m3(std::uint8_t(bits + 1)), middle = (low + high) / 2;
    EXPECT_EQ(encode_e4m3(middle), bits % 2 == 0 ? bits : bits + 1) << bits;
    EXPECT_EQ(encode_e4m3(std::nextafter(middle, 1e9)), bits + 1) << bits;
    EXPECT_EQ(encode_e4m3(std::nextafter(middle, 0)), bits) << bits;
  }
  EXPECT_EQ(encode_e4m3(1e9), 0x7e);
}

TEST(BlockFormats, ExponentsAtPowersOfTwo) {
  for (const int k : {-20, -1, 0, 3}) {
    const double power = std::ldexp(1.0, k);
    EXPECT_EQ(block_exponent(NumberFormat::mxint, power), k);
    EXPECT_EQ(block_exponent(NumberFormat::mxint, std::nextafter(power, 1e9)), k + 1);
    EXPECT_EQ(block_exponent(NumberFormat::mxfp4, power), k - 2);
    EXPECT_EQ(block_exponent(NumberFormat::mxfp4, std::nextafter(2 * power, 0)), k - 2);
    EXPECT_EQ(block_exponent(NumberFormat::mxfp4_rounded, 1.75 * power), k - 1);
    EXPECT_EQ(block_exponent(NumberFormat::mxfp4_rounded, std::nextafter(1.75 * power, 0)), k - 2);
  }
}

TEST(BlockFormats, MxintErrorAndSaturation) {
  const MatrixD w = random_matrix(20, 64, 1);
  for (const int bits : {2, 4, 6, 8}) {
    const QuantizedWeight q = quantize_rtn(w, {bits, 16, true, WeightClip::search, NumberFormat::mxint}, true);
    const MatrixD values = q.dequantize();
    const int highest = (1 << (bits - 1)) - 1;
    for (std::size_t r = 0; r < 20; ++r)
      for (std::size_t c = 0; c < 64; ++c) {
        const double scale = q.scales(r, c / 16);
        if (std::abs(q.codes[r * 64 + c]) == highest) continue;  // the top code may saturate
        EXPECT_LE(std::abs(values(r, c) - w(r, c)), scale / 2);
      }
  }
  MatrixD power(1, 16, 0.25);
  power(0, 3) = -4;
  const QuantizedWeight q = quantize_rtn(power, {4, 16, true, WeightClip::none, NumberFormat::mxint}, true);
  EXPECT_EQ(q.dequantize()(0, 3), -4 * (1 - 0.125));  // a power of two saturates
}

TEST(BlockFormats, PowersOfTwoMoveScalesOnly) {
  const MatrixD w = random_matrix(6, 64, 2);
  MatrixD scaled = w;
  for (double& v : scaled.flat()) v *= 8;
  for (const auto format : {NumberFormat::mxint, NumberFormat::mxfp4, NumberFormat::mxfp4_rounded, NumberFormat::nvfp4}) {
    const WeightScheme scheme{4, default_block(format), true, WeightClip::none, format};
    const QuantizedWeight a = quantize_rtn(w, scheme, true), b = quantize_rtn(scaled, scheme, true);
    EXPECT_EQ(a.codes, b.codes) << name(format);
    const MatrixD x = a.dequantize(), y = b.dequantize();
    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(8 * x.data()[i], y.data()[i]) << name(format);
  }
}

TEST(BlockFormats, WeightsAndActivationsAgree) {
  const MatrixD w = random_matrix(1, 64, 3);
  const MatrixF single = convert<float>(w);
  for (const auto format : {NumberFormat::mxint, NumberFormat::mxfp4, NumberFormat::mxfp4_rounded, NumberFormat::nvfp4}) {
    const std::size_t block = default_block(format);
    const QuantizedWeight weight = quantize_rtn(w, {4, block, true, WeightClip::none, format}, true);
    std::vector<std::int8_t> codes(64);
    std::vector<float> scales(64 / block), values(64);
    const ActivationScheme scheme{4, block, 0.9f, true, format};
    quantize_activations(single.data(), 1, 64, scheme, codes.data(), scales.data());
    EXPECT_EQ(codes, weight.codes) << name(format);
    fake_quantize_activations(single.data(), 1, 64, scheme, values.data());
    const MatrixD expected = weight.dequantize();
    for (std::size_t i = 0; i < 64; ++i) EXPECT_NEAR(double(values[i]), expected(0, i), 2e-7 * std::abs(expected(0, i))) << name(format);
  }
}

TEST(BlockFormats, NvidiaBlocksByTheirFormula) {
  const MatrixD w = random_matrix(4, 32, 4);
  const QuantizedWeight q = quantize_rtn(w, {4, 16, true, WeightClip::none, NumberFormat::nvfp4}, true);
  double largest = 0;
  for (const double v : w.flat()) largest = std::max(largest, std::abs(v));
  const double g = double(float(448 * 6 / largest));
  const MatrixD values = q.dequantize();
  for (std::size_t r = 0; r < 4; ++r)
    for (std::size_t b = 0; b < 2; ++b) {
      double of_block = 0;
      for (std::size_t i = 16 * b; i < 16 * b + 16; ++i) of_block = std::max(of_block, std::abs(w(r, i)));
      const double s = decode_e4m3(encode_e4m3(g * of_block / 6));
      for (std::size_t i = 16 * b; i < 16 * b + 16; ++i)
        EXPECT_NEAR(values(r, i), nearest_of_fifteen(w(r, i) * g / s) * s / g, 1e-12 * largest);
    }
}

TEST(BlockFormats, ZerosStayZeros) {
  std::vector<float> x(64, 0.0f);
  x[40] = 1.0f;
  for (const auto format : {NumberFormat::mxint, NumberFormat::mxfp4, NumberFormat::nvfp4}) {
    std::vector<float> y(64);
    fake_quantize_activations(x.data(), 1, 64, {4, 16, 0.9f, true, format}, y.data());
    for (std::size_t i = 0; i < 64; ++i) {
      EXPECT_TRUE(std::isfinite(y[i]));
      if (i / 16 != 2) {
        EXPECT_EQ(y[i], 0.0f);
      }
    }
    EXPECT_NO_THROW(quantize_rtn(MatrixD(3, 64), {4, 16, true, WeightClip::none, format}, true));
  }
  x[3] = INFINITY;
  EXPECT_THROW(fake_quantize_activations(x.data(), 1, 64, {4, 16, 0.9f, true, NumberFormat::nvfp4}, x.data()), Error);
}

TEST(Asymmetric, ZeroIsExactAndCodesAreInRange) {
  MatrixD w = random_matrix(12, 48, 5);
  for (std::size_t c = 0; c < 48; ++c) {
    w(0, c) = std::abs(w(0, c)) + 3;  // far from 0: the range still holds it
    w(1, c) = -w(0, c);
    w(2, c) = 0;
  }
  for (const int bits : {2, 4, 7})
    for (const auto clip : {WeightClip::none, WeightClip::search}) {
      const WeightScheme scheme{bits, 16, false, clip};
      const QuantizedWeight q = quantize_rtn(w, scheme, false);
      const MatrixD values = q.dequantize();
      for (const auto code : q.codes) {
        EXPECT_GE(code, 0);
        EXPECT_LT(code, 1 << bits);
      }
      for (std::size_t c = 0; c < 48; ++c) EXPECT_EQ(values(2, c), 0.0);
      const auto integers = q.integers();
      for (std::size_t i = 0; i < integers.size(); ++i) EXPECT_EQ(integers[i] * q.scales.data()[i / 16], values.data()[i]);
      EXPECT_EQ(round_to_grid(values, scheme, {q.scales, q.zeros}).codes, q.codes);
    }
}

double error_of_norm(const MatrixD& w, const QuantizedWeight& q, std::size_t row, std::size_t group) {
  double sum = 0;
  const MatrixD values = q.dequantize();
  for (std::size_t c = group * 16; c < group * 16 + 16; ++c) sum += std::pow(std::abs(values(row, c) - w(row, c)), 2.4);
  return sum;
}

TEST(Asymmetric, SearchFindsTheBestOfEighty) {
  MatrixD w = random_matrix(10, 32, 6);
  for (std::size_t r = 0; r < 5; ++r) w(r, 7) = 9;  // outliers, and shifted rows
  for (std::size_t c = 0; c < 32; ++c) w(6, c) += 2;
  for (const int bits : {3, 4}) {
    const QuantizedWeight found = quantize_rtn(w, {bits, 16, false, WeightClip::search}, false);
    const QuantizedWeight bare = quantize_rtn(w, {bits, 16, false, WeightClip::none}, false);
    for (std::size_t r = 0; r < 10; ++r)
      for (std::size_t g = 0; g < 2; ++g) {
        double best = INFINITY;
        for (int step = 0; step < 80; ++step) {
          WeightGrid grid{bare.scales, bare.zeros};
          grid.scales(r, g) *= 1 - step / 100.0;
          best = std::min(best, error_of_norm(w, round_to_grid(w, bare.scheme, grid), r, g));
        }
        EXPECT_NEAR(error_of_norm(w, found, r, g), best, 1e-9 * best) << bits << " " << r << " " << g;
      }
  }
}

TEST(Asymmetric, ActivationsKeepZeroAndRange) {
  std::vector<float> x = {0, 1, 2, 3, 4, 5, 6, 7.5f, -1, -1, -1, -2, 0, 0, 0, 0};
  std::vector<std::int8_t> codes(16), zeros(2);
  std::vector<float> scales(2);
  quantize_activations(x.data(), 1, 16, {4, 8, 1.0f, false}, codes.data(), scales.data(), zeros.data());
  EXPECT_EQ(zeros[0], 0);
  EXPECT_EQ(zeros[1], 15);
  EXPECT_EQ(scales[0], 0.5f);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(float(codes[i]) * scales[0], x[i]);
  EXPECT_EQ(codes[12], 0);
  EXPECT_EQ(codes[11], -15);
}

TEST(Scheme, RefusalsNameTheLayerAndWhatToDo) {
  const auto sentence = [](const WeightScheme& scheme) -> std::string {
    try {
      check_scheme(scheme, 64, "blk");
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_NE(sentence({8, 0, false}).find("blk: asymmetric weights of 8 bits"), std::string::npos);
  EXPECT_NE(sentence({4, 16, false, WeightClip::none, NumberFormat::mxint}).find("no zero point"), std::string::npos);
  EXPECT_NE(sentence({8, 16, true, WeightClip::none, NumberFormat::nvfp4}).find("nvfp4"), std::string::npos);
  EXPECT_EQ(sentence({4, 16, false}), "");
}

double quadratic(const QuantizedWeight& q, const MatrixD& target, const MatrixD& h) {
  const MatrixD values = q.dequantize();
  double sum = 0;
  for (std::size_t r = 0; r < target.rows(); ++r)
    for (std::size_t i = 0; i < h.rows(); ++i)
      for (std::size_t j = 0; j < h.rows(); ++j) sum += (target(r, i) - values(r, i)) * h(i, j) * (target(r, j) - values(r, j));
  return sum;
}

TEST(Polish, NeverIncreasesAndEndsInALocalMinimum) {
  const std::size_t n = 24;
  const MatrixD x = test::random_inputs(600, n, 7), w = random_matrix(9, n, 8);
  MatrixD h(n, n);
  for (std::size_t t = 0; t < x.rows(); ++t)
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) h(i, j) += x(t, i) * x(t, j);
  for (const WeightScheme& scheme :
       {WeightScheme{4, 0}, WeightScheme{3, 8, false}, WeightScheme{4, 8, true, WeightClip::none, NumberFormat::mxfp4},
        WeightScheme{2, 8, true, WeightClip::none, NumberFormat::mxint}}) {
    QuantizedWeight q = quantize_gptq(w, h, scheme, {}).weight;
    const double before = quadratic(q, w, h);
    QuantizedWeight once = q;
    polish_codes(once, w, h, 1);
    polish_codes(q, w, h, 1000);
    const double after = quadratic(q, w, h);
    EXPECT_LE(quadratic(once, w, h), before * (1 + 1e-12));
    EXPECT_LE(after, quadratic(once, w, h) * (1 + 1e-12));
    EXPECT_LT(after, before) << name(scheme.format);
    // No single code can do better by moving to a neighbour.
    const WholeNumbers numbers(scheme);
    for (std::size_t i = 0; i < q.codes.size(); i += 5)
      for (const int step : {-1, 1}) {
        QuantizedWeight moved = q;
        const double zero = q.zeros.empty() ? 0 : q.zeros[i / n * q.groups() + i % n / q.group_size()];
        const double whole = q.codes[i] - zero + step;
        if (numbers.nearest(whole, zero) != whole) continue;
        moved.codes[i] = std::int8_t(whole + zero);
        EXPECT_GE(quadratic(moved, w, h), after * (1 - 1e-12));
      }
  }
}

TEST(Gptq, BlockFormatsAndZeroPointsBeatRounding) {
  const std::size_t n = 32;
  const MatrixD x = test::random_inputs(800, n, 9), w = random_matrix(16, n, 10);
  MatrixD h(n, n);
  for (std::size_t t = 0; t < x.rows(); ++t)
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) h(i, j) += x(t, i) * x(t, j);
  for (const WeightScheme& scheme : {WeightScheme{4, 16, false}, WeightScheme{4, 16, true, WeightClip::none, NumberFormat::mxint},
                                     WeightScheme{4, 32, true, WeightClip::none, NumberFormat::mxfp4},
                                     WeightScheme{4, 16, true, WeightClip::none, NumberFormat::nvfp4}}) {
    const GptqResult result = quantize_gptq(w, h, scheme, {});
    EXPECT_LT(quadratic(result.weight, w, h), quadratic(quantize_rtn(w, scheme, false), w, h)) << name(scheme.format);
    // A weight on its grid comes back as it was.
    const QuantizedWeight on = quantize_rtn(w, scheme, false);
    EXPECT_EQ(quantize_gptq(on.dequantize(), h, scheme, {}, {on.scales, on.zeros, on.tensor_scale}).weight.codes, on.codes)
        << name(scheme.format);
  }
}

}  // namespace
}  // namespace lrc

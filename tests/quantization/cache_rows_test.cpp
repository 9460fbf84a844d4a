#include "quantization/cache_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "base/error.h"
#include "quantization/activation.h"

namespace lrc {
namespace {

ActivationScheme scheme_of(int bits, std::size_t group, bool symmetric, float clip = 1.0f) { return {bits, group, clip, symmetric}; }

std::vector<float> values(std::size_t count, unsigned seed, float mean) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> distribution(mean, 1.0f);
  std::vector<float> x(count);
  for (float& value : x) value = distribution(generator);
  return x;
}

struct Rows {
  std::vector<std::uint8_t> codes, zeros;
  std::vector<float> scales;
};
Rows quantize(const std::vector<float>& x, const CacheLayout& layout) {
  const std::size_t rows = x.size() / layout.width;
  Rows r{std::vector<std::uint8_t>(rows * layout.code_bytes), std::vector<std::uint8_t>(rows * layout.groups),
         std::vector<float>(rows * layout.groups)};
  quantize_cache_rows(x.data(), rows, layout, r.codes.data(), r.scales.data(), r.zeros.data());
  return r;
}
std::vector<float> back(const Rows& r, const CacheLayout& layout) {
  const std::size_t rows = r.scales.size() / layout.groups;
  std::vector<float> x(rows * layout.width);
  dequantize_cache_rows(r.codes.data(), r.scales.data(), r.zeros.data(), rows, layout, x.data());
  return x;
}

// The cache holds what the one activation quantizer says, whatever the packing.
TEST(CacheRows, StandForWhatTheActivationQuantizerGives) {
  for (const int bits : {2, 3, 4, 5, 8})
    for (const bool symmetric : {false, true})
      for (const std::size_t group : {std::size_t(0), std::size_t(8), std::size_t(5)})
        for (const float clip : {1.0f, 0.9f}) {
          const std::size_t dim = group == 5 ? 20 : 24;
          const CacheLayout layout = cache_layout(scheme_of(bits, group, symmetric, clip), 3, dim);
          const auto x = values(7 * layout.width, unsigned(bits), 0.7f);
          std::vector<float> expected(x.size());
          fake_quantize_activations(x.data(), 7, layout.width, layout.scheme, expected.data());
          EXPECT_EQ(back(quantize(x, layout), layout), expected) << bits << " bits, group " << group << ", symmetric " << symmetric;
        }
}

TEST(CacheRows, FourBitsTakeHalfAByte) {
  const CacheLayout four = cache_layout(scheme_of(4, 0, false), 3, 64), eight = cache_layout(scheme_of(8, 0, false), 3, 64);
  EXPECT_TRUE(four.nibbles);
  EXPECT_EQ(four.row_bytes(), 3u * (32 + 5));
  EXPECT_EQ(eight.row_bytes(), 3u * (64 + 5));
  EXPECT_EQ(cache_layout(scheme_of(2, 16, false), 3, 64).row_bytes(), 3u * (32 + 4 * 5));
  EXPECT_FALSE(cache_layout(scheme_of(4, 5, false), 3, 20).nibbles);  // a group would begin inside a byte
}

// Zero is representable, the ends of the range are, and the error is at most half a step.
TEST(CacheRows, EightBitsWithZeroPointsReachBothEnds) {
  const CacheLayout layout = cache_layout(scheme_of(8, 0, false), 1, 64);
  auto x = values(64, 3, 5.0f);  // all on one side: codes that a signed byte could not hold
  x[7] = 0.0f;
  const auto y = back(quantize(x, layout), layout);
  EXPECT_EQ(y[7], 0.0f);
  const float scale = quantize(x, layout).scales[0];
  for (std::size_t i = 0; i < 64; ++i) EXPECT_LE(std::fabs(y[i] - x[i]), 0.5f * scale * 1.0001f);
}

TEST(CacheRows, ZeroHeadsStayZero) {
  for (const bool symmetric : {false, true}) {
    const CacheLayout layout = cache_layout(scheme_of(4, 0, symmetric), 2, 8);
    std::vector<float> x(16, 0.0f);
    x[11] = -2.0f;
    const auto y = back(quantize(x, layout), layout);
    for (std::size_t i = 0; i < 16; ++i)
      if (i != 11) {
        EXPECT_EQ(y[i], 0.0f);
      }
    EXPECT_NEAR(y[11], -2.0f, 1e-6f);
  }
}

TEST(CacheRows, RefusesWhatCannotBe) {
  EXPECT_THROW(cache_layout(scheme_of(4, 48, false), 3, 64), Error);
  EXPECT_THROW(cache_layout(scheme_of(4, 128, false), 3, 64), Error);  // across heads
  EXPECT_THROW(cache_layout(scheme_of(9, 0, false), 3, 64), Error);
  EXPECT_THROW(cache_layout(scheme_of(16, 0, false), 3, 64), Error);
  EXPECT_THROW(cache_layout({4, 16, 1.0f, true, NumberFormat::mxint}, 3, 64), Error);
  const CacheLayout layout = cache_layout(scheme_of(4, 0, false), 1, 8);
  std::vector<float> x(8, 1.0f);
  x[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(quantize(x, layout), Error);
}

}  // namespace
}  // namespace lrc

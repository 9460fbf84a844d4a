#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "support/test_data.h"

namespace lrc {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Rounding by definition: to the nearest multiple of the unit in the last place, ties to even.
double nearest(double x, int mantissa_bits, int lowest_exponent) {
  if (x == 0) return x;
  const int exponent = std::max(std::ilogb(x), lowest_exponent);
  const double unit = std::ldexp(1.0, exponent - mantissa_bits);
  return std::nearbyint(x / unit) * unit;
}

std::vector<float> hard_floats() {
  std::vector<float> values;
  std::mt19937 random(7);
  for (int i = 0; i < 200000; ++i) {
    const float value = std::bit_cast<float>(std::uint32_t(random()));
    if (std::isfinite(value)) values.push_back(value);
  }
  // Every float16 and the points halfway between it and the next, and a hair to both sides of them: where rounding decides.
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const float low = half_to_float(std::uint16_t(bits));
    const double high = bits == 0x7bff ? 65536.0 : double(half_to_float(std::uint16_t(bits + 1)));
    const auto middle = float((double(low) + high) / 2);
    for (const float value : {low, middle, std::nextafter(middle, 0.0f), std::nextafter(middle, infinity)}) {
      values.push_back(value);
      values.push_back(-value);
    }
  }
  return values;
}

TEST(Half, EveryBitPatternSurvivesTheWayThroughFloat) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = half_to_float(std::uint16_t(bits));
    if ((bits & 0x7fff) > 0x7c00) {
      EXPECT_TRUE(std::isnan(value)) << bits;
      EXPECT_EQ(float_to_half(value), bits | 0x200) << bits;
    } else {
      EXPECT_EQ(float_to_half(value), bits) << bits;
    }
  }
}

TEST(Half, KnownValues) {
  EXPECT_EQ(half_to_float(0x3c00), 1.0f);
  EXPECT_EQ(half_to_float(0xc000), -2.0f);
  EXPECT_EQ(half_to_float(0x7bff), 65504.0f);
  EXPECT_EQ(half_to_float(0x0001), 0x1p-24f);
  EXPECT_EQ(half_to_float(0x7c00), infinity);
  EXPECT_EQ(float_to_half(65519.996f), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_half(-1e30f), 0xfc00);
  EXPECT_EQ(float_to_half(0x1p-25f), 0x0000);  // a tie, to even
  EXPECT_EQ(float_to_half(std::nextafter(0x1p-25f, 1.0f)), 0x0001);
  EXPECT_TRUE(std::signbit(half_to_float(float_to_half(-0.0f))));
}

TEST(Half, RoundsToNearestEven) {
  for (const float value : hard_floats()) {
    const double expected = nearest(value, 10, -14);
    const float actual = round_to_half(value);
    if (std::fabs(expected) > 65504)
      ASSERT_EQ(actual, value > 0 ? infinity : -infinity) << value;
    else
      ASSERT_EQ(double(actual), expected) << value;
  }
}

TEST(Bfloat, RoundsToNearestEven) {
  for (const float value : hard_floats()) {
    const double expected = nearest(value, 7, -126);
    const float actual = bfloat16_to_float(float_to_bfloat16(value));
    if (std::fabs(expected) > 3.3895313892515355e38)
      ASSERT_EQ(actual, value > 0 ? infinity : -infinity) << value;
    else
      ASSERT_EQ(double(actual), expected) << value;
  }
  EXPECT_TRUE(std::isnan(bfloat16_to_float(float_to_bfloat16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isnan(bfloat16_to_float(float_to_bfloat16(std::bit_cast<float>(0x7f800001u)))));  // must not become infinity
}

std::vector<float> decode(DType type, const std::vector<std::uint8_t>& bytes) {
  std::vector<float> values(bytes.size() / block_bytes(type) * block_elements(type));
  to_float(type, bytes.data(), values.size(), values.data());
  return values;
}

/// Random blocks whose float16 fields at the given places are ordinary numbers.
std::vector<std::uint8_t> random_block(DType type, std::initializer_list<std::size_t> halves, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::uint8_t> bytes(block_bytes(type));
  for (auto& byte : bytes) byte = std::uint8_t(random());
  for (const std::size_t place : halves) {
    const auto bits = float_to_half(std::uniform_real_distribution<float>(-0.1f, 0.1f)(random));
    std::memcpy(bytes.data() + place, &bits, 2);
  }
  return bytes;
}

float half_at(const std::vector<std::uint8_t>& bytes, std::size_t place) {
  std::uint16_t bits;
  std::memcpy(&bits, bytes.data() + place, 2);
  return half_to_float(bits);
}

// The expected values below are written element by element from the layout tables, not block by block as the decoders are.

TEST(Blocks, FourAndFiveAndEightBits) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    const auto q40 = random_block(DType::q4_0, {0}, seed), q41 = random_block(DType::q4_1, {0, 2}, seed);
    const auto q50 = random_block(DType::q5_0, {0}, seed), q51 = random_block(DType::q5_1, {0, 2}, seed);
    const auto q80 = random_block(DType::q8_0, {0}, seed);
    const auto v40 = decode(DType::q4_0, q40), v41 = decode(DType::q4_1, q41), v50 = decode(DType::q5_0, q50),
               v51 = decode(DType::q5_1, q51), v80 = decode(DType::q8_0, q80);
    for (std::size_t i = 0; i < 32; ++i) {
      const auto nibble = [&](const auto& bytes, std::size_t first) { return i < 16 ? bytes[first + i] % 16 : bytes[first + i - 16] / 16; };
      const auto fifth = [&](const auto& bytes, std::size_t first) { return bytes[first + i / 8] >> (i % 8) & 1; };
      EXPECT_EQ(v40[i], half_at(q40, 0) * float(nibble(q40, 2) - 8));
      EXPECT_EQ(v41[i], half_at(q41, 0) * float(nibble(q41, 4)) + half_at(q41, 2));
      EXPECT_EQ(v50[i], half_at(q50, 0) * float(nibble(q50, 6) + 16 * fifth(q50, 2) - 16));
      EXPECT_EQ(v51[i], half_at(q51, 0) * float(nibble(q51, 8) + 16 * fifth(q51, 4)) + half_at(q51, 2));
      EXPECT_EQ(v80[i], half_at(q80, 0) * float(std::int8_t(q80[2 + i])));
    }
  }
}

TEST(Blocks, KBlocks) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    const auto q4 = random_block(DType::q4_k, {0, 2}, seed), q5 = random_block(DType::q5_k, {0, 2}, seed),
               q6 = random_block(DType::q6_k, {208}, seed);
    const auto v4 = decode(DType::q4_k, q4), v5 = decode(DType::q5_k, q5), v6 = decode(DType::q6_k, q6);
    const auto scale = [](const auto& b, std::size_t j) { return j < 4 ? b[4 + j] % 64 : b[4 + j + 4] % 16 + b[4 + j - 4] / 64 * 16; };
    const auto minimum = [](const auto& b, std::size_t j) { return j < 4 ? b[4 + j + 4] % 64 : b[4 + j + 4] / 16 + b[4 + j] / 64 * 16; };
    for (std::size_t i = 0; i < 256; ++i) {
      const std::size_t sub = i / 32, within = i % 32, byte = i / 64 * 32 + within;
      const auto nibble = [&](const auto& b, std::size_t first) { return sub % 2 == 0 ? b[first + byte] % 16 : b[first + byte] / 16; };
      EXPECT_EQ(v4[i], half_at(q4, 0) * float(scale(q4, sub)) * float(nibble(q4, 16)) - half_at(q4, 2) * float(minimum(q4, sub)));
      const int five = nibble(q5, 48) + 16 * (q5[16 + within] >> sub & 1);
      EXPECT_EQ(v5[i], half_at(q5, 0) * float(scale(q5, sub)) * float(five) - half_at(q5, 2) * float(minimum(q5, sub)));
      const std::size_t half = i / 128, l = i % 32, quarter = i % 128 / 32;
      const int low_byte = q6[64 * half + l + 32 * (quarter % 2)];
      const int six = (quarter < 2 ? low_byte % 16 : low_byte / 16) + 16 * (q6[128 + 32 * half + l] >> (2 * quarter) & 3);
      EXPECT_EQ(v6[i], half_at(q6, 208) * float(std::int8_t(q6[192 + i / 16])) * float(six - 32));
    }
  }
}

TEST(Blocks, WhatGgmlEncodedComesBackClose) {
  const struct {
    const char* name;
    DType type;
    double bound;  // of the root mean square error, relative to that of the values
  } cases[] = {{"q4_0_64", DType::q4_0, 0.10},
               {"q5_0_64", DType::q5_0, 0.05},
               {"q8_0_64", DType::q8_0, 0.006},
               {"q4_k_512", DType::q4_k, 0.09},
               {"q6_k_512", DType::q6_k, 0.025}};
  for (const auto& [name, type, bound] : cases) {
    const auto folder = test::data("ggml-quant-vectors");
    const auto input = read_file(folder / (std::string(name) + "_noim_input.bin")),
               expected = read_file(folder / (std::string(name) + "_noim_expected.bin"));
    const std::vector<std::uint8_t> bytes(expected.begin(), expected.end());
    const auto values = decode(type, bytes);
    ASSERT_EQ(values.size() * 4, input.size());
    double error = 0, norm = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      float x;
      std::memcpy(&x, input.data() + 4 * i, 4);
      error += std::pow(double(values[i]) - double(x), 2);
      norm += double(x) * double(x);
    }
    EXPECT_LT(std::sqrt(error / norm), bound) << name;
  }
}

TEST(ToFloat, PlainTypesNeedNoAlignment) {
  std::vector<std::uint8_t> bytes(1 + 3 * 8);
  const double doubles[] = {1.0 / 3, -2.5, 1e300};
  std::memcpy(bytes.data() + 1, doubles, sizeof doubles);
  float values[3];
  to_float(DType::f64, bytes.data() + 1, 3, values);
  EXPECT_EQ(values[0], 1.0f / 3);
  EXPECT_EQ(values[1], -2.5f);
  EXPECT_EQ(values[2], infinity);
}

TEST(ToFloat, IntegersAreNoWeights) {
  const std::int32_t number = 3;
  float value = 0;
  for (const DType type : {DType::i64, DType::i32, DType::i16, DType::i8, DType::u8, DType::boolean}) {
    EXPECT_FALSE(is_float_like(type));
    try {
      to_float(type, &number, 0, &value);
      FAIL() << name(type);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    }
  }
}

}  // namespace
}  // namespace lrc

#include "quantization/activation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/safetensors.h"
#include "support/test_data.h"

namespace lrc {
namespace {

/// The definition in plain words, in double: both boundary products rounded to float32, candidates searched one by one.
int code_by_search(float x, float scale, int lowest, int highest) {
  if (scale == 0.0f) return 0;
  int found = x > 0 ? highest : lowest;
  for (int q = lowest - 1; q <= highest + 1; ++q) {
    const float low = float(double(float(q) - 0.5f) * double(scale));
    const float high = float(double(float(q) + 0.5f) * double(scale));
    if (!(low <= x && x <= high)) continue;
    found = q;
    if (q % 2 == 0) break;
  }
  return std::min(std::max(found, lowest), highest);
}

void expect_same(const std::vector<float>& values, float scale, int bits) {
  for (const float x : values)
    ASSERT_EQ(activation_code(x, scale, lowest_code(bits), highest_code(bits)),
              code_by_search(x, scale, lowest_code(bits), highest_code(bits)))
        << "x " << x << " scale " << scale << " bits " << bits;
}

TEST(ActivationCode, FollowsTheComparisonAtAndBesideEveryBoundary) {
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> exponent(-120, 100);
  for (int round = 0; round < 400; ++round) {
    const float scale = std::exp2(exponent(generator));
    for (const int bits : {2, 3, 4, 8}) {
      std::vector<float> values{0.0f, -0.0f};
      for (int q = lowest_code(bits) - 2; q <= highest_code(bits) + 2; ++q) {
        const float boundary = (float(q) + 0.5f) * scale;
        values.insert(values.end(), {boundary, std::nextafter(boundary, -1e38f), std::nextafter(boundary, 1e38f), float(q) * scale});
      }
      expect_same(values, scale, bits);
    }
  }
}

TEST(ActivationCode, HoldsForTheSmallestScales) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  for (const float scale : {tiny, 2 * tiny, 3 * tiny, 7 * tiny, std::numeric_limits<float>::min()}) {
    std::vector<float> values;
    for (int i = -60; i <= 60; ++i) values.push_back(float(i) * tiny);
    expect_same(values, scale, 4);
    expect_same(values, scale, 8);
  }
}

TEST(ActivationCode, TiesGoToTheEvenCode) {
  EXPECT_EQ(activation_code(0.5f, 1.0f, -8, 7), 0);
  EXPECT_EQ(activation_code(1.5f, 1.0f, -8, 7), 2);
  EXPECT_EQ(activation_code(2.5f, 1.0f, -8, 7), 2);
  EXPECT_EQ(activation_code(-0.5f, 1.0f, -8, 7), 0);
  EXPECT_EQ(activation_code(-1.5f, 1.0f, -8, 7), -2);
  EXPECT_EQ(activation_code(-2.5f, 1.0f, -8, 7), -2);
  EXPECT_EQ(activation_code(1e30f, 1.0f, -8, 7), 7);
  EXPECT_EQ(activation_code(-1e30f, 1.0f, -8, 7), -8);
  EXPECT_EQ(activation_code(3.0f, 0.0f, -8, 7), 0);
}

TEST(Activations, ScaleIsOneMultiplicationByARoundedConstant) {
  const ActivationScheme scheme;
  EXPECT_EQ(activation_scale_factor(scheme), float(double(0.9f) / 7.0));
  const std::vector<float> x{0.1f, -3.7f, 0.25f, 1.0f};
  std::vector<std::int8_t> codes(4);
  float scale = 0;
  quantize_activations(x.data(), 1, 4, scheme, codes.data(), &scale);
  EXPECT_EQ(scale, 3.7f * float(double(0.9f) / 7.0));
  EXPECT_EQ(codes, (std::vector<std::int8_t>{0, -8, 1, 2}));
}

TEST(Activations, GroupsAndZeroGroupsAndInPlace) {
  ActivationScheme scheme;
  scheme.group_size = 2;
  std::vector<float> x{1.0f, -2.0f, 0.0f, -0.0f, 1e-3f, 5e-4f};
  std::vector<std::int8_t> codes(6, 99);
  std::vector<float> scales(3, -1);
  quantize_activations(x.data(), 1, 6, scheme, codes.data(), scales.data());
  EXPECT_EQ(scales[1], 0.0f);
  EXPECT_EQ(codes[2], 0);
  EXPECT_EQ(codes[3], 0);
  EXPECT_EQ(codes[4], 7);
  const auto copy = x;
  fake_quantize_activations(x.data(), 1, 6, scheme, x.data());
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(x[i], float(codes[i]) * scales[i / 2]) << i;
  scheme.bits = 16;
  std::vector<float> same(6);
  fake_quantize_activations(copy.data(), 1, 6, scheme, same.data());
  EXPECT_EQ(same, copy);
}

// Values are made many at a time, codes one by one from the definition; widths that fill no vector, and ties.
TEST(Activations, ValuesAreCodesTimesScale) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (const bool symmetric : {true, false})
    for (const int bits : {2, 3, 4, 6, 8})
      for (const std::size_t width : {1u, 15u, 16u, 33u, 576u}) {
        ActivationScheme scheme;
        scheme.bits = bits;
        scheme.symmetric = symmetric;
        constexpr std::size_t tokens = 5;
        std::vector<float> x(tokens * width), y(tokens * width), scales(tokens);
        std::vector<std::uint8_t> zeros(tokens), codes(tokens * width);
        for (std::size_t t = 0; t < tokens; ++t) {
          for (std::size_t i = 0; i < width; ++i) x[t * width + i] = std::ldexp(normal(random), int(t) * 9 - 18);
          const float largest =
              std::abs(*std::max_element(x.begin() + std::ptrdiff_t(t * width), x.begin() + std::ptrdiff_t((t + 1) * width),
                                         [](float a, float b) { return std::abs(a) < std::abs(b); }));
          // Halfway between two codes of this token's grid, where the quotient alone may be wrong.
          for (std::size_t i = 2; i < width; i += 3) x[t * width + i] = (float(i % 7) + 0.5f) * (largest * activation_scale_factor(scheme));
        }
        quantize_unsigned(x.data(), tokens, width, scheme, codes.data(), scales.data(), zeros.data());
        fake_quantize_activations(x.data(), tokens, width, scheme, y.data());
        for (std::size_t i = 0; i < x.size(); ++i) {
          const int number = int(codes[i]) - int(zeros[i / width]);
          ASSERT_EQ(y[i], float(number) * scales[i / width]) << bits << " bits, width " << width << ", at " << i;
        }
      }
}

template <typename Call>
ErrorKind kind_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorKind::io;
}

TEST(Activations, RefusesWhatCannotBeQuantized) {
  std::vector<float> x{1, 2, 3, 4, 5, 6};
  std::vector<std::int8_t> codes(6);
  std::vector<float> scales(6);
  ActivationScheme scheme;
  const auto run = [&] { quantize_activations(x.data(), 1, 6, scheme, codes.data(), scales.data()); };
  scheme.group_size = 4;
  EXPECT_EQ(kind_of(run), ErrorKind::bad_input);
  scheme.group_size = 0;
  for (const int bits : {1, 0, -3, 9, 16}) {
    scheme.bits = bits;
    EXPECT_EQ(kind_of(run), ErrorKind::bad_input) << bits;
  }
  scheme.bits = 4;
  for (const float clip : {0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    scheme.clip = clip;
    EXPECT_EQ(kind_of(run), ErrorKind::bad_input) << clip;
  }
  scheme.clip = 0.9f;
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    x[3] = bad;
    EXPECT_EQ(kind_of(run), ErrorKind::numerical) << bad;
  }
}

class GoldenActivations : public testing::TestWithParam<std::string> {};

// The golden scales are 0.9·max|x|/7 in float64: codes are the same, scales to 1e-6 (and 1, not 0, for a zero token).
TEST_P(GoldenActivations, CodesAreEqual) {
  const auto file = SafetensorsFile::open(test::data("solvers/" + GetParam() + ".safetensors"));
  const MatrixF x = file.read_float("X");
  int compared = 0;
  for (const auto& entry : file.entries()) {
    if (!entry.name.starts_with("act.") || !entry.name.ends_with(".codes") || entry.name.find("asym") != std::string::npos) continue;
    const std::string name = entry.name.substr(0, entry.name.size() - 6);
    ActivationScheme scheme;
    if (name == "act.int8") scheme = {8, 0, 1.0f};
    if (const auto at = name.find("_g"); at != std::string::npos) scheme.group_size = std::stoul(name.substr(at + 2));
    const std::size_t tokens = entry.shape.at(0);
    const std::size_t groups = scheme.group_size == 0 ? 1 : x.columns() / scheme.group_size;
    std::vector<std::int8_t> codes(tokens * x.columns());
    std::vector<float> scales(tokens * groups);
    quantize_activations(x.data(), tokens, x.columns(), scheme, codes.data(), scales.data());
    const auto golden_codes = file.raw<std::int8_t>(entry.name);
    const MatrixD golden_scales = file.read_double(name + ".scales");
    ASSERT_EQ(golden_codes.size(), codes.size()) << name;
    ASSERT_EQ(golden_scales.size(), scales.size()) << name;
    for (std::size_t i = 0; i < codes.size(); ++i) ASSERT_EQ(codes[i], golden_codes[i]) << name << " element " << i;
    for (std::size_t i = 0; i < scales.size(); ++i) {
      if (scales[i] == 0.0f)
        EXPECT_EQ(golden_scales.data()[i], 1.0) << name;
      else
        EXPECT_NEAR(scales[i] / golden_scales.data()[i], 1.0, 1e-6) << name;
    }
    ++compared;
  }
  EXPECT_GE(compared, 3);
}

INSTANTIATE_TEST_SUITE_P(Solvers, GoldenActivations,
                         testing::Values("case_square", "case_tall", "case_wide", "case_few_tokens", "case_edge"));

}  // namespace
}  // namespace lrc

// Quantizers against an independent float64 program (tests/data/solvers).
#include <gtest/gtest.h>

#include <cmath>

#include "quantization/activation.h"
#include "quantization/quantized_weight.h"
#include "quantization/second_moments.h"
#include "support/golden_weight.h"

namespace lrc {
namespace {

using test::SolverCase;

class GoldenQuantizers : public testing::TestWithParam<std::string> {
 protected:
  SolverCase golden{GetParam()};
  MatrixD w = golden.w(), x = golden.x();

  void expect_weight(const QuantizedWeight& weight, const std::string& name) { test::expect_weight(golden, weight, name, 1e-12); }

  std::vector<std::size_t> groups() const {
    std::vector<std::size_t> result = {0};
    for (const auto& g : golden.facts["groups"]) result.push_back(g.get<std::size_t>());
    return result;
  }

  void expect_activations(const std::string& name, const ActivationScheme& scheme, std::size_t tokens) {
    const MatrixF single = convert<float>(x);
    const std::size_t groups = scheme.group_size == 0 ? 1 : x.columns() / scheme.group_size;
    std::vector<std::int8_t> codes(tokens * x.columns());
    std::vector<float> scales(tokens * groups);
    quantize_activations(single.data(), tokens, x.columns(), scheme, codes.data(), scales.data());
    EXPECT_EQ(codes, golden.codes(name + ".codes")) << name;
    const MatrixD expected = golden.file.read_double(name + ".scales");
    ASSERT_EQ(scales.size(), expected.size()) << name;
    for (std::size_t i = 0; i < scales.size(); ++i) {
      if (scales[i] == 0) continue;  // a zero token: any scale does
      EXPECT_NEAR(double(scales[i]), expected.data()[i], 2e-7 * expected.data()[i]) << name;
    }
    std::vector<float> fake(codes.size());
    fake_quantize_activations(single.data(), tokens, x.columns(), scheme, fake.data());
    for (std::size_t i = 0; i < fake.size(); ++i) ASSERT_EQ(fake[i], float(codes[i]) * scales[i / (x.columns() / groups)]);
  }
};

TEST_P(GoldenQuantizers, Activations) {
  expect_activations("act.int4", {}, x.rows());
  for (const std::size_t group : groups())
    if (group != 0) expect_activations("act.int4_g" + std::to_string(group), {4, group, 0.9f}, 64);
  expect_activations("act.int8", {8, 0, 1.0f}, 64);
}

TEST_P(GoldenQuantizers, AsymmetricActivations) {
  const std::size_t tokens = 64;
  const MatrixF single = convert<float>(x);
  std::vector<std::int8_t> codes(tokens * x.columns()), zeros(tokens);
  std::vector<float> scales(tokens);
  quantize_activations(single.data(), tokens, x.columns(), {4, 0, 0.9f, false}, codes.data(), scales.data(), zeros.data());
  const MatrixD expected_scales = golden.file.read_double("act.int4_asym.scales");
  const auto expected_zeros = golden.file.raw<std::int16_t>("act.int4_asym.zeros");
  const auto expected = golden.codes("act.int4_asym.codes");
  for (std::size_t t = 0; t < tokens; ++t) {
    if (scales[t] == 0) continue;  // a zero token: any scale does
    EXPECT_NEAR(double(scales[t]), expected_scales.data()[t], 3e-7 * expected_scales.data()[t]) << t;
    EXPECT_EQ(zeros[t], expected_zeros[t]) << t;
    for (std::size_t i = 0; i < x.columns(); ++i)
      ASSERT_EQ(codes[t * x.columns() + i] + zeros[t], expected[t * x.columns() + i]) << t << " " << i;
  }
}

TEST_P(GoldenQuantizers, BlockIntegers) {
  for (const int bits : {4, 8}) {
    const std::string name = "mxint" + std::to_string(bits);
    const QuantizedWeight weight = quantize_rtn(w, {bits, 16, true, WeightClip::none, NumberFormat::mxint}, true);
    EXPECT_EQ(weight.codes, golden.codes(name + ".codes")) << name;
    const auto exponents = golden.file.raw<std::int16_t>(name + ".exponents");
    for (std::size_t i = 0; i < exponents.size(); ++i)
      EXPECT_EQ(std::ilogb(weight.scales.data()[i]) + bits - 1, exponents[i]) << name << " block " << i;
    // The same numbers as activations, in float32.
    const MatrixF single = convert<float>(w);
    std::vector<std::int8_t> codes(w.size());
    std::vector<float> scales(w.size() / 16);
    quantize_activations(single.data(), w.rows(), w.columns(), {bits, 16, 0.9f, true, NumberFormat::mxint}, codes.data(), scales.data());
    EXPECT_EQ(codes, weight.codes) << name;
  }
}

TEST_P(GoldenQuantizers, AsymmetricWeights) {
  for (const int bits : {3, 4})
    for (const auto& g : golden.facts["groups"]) {
      const std::size_t group = g.get<std::size_t>();
      const std::string name = "lsi.int" + std::to_string(bits) + "_g" + std::to_string(group);
      if (!golden.has(name + ".codes")) continue;
      const QuantizedWeight weight = quantize_rtn(w, {bits, group, false, WeightClip::none}, false);
      const MatrixD scales = golden.file.read_double(name + ".scales");
      const auto zeros = golden.file.raw<std::int16_t>(name + ".zeros");
      const auto codes = golden.codes(name + ".codes");
      for (std::size_t i = 0; i < zeros.size(); ++i) {
        if (weight.scales.data()[i] == 0) continue;  // a group of zeros
        EXPECT_NEAR(weight.scales.data()[i], scales.data()[i], 1e-12 * scales.data()[i]) << name;
        EXPECT_EQ(weight.zeros[i], zeros[i]) << name;
        for (std::size_t c = i * group; c < (i + 1) * group; ++c) ASSERT_EQ(weight.codes[c], codes[c]) << name << " " << c;
      }
    }
}

TEST_P(GoldenQuantizers, RoundToNearest) {
  for (const std::size_t group : groups()) {
    const std::string name = group == 0 ? "rtn.row" : "rtn.g" + std::to_string(group);
    expect_weight(quantize_rtn(w, {4, group, true, WeightClip::none}, false), name);
    expect_weight(quantize_rtn(w, {4, group, true, WeightClip::search}, false), name + "_search");
  }
}

TEST_P(GoldenQuantizers, Gptq) {
  const MatrixD hessian = golden.file.read_double("moments.Sx");
  for (const std::size_t group : {std::size_t(0), groups().back()})
    for (const bool act_order : {false, true}) {
      GptqOptions options;
      options.act_order = act_order;
      const GptqResult result = quantize_gptq(w, hessian, {4, group}, options);
      const std::string name = std::string(act_order ? "gptq_act_order" : "gptq") + (group == 0 ? "" : "_g" + std::to_string(group));
      expect_weight(result.weight, name);
      if (group != 0) continue;
      const double expected = golden.scalar(name + ".loss", "sum_of_squared_normalised_errors");
      EXPECT_NEAR(result.sum_of_squared_normalised_errors, expected, 1e-8 * expected) << name;
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenQuantizers, testing::ValuesIn(test::solver_cases()), [](const auto& c) { return c.param; });

}  // namespace
}  // namespace lrc

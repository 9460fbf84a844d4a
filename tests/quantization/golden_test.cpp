// Quantizers against an independent float64 program (tests/data/solvers).
#include <gtest/gtest.h>

#include <cmath>

#include "quantization/activation.h"
#include "quantization/quantized_weight.h"
#include "quantization/second_moments.h"
#include "support/solver_case.h"

namespace lrc {
namespace {

using test::SolverCase;

class GoldenQuantizers : public testing::TestWithParam<std::string> {
 protected:
  SolverCase golden{GetParam()};
  MatrixD w = golden.w(), x = golden.x();

  void expect_weight(const QuantizedWeight& weight, const std::string& name) {
    EXPECT_EQ(weight.codes, golden.codes(name + ".codes")) << name;
    const MatrixD expected = golden.file.read_double(name + ".scales");
    ASSERT_EQ(weight.scales.size(), expected.size()) << name;
    const std::size_t group = weight.group_size();
    for (std::size_t r = 0; r < weight.out_features; ++r)
      for (std::size_t g = 0; g < weight.groups(); ++g) {
        const auto* first = weight.codes.data() + r * weight.in_features + g * group;
        if (std::all_of(first, first + group, [](std::int8_t c) { return c == 0; })) continue;  // such a scale means nothing
        const double e = expected.data()[r * weight.groups() + g];
        EXPECT_NEAR(weight.scales(r, g), e, 1e-12 * e) << name << " row " << r << " group " << g;
      }
  }

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

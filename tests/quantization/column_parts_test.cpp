// Two parts of the columns, each with a grid of its own (ResQ).
#include "quantization/column_parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "correction/solve.h"
#include "quantization/activation.h"
#include "quantization/second_moments.h"
#include "support/solver_case.h"

namespace lrc::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const HighColumns kFirstHalf{.count = 32, .period = 0, .bits = 4};

TEST(ColumnParts, AreTheFirstOfEveryPeriod) {
  const ColumnParts parts = column_parts({.count = 1, .period = 3}, 9);
  EXPECT_THAT(parts.high, ElementsAre(0, 3, 6));
  EXPECT_THAT(parts.low, ElementsAre(1, 2, 4, 5, 7, 8));
  EXPECT_EQ(high_width({.count = 1, .period = 3}, 9), 3u);
  EXPECT_EQ(high_width({.count = 4}, 9), 4u);
  EXPECT_EQ(high_width({}, 9), 0u);
}

TEST(ColumnParts, AShareIsRoundedToWholeEights) {
  EXPECT_EQ(high_count(0.125, 576, 0), 72u);
  EXPECT_EQ(high_count(0.125, 2048, 0), 256u);
  EXPECT_EQ(high_count(0.125, 576, 64), 8u) << "nine heads: each alone has whole eights";
  EXPECT_EQ(high_count(0.125, 2048, 64), 8u);
  EXPECT_EQ(high_count(0.125, 64, 8), 1u) << "eight heads have them together";
  EXPECT_EQ(high_count(0.001, 576, 0), 8u) << "not none";
  EXPECT_EQ(high_count(0, 576, 0), 0u);
  EXPECT_EQ(high_count(1, 30, 0), 30u);
  EXPECT_EQ(high_count(0.999, 576, 64), 64u) << "nearer to all";
  EXPECT_EQ(high_count(0.5, 6, 0), 6u) << "fewer than eight cannot be parted";
}

TEST(ColumnParts, OfEqualBitsAreGroups) {
  // The same grid said in two ways: groups of 32, or the first 32 of 64 columns beside the others.
  const MatrixD w = random_matrix(24, 64, 3), x = random_inputs(400, 64, 5);
  const WeightScheme groups{.bits = 4, .group_size = 32}, parts{.bits = 4, .high = kFirstHalf};
  const QuantizedWeight by_groups = quantize_rtn(w, groups, true), by_parts = quantize_rtn(w, parts, true);
  EXPECT_EQ(by_parts.codes, by_groups.codes);
  EXPECT_EQ(by_parts.scales, by_groups.scales);
  EXPECT_EQ(by_parts.dequantize(), by_groups.dequantize());
  const ActivationScheme in_groups{.bits = 4, .group_size = 32, .clip = 1}, in_parts{.bits = 4, .clip = 1, .high = kFirstHalf};
  const SecondMoments moments = moments_in_double(x, in_groups), same = moments_in_double(x, in_parts);
  EXPECT_EQ(same.s_y, moments.s_y);
  EXPECT_EQ(same.s_ey, moments.s_ey);
  for (const bool act_order : {false, true}) {
    const GptqOptions options{.act_order = act_order, .round_to_half = true};
    const auto a = quantize_gptq(w, moments.s_x(), groups, options), b = quantize_gptq(w, moments.s_x(), parts, options);
    EXPECT_EQ(a.weight.codes, b.weight.codes);
    EXPECT_EQ(a.sum_of_squared_normalised_errors, b.sum_of_squared_normalised_errors);
    QuantizedWeight polished = a.weight, polished_parts = b.weight;
    polish_codes(polished, w, moments.s_x(), 3);
    polish_codes(polished_parts, w, moments.s_x(), 3);
    EXPECT_EQ(polished.codes, polished_parts.codes);
    EXPECT_NE(polished.codes, a.weight.codes);
  }
  const MatrixF single = convert<float>(x);
  MatrixF y(400, 64), y_parts = single;
  fake_quantize_activations(single.data(), 400, 64, in_groups, y.data());
  fake_quantize_activations(y_parts.data(), 400, 64, in_parts, y_parts.data());
  EXPECT_EQ(y_parts, y) << "in place";
  std::vector<std::int8_t> codes(single.size()), codes_parts(single.size());
  std::vector<float> scales(800), scales_parts(800);
  ASSERT_EQ(activation_groups(in_parts, 64), 2u);
  quantize_activations(single.data(), 400, 64, in_groups, codes.data(), scales.data());
  quantize_activations(single.data(), 400, 64, in_parts, codes_parts.data(), scales_parts.data());
  EXPECT_EQ(codes_parts, codes);
  EXPECT_EQ(scales_parts, scales);
}

TEST(ColumnParts, MoreBitsOfTheHighPartAreItsAlone) {
  const MatrixD w = random_matrix(10, 48, 7);
  const WeightScheme plain{.bits = 4}, parted{.bits = 4, .high = {.count = 4, .period = 16}};
  const QuantizedWeight whole = quantize_rtn(w, parted, true);
  const WeightParts parts = take_apart(whole);
  const ColumnParts columns = column_parts(parted.high, 48);
  EXPECT_EQ(parts.low, quantize_rtn(take_columns(w, columns.low), plain, true));
  EXPECT_EQ(parts.high, quantize_rtn(take_columns(w, columns.high), {.bits = 8}, true));
  EXPECT_EQ(put_together(parts, parted), whole);
  EXPECT_EQ(whole.groups(), 2u);
  MatrixD put(10, 48);
  put_columns(parts.high.dequantize(), columns.high, put);
  put_columns(parts.low.dequantize(), columns.low, put);
  EXPECT_EQ(put, whole.dequantize());
  EXPECT_EQ(whole.integers(), whole.codes);

  // Zero points of the low part of an activation are its own; the high part is symmetric.
  const MatrixF x = convert<float>(random_inputs(30, 48, 9));
  const ActivationScheme scheme{.bits = 4, .symmetric = false, .high = {.count = 4, .period = 16}};
  std::vector<std::int8_t> codes(x.size()), zeros(60);
  std::vector<float> scales(60);
  quantize_activations(x.data(), 30, 48, scheme, codes.data(), scales.data(), zeros.data());
  for (std::size_t t = 0; t < 30; ++t) {
    EXPECT_EQ(zeros[2 * t], 0);
    float largest = 0;
    for (const auto c : columns.high) largest = std::max(largest, std::abs(x(t, c)));
    EXPECT_EQ(scales[2 * t], largest * activation_scale_factor({.bits = 8, .clip = 1})) << "not clipped";
  }
  EXPECT_TRUE(std::ranges::any_of(zeros, [](int zero) { return zero != 0; }));
}

TEST(ColumnParts, AreCountedByTheirBits) {
  LayerScheme scheme;
  scheme.method = "gptq";
  scheme.weight.high = {.count = 72};
  const LayerSize size = layer_size(scheme, 192, 576);
  EXPECT_EQ(size.code_bits, 192u * (72 * 8 + 504 * 4));
  EXPECT_EQ(size.scale_bits, 192u * 2 * 16);
  EXPECT_DOUBLE_EQ(size.bits_per_weight(192 * 576), 4.5 + 32.0 / 576);
}

TEST(ColumnParts, ThatCannotBeAreRefusedByLayer) {
  const auto refusal = [](const WeightScheme& scheme) -> std::string {
    try {
      check_scheme(scheme, 64, "the layer");
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  };
  EXPECT_EQ(refusal({.high = {.count = 8}}), "");
  EXPECT_THAT(refusal({.high = {.count = 64}}), HasSubstr("64 of every 64"));
  EXPECT_THAT(refusal({.high = {.count = 8, .period = 24}}), HasSubstr("every 24"));
  EXPECT_THAT(refusal({.high = {.count = 8, .bits = 9}}), HasSubstr("9 bits"));
  EXPECT_THAT(refusal({.group_size = 32, .high = {.count = 8}}), HasSubstr("groups of 32 do not divide its 8"));
  EXPECT_THAT(refusal({.symmetric = false, .high = {.count = 8}}), HasSubstr("zero points"));
  EXPECT_THAT(refusal({.clip = WeightClip::awq, .high = {.count = 8}}), HasSubstr("the layer"));
  EXPECT_THROW(check_scheme(ActivationScheme{.group_size = 16, .high = {.count = 8}}, 64, "x"), Error);
}

TEST(ColumnParts, AllColumnsHighIsPlainEightBits) {
  // What a share of 1 comes to (run/effective.cpp takes the high part's scheme for the whole).
  const WeightScheme scheme{.bits = 4, .high = {.count = 64, .bits = 8}};
  EXPECT_EQ(high_part(scheme), (WeightScheme{.bits = 8}));
  EXPECT_EQ(low_part(scheme), (WeightScheme{.bits = 4}));
  EXPECT_EQ(high_part(ActivationScheme{.bits = 4, .symmetric = false, .high = {.count = 64}}), (ActivationScheme{.bits = 8, .clip = 1}));
}

}  // namespace
}  // namespace lrc::test

#include "calibration/expert_moments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "support/tiny_model.h"

namespace lrc::test {
namespace {

constexpr std::size_t width = 12;
const ActivationScheme scheme{.bits = 4};

SecondMoments of_tokens(std::size_t tokens, std::uint64_t seed) {
  return moments_in_double(convert<double>(Random(seed).matrix(tokens, width, 1.5)), scheme);
}

double trace(const MatrixD& matrix) {
  double sum = 0;
  for (std::size_t i = 0; i < matrix.rows(); ++i) sum += matrix(i, i);
  return sum;
}

TEST(ExpertMoments, EnoughTokensStayAsTheyAre) {
  SecondMoments moments = of_tokens(4 * width, 1);
  const SecondMoments before = moments, all = of_tokens(200, 2);
  const auto support = support_expert(moments, width, &all);
  EXPECT_EQ(support.tokens, 4 * width);
  EXPECT_EQ(support.warning, "");
  EXPECT_EQ(moments.s_y, before.s_y);
  EXPECT_EQ(moments.tokens, before.tokens);
}

TEST(ExpertMoments, FewTokensAreWarnedOfButKept) {
  SecondMoments moments = of_tokens(2 * width, 1);
  const SecondMoments before = moments;
  const auto support = support_expert(moments, width, nullptr);
  EXPECT_THAT(support.warning, testing::AllOf(testing::HasSubstr("24 calibration tokens"), testing::HasSubstr("12 wide")));
  EXPECT_EQ(moments.s_y, before.s_y);
}

TEST(ExpertMoments, TooFewAreFilledUpWithTheTokensOfTheBlock) {
  SecondMoments moments = of_tokens(5, 1);
  const SecondMoments before = moments, all = of_tokens(140, 2);
  const auto support = support_expert(moments, width, &all);
  EXPECT_EQ(support.tokens, 5u) << "what was seen, not what was filled up";
  EXPECT_THAT(support.warning, testing::HasSubstr("in general"));
  EXPECT_EQ(moments.tokens, width);
  for (std::size_t i = 0; i < moments.s_y.size(); ++i) {
    EXPECT_NEAR(moments.s_y.data()[i], before.s_y.data()[i] + all.s_y.data()[i] * 7 / 140, 1e-9);
    EXPECT_NEAR(moments.s_ey.data()[i], before.s_ey.data()[i] + all.s_ey.data()[i] * 7 / 140, 1e-9);
    EXPECT_NEAR(moments.s_e.data()[i], before.s_e.data()[i] + all.s_e.data()[i] * 7 / 140, 1e-9);
  }
  for (std::size_t i = 0; i < width; ++i) {
    EXPECT_NEAR(moments.channels.sum_of_magnitudes[i], before.channels.sum_of_magnitudes[i] + all.channels.sum_of_magnitudes[i] * 7 / 140,
                1e-9);
    EXPECT_EQ(moments.channels.largest[i], std::max(before.channels.largest[i], all.channels.largest[i]));
  }
}

TEST(ExpertMoments, OrWithWhiteInputsOfTheSameEnergy) {
  SecondMoments moments = of_tokens(5, 1);
  const SecondMoments before = moments;
  const auto support = support_expert(moments, width, nullptr);
  EXPECT_THAT(support.warning, testing::HasSubstr("white inputs"));
  EXPECT_NEAR(trace(moments.s_y) / double(width), trace(before.s_y) / 5.0, 1e-9) << "the mean energy of a token stays";
  EXPECT_EQ(moments.s_e, before.s_e) << "the quantizer leaves them alone";
  EXPECT_EQ(moments.s_y(0, 1), before.s_y(0, 1));
}

TEST(ExpertMoments, AnExpertThatSawNothingIsSolvedFromTheRest) {
  SecondMoments moments, white;
  const SecondMoments all = of_tokens(140, 2);
  EXPECT_EQ(support_expert(moments, width, &all).tokens, 0u);
  EXPECT_EQ(moments.tokens, width);
  EXPECT_NEAR(moments.s_y(3, 4), all.s_y(3, 4) * double(width) / 140, 1e-9);
  EXPECT_EQ(support_expert(white, width, nullptr).tokens, 0u);
  EXPECT_EQ(white.s_y(2, 2), double(width));
  EXPECT_EQ(white.s_y(2, 3), 0.0);
  EXPECT_EQ(white.s_ey.rows(), width);
  EXPECT_EQ(white.channels.largest.size(), width) << "methods that scale by channels find something";
}

}  // namespace
}  // namespace lrc::test

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/error.h"
#include "inference/generate.h"

namespace lrc::test {
namespace {

/// Probabilities 0.4, 0.3, 0.2, 0.1 of ids 2, 0, 3, 1.
const std::vector<float> logits = {std::log(3.0f), std::log(1.0f), std::log(4.0f), std::log(2.0f)};

std::map<TokenId, double> shares(const Sampling& sampling, std::size_t draws = 20000) {
  Sampler sampler(sampling);
  std::map<TokenId, double> result;
  for (std::size_t i = 0; i < draws; ++i) result[sampler.pick(logits.data(), logits.size())] += 1.0 / double(draws);
  return result;
}

TEST(Sampler, GreedyTakesTheLowestIdOfATie) {
  Sampler sampler({});
  const float tie[] = {1.0f, 5.0f, 5.0f, -std::numeric_limits<float>::infinity()};
  EXPECT_EQ(sampler.pick(tie, 4), 1);
  Sampler one({.temperature = 2.0f, .top_k = 1});
  EXPECT_EQ(one.pick(tie, 4), 1);
}

TEST(Sampler, DrawsByProbability) {
  const auto plain = shares({.temperature = 1.0f, .seed = 5});
  EXPECT_NEAR(plain.at(2), 0.4, 0.015);
  EXPECT_NEAR(plain.at(0), 0.3, 0.015);
  EXPECT_NEAR(plain.at(3), 0.2, 0.015);
  EXPECT_NEAR(plain.at(1), 0.1, 0.015);
  // Temperature ½ squares the probabilities: 16, 9, 4, 1 of 30.
  const auto cold = shares({.temperature = 0.5f, .seed = 5});
  EXPECT_NEAR(cold.at(2), 16.0 / 30, 0.015);
  EXPECT_NEAR(cold.at(1), 1.0 / 30, 0.01);
}

TEST(Sampler, TopK) {
  const auto two = shares({.temperature = 1.0f, .top_k = 2, .seed = 1});
  EXPECT_EQ(two.size(), 2u);
  EXPECT_NEAR(two.at(2), 4.0 / 7, 0.02);
  EXPECT_NEAR(two.at(0), 3.0 / 7, 0.02);
  EXPECT_EQ(shares({.temperature = 1.0f, .top_k = 100}).size(), 4u);
}

TEST(Sampler, TopP) {
  // The fewest that reach the share: 0.4 alone is not 0.65, 0.4 and 0.3 are.
  const auto some = shares({.temperature = 1.0f, .top_p = 0.65f, .seed = 1});
  EXPECT_EQ(some.size(), 2u);
  EXPECT_TRUE(some.count(2) && some.count(0));
  EXPECT_EQ(shares({.temperature = 1.0f, .top_p = 0.85f}).size(), 3u);
  EXPECT_EQ(shares({.temperature = 1.0f, .top_p = 1e-6f}).size(), 1u) << "one is always left";
  EXPECT_EQ(shares({.temperature = 1.0f, .top_k = 3, .top_p = 0.99f}).size(), 3u);
}

TEST(Sampler, MinP) {
  // Against 0.4: 0.3 is ¾ of it, 0.2 half, 0.1 a quarter.
  EXPECT_EQ(shares({.temperature = 1.0f, .min_p = 0.2f}).size(), 4u);
  const auto three = shares({.temperature = 1.0f, .seed = 3, .min_p = 0.4f});
  EXPECT_EQ(three.size(), 3u);
  EXPECT_FALSE(three.count(1));
  EXPECT_NEAR(three.at(2), 4.0 / 9, 0.02) << "the rest keeps its proportions";
  EXPECT_EQ(shares({.temperature = 1.0f, .min_p = 0.6f}).size(), 2u);
  EXPECT_EQ(shares({.temperature = 1.0f, .min_p = 1.0f}).size(), 1u) << "the likeliest is never taken away";
  // Of the tempered probabilities: at ½ the shares of the likeliest are squared.
  EXPECT_EQ(shares({.temperature = 0.5f, .min_p = 0.4f}).size(), 2u);
  // After top-p, whichever cuts more.
  EXPECT_EQ(shares({.temperature = 1.0f, .top_p = 0.65f, .min_p = 0.4f}).size(), 2u);
  EXPECT_EQ(shares({.temperature = 1.0f, .top_p = 0.95f, .min_p = 0.6f}).size(), 2u);
}

TEST(Sampler, RepetitionPenaltyByHand) {
  // Logits 2, −1, 1.5, −3: each side of zero, both become less likely.
  const std::vector<float> raw = {2.0f, -1.0f, 1.5f, -3.0f};
  const auto picked = [&](float penalty, const std::vector<TokenId>& recent) {
    Sampler sampler({.repetition_penalty = penalty});
    return sampler.pick(raw.data(), raw.size(), recent);
  };
  EXPECT_EQ(picked(1.0f, {0}), 0);
  EXPECT_EQ(picked(1.3f, {0}), 0) << "2 ÷ 1.3 = 1.54";
  EXPECT_EQ(picked(1.4f, {0}), 2) << "2 ÷ 1.4 = 1.43";
  EXPECT_EQ(picked(1.2f, {0, 0, 0}), 0) << "said three times is not punished three times";
  EXPECT_EQ(picked(1.4f, {0, 2}), 0) << "both alike";
  EXPECT_EQ(picked(0.5f, {2}), 2) << "below 1 it invites: 1.5 ÷ 0.5";
  EXPECT_EQ(picked(2.0f, {-1, 4, 1000000}), 0) << "what is no token of this model counts nothing";
  const std::vector<float> negative = {-1.0f, -1.1f};
  Sampler sampler({.repetition_penalty = 1.2f});
  EXPECT_EQ(sampler.pick(negative.data(), 2, std::vector<TokenId>{0}), 1) << "a negative one grows: −1 × 1.2";
  // The caller's logits stay as they are.
  EXPECT_EQ(raw[0], 2.0f);
  // In a draw: 4 ÷ 2 in the logit of id 2, log 4 → log 2.
  Sampler drawing({.temperature = 1.0f, .seed = 9, .repetition_penalty = 2.0f});
  double twos = 0;
  for (int i = 0; i < 20000; ++i) twos += drawing.pick(logits.data(), 4, std::vector<TokenId>{2}) == 2 ? 1.0 / 20000 : 0;
  EXPECT_NEAR(twos, 2.0 / 8, 0.015);
}

TEST(Sampler, TheSeedDecides) {
  const auto draw = [](std::uint64_t seed) {
    Sampler sampler({.temperature = 1.0f, .seed = seed});
    std::vector<TokenId> ids;
    for (int i = 0; i < 50; ++i) ids.push_back(sampler.pick(logits.data(), logits.size()));
    return ids;
  };
  EXPECT_EQ(draw(7), draw(7));
  EXPECT_NE(draw(7), draw(8));
  // SplitMix64 from 0 begins 0.883, 0.432, 0.026, 0.971, 0.106, 0.327, 0.174, 0.772: ids by cumulated probability.
  const auto first = draw(0);
  EXPECT_THAT(std::vector<TokenId>(first.begin(), first.begin() + 8), testing::ElementsAre(3, 0, 2, 1, 2, 2, 2, 3));
}

TEST(Sampler, RefusesWhatIsNoSampling) {
  EXPECT_THROW(Sampler({.temperature = -1.0f}), Error);
  EXPECT_THROW(Sampler({.temperature = std::nanf("")}), Error);
  EXPECT_THROW(Sampler({.top_p = 0.0f}), Error);
  EXPECT_THROW(Sampler({.top_p = 1.5f}), Error);
  for (const float min_p : {-0.1f, 1.1f, std::nanf("")}) EXPECT_THROW(Sampler({.min_p = min_p}), Error) << min_p;
  for (const float penalty : {0.0f, -1.0f, std::nanf(""), std::numeric_limits<float>::infinity()})
    EXPECT_THROW(Sampler({.repetition_penalty = penalty}), Error) << penalty;
  const float none[] = {0.0f, std::nanf(""), 1.0f};
  Sampler sampler({.temperature = 1.0f});
  EXPECT_THROW(sampler.pick(none, 3), Error);
}

}  // namespace
}  // namespace lrc::test

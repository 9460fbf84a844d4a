#include "run/match_size.h"

#include "run/frontier.h"
#include "run/sizes.h"
#include "run/small_run.h"

namespace lrc::test {
namespace {

double size_of(const Recipe& recipe) { return sizes_of(recipe, *small_model()).bits_per_weight(); }

TEST(MatchSize, RanksReachTheSizeOfAnotherRecipe) {
  for (const char* method : {"lrc", "svd", "qera", "lqer", "l2qer"}) {
    for (const double wanted : {5.0, 6.38, 9.0}) {
      Recipe recipe;
      recipe.method = method;
      const Recipe matched = matched_to(recipe, *small_model(), wanted);
      EXPECT_NEAR(size_of(matched), wanted, 0.005 * wanted) << method;
      EXPECT_EQ(matched.method, method);
      EXPECT_EQ(matched.weight, recipe.weight);
      EXPECT_NE(matched.name, recipe.name);
    }
  }
}

TEST(MatchSize, PlainMethodsTakeMoreBitsInSomeLayers) {
  Recipe recipe;
  recipe.method = "gptq";
  recipe.rank = {false, 0};
  for (const double wanted : {4.6, 5.3, 6.4}) {
    const Recipe matched = matched_to(recipe, *small_model(), wanted);
    EXPECT_NEAR(size_of(matched), wanted, 0.005 * wanted);
    std::set<int> bits;
    for (const auto& layer : small_model()->layers()) bits.insert(effective_scheme(matched, layer).weight.bits);
    EXPECT_EQ(bits.size(), 2u) << wanted;
    EXPECT_EQ(*bits.rbegin(), *bits.begin() + 1);
    // The larger ones are where they are worth most.
    EXPECT_EQ(effective_scheme(matched, *small_model()->find_layer("model.layers.4.mlp.down_proj")).weight.bits, *bits.rbegin());
    EXPECT_EQ(effective_scheme(matched, *small_model()->find_layer("model.layers.0.mlp.gate_proj")).weight.bits, *bits.begin());
  }
}

TEST(MatchSize, HandWrittenRulesStand) {
  Recipe recipe;
  recipe.overrides.push_back(parse_override("*.down_proj:rank=3"));
  const Recipe matched = matched_to(recipe, *small_model(), 7.0);
  EXPECT_NEAR(size_of(matched), 7.0, 0.035);
  EXPECT_EQ(effective_scheme(matched, *small_model()->find_layer("model.layers.2.mlp.down_proj")).rank, 3u);
}

TEST(MatchSize, WhatCannotBeReachedIsRefused) {
  Recipe recipe;
  const auto low = sentence_of(ErrorKind::bad_input, [&] { matched_to(recipe, *small_model(), 3.0); });
  EXPECT_NE(low.find("nearest"), std::string::npos) << low;
  sentence_of(ErrorKind::bad_input, [&] { matched_to(recipe, *small_model(), 100.0); });
  sentence_of(ErrorKind::bad_input, [&] { matched_to(recipe, *small_model(), -1.0); });
  recipe.method = "rtn";
  sentence_of(ErrorKind::bad_input, [&] { matched_to(recipe, *small_model(), 1.0); });
  sentence_of(ErrorKind::bad_input, [&] { matched_to(recipe, *small_model(), 20.0); });
}

TEST(Frontier, KeepsWhatNothingSmallerEquals) {
  const std::vector<SizeAndQuality> points = {{6, 0.5}, {4, 0.7}, {4, 0.8}, {5, 0.7}, {8, 0.1}, {7, 0.6}};
  EXPECT_EQ(frontier(points), (std::vector<std::size_t>{1, 0, 4}));
  EXPECT_TRUE(frontier({}).empty());
}

}  // namespace
}  // namespace lrc::test

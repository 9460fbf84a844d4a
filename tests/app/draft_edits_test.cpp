#include "models/draft_edits.h"

#include <gtest/gtest.h>

#include "support/test_data.h"

namespace lrc::app {
namespace {

std::shared_ptr<const Model> stories() { return Model::open(lrc::test::data("stories260K/stories260K-f32.gguf")); }

std::vector<int> of_role(const Model& model, Role role) {
  std::vector<int> found;
  for (std::size_t i = 0; i < model.layers().size(); ++i)
    if (model.layers()[i].role == role) found.push_back(int(i));
  return found;
}

TEST(Formula, WhatPeopleType) {
  const auto value = [](const char* text, double now) {
    const auto formula = parse_formula(text);
    EXPECT_TRUE(formula) << text;
    return formula ? apply(*formula, now, 576) : -1;
  };
  EXPECT_EQ(value("86", 57), 86);
  EXPECT_EQ(value(" +5", 57), 62);
  EXPECT_EQ(value("-7", 57), 50);
  EXPECT_EQ(value("*1.5", 57), 85.5);
  EXPECT_EQ(value("10%", 57), 57);
  EXPECT_EQ(value("10 %", 0), 57);
}

TEST(Formula, RefusesWhatIsNone) {
  for (const char* text : {"", "abc", "5x", "%", "+", "**2", "1e400", "nan", "--5", "1,5", "5%%"})
    EXPECT_FALSE(parse_formula(text)) << text;
}

TEST(DraftEdits, EqualSettingsShareOneOverride) {
  const auto model = stories();
  const auto down = of_role(*model, Role::down_proj);
  const Recipe changed = with_rank(Recipe{}, *model, down, 12);
  ASSERT_EQ(changed.overrides.size(), 1u);
  for (const LayerInfo& layer : model->layers())
    EXPECT_EQ(effective_scheme(changed, layer).rank == 12, layer.role == Role::down_proj) << layer.name;
  // The same edit again changes nothing, and undoing it layer by layer leaves no trace.
  EXPECT_EQ(with_rank(changed, *model, down, 12), changed);
  EXPECT_EQ(without_own_settings(changed, *model, down), Recipe{});
}

TEST(DraftEdits, OwnSettingsWinOverRulesAndKeepOtherFields) {
  const auto model = stories();
  const auto down = of_role(*model, Role::down_proj);
  Recipe recipe;
  recipe.overrides.push_back(parse_override("*.down_proj:rank=3,weight_bits=5"));
  recipe = with_rank(recipe, *model, {down[0]}, 9);
  recipe = with_bits_formula(recipe, *model, {down[0]}, *parse_formula("+1"));
  EXPECT_EQ(recipe.overrides.front().pattern, "*.down_proj") << "rules come first";
  const LayerScheme own = effective_scheme(recipe, model->layers()[std::size_t(down[0])]);
  EXPECT_EQ(own.rank, 9u);
  EXPECT_EQ(own.weight.bits, 6) << "one more than the rule's 5";
  EXPECT_EQ(effective_scheme(recipe, model->layers()[std::size_t(down[1])]).rank, 3u);
}

TEST(DraftEdits, RanksStayWithinTheMatrix) {
  const auto model = stories();
  std::vector<int> all;
  for (int i = 0; i < int(model->layers().size()); ++i) all.push_back(i);
  const Recipe high = with_rank_formula(Recipe{}, *model, all, *parse_formula("*1000"));
  const Recipe low = with_rank_formula(Recipe{}, *model, all, *parse_formula("-1000"));
  for (const LayerInfo& layer : model->layers()) {
    EXPECT_EQ(effective_scheme(high, layer).rank, std::min(layer.out_features, layer.in_features));
    EXPECT_EQ(effective_scheme(low, layer).rank, 0u);
  }
}

TEST(DraftEdits, OnlyDividingGroupsAreOffered) {
  const auto model = stories();
  ASSERT_EQ(model->config().feed_forward, 172u);
  EXPECT_EQ(possible_groups(*model, {}), (std::vector<std::size_t>{0})) << "172 is divided by none";
  EXPECT_EQ(possible_groups(*model, of_role(*model, Role::q_proj)), (std::vector<std::size_t>{0, 64, 32, 16}));
}

}  // namespace
}  // namespace lrc::app

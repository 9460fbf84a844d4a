// Edited recipes are called by what differs.
#include <gtest/gtest.h>

#include "run/recipe_title.h"
#include "small_run.h"

namespace lrc {
namespace {

Recipe shipped(const std::string& name) { return load_recipe(name); }

std::string title_after(const std::function<void(Recipe&)>& edit, const Model* model = nullptr) {
  Recipe recipe = shipped("LRC 10 %");
  edit(recipe);
  return title_of(recipe, shipped_recipes(), model);
}

TEST(RecipeTitle, NamesWhatDiffers) {
  EXPECT_EQ(title_after([](Recipe&) {}), "LRC 10 %");
  EXPECT_EQ(title_after([](Recipe& r) { r.calibration_tokens = 16384; }), "LRC 10 %, 16,384 tokens");
  EXPECT_EQ(title_after([](Recipe& r) { r.calibration_tokens = 1048576; }), "LRC 10 %, 1,048,576 tokens");
  EXPECT_EQ(title_after([](Recipe& r) { r.rank = {true, 7.5}; }), "LRC 10 %, 7.5 %");
  EXPECT_EQ(title_after([](Recipe& r) { r.rotation.r4 = false; }), "LRC 10 %, no R4");
  EXPECT_EQ(title_after([](Recipe& r) { r.rotation = {false, false, false, 0}; }), "LRC 10 %, no rotation");
  EXPECT_EQ(title_after([](Recipe& r) { r.weight.group_size = 64, r.activation.bits = 8; }), "LRC 10 %, g64, A8");
  EXPECT_EQ(title_after([](Recipe& r) { r.range_finder = RangeFinder::randomized; }), "LRC 10 %, randomized range finder");
  EXPECT_EQ(title_after([](Recipe& r) { r.rotation.high_share = 0.125; }), "LRC 10 %, 12.5 % in 8 bits");
  EXPECT_EQ(title_after([](Recipe& r) { r.rotation.high_share = 0.25, r.high_bits = 6; }), "LRC 10 %, 25 % in 6 bits");
  EXPECT_EQ(title_after([](Recipe& r) { r.learn_scales = true; }), "LRC 10 %, learned scales");
  EXPECT_EQ(title_after([](Recipe& r) { r.skip_first_positions = 1; }), "LRC 10 %, without position 0");
  EXPECT_EQ(title_after([](Recipe& r) { r.skip_first_positions = 4; }), "LRC 10 %, without the first 4 positions");
  EXPECT_EQ(title_after([](Recipe& r) { r.calibration = "/some/where/notes.txt"; }), "LRC 10 %, notes.txt");
}

TEST(RecipeTitle, OverridesAreToldByTheirLayers) {
  EXPECT_EQ(title_after([](Recipe& r) { r.overrides = {parse_override("*.down_proj:rank=15%")}; }), "LRC 10 %, down_proj 15 %");
  const auto model = test::small_model();
  std::string all_down, first;
  for (const LayerInfo& layer : model->layers())
    if (layer.role == Role::down_proj) {
      if (first.empty()) first = layer.name;
      all_down += (all_down.empty() ? "" : ",") + layer.name;
    }
  const auto named = [&](const std::string& pattern) {
    return title_after(
        [&](Recipe& r) {
          Override own;
          own.pattern = pattern;
          own.rank = RankChoice{false, 9};
          own.weight_bits = 5;
          r.overrides = {own};
        },
        model.get());
  };
  EXPECT_EQ(named(all_down), "LRC 10 %, down_proj rank 9 W5");
  EXPECT_EQ(named(first), "LRC 10 %, 0.down_proj rank 9 W5");
  EXPECT_EQ(named(first + ",model.layers.0.mlp.up_proj"), "LRC 10 %, 2 layers rank 9 W5");
}

TEST(RecipeTitle, IsTheSameHoweverOftenItIsMade) {
  Recipe recipe = shipped("LRC 10 %");
  recipe.calibration_tokens = 16384;
  recipe.name = title_of(recipe, shipped_recipes());
  EXPECT_EQ(title_of(recipe, shipped_recipes()), recipe.name);
  recipe.calibration_tokens = shipped("LRC 10 %").calibration_tokens;
  EXPECT_EQ(title_of(recipe, shipped_recipes()), "LRC 10 %") << "back to the preset, back to its name";
}

TEST(RecipeTitle, ThreeDifferencesAndACount) {
  EXPECT_EQ(title_after(
                [](Recipe& r) { r.iterations = 3, r.deflate = true, r.activation.bits = 8, r.damping = 0.02, r.calibration_tokens = 512; }),
            "LRC 10 %, T = 3, deflated, A8, 2 more");
}

TEST(RecipeTitle, NamesOfThePersonStay) {
  Recipe recipe = shipped("LRC 10 %");
  recipe.name = "For the paper";
  recipe.iterations = 4;
  EXPECT_EQ(title_of(recipe, shipped_recipes()), "For the paper");
  EXPECT_EQ(origin_of("RTN W4A44", shipped_recipes()), nullptr);
  EXPECT_EQ(
      [] {
        const auto all = shipped_recipes();
        return origin_of("LRC 10 % deflated, A8", all)->name;
      }(),
      "LRC 10 % deflated");
}

}  // namespace
}  // namespace lrc

#include "run/memory_stages.h"

#include <gtest/gtest.h>

#include "small_run.h"

namespace lrc {
namespace {

std::uint64_t total(const std::vector<MemoryStage>& stages, const std::string& name) {
  for (const auto& stage : stages)
    if (stage.name == name) return stage.total();
  ADD_FAILURE() << name;
  return 0;
}

TEST(MemoryStages, FollowShapesAndTheRecipe) {
  const auto& model = *test::small_model();
  Recipe recipe;
  const auto stages = memory_by_stage(recipe, model);
  ASSERT_EQ(stages.size(), 5u);
  EXPECT_LT(total(stages, "open"), model.checkpoint().file_bytes());
  EXPECT_GE(total(stages, "solve"), total(stages, "calibrate"));
  EXPECT_GE(total(stages, "chat"), 4 * model.parameters());
  EXPECT_GE(total(stages, "evaluate"), 2 * 4 * model.parameters());
  for (const auto& stage : stages)
    if (stage.name == "solve") {
      EXPECT_TRUE(model.find_layer(stage.layer)) << stage.layer;
    }
  Recipe fewer = recipe;
  fewer.calibration_tokens = 4096;
  EXPECT_LT(total(memory_by_stage(fewer, model), "calibrate"), total(stages, "calibrate"));
}

TEST(MemoryStages, EachOptionHelpsAndChangesOneThing) {
  const auto& model = *test::small_model();
  const Recipe recipe;
  const auto options = memory_options(recipe, model);
  ASSERT_GE(options.size(), 2u);
  const auto now = memory_by_stage(recipe, model);
  std::uint64_t last = 0;
  for (const auto& option : options) {
    SCOPED_TRACE(option.name);
    const auto then = memory_by_stage(option.recipe, model);
    const auto highest = std::max(total(then, "solve"), total(then, "calibrate"));
    EXPECT_LT(highest, std::max(total(now, "solve"), total(now, "calibrate")));
    EXPECT_GE(highest, last) << "most effective first";
    last = highest;
    int changed = 0;
    changed += option.recipe.calibration_tokens != recipe.calibration_tokens;
    changed += option.recipe.calibration_context != recipe.calibration_context;
    changed += option.recipe.held_out_windows != recipe.held_out_windows;
    EXPECT_EQ(changed, 1);
  }
}

TEST(MemoryStages, ALimitNeverMakesAStageLarger) {
  const auto& model = *test::small_model();
  const auto free = memory_by_stage({}, model), held = memory_by_stage({}, model, 1 << 20);
  for (std::size_t i = 0; i < free.size(); ++i) EXPECT_LE(held[i].total(), free[i].total()) << free[i].name;
}

}  // namespace
}  // namespace lrc

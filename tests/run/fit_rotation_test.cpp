#include "run/fit_rotation.h"

#include <gtest/gtest.h>

#include "small_run.h"
#include "support/tiny_model.h"

namespace lrc {
namespace {

TEST(FitRotation, WhatAModelCannotHaveIsLeftOutByName) {
  test::TemporaryFolder folder;
  // Heads of 18 have no Hadamard matrix, the other widths have one.
  test::write_checkpoint(folder.path(), test::tiny_weights({.hidden = 36, .heads = 2, .kv_heads = 2, .head_dim = 18, .feed_forward = 64}));
  const auto model = Model::open(folder.path());
  Recipe recipe;
  const auto sentences = leave_out_impossible_rotations(recipe, *model);
  ASSERT_EQ(sentences.size(), 1u);
  EXPECT_TRUE(test::contains(sentences[0], "R2")) << sentences[0];
  EXPECT_TRUE(test::contains(sentences[0], "18")) << sentences[0];
  EXPECT_TRUE(recipe.rotation.r1);
  EXPECT_FALSE(recipe.rotation.r2);
  EXPECT_TRUE(recipe.rotation.r4);
  EXPECT_FALSE(problem_of(recipe, *model)) << "what is left can be carried out";
  EXPECT_TRUE(leave_out_impossible_rotations(recipe, *model).empty());
}

TEST(FitRotation, NothingIsLeftOutWithoutNeed) {
  Recipe recipe;
  const Recipe before = recipe;
  EXPECT_TRUE(leave_out_impossible_rotations(recipe, *test::small_model()).empty());
  EXPECT_EQ(recipe, before);
}

}  // namespace
}  // namespace lrc

// Bits and ranks for a budget, on stories260K.
#include "run/allocate.h"

#include <gmock/gmock.h>

#include <set>

#include "run/sizes.h"
#include "run/small_run.h"

namespace lrc::test {
namespace {

using testing::HasSubstr;

AllocationRequest small_allocation(const TemporaryFolder& folder) {
  AllocationRequest request;
  request.recipe = small_recipe(folder.path() / "text.txt");
  request.recipe.layers = "*.1.*,*.3.*";
  request.weight_bits = {3, 4, 6};
  request.rank_step = 4;
  request.exact_tokens = 40;
  request.bits_per_weight = 5.2;
  return request;
}

AllocationReport run(const AllocationRequest& request) {
  Progress progress;
  return allocate_bits(*small_model(), request, progress, {});
}

TEST(Allocate, MeetsTheBudgetAndBeatsTheSameForAll) {
  const TemporaryFolder folder;
  const auto request = small_allocation(folder);
  const AllocationReport report = run(request);
  ASSERT_EQ(report.layers.size(), 14u);
  EXPECT_LE(report.bits_per_weight, 5.2);
  EXPECT_GT(report.bits_per_weight, 5.0);
  EXPECT_TRUE(report.optimal);
  EXPECT_GE(report.predicted_cost, report.bound - 1e-12);
  ASSERT_TRUE(report.uniform_fits);
  EXPECT_LE(report.predicted_cost, report.uniform_cost + 1e-12);
  std::set<std::pair<int, std::size_t>> kinds;
  double cost = 0;
  for (const auto& layer : report.layers) {
    kinds.insert({layer.weight_bits, layer.rank});
    cost += layer.weight * layer.predicted_loss;
    EXPECT_GT(layer.weight, 0) << layer.name;
    EXPECT_EQ(layer.rank % 4, 0u);
    EXPECT_THAT(layer.reason, HasSubstr("price")) << layer.name;
  }
  EXPECT_NEAR(cost, report.predicted_cost, 1e-9 * cost);
  EXPECT_GT(kinds.size(), 1u) << "layers differ in what they need";
  // The recipe says the same, byte for byte of its size.
  const RunSizes sizes = sizes_of(report.recipe, *small_model());
  EXPECT_NEAR(sizes.bits_per_weight(), report.bits_per_weight, 1e-9);
  EXPECT_EQ(recipe_from_json(to_json(report.recipe), "x"), report.recipe);
}

TEST(Allocate, WhatWasSetByHandStays) {
  const TemporaryFolder folder;
  auto request = small_allocation(folder);
  request.exact = false;
  request.recipe.overrides = {parse_override("*.down_proj:weight_bits=6"), parse_override("*.q_proj:rank=4"),
                              parse_override("*.3.self_attn.k_proj:weight_bits=4,rank=0"),
                              parse_override("*.3.self_attn.v_proj:skip=true")};
  const AllocationReport report = run(request);
  ASSERT_EQ(report.layers.size(), 13u);
  for (const auto& layer : report.layers) {
    EXPECT_EQ(layer.weight, 1.0);
    if (layer.name.ends_with("down_proj")) {
      EXPECT_EQ(layer.weight_bits, 6);
    }
    if (layer.name.ends_with("q_proj")) {
      EXPECT_EQ(layer.rank, 4u);
    }
    if (layer.name.ends_with("3.self_attn.k_proj")) {
      EXPECT_EQ(layer.weight_bits, 4);
      EXPECT_EQ(layer.rank, 0u);
      EXPECT_EQ(layer.reason, "set by hand");
    }
  }
  EXPECT_LE(report.bits_per_weight, 5.2);
}

TEST(Allocate, PredictionBesideAchievement) {
  const TemporaryFolder folder;
  const AllocationReport report = run(small_allocation(folder));
  const Manifest manifest = carry_out(small_request(folder.path() / "run", report.recipe));
  EXPECT_NEAR(manifest.bits_per_weight, report.bits_per_weight, 1e-9);
  const AchievedAllocation achieved = compare_with_run(to_json(report), "report.json", manifest);
  ASSERT_EQ(achieved.layers.size(), 14u);
  EXPECT_NEAR(achieved.mean_achieved / achieved.mean_predicted, 1, 0.25);
  EXPECT_GT(achieved.rank_correlation, 0.9);
  for (const auto& layer : report.layers) {
    const auto& record = *std::ranges::find(manifest.layers, layer.name, &LayerRecord::name);
    // Solved at that very rank: no interpolation, the loss itself.
    if (layer.rank == 0) {
      EXPECT_NEAR(record.loss / layer.predicted_loss, 1, 1e-9) << layer.name;
    }
  }
  // A run of another recipe is not its achievement.
  Manifest other = manifest;
  other.layers[0].rank += 1;
  EXPECT_THAT(sentence_of(ErrorKind::bad_input, [&] { compare_with_run(to_json(report), "report.json", other); }),
              HasSubstr("another recipe"));
  EXPECT_THAT(sentence_of(ErrorKind::bad_file, [&] { compare_with_run(Json::object(), "report.json", manifest); }),
              HasSubstr("report.json"));
}

TEST(Allocate, FactorPrecisionIsChosenToo) {
  const TemporaryFolder folder;
  auto request = small_allocation(folder);
  const AllocationReport half_only = run(request);
  request.factors = {FactorScheme{}, *factor_scheme("int8")};
  const AllocationReport report = run(request);
  EXPECT_LE(report.bits_per_weight, 5.2);
  EXPECT_LT(report.predicted_cost, half_only.predicted_cost) << "half the bytes for nearly the same correction";
  std::size_t in_int8 = 0;
  for (const auto& layer : report.layers) in_int8 += layer.rank > 0 && layer.factors == request.factors[1];
  EXPECT_GT(in_int8, 0u);
  EXPECT_NEAR(sizes_of(report.recipe, *small_model()).bits_per_weight(), report.bits_per_weight, 1e-9);
  const Manifest manifest = carry_out(small_request(folder.path() / "run", report.recipe));
  const AchievedAllocation achieved = compare_with_run(to_json(report), "report.json", manifest);
  EXPECT_NEAR(achieved.mean_achieved / achieved.mean_predicted, 1, 0.25);
  EXPECT_GT(achieved.rank_correlation, 0.9);
  // A rule that sets a layer's factors is kept.
  request.recipe.overrides = {parse_override("*:factors=fp16")};
  for (const auto& layer : run(request).layers) EXPECT_EQ(layer.factors, FactorScheme{}) << layer.name;
}

TEST(Allocate, SaysWhatCannotBe) {
  const TemporaryFolder folder;
  const auto refused = [&](auto change) {
    auto request = small_allocation(folder);
    change(request);
    return sentence_of(ErrorKind::bad_input, [&] { run(request); });
  };
  EXPECT_THAT(refused([](auto& r) { r.bits_per_weight = 2; }), testing::AllOf(HasSubstr("smallest choices"), HasSubstr("2.000")));
  EXPECT_THAT(refused([](auto& r) { r.bits_per_weight = 0; }), HasSubstr("above 0"));
  EXPECT_THAT(refused([](auto& r) { r.weight_bits = {9}; }), HasSubstr("9"));
  EXPECT_THAT(refused([](auto& r) { r.weight_bits = {}; }), HasSubstr("no weight bits"));
  EXPECT_THAT(refused([](auto& r) { r.rank_step = 0; }), HasSubstr("step"));
  EXPECT_THAT(refused([](auto& r) { r.recipe.layers = "nothing"; }), HasSubstr("nothing"));
}

}  // namespace
}  // namespace lrc::test

// Scales that move from a site's input into the layers that read it leave the float model's outputs (methods.md 28, 40).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "model/channel_scales.h"
#include "support/family_models.h"
#include "support/float_logits.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

using testing::HasSubstr;

/// Factors from 1/4 to 4 for every site of the block that can be scaled.
ChannelScales random_scales(const ModelConfig& config, bool online_rotation, Random& random) {
  ChannelScales scales;
  scales.by_site.resize(site_count(config));
  for (std::size_t index = 0; index < scales.by_site.size(); ++index) {
    const Site site = site_at(0, index);
    if (!can_scale(site, config, online_rotation)) continue;
    const auto rows = source_rows(site.kind, config);
    std::vector<float> of_row(rows.size());
    for (float& value : of_row) value = float(std::exp2(random.uniform(-2, 2)));
    for (const std::size_t row : rows) scales.by_site[index].push_back(of_row[row]);
  }
  return scales;
}

class ScaledFamily : public testing::TestWithParam<FamilyModel> {
 protected:
  std::shared_ptr<const Model> model_ = Model::open(data("models") / GetParam().path);
  ModelWeights weights_ = load_weights(*model_);
  std::vector<TokenId> ids_ = random_ids(30, weights_.config.vocabulary, 3);
};
INSTANTIATE_TEST_SUITE_P(Models, ScaledFamily, testing::ValuesIn(family_models()));

TEST_P(ScaledFamily, LogitsStay) {
  const MatrixF before = logits_of(weights_, ids_);
  for (const RotationChoice& choice :
       {RotationChoice{}, RotationChoice{.r1 = true, .r2 = true, .seed = 2}, RotationChoice{true, true, true, 1}}) {
    SCOPED_TRACE(std::string(choice.r1 ? "R1 R2 " : "") + (choice.r4 ? "R4" : ""));
    ModelWeights scaled = weights_;
    rotate_weights(scaled, choice);
    const ModelWeights rotated = scaled;
    Random random(7);
    std::size_t sites = 0;
    for (BlockWeights& block : scaled.blocks) {
      const auto scales = random_scales(scaled.config, choice.r4, random);
      check_scales(scales, scaled.config, choice.r4, "test");
      fold_channel_scales(block, scaled.config, scales);
      for (const auto& values : scales.by_site) sites += !values.empty();
    }
    const std::size_t hidden = choice.r4 ? 0 : std::max<std::size_t>(1, scaled.config.experts);
    EXPECT_EQ(sites, scaled.blocks.size() * (3 + hidden));
    EXPECT_LE(largest_difference(before, logits_of(scaled, ids_)), 5e-4);
    // Every layer reads a scaled input, but for down_proj behind R4.
    for (std::size_t l = 0; l < scaled.blocks[0].linears.size(); ++l) {
      const LinearWeights &was = rotated.blocks[0].linears[l], &is = scaled.blocks[0].linears[l];
      const bool behind_r4 = choice.r4 && site_of(is.info.role) == SiteKind::mlp_hidden;
      EXPECT_EQ(largest_difference(was.weight, is.weight) < 0.01, behind_r4) << is.info.name;
    }
  }
}

TEST_P(ScaledFamily, EachSiteNeedsItsPredecessor) {
  // Oracle 40's negative: the columns alone, or the predecessor alone, make another model.
  const MatrixF before = logits_of(weights_, ids_);
  Random random(9);
  const auto all = random_scales(weights_.config, false, random);
  for (std::size_t index = 0; index < all.by_site.size(); ++index) {
    if (all.by_site[index].empty()) continue;
    SCOPED_TRACE(site_key(site_at(0, index)));
    ChannelScales one;
    one.by_site.resize(all.by_site.size());
    one.by_site[index] = all.by_site[index];
    ModelWeights scaled = weights_;
    fold_channel_scales(scaled.blocks[0], scaled.config, one);
    EXPECT_LE(largest_difference(before, logits_of(scaled, ids_)), 5e-4);
    ModelWeights columns_only = weights_, rows_only = scaled;
    for (std::size_t l = 0; l < weights_.blocks[0].linears.size(); ++l) {
      LinearWeights& linear = columns_only.blocks[0].linears[l];
      Site read = linear.info.site();
      if (read.kind == SiteKind::mlp_input) read.expert = no_expert;
      if (read.index() != index) continue;
      rows_only.blocks[0].linears[l].weight = linear.weight;
      linear.weight = scaled.blocks[0].linears[l].weight;
    }
    EXPECT_GT(largest_difference(before, logits_of(columns_only, ids_)), 0.02);
    EXPECT_GT(largest_difference(before, logits_of(rows_only, ids_)), 0.02);
  }
}

TEST_P(ScaledFamily, WhatIsSolvedAlreadyKeepsItsCodesAndGetsItsBias) {
  ModelWeights whole = weights_, without = weights_;
  for (LinearWeights& linear : without.blocks[0].linears) linear.weight = MatrixF();
  Random random(4);
  const auto scales = random_scales(whole.config, false, random);
  fold_channel_scales(whole.blocks[0], whole.config, scales);
  fold_channel_scales(without.blocks[0], whole.config, scales);
  EXPECT_EQ(whole.blocks[0].attention_norm, without.blocks[0].attention_norm);
  EXPECT_EQ(whole.blocks[0].mlp_norm_bias, without.blocks[0].mlp_norm_bias);
  for (std::size_t l = 0; l < whole.blocks[0].linears.size(); ++l) {
    EXPECT_TRUE(without.blocks[0].linears[l].weight.empty());
    EXPECT_EQ(whole.blocks[0].linears[l].bias, without.blocks[0].linears[l].bias);
  }
}

std::string refusal(const ChannelScales& scales, const ModelConfig& config, bool online_rotation) {
  try {
    check_scales(scales, config, online_rotation, "a.safetensors");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

TEST(ChannelScales, QueryHeadsOfOneValueHeadShareTheirScales) {
  const ModelWeights weights = tiny_weights();  // 6 heads over 2 value heads of 16
  const auto rows = source_rows(SiteKind::attention_output, weights.config);
  ASSERT_EQ(rows.size(), 96u);
  EXPECT_EQ(rows[0], 0u);
  EXPECT_EQ(rows[2 * 16 + 5], 5u) << "the third query head reads the first value head";
  EXPECT_EQ(rows[3 * 16 + 5], 16u + 5u) << "the fourth the second";
  Random random(1);
  ChannelScales scales = random_scales(weights.config, false, random);
  scales.by_site[std::size_t(SiteKind::attention_output)][20] *= 1.5f;
  EXPECT_THAT(refusal(scales, weights.config, false), testing::AllOf(HasSubstr("attention_output"), HasSubstr("query heads")));
}

TEST(ChannelScales, WhatCannotBeIsNamed) {
  const ModelConfig config = tiny_config();
  Random random(1);
  const ChannelScales good = random_scales(config, false, random);
  EXPECT_NO_THROW(check_scales(good, config, false, "a"));
  EXPECT_THAT(refusal(good, config, true), testing::AllOf(HasSubstr("a.safetensors"), HasSubstr("mlp_hidden"), HasSubstr("R4")));
  for (const float bad : {0.0f, -1.0f, std::nanf(""), INFINITY, 1e-44f}) {
    ChannelScales scales = good;
    scales.by_site[0][3] = bad;
    EXPECT_THAT(refusal(scales, config, false), HasSubstr("attention_input")) << bad;
  }
  ChannelScales shorter = good;
  shorter.by_site[2].pop_back();
  EXPECT_THAT(refusal(shorter, config, false), HasSubstr("47"));
  ChannelScales fewer = good;
  fewer.by_site.pop_back();
  EXPECT_THAT(refusal(fewer, config, false), HasSubstr("3 inputs"));

  ModelConfig experts = config;
  experts.experts = 2;
  ChannelScales per_expert = random_scales(experts, false, random);
  EXPECT_TRUE(per_expert.by_site[std::size_t(SiteKind::mlp_hidden)].empty());
  EXPECT_NO_THROW(check_scales(per_expert, experts, false, "a"));
  per_expert.by_site[Site{0, SiteKind::mlp_input, 1}.index()].assign(config.hidden_size, 1.0f);
  EXPECT_THAT(refusal(per_expert, experts, false), HasSubstr("experts.1.mlp_input"));
}

}  // namespace
}  // namespace lrc::test

#include "run/distributions.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "run/activation_sample.h"
#include "run/rotated_layer.h"
#include "run/spectra.h"
#include "small_run.h"

namespace lrc {
namespace {

MatrixF matrix(std::size_t rows, std::size_t columns, std::initializer_list<float> values) {
  MatrixF result(rows, columns);
  std::copy(values.begin(), values.end(), result.data());
  return result;
}
double share_at(const Spread& spread, double steps) {
  return spread.shares[std::size_t(std::floor((steps - spread.lowest) / spread.bin_width))];
}
double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

TEST(Distributions, CountByHand) {
  ActivationScheme scheme;
  scheme.clip = 1;
  const auto spread = spread_of_activations(matrix(1, 4, {7, 0, 0, 1}), {1}, scheme);
  EXPECT_NEAR(sum(spread.shares), 1, 1e-12);
  EXPECT_DOUBLE_EQ(share_at(spread, 0), 0.5);
  EXPECT_DOUBLE_EQ(share_at(spread, 7), 0.25);
  EXPECT_DOUBLE_EQ(share_at(spread, 1), 0.25);
  ASSERT_EQ(spread.levels.size(), 16u);
  EXPECT_EQ(spread.levels.front(), -8);
  EXPECT_EQ(spread.levels.back(), 7);
  EXPECT_NEAR(spread.levels_in_use, std::exp(0.5 * std::log(2) + 2 * 0.25 * std::log(4)), 1e-12);
  EXPECT_NEAR(spread.max_over_rms, 7 / std::sqrt(50.0 / 4), 1e-6);
  EXPECT_EQ(spread.clipped, 0);
  EXPECT_DOUBLE_EQ(spread.rounded_to_zero, 0.5);
  // Half the scale: 7 is 14 steps away and cut to 7; 1 is two steps.
  scheme.clip = 0.5f;
  const auto cut = spread_of_activations(matrix(1, 4, {7, 0, 0, 1}), {1}, scheme);
  EXPECT_DOUBLE_EQ(cut.clipped, 0.25);
  EXPECT_DOUBLE_EQ(share_at(cut, 2), 0.25);
  EXPECT_DOUBLE_EQ(cut.shares.back(), 0.25) << "outside: in the outermost bin";
}

TEST(Distributions, TokensCountByTheirShares) {
  ActivationScheme scheme;
  scheme.clip = 1;
  const auto spread = spread_of_activations(matrix(2, 2, {7, 7, 0, 7}), {3, 1}, scheme);
  EXPECT_DOUBLE_EQ(share_at(spread, 7), 7.0 / 8);
  EXPECT_NEAR(spread.max_over_rms, (3 * 1 + std::sqrt(2)) / 4, 1e-6);
}

TEST(Distributions, AFewHugeChannelsLeaveLevelsEmpty) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  MatrixF x(64, 256), spiked(64, 256);
  for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = spiked.data()[i] = normal(random);
  for (std::size_t t = 0; t < 64; ++t) spiked(t, 100) *= 60;
  const std::vector<float> shares(64, 1);
  const auto even = spread_of_activations(x, shares, {}), uneven = spread_of_activations(spiked, shares, {});
  EXPECT_GT(even.levels_in_use, 9);
  EXPECT_LT(uneven.levels_in_use, 5);
  EXPECT_LT(even.max_over_rms, 4);
  EXPECT_GT(uneven.max_over_rms, 8);
  const auto rms = over_median(channel_rms(spiked, shares));
  EXPECT_GT(rms[100], 40);
  for (std::size_t c = 0; c < 256; ++c)
    if (c != 100) {
      EXPECT_LT(rms[c], outlier_factor);
    }
}

TEST(Distributions, EveryFormatHasItsLevels) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  MatrixF x(8, 64);
  for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = normal(random);
  const std::vector<float> shares(8, 1);
  for (const auto format : {NumberFormat::mxint, NumberFormat::mxfp4, NumberFormat::mxfp4_rounded, NumberFormat::nvfp4}) {
    ActivationScheme scheme;
    scheme.format = format;
    scheme.group_size = default_block(format);
    const auto spread = spread_of_activations(x, shares, scheme);
    EXPECT_EQ(spread.levels.size(), 15u) << name(format);
    EXPECT_EQ(spread.levels.front(), -spread.levels.back());
    EXPECT_NEAR(sum(spread.shares), 1, 1e-9);
    EXPECT_GT(spread.levels_in_use, 5);
    EXPECT_LE(spread.levels_in_use, 15);
    WeightScheme weight;
    weight.format = format;
    weight.group_size = default_block(format);
    EXPECT_EQ(spread_of_weights(x, weight).levels, spread.levels);
  }
  // With zero points a token of positive numbers uses the whole range.
  MatrixF positive(1, 64);
  for (std::size_t i = 0; i < 64; ++i) positive.data()[i] = float(i % 16) * 0.5f;
  ActivationScheme zero_points;
  zero_points.symmetric = false;
  zero_points.clip = 1;
  const auto spread = spread_of_activations(positive, {1}, zero_points);
  EXPECT_NEAR(spread.levels_in_use, 16, 1e-9);
  EXPECT_EQ(spread.levels_of_grid, 16);
  EXPECT_EQ(spread.levels.front(), 0);
  EXPECT_EQ(spread.clipped, 0);
  ActivationScheme off;
  off.bits = 16;
  const auto plain = spread_of_activations(x, shares, off);
  EXPECT_TRUE(plain.levels.empty());
  EXPECT_EQ(plain.levels_in_use, 0);
  EXPECT_NEAR(sum(plain.shares), 1, 1e-9);
}

TEST(Distributions, ErrorIsCountedWhereItArises) {
  ActivationScheme scheme;
  scheme.clip = 1;
  // Position 0: 7 and 0.5 (rounds to 0: error 0.5). Position 3: exact. Position 9: error 0.25.
  const MatrixF x = matrix(3, 2, {7, 0.5f, 7, 1, 7, 0.25f}), weight = matrix(1, 2, {5, 2});
  const auto shares = error_by_position(weight, x, {0, 3, 9}, {1, 1, 4}, scheme);
  ASSERT_EQ(shares.size(), 3u);
  EXPECT_EQ(shares[0].last, 0u);
  EXPECT_EQ(shares[1].first, 1u);
  EXPECT_EQ(shares[1].last, 3u);
  EXPECT_EQ(shares[2].last, 9u);
  EXPECT_NEAR(shares[0].error, 1.0 / (1 + 4 * 0.25), 1e-9);
  EXPECT_NEAR(shares[1].error, 0, 1e-12);
  EXPECT_NEAR(shares[2].tokens, 4.0 / 6, 1e-9);
  EXPECT_TRUE(error_by_position(weight, x, {0, -1, 9}, {1, 1, 4}, scheme).empty());
  scheme.bits = 16;
  EXPECT_TRUE(error_by_position(weight, x, {0, 3, 9}, {1, 1, 4}, scheme).empty());
}

TEST(Distributions, MedianOfEvenAndOddCounts) {
  EXPECT_EQ(over_median({1, 2, 4}), (std::vector<double>{0.5, 1, 2}));
  EXPECT_EQ(over_median({1, 3, 5, 100}), (std::vector<double>{0.25, 0.75, 1.25, 25}));
  EXPECT_EQ(over_median({0, 0, 5}), (std::vector<double>{0, 0, 0}));
  EXPECT_TRUE(over_median({}).empty());
}

class LayerDistributionsTest : public testing::Test {
 protected:
  test::TemporaryFolder place;
  std::filesystem::path sample = place.path() / "sample";
  Recipe recipe = test::small_recipe(place.path() / "text.txt");
  void SetUp() override {
    Progress progress;
    measure(*test::small_model(), recipe, place.path() / "measured", progress, {}, sample);
  }
};

TEST_F(LayerDistributionsTest, OfAMeasuredModel) {
  const auto& model = *test::small_model();
  for (const auto& layer : model.layers()) {
    SCOPED_TRACE(layer.name);
    const auto found = distributions_of(model, layer, recipe.rotation, recipe.weight, recipe.activation, sample);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->rotates_input, true);
    EXPECT_NE(found->input_before.shares, found->input_after.shares);
    EXPECT_NE(found->weight_before.shares, found->weight_after.shares);
    EXPECT_EQ(found->sampled_tokens, 1024u);
    ASSERT_FALSE(found->positions.empty());
    double tokens = 0, error = 0;
    for (const auto& share : found->positions) tokens += share.tokens, error += share.error;
    EXPECT_NEAR(tokens, 1, 1e-9);
    EXPECT_NEAR(error, 1, 1e-9);
    EXPECT_NEAR(found->positions.front().tokens, 1.0 / 256, 1e-6);
  }
  EXPECT_FALSE(distributions_of(model, model.layers().front(), recipe.rotation, recipe.weight, recipe.activation, place.path()));
}

TEST_F(LayerDistributionsTest, ChannelsOfEveryBlock) {
  const auto& model = *test::small_model();
  const auto map = channel_map(model, SiteKind::mlp_hidden, no_expert, sample);
  ASSERT_TRUE(map);
  EXPECT_EQ(map->width, model.config().feed_forward);
  EXPECT_EQ(map->before.rows(), model.config().blocks);
  EXPECT_EQ(map->before.columns(), (map->width + map->group - 1) / map->group);
  double largest = 0;
  for (std::size_t c = 0; c < map->group; ++c) largest = std::max(largest, map->profile_before[2][c]);
  EXPECT_FLOAT_EQ(map->before(2, 0), float(largest));
  for (const auto& persistent : map->persistent_before) {
    EXPECT_GE(persistent.blocks.size(), 2u);
    for (const std::size_t block : persistent.blocks) EXPECT_GT(map->profile_before[block][persistent.channel], outlier_factor);
  }
  EXPECT_FALSE(channel_map(model, SiteKind::mlp_hidden, 3, sample));
}

}  // namespace
}  // namespace lrc

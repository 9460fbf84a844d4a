#include "run/spectra.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "small_run.h"

namespace lrc {
namespace {

using test::contains;
using test::sentence_of;
using test::small_model;
using test::small_recipe;
using test::small_request;

class SpectraTest : public ::testing::Test {
 protected:
  test::TemporaryFolder place;
  std::filesystem::path run = place.path() / "run", folder = place.path() / "measured";
  Recipe recipe = small_recipe(place.path() / "text.txt");
  Progress progress;
};

TEST_F(SpectraTest, ARunsCurvesMeetItsRecord) {
  const auto manifest = test::carry_out(small_request(run, recipe));
  for (const auto& layer : manifest.layers) {
    SCOPED_TRACE(layer.name);
    const auto spectrum = spectrum_of_run(run, layer.name);
    const std::size_t n = std::min(layer.out_features, layer.in_features);
    ASSERT_EQ(spectrum.lower_bound_by_rank.size(), n + 1);
    ASSERT_EQ(spectrum.same_codes_by_rank.size(), n + 1);
    EXPECT_EQ(spectrum.whitened_error.size(), n);
    EXPECT_EQ(spectrum.weight_error.size(), n);
    EXPECT_EQ(spectrum.achieved_rank, layer.rank);
    EXPECT_EQ(spectrum.achieved_loss, layer.loss);
    EXPECT_EQ(spectrum.achieved_loss_regularized, layer.loss_regularized);
    EXPECT_NEAR(spectrum.lower_bound_by_rank[layer.rank], layer.lower_bound, 1e-9 * layer.lower_bound);
    for (std::size_t k = 0; k <= n; ++k) EXPECT_GE(spectrum.same_codes_by_rank[k], spectrum.lower_bound_by_rank[k] * (1 - 1e-9));
    EXPECT_TRUE(std::is_sorted(spectrum.whitened_error.rbegin(), spectrum.whitened_error.rend()));
  }
  EXPECT_TRUE(contains(sentence_of(ErrorKind::not_found, [&] { spectrum_of_run(run, "model.layers.9.mlp.down_proj"); }), "layers.9"));
}

TEST_F(SpectraTest, MeasuredBoundsAreThoseOfARun) {
  recipe.held_out_windows = 0;
  const auto manifest = test::carry_out(small_request(run, recipe));
  measure(*small_model(), recipe, folder, progress, {});
  const auto names = measured_layers(folder);
  ASSERT_EQ(names.size(), manifest.layers.size());
  for (const auto& name : names) {
    SCOPED_TRACE(name);
    const auto before = measured_spectrum(folder, name);
    ASSERT_TRUE(before);
    const auto after = spectrum_of_run(run, name);
    ASSERT_EQ(before->lower_bound_by_rank.size(), after.lower_bound_by_rank.size());
    for (std::size_t k = 0; k < after.lower_bound_by_rank.size(); ++k)
      EXPECT_NEAR(before->lower_bound_by_rank[k], after.lower_bound_by_rank[k], 1e-9 * after.lower_bound_by_rank[0]);
    EXPECT_EQ(before->out_features, after.out_features);
    EXPECT_EQ(before->in_features, after.in_features);
    EXPECT_TRUE(before->same_codes_by_rank.empty());
    EXPECT_FALSE(before->achieved_rank);
    EXPECT_EQ(before->weight.size(), std::min(after.out_features, after.in_features));
  }
  EXPECT_FALSE(measured_spectrum(folder, "model.layers.9.mlp.down_proj"));
}

TEST_F(SpectraTest, AMeasurementResumesAndRefusesOtherChoices) {
  measure(*small_model(), recipe, folder, progress, {});
  const auto whole = test::layer_bytes(folder);
  std::filesystem::remove(folder / "layers" / "model.layers.3.mlp.up_proj.safetensors");
  EXPECT_EQ(measured_layers(folder).size(), whole.size() - 1);
  // Rank, method and rules play no part in what is measured.
  Recipe same = recipe;
  same.method = "gptq";
  same.rank = {false, 5};
  same.overrides = {parse_override("*.q_proj:rank=7")};
  measure(*small_model(), same, folder, progress, {});
  EXPECT_EQ(test::layer_bytes(folder), whole);

  Recipe other = recipe;
  other.activation.bits = 8;
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { measure(*small_model(), other, folder, progress, {}); }), folder.string()));
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { measured_layers(place.path()); }), "no measurement"));

  std::stop_source stop;
  stop.request_stop();
  sentence_of(ErrorKind::stopped, [&] { measure(*small_model(), recipe, folder, progress, stop.get_token()); });
}

TEST_F(SpectraTest, WeightsNeedNoText) {
  const auto& layer = *small_model()->find_layer("model.layers.2.mlp.gate_proj");
  const auto spectrum = spectrum_of_weights(*small_model(), layer, WeightScheme{});
  ASSERT_EQ(spectrum.weight.size(), 64u);
  double energy = 0, of_values = 0;
  const auto weight = small_model()->layer_weight(layer);
  for (const float w : weight.flat()) energy += double(w) * w;
  for (const double value : spectrum.weight) of_values += value * value;
  EXPECT_NEAR(of_values, energy, 1e-9 * energy);
  EXPECT_LT(spectrum.weight_error.front(), spectrum.weight.front());
  EXPECT_GT(spectrum.weight_error.front(), 0);
  WeightScheme group;
  group.group_size = 48;
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { spectrum_of_weights(*small_model(), layer, group); }), layer.name));
}

}  // namespace
}  // namespace lrc

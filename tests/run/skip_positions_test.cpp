// The recipe's skip_first_positions through whole runs.
#include <functional>

#include "run/float_stream.h"
#include "run/layer_trials.h"
#include "run/spectra.h"
#include "small_run.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

TEST(SkipPositions, EveryWayToSolveLeavesThemOut) {
  TemporaryFolder place;
  const auto text = place.path() / "text.txt";
  const std::vector<std::pair<std::string, std::function<void(Recipe&)>>> ways = {
      {"float stream", [](Recipe&) {}},
      {"propagated", [](Recipe& r) { r.stream = Stream::propagated; }},
      {"replay", [](Recipe& r) { r.stream = Stream::replay; }},
      {"clip search", [](Recipe& r) { r.search_clip = true; }},
      {"smoothquant", [](Recipe& r) { r.smoothing = Smoothing::smoothquant, r.rotation = {}; }},
      {"awq", [](Recipe& r) { r.smoothing = Smoothing::awq, r.rotation = {}; }},
      {"lsi, refined",
       [](Recipe& r) {
         r.method = "lsi", r.rank = {false, 0}, r.refine = 4, r.steps = 5;
       }},
  };
  for (const auto& [what, change] : ways) {
    Recipe recipe = small_recipe(text);
    recipe.layers = "model.layers.[01].*";
    change(recipe);
    const Manifest with = test::carry_out(small_request(place.path() / (what + " with"), recipe));
    recipe.skip_first_positions = 2;
    const Manifest without = test::carry_out(small_request(place.path() / (what + " without"), recipe));
    EXPECT_EQ(with.calibration_tokens, 4u * 256) << what;
    EXPECT_EQ(without.calibration_tokens, 4u * 254) << what;
    ASSERT_EQ(with.layers.size(), without.layers.size());
    for (std::size_t i = 0; i < with.layers.size(); ++i) {
      EXPECT_EQ(without.layers[i].tokens, 4u * 254) << what << " " << without.layers[i].name;
      EXPECT_NE(with.layers[i].sha256, without.layers[i].sha256) << what << " " << without.layers[i].name;
      ASSERT_TRUE(without.layers[i].held_out_loss.has_value());
      EXPECT_NE(with.layers[i].held_out_loss, without.layers[i].held_out_loss) << what;
    }
  }
}

TEST(SkipPositions, AResumedRunHasTheSameBytesAndAnotherNumberIsRefused) {
  TemporaryFolder place;
  Recipe recipe = small_recipe(place.path() / "text.txt");
  recipe.skip_first_positions = 1;
  const auto folder = place.path() / "run";
  test::carry_out(small_request(folder, recipe));
  const auto expected = layer_bytes(folder);
  for (const char* layer : {"model.layers.2.mlp.up_proj", "model.layers.4.self_attn.q_proj"})
    std::filesystem::remove(folder / "layers" / (std::string(layer) + ".safetensors"));
  test::carry_out(small_request(folder, recipe));
  EXPECT_EQ(layer_bytes(folder), expected);
  recipe.skip_first_positions = 0;
  const auto sentence = sentence_of(ErrorKind::bad_input, [&] { test::carry_out(small_request(folder, recipe)); });
  EXPECT_TRUE(contains(sentence, "skip_first_positions 1 there and not set here")) << sentence;
}

TEST(SkipPositions, RunsOfOneBatchKeepTheirOwnTokens) {
  TemporaryFolder place;
  Recipe recipe = small_recipe(place.path() / "text.txt");
  Recipe without = recipe;
  without.skip_first_positions = 1;
  const std::vector<RunRequest> requests = {small_request(place.path() / "a", recipe), small_request(place.path() / "b", without)};
  Progress progress;
  carry_out_together(requests, progress, {});
  test::carry_out(small_request(place.path() / "alone", without));
  EXPECT_EQ(layer_bytes(place.path() / "b"), layer_bytes(place.path() / "alone"));
  EXPECT_NE(layer_bytes(place.path() / "a"), layer_bytes(place.path() / "b"));
}

TEST(SkipPositions, AMeasurementIsOfItsOwnPositions) {
  TemporaryFolder place;
  Recipe recipe = small_recipe(place.path() / "text.txt");
  Progress progress;
  const auto folder = place.path() / "stats";
  measure(*small_model(), recipe, folder, progress, {});
  const auto all = measured_spectrum(folder, "model.layers.3.mlp.down_proj");
  recipe.skip_first_positions = 1;
  const auto sentence = sentence_of(ErrorKind::bad_input, [&] { measure(*small_model(), recipe, folder, progress, {}); });
  EXPECT_TRUE(contains(sentence, "holds a measurement of another")) << sentence;
  measure(*small_model(), recipe, place.path() / "other", progress, {});
  EXPECT_NE(all->whitened_error, measured_spectrum(place.path() / "other", "model.layers.3.mlp.down_proj")->whitened_error);
}

TEST(SkipPositions, WhatCannotBeIsRefusedInOneSentence) {
  TemporaryFolder place;
  Recipe recipe = small_recipe(place.path() / "text.txt");
  recipe.skip_first_positions = 256;
  EXPECT_TRUE(contains(problem_of(recipe, *small_model()).value_or(""), "255 or less"));
  recipe.skip_first_positions = 255;
  EXPECT_FALSE(problem_of(recipe, *small_model()));
  recipe.skip_first_positions = 1;
  const auto mixtral = Model::open(data("models/mixtral/hf"));
  Recipe plain = recipe;
  plain.rotation = {};
  plain.calibration_context = 32;
  EXPECT_TRUE(contains(problem_of(plain, *mixtral).value_or(""), "models with experts"));
  TokenWindows windows{32, {random_ids(32, mixtral->config().vocabulary, 5)}};
  windows.skipped_positions = 1;
  EXPECT_TRUE(contains(sentence_of(ErrorKind::unsupported, [&] { FloatStream(*mixtral, {}, windows, 1); }), "experts"));
}

TEST(LayerTrials, LeavingOutPositionZeroIsWhatARunOfItGives) {
  TemporaryFolder place;
  Recipe recipe = small_recipe(place.path() / "text.txt");
  recipe.held_out_windows = 0;
  Progress progress;
  const Model& model = *small_model();
  const LayerInfo& layer = *model.find_layer("model.layers.2.mlp.gate_proj");
  const auto keep = place.path() / "cache" / "key";
  const LayerTrials trials = weight_trials(model, recipe, layer, keep, progress, {});
  const auto suggestions = activation_trials(model, recipe, layer, trials.now, keep, progress, {});
  const auto found = std::ranges::find(suggestions, "leave out position 0", &Suggestion::title);
  ASSERT_NE(found, suggestions.end());
  EXPECT_EQ(found->skip_first_positions, 1u);
  EXPECT_EQ(found->bits_per_weight, 0);
  EXPECT_TRUE(found->estimated);
  EXPECT_GT(found->elsewhere_now, 0);
  EXPECT_LE(found->elsewhere_loss, found->elsewhere_now * 1.05) << "solved for these positions";
  recipe.skip_first_positions = 1;
  const Manifest run = test::carry_out(small_request(place.path() / "run", recipe));
  const auto record = std::ranges::find(run.layers, layer.name, &LayerRecord::name);
  EXPECT_NEAR(found->loss, record->loss, 0.1 * record->loss);
  // Where it is left out already there is nothing to offer.
  const LayerTrials after = weight_trials(model, recipe, layer, place.path() / "cache" / "other", progress, {});
  for (const auto& each : activation_trials(model, recipe, layer, after.now, place.path() / "cache" / "other", progress, {}))
    EXPECT_NE(each.title, "leave out position 0");
}

}  // namespace
}  // namespace lrc::test

// Runs whose blocks get channel scales first: the scales are facts of the run, and the model that opens is the one that was solved.
#include <gtest/gtest.h>

#include <cmath>

#include "base/parallel.h"
#include "exporters/exporter.h"
#include "model/probabilities.h"
#include "run/export_run.h"
#include "run/transforms.h"
#include "small_run.h"
#include "support/family_models.h"
#include "support/tiny_model.h"

namespace lrc {
namespace {

using test::contains;
using test::layer_bytes;
using test::sentence_of;
using test::small_request;

std::map<std::string, std::string> all_bytes(const std::filesystem::path& folder) {
  auto files = layer_bytes(folder);
  for (const auto& entry : std::filesystem::directory_iterator(folder / "transforms"))
    files["transforms/" + entry.path().filename().string()] = read_file(entry.path());
  return files;
}

class SmoothingRun : public ::testing::Test {
 protected:
  void SetUp() override {
    recipe = test::small_recipe(place.path() / "text.txt");
    recipe.method = "rtn";
    recipe.rank = {false, 0};
    recipe.rotation = {};
    recipe.smoothing = Smoothing::awq;
  }
  static double mean_kl(const MatrixF& reference, const MatrixF& logits) {
    double sum = 0;
    for (std::size_t row = 0; row < logits.rows(); ++row) sum += kl_divergence(reference.row(row), logits.row(row), logits.columns());
    return sum / double(logits.rows());
  }
  double kl_of(const std::filesystem::path& run_folder) {
    const auto run = open_model(run_folder);
    const auto ids = test::random_ids(60, run.model->config().vocabulary, 3);
    Transformer original(make_cpu_backend(), load_weights(*run.model));
    return mean_kl(test::all_logits(original, ids), test::all_logits(*make_transformer(run, "cpu"), ids));
  }
  test::TemporaryFolder place;
  std::filesystem::path folder = place.path() / "run";
  Recipe recipe;
};

TEST_F(SmoothingRun, WhatStaysInFloatIsScaledAndTheModelIsTheSame) {
  recipe.weight.bits = 8;
  recipe.activation.bits = 16;
  for (const auto smoothing : {Smoothing::smoothquant, Smoothing::awq, Smoothing::closed_form}) {
    for (const bool rotated : {false, true}) {
      SCOPED_TRACE(std::string(name(smoothing)) + (rotated ? ", rotated" : ""));
      recipe.smoothing = smoothing;
      recipe.rotation = {rotated, rotated, rotated, 2};
      const auto own = place.path() / (std::string(name(smoothing)) + (rotated ? "-rotated" : ""));
      const auto manifest = test::carry_out(small_request(own, recipe));
      const auto run = open_model(own);
      ASSERT_EQ(manifest.transforms.size(), run.model->config().blocks);
      const auto weights = weights_of(run);
      auto original = load_weights(*run.model);
      rotate_weights(original, recipe.rotation);
      const auto scales = read_transform(own, manifest.transforms[1], weights.config, rotated);
      ASSERT_TRUE(scales.any());
      EXPECT_TRUE(!rotated || scales.by_site[std::size_t(SiteKind::mlp_hidden)].empty()) << "R4 stands in between";
      EXPECT_EQ(smoothing == Smoothing::smoothquant, scales.by_site[std::size_t(SiteKind::attention_output)].empty());
      const auto& norm_scales = scales.by_site[std::size_t(SiteKind::mlp_input)];
      ASSERT_FALSE(norm_scales.empty());
      for (std::size_t c = 0; c < norm_scales.size(); ++c)
        EXPECT_EQ(weights.blocks[1].mlp_norm[c], original.blocks[1].mlp_norm[c] / norm_scales[c]);
      EXPECT_LT(kl_of(own), 1e-3) << "8-bit weights of the scaled model beside its scaled norms";
    }
  }
}

TEST_F(SmoothingRun, AwqIsNearerToTheOriginalThanRounding) {
  recipe.weight.bits = 3;
  recipe.weight.clip = WeightClip::none;
  recipe.activation.bits = 16;
  const auto loss = [](const Manifest& manifest) {
    double sum = 0;
    for (const auto& layer : manifest.layers) sum += layer.loss;
    return sum;
  };
  const double awq = loss(test::carry_out(small_request(folder, recipe)));
  recipe.smoothing = Smoothing::none;
  const double plain = loss(test::carry_out(small_request(place.path() / "plain", recipe)));
  EXPECT_LT(awq, plain);
  recipe.weight.clip = WeightClip::awq;
  const auto clipped = test::carry_out(small_request(place.path() / "clips", recipe));
  EXPECT_LT(loss(clipped), plain);
  for (const auto& [layer, scheme] : clipped.effective)
    EXPECT_EQ(scheme.weight.clip == WeightClip::none, contains(layer, "q_proj") || contains(layer, "k_proj")) << layer;
}

TEST_F(SmoothingRun, LayersInFloatBesideQuantizedOnesAreScaledToo) {
  recipe.layers = "*.q_proj,*.down_proj";
  recipe.weight.bits = 8;
  recipe.activation.bits = 16;
  test::carry_out(small_request(folder, recipe));
  const auto run = open_model(folder);
  const auto weights = weights_of(run);
  const auto original = load_weights(*run.model);
  EXPECT_NE(weights.blocks[0].linear(Role::k_proj).weight, original.blocks[0].linear(Role::k_proj).weight) << "reads what q reads";
  EXPECT_NE(weights.blocks[0].linear(Role::up_proj).weight, original.blocks[0].linear(Role::up_proj).weight) << "makes what down reads";
  EXPECT_EQ(weights.blocks[0].linear(Role::gate_proj).weight, original.blocks[0].linear(Role::gate_proj).weight);
  EXPECT_LT(kl_of(folder), 1e-3);
}

TEST_F(SmoothingRun, StoppedAnywhereAndContinuedItEndsWithTheSameBytes) {
  for (const auto stream : {Stream::fp, Stream::propagated}) {
    SCOPED_TRACE(name(stream));
    recipe.stream = stream;
    const auto whole = place.path() / ("whole-" + std::string(name(stream)));
    test::carry_out(small_request(whole, recipe));
    const auto expected = all_bytes(whole);
    for (const int after : {1, 9, 20}) {
      const auto own = place.path() / (std::string(name(stream)) + std::to_string(after));
      std::stop_source stop;
      Progress progress;
      int layers = 0;
      EXPECT_THROW(lrc::carry_out(small_request(own, recipe), progress, stop.get_token(),
                                  [&](const LayerRecord&) {
                                    if (++layers == after) stop.request_stop();
                                  }),
                   Error);
      test::carry_out(small_request(own, recipe));
      EXPECT_EQ(all_bytes(own), expected) << "stopped after " << after;
    }
  }
}

TEST_F(SmoothingRun, NeitherThreadsNorCompanyMatter) {
  test::carry_out(small_request(folder, recipe));
  Recipe plain = recipe, quant = recipe;
  plain.smoothing = Smoothing::none;
  quant.smoothing = Smoothing::smoothquant;
  set_thread_count(3);
  Progress progress;
  const std::vector<RunRequest> requests = {small_request(place.path() / "a", plain), small_request(place.path() / "b", recipe),
                                            small_request(place.path() / "c", quant)};
  carry_out_together(requests, progress, {});
  set_thread_count(0);
  EXPECT_EQ(all_bytes(place.path() / "b"), all_bytes(folder));
  EXPECT_NE(all_bytes(place.path() / "c"), all_bytes(folder));
  EXPECT_FALSE(std::filesystem::exists(place.path() / "a" / "transforms"));
}

TEST_F(SmoothingRun, DamagedScalesAreNamedAndTheirBlockIsSolvedAnew) {
  test::carry_out(small_request(folder, recipe));
  const auto expected = all_bytes(folder);
  const auto file = folder / "transforms" / "block-2.safetensors";
  auto bytes = read_file(file);
  bytes[bytes.size() - 1] ^= 1;
  write_file_atomically(file, bytes);
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_file, [&] { weights_of(open_model(folder)); }), "block-2.safetensors"));
  std::size_t solved = 0;
  Progress progress;
  lrc::carry_out(small_request(folder, recipe), progress, {}, [&](const LayerRecord&) { ++solved; });
  EXPECT_EQ(solved, 7u);
  EXPECT_EQ(all_bytes(folder), expected);
  std::filesystem::remove(file);
  sentence_of(ErrorKind::not_found, [&] { weights_of(open_model(folder)); });
  // A manifest that lost them.
  Json manifest = read_json_file(folder / "manifest.json");
  manifest.erase("transforms");
  write_file_atomically(folder / "manifest.json", manifest.dump());
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_file, [&] { weights_of(open_model(folder)); }), "channel scales"));
}

TEST_F(SmoothingRun, AnotherSmoothingIsAnotherRun) {
  test::carry_out(small_request(folder, recipe));
  for (const auto smoothing : {Smoothing::none, Smoothing::smoothquant}) {
    Recipe other = recipe;
    other.smoothing = smoothing;
    EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { test::carry_out(small_request(folder, other)); }), "smoothing"));
  }
  // And the other way: a folder without, a recipe with.
  Recipe plain = recipe;
  plain.smoothing = Smoothing::none;
  test::carry_out(small_request(place.path() / "plain", plain));
  EXPECT_TRUE(
      contains(sentence_of(ErrorKind::bad_input, [&] { test::carry_out(small_request(place.path() / "plain", recipe)); }), "smoothing"));
}

TEST_F(SmoothingRun, TheExportedFilesAreTheRun) {
  recipe.weight.group_size = 32;
  recipe.rotation = {true, true, false, 1};
  recipe.activation.bits = 16;
  recipe.overrides = {parse_override("*.down_proj:skip=true")};  // 172 wide: no groups of 32
  test::carry_out(small_request(folder, recipe));
  RunExport view(open_model(folder));
  Progress progress;
  const auto result = find_exporter("gguf").write(view.source(), place.path() / "out", {}, progress, {});
  EXPECT_TRUE(result.verified) << "norms, codes and the logits that come of them";
  const auto written = Model::open(result.files.front().path);
  EXPECT_EQ(load_weights(*written).blocks[1].attention_norm, weights_of(open_model(folder)).blocks[1].attention_norm);
}

TEST(SmoothingRecipe, OldRecipesStayAsTheyAre) {
  const std::string text = to_text(Recipe{});
  for (const char* field : {"smoothing", "calibration_mix", "file"}) EXPECT_FALSE(contains(text, field)) << field;
  Recipe recipe;
  recipe.smoothing = Smoothing::smoothquant;
  recipe.smoothing_strength = 0.8;
  recipe.calibration_mix = CalibrationMix{"task.txt", 0.25};
  recipe.rotation.file = "r.safetensors";
  recipe.weight.clip = WeightClip::awq;
  EXPECT_EQ(recipe_from_json(to_json(recipe), "r"), recipe);
  const auto refuses = [](const char* json, const char* part) {
    EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { recipe_from_json(parse_json(json, "r"), "r"); }), part)) << json;
  };
  refuses(R"({"smoothing": "quant"})", "closed-form");
  refuses(R"({"smoothing_strength": 1.5})", "smoothing_strength");
  refuses(R"({"calibration_mix": {"share": 0.5}})", "text");
  refuses(R"({"calibration_mix": {"text": "a", "share": 1}})", "share");
  refuses(R"({"calibration_mix": {"text": "a", "part": 1}})", "part");
  EXPECT_TRUE(recipe_from_json(parse_json(R"({"rotate": {"file": "a.safetensors"}})", "r"), "r").rotation.r2);
}

class SmoothedFamilyRun : public testing::TestWithParam<test::FamilyModel> {};
INSTANTIATE_TEST_SUITE_P(Models, SmoothedFamilyRun, testing::ValuesIn(test::family_models()));

TEST_P(SmoothedFamilyRun, IsTheFloatModelNearly) {
  test::TemporaryFolder place;
  const auto path = test::with_tokenizer(GetParam().path, place.path() / "model");
  Recipe recipe = test::small_recipe(place.path() / "text.txt");
  recipe.calibration_context = 64;
  recipe.method = "rtn";
  recipe.rank = {false, 0};
  recipe.weight.bits = 8;
  recipe.activation.bits = 16;
  recipe.smoothing = Smoothing::awq;
  for (const bool rotated : {false, true}) {
    recipe.rotation = {rotated, rotated, false, 3};
    const auto folder = place.path() / (rotated ? "rotated" : "plain");
    const auto manifest = test::carry_out({path, Model::open(path), recipe, folder});
    const auto run = open_model(folder);
    EXPECT_EQ(manifest.transforms.size(), run.model->config().blocks);
    const auto ids = test::random_ids(40, run.model->config().vocabulary, 5);
    Transformer original(make_cpu_backend(), load_weights(*run.model));
    const MatrixF reference = test::all_logits(original, ids), logits = test::all_logits(*make_transformer(run, "cpu"), ids);
    double kl = 0;
    for (std::size_t row = 0; row < logits.rows(); ++row) kl += kl_divergence(reference.row(row), logits.row(row), logits.columns());
    EXPECT_LT(kl / double(logits.rows()), 0.02) << (rotated ? "rotated" : "plain");
  }
}

}  // namespace
}  // namespace lrc

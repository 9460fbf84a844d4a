// A whole run on the tiny model of each family: calibration, solve, files, and the quantized model that comes out.
#include <gtest/gtest.h>

#include <cmath>

#include "model/probabilities.h"
#include "small_run.h"
#include "support/family_models.h"
#include "support/tiny_model.h"

namespace lrc {
namespace {

class FamilyRun : public testing::TestWithParam<test::FamilyModel> {
 protected:
  std::filesystem::path model_path() { return test::with_tokenizer(GetParam().path, place.path() / "model"); }
  Manifest solve(const std::filesystem::path& model, const Recipe& recipe) {
    return test::carry_out({model, Model::open(model), recipe, folder});
  }
  static double mean_kl(const MatrixF& reference, const MatrixF& logits) {
    double sum = 0;
    for (std::size_t row = 0; row < logits.rows(); ++row) sum += kl_divergence(reference.row(row), logits.row(row), logits.columns());
    return sum / double(logits.rows());
  }

  test::TemporaryFolder place;
  std::filesystem::path folder = place.path() / "run";
};
INSTANTIATE_TEST_SUITE_P(Models, FamilyRun, testing::ValuesIn(test::family_models()));

TEST_P(FamilyRun, SolvesEveryLayerButTheRouter) {
  const auto path = model_path();
  Recipe recipe = test::small_recipe(place.path() / "text.txt");
  recipe.calibration_context = 64;
  const Manifest manifest = solve(path, recipe);
  const auto run = open_model(folder);
  std::size_t routers = 0;
  for (const auto& layer : run.model->layers()) routers += layer.role == Role::router;
  EXPECT_EQ(routers, run.model->config().experts > 0 ? run.model->config().blocks : 0);
  ASSERT_EQ(manifest.layers.size(), run.model->layers().size() - routers);
  for (const auto& record : manifest.layers) {
    SCOPED_TRACE(record.name);
    const LayerInfo* layer = run.model->find_layer(record.name);
    ASSERT_TRUE(layer);
    EXPECT_NE(layer->role, Role::router);
    EXPECT_LT(record.loss, record.loss_uncorrected);
    EXPECT_GT(record.tokens, 0u);
    EXPECT_EQ(record.tokens == 1024u, layer->expert == no_expert) << record.tokens;
  }
  const auto weights = weights_of(run);
  for (const auto& block : weights.blocks)
    for (const auto& linear : block.linears) {
      EXPECT_EQ(bool(linear.quantized), linear.info.role != Role::router) << linear.info.name;
      EXPECT_EQ(linear.weight.empty(), bool(linear.quantized)) << linear.info.name;
    }

  // What comes out is near the original, and the correction brings it nearer.
  const auto ids = test::random_ids(60, run.model->config().vocabulary, 3);
  auto quantized = make_transformer(run, "cpu");
  Transformer original(make_cpu_backend(), load_weights(*run.model));
  const MatrixF reference = test::all_logits(original, ids);
  const double corrected = mean_kl(reference, test::all_logits(*quantized, ids));
  EXPECT_LT(corrected, 0.8 * mean_kl(reference, test::all_logits(*quantized, ids, {.bypass = true})));
}

TEST_P(FamilyRun, AtEightBitsTheRunIsTheFloatModelNearly) {
  const auto path = model_path();
  Recipe recipe = test::small_recipe(place.path() / "text.txt");
  recipe.calibration_context = 64;
  recipe.method = "rtn";
  recipe.weight.bits = 8;
  recipe.activation.bits = 16;
  recipe.rank = {false, 0};
  solve(path, recipe);
  const auto run = open_model(folder);
  const auto ids = test::random_ids(40, run.model->config().vocabulary, 5);
  auto quantized = make_transformer(run, "cpu");
  Transformer original(make_cpu_backend(), load_weights(*run.model));
  EXPECT_LT(mean_kl(test::all_logits(original, ids), test::all_logits(*quantized, ids)), 0.02);
}

TEST_P(FamilyRun, EveryMethodIsTheFloatModelNearlyAtEightBits) {
  const auto path = model_path();
  const auto model = Model::open(path);
  std::vector<RunRequest> requests;
  for (const auto& method : methods()) {
    Recipe recipe = test::small_recipe(place.path() / "text.txt");
    recipe.calibration_context = 64;
    recipe.method = method.name;
    recipe.damping = method.damping;
    recipe.damping_toward = DampingToward::original;  // toward zero LRC would shrink what 1024 tokens hardly show
    recipe.weight.bits = 8;
    recipe.activation.bits = 8;
    recipe.activation.clip = 1;
    recipe.rank = method.uses_rank ? RankChoice{true, 10} : RankChoice{false, 0};
    requests.push_back({path, model, recipe, place.path() / std::string(method.name)});
  }
  // Principal bases of every family's stream and heads, whose first directions have grids of their own.
  Recipe parted = test::small_recipe(place.path() / "text.txt");
  parted.calibration_context = 64;
  parted.method = "gptq";
  parted.weight.bits = parted.activation.bits = 7;
  parted.activation.clip = 1;
  parted.rank = {false, 0};
  parted.rotation.high_share = 0.25;
  requests.push_back({path, model, parted, place.path() / "resq"});
  Progress progress;
  const auto manifests = carry_out_together(requests, progress, {});
  auto ids = model->tokenizer()->encode(test::some_text(400), false);
  ids.resize(60);
  Transformer original(make_cpu_backend(), load_weights(*model));
  const MatrixF reference = test::all_logits(original, ids);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    SCOPED_TRACE(requests[i].folder.filename().string());
    EXPECT_EQ(manifests[i].layers.size(), manifests[i].layers_total);
    auto quantized = make_transformer(open_model(requests[i].folder), "cpu");
    EXPECT_LT(mean_kl(reference, test::all_logits(*quantized, ids)), 0.03);
  }
}

TEST_P(FamilyRun, WhatIsNotQuantizedIsTheRotatedFloatModelBitForBit) {
  const auto path = model_path();
  Recipe recipe = test::small_recipe(place.path() / "text.txt");
  recipe.calibration_context = 64;
  recipe.method = "rtn";
  recipe.rank = {false, 0};
  recipe.layers = "*.layers.0.*";
  solve(path, recipe);
  const auto run = open_model(folder);
  const auto weights = weights_of(run);
  auto original = load_weights(*run.model);
  rotate_weights(original, recipe.rotation);
  EXPECT_EQ(weights.embedding, original.embedding);
  EXPECT_EQ(weights.positions, original.positions);
  EXPECT_EQ(weights.head, original.head);
  EXPECT_EQ(weights.head_bias, original.head_bias);
  EXPECT_EQ(weights.config.norm, NormKind::rms);
  std::size_t quantized = 0;
  for (std::size_t b = 0; b < weights.blocks.size(); ++b) {
    const auto &is = weights.blocks[b], &was = original.blocks[b];
    EXPECT_EQ(is.query_norm, was.query_norm);
    EXPECT_EQ(is.window, was.window);
    ASSERT_EQ(is.linears.size(), was.linears.size());
    for (std::size_t l = 0; l < is.linears.size(); ++l) {
      SCOPED_TRACE(is.linears[l].info.name);
      EXPECT_EQ(is.linears[l].info.name, was.linears[l].info.name);
      EXPECT_EQ(is.linears[l].bias, was.linears[l].bias) << "also beside codes";
      quantized += bool(is.linears[l].quantized);
      if (!is.linears[l].quantized) {
        EXPECT_EQ(is.linears[l].weight, was.linears[l].weight);
      }
    }
  }
  EXPECT_GT(quantized, 0u);
  EXPECT_LT(quantized, run.model->layers().size() / 2 + 1);
}

TEST(ExpertRuns, FewTokensAreReported) {
  test::TemporaryFolder place;
  Recipe recipe = test::small_recipe(place.path() / "text.txt");
  recipe.calibration_tokens = 64;
  recipe.calibration_context = 32;
  const auto path = test::data("models/mixtral/mixtral-q8_0-q4_0.gguf");
  const Manifest manifest = test::carry_out({path, Model::open(path), recipe, place.path() / "run"});
  std::size_t warned = 0;
  for (const auto& layer : manifest.layers) {
    const bool expert = test::contains(layer.name, ".experts.");
    EXPECT_EQ(!layer.warning.empty(), expert) << layer.name;  // 64 tokens over 4 experts, two each; inputs of 64 and 96
    if (layer.tokens < layer.in_features && expert) {
      EXPECT_TRUE(test::contains(layer.warning, "too few to solve from")) << layer.warning;
    }
    warned += expert;
    EXPECT_TRUE(std::isfinite(layer.loss)) << layer.name;
  }
  EXPECT_EQ(warned, 24u);
  EXPECT_EQ(to_json(read_manifest(place.path() / "run")).dump(), to_json(manifest).dump());
}

TEST(ExpertRuns, NoRuleQuantizesTheRouter) {
  const auto model = Model::open(test::data("models/mixtral/hf"));
  Recipe recipe;
  recipe.overrides = {parse_override("*:skip=false,weight_bits=4")};
  for (const auto& layer : model->layers()) EXPECT_EQ(effective_scheme(recipe, layer).skipped, layer.role == Role::router) << layer.name;
}

}  // namespace
}  // namespace lrc

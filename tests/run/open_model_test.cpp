#include "run/open_model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "run/export_run.h"
#include "small_run.h"

namespace lrc {
namespace {

using test::contains;
using test::sentence_of;
using test::small_recipe;
using test::small_request;

class OpenModelTest : public ::testing::Test {
 protected:
  Manifest solve(const Recipe& chosen) { return test::carry_out(small_request(folder, chosen)); }
  /// A finished run whose model lies in the test's own folder.
  void solve_with_own_model() {
    std::filesystem::copy_file(test::data("stories260K/stories260K-f32.gguf"), own_model);
    Progress progress;
    carry_out({own_model, nullptr, recipe, folder}, progress, {});
  }
  static MatrixF logits(Transformer& transformer) {
    const std::vector<TokenId> ids = {1, 403, 407, 261, 378, 55, 91, 17};
    auto cache = transformer.make_cache(ids.size());
    transformer.forward(ids, cache);
    return transformer.logits(0, ids.size());
  }
  static double difference(const MatrixF& a, const MatrixF& b) {
    double sum = 0, norm = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      sum += std::pow(double(a.data()[i]) - b.data()[i], 2);
      norm += std::pow(double(b.data()[i]), 2);
    }
    return std::sqrt(sum / norm);
  }

  test::TemporaryFolder place;
  std::filesystem::path folder = place.path() / "run", own_model = place.path() / "model.gguf";
  Recipe recipe = small_recipe(place.path() / "text.txt");
};

TEST_F(OpenModelTest, ARunIsItsOriginalWithTheSolvedLayers) {
  recipe.weight.bits = 8;
  recipe.activation.bits = 8;
  recipe.activation.clip = 1.0f;
  solve(recipe);
  const auto original = open_model(test::data("stories260K/stories260K-f32.gguf"));
  EXPECT_EQ(original.title, test::small_model()->display_name());
  const auto run = open_model(folder);
  EXPECT_EQ(run.title, "LRC 10 %");
  const auto weights = weights_of(run);
  EXPECT_TRUE(weights.down_hadamard);
  for (const auto& block : weights.blocks)
    for (const auto& linear : block.linears) {
      ASSERT_TRUE(linear.quantized);
      EXPECT_TRUE(linear.weight.empty()) << "float weights that nobody needs are not loaded";
      EXPECT_EQ(linear.pair.rank(), 3u + 3u * (std::min(linear.info.out_features, linear.info.in_features) == 64));
      EXPECT_EQ(linear.activation, recipe.activation);
    }
  // 8 bits everywhere: nearly the original, whatever the rotations did to the weights.
  const double apart = difference(logits(*make_transformer(run, "cpu")), logits(*make_transformer(original, "cpu")));
  EXPECT_LT(apart, 0.15);
  EXPECT_GT(apart, 1e-6);
}

TEST_F(OpenModelTest, LayersLeftInFloatAreRotatedAndExact) {
  recipe.layers = "model.layers.4.mlp.down_proj";
  recipe.weight.bits = 8;
  recipe.activation.bits = 16;
  EXPECT_EQ(solve(recipe).layers.size(), 1u);
  const auto run = open_model(folder);
  const auto weights = weights_of(run);
  EXPECT_FALSE(weights.blocks[0].linear(Role::down_proj).quantized);
  EXPECT_FALSE(weights.blocks[0].linear(Role::down_proj).weight.empty());
  EXPECT_TRUE(weights.blocks[4].linear(Role::down_proj).quantized);
  const auto original = open_model(test::data("stories260K/stories260K-f32.gguf"));
  EXPECT_LT(difference(logits(*make_transformer(run, "cpu")), logits(*make_transformer(original, "cpu"))), 0.01);
}

TEST_F(OpenModelTest, AKnownModelIsUsedAgain) {
  solve(recipe);
  EXPECT_EQ(open_model(folder, test::small_model()).model, test::small_model());
  const auto other = Model::open(test::data("stories260K/stories260K-f16.gguf"));
  EXPECT_NE(open_model(folder, other).model, other);
  EXPECT_EQ(open_model(test::data("stories260K/stories260K-f16.gguf"), other).model, other);
}

TEST_F(OpenModelTest, AMovedModelIsFoundBesideTheRunOrMissedByName) {
  solve_with_own_model();
  const auto elsewhere = place.path() / "elsewhere";
  std::filesystem::create_directories(elsewhere);
  std::filesystem::rename(folder, elsewhere / "run");
  std::filesystem::rename(own_model, elsewhere / "model.gguf");
  EXPECT_EQ(open_model(elsewhere / "run").model->checkpoint().path().filename(), "model.gguf");

  std::filesystem::remove(elsewhere / "model.gguf");
  const auto missing = sentence_of(ErrorKind::not_found, [&] { open_model(elsewhere / "run"); });
  EXPECT_TRUE(contains(missing, own_model.string())) << missing;
  EXPECT_TRUE(contains(missing, (elsewhere / "model.gguf").string())) << missing;
}

TEST_F(OpenModelTest, AnotherModelInItsPlaceIsNamed) {
  solve_with_own_model();
  std::filesystem::remove(own_model);
  std::filesystem::copy_file(test::data("stories260K/stories260K-f16.gguf"), own_model);
  const auto sentence = sentence_of(ErrorKind::bad_input, [&] { open_model(folder); });
  EXPECT_TRUE(contains(sentence, own_model.string()) && contains(sentence, "another model")) << sentence;
}

TEST_F(OpenModelTest, UnfinishedRunsNameTheMissingLayer) {
  auto manifest = solve(recipe);
  const auto last = manifest.layers.back().name;
  manifest.layers.pop_back();
  write_manifest(folder, manifest);
  const auto run = open_model(folder);
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { weights_of(run); }), last));
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { RunExport{run}; }), "34 of 35"));
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { RunExport{open_model(test::data("stories260K/hf"))}; }), "plain model"));
}

TEST_F(OpenModelTest, DamagedLayerFilesNameFileAndTensor) {
  const auto manifest = solve(recipe);
  const auto file = folder / manifest.layers[0].file;
  const std::string good = read_file(file);
  const auto refused = [&](const std::string& bytes) {
    write_file_atomically(file, bytes);
    try {
      read_layer(folder, manifest.layers[0].name);
    } catch (const Error& e) {
      EXPECT_TRUE(contains(e.what(), manifest.layers[0].file)) << e.what();
      return true;
    }
    return false;
  };
  EXPECT_TRUE(refused(good.substr(0, good.size() / 2)));
  EXPECT_TRUE(refused(""));
  auto changed = [&](const std::string& from, const std::string& to) {
    std::string bytes = good;
    bytes.replace(bytes.find(from), from.size(), to);
    return bytes;
  };
  EXPECT_TRUE(refused(changed("q_proj", "k_proj"))) << "a layer under another's name";
  EXPECT_TRUE(refused(changed("\\\"rank\\\":6", "\\\"rank\\\":9")));
  EXPECT_TRUE(refused(changed("\\\"weight_bits\\\":4", "\\\"weight_bits\\\":8")));
  EXPECT_TRUE(refused(changed("\\\"in_features\\\":64", "\\\"in_features\\\":96")));
  EXPECT_TRUE(refused(changed("\"losses\"", "\"lossez\"")));
  EXPECT_FALSE(refused(good));
}

TEST_F(OpenModelTest, AnEvaluationIsRecordedWithItsProtocol) {
  solve(recipe);
  Progress progress;
  EvaluationRequest request;
  request.text = place.path() / "text.txt";
  request.context = 128;
  request.windows = 3;
  const auto evaluation = evaluate_run(folder, request, progress, {});
  EXPECT_EQ(evaluation.windows, 3u);
  EXPECT_EQ(evaluation.tokens, 3u * 127u);
  ASSERT_TRUE(evaluation.kl && evaluation.top1_agreement && evaluation.reference_perplexity);
  EXPECT_GT(evaluation.kl->mean, 0);
  EXPECT_NE(evaluation.perplexity, *evaluation.reference_perplexity);
  const auto manifest = read_manifest(folder);
  ASSERT_TRUE(manifest.evaluation);
  EXPECT_EQ(manifest.evaluation->perplexity, evaluation.perplexity);
  EXPECT_EQ(manifest.evaluation->kl->p999, evaluation.kl->p999);
  EXPECT_EQ(manifest.evaluation_protocol["context"], 128);
  EXPECT_EQ(manifest.evaluation_protocol["windows"], 3);
  EXPECT_EQ(manifest.layers.size(), manifest.layers_total) << "nothing else is lost";
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { evaluate_run(place.path(), request, progress, {}); }), "no run folder"));
}

TEST_F(OpenModelTest, WhatAnExporterSees) {
  recipe.overrides = {parse_override("*.layers.1.*:skip=true")};
  solve(recipe);
  const auto run = open_model(folder);
  RunExport view(run);
  const auto source = view.source();
  ASSERT_NE(source.weights, nullptr);
  EXPECT_EQ(source.layers.size(), 35u);
  EXPECT_TRUE(source.layers[7].second.skipped);
  EXPECT_EQ(source.rotation, recipe.rotation);
  EXPECT_EQ(view.source_without_weights().weights, nullptr);
}

TEST(RecipeForExport, TakesOutWhatTheConsumerLacks) {
  Recipe recipe;
  recipe.overrides = {parse_override("*.down_proj:rank=15%,activation_bits=8"), parse_override("*.q_proj:group_size=0,weight_bits=3")};
  Exporter exporter;
  exporter.name = "gguf";
  const auto result = recipe_for_export(recipe, exporter);
  EXPECT_FALSE(result.rotation.r4);
  EXPECT_TRUE(result.rotation.r1);
  EXPECT_TRUE(result.activation.off());
  EXPECT_EQ(result.weight.group_size, 32u);
  EXPECT_EQ(result.overrides, (std::vector<Override>{parse_override("*.down_proj:rank=15%")}));
}

}  // namespace
}  // namespace lrc

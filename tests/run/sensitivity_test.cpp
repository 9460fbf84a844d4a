// What quantizing a layer costs, on stories260K: against the sums that the figures stand for.
#include "run/sensitivity.h"

#include <gmock/gmock.h>

#include "evaluation/evaluation.h"
#include "model/probabilities.h"
#include "run/corpus.h"
#include "run/small_run.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

SensitivityRequest small_sensitivity(const TemporaryFolder& folder) {
  SensitivityRequest request;
  request.recipe = small_recipe(folder.path() / "text.txt");
  request.exact_tokens = 40;
  return request;
}

std::vector<LayerSensitivity> run(const SensitivityRequest& request) {
  Progress progress;
  return sensitivity(*small_model(), request, progress, {});
}

TEST(Sensitivity, IsWhatAPlainRunReports) {
  const TemporaryFolder folder;
  const auto request = small_sensitivity(folder);
  const auto layers = run(request);
  ASSERT_EQ(layers.size(), small_model()->layers().size());
  const Manifest plain = carry_out(small_request(folder.path() / "run", without_correction(request.recipe)));
  for (std::size_t i = 0; i < layers.size(); ++i) {
    EXPECT_EQ(layers[i].name, plain.layers[i].name);
    EXPECT_DOUBLE_EQ(layers[i].both, plain.layers[i].loss);
    EXPECT_DOUBLE_EQ(layers[i].weights_only, plain.layers[i].weights_only);
    EXPECT_DOUBLE_EQ(layers[i].activations_only, plain.layers[i].activations_only);
    EXPECT_GT(layers[i].both, 0);
    EXPECT_FALSE(layers[i].kl);
  }
}

TEST(Sensitivity, ExactIsTheDivergenceOfARunOfThatLayerAlone) {
  const TemporaryFolder folder;
  auto request = small_sensitivity(folder);
  request.exact = true;
  request.recipe.layers = "*.1.self_attn.v_proj,*.4.mlp.down_proj,*.0.mlp.gate_proj";
  const auto layers = run(request);
  ASSERT_EQ(layers.size(), 3u);
  const auto ids = tokens_behind_calibration(request.recipe, *small_model(), 40);
  ASSERT_EQ(ids.size(), 40u);
  OpenedModel original = open_model(data("stories260K/stories260K-f32.gguf"), small_model());
  const auto reference = make_transformer(original, "cpu");
  const MatrixF expected = all_logits(*reference, ids);
  for (const auto& layer : layers) {
    Recipe alone = without_correction(request.recipe);
    alone.layers = layer.name;
    carry_out(small_request(folder.path() / layer.name, alone));
    const auto model = make_transformer(open_model(folder.path() / layer.name, small_model()), "cpu");
    const MatrixF logits = all_logits(*model, ids);
    double sum = 0;
    for (std::size_t r = 0; r < ids.size(); ++r) sum += kl_divergence(expected.row(r), logits.row(r), logits.columns());
    ASSERT_TRUE(layer.kl);
    EXPECT_GT(*layer.kl, 1e-6) << layer.name;
    // The run stores its head as float16.
    EXPECT_NEAR(*layer.kl, sum / double(ids.size()), 0.01 * *layer.kl + 1e-6) << layer.name;
  }
}

TEST(Sensitivity, ActivationsOffLeaveTheWeightsAlone) {
  const TemporaryFolder folder;
  auto request = small_sensitivity(folder);
  request.recipe.activation.bits = 16;
  request.recipe.method = "rtn";
  request.recipe.layers = "*.2.*";
  const auto layers = run(request);
  ASSERT_EQ(layers.size(), 7u);
  for (const auto& layer : layers) {
    EXPECT_EQ(layer.activations_only, 0.0);
    EXPECT_NEAR(layer.both, layer.weights_only, 1e-12 + 1e-9 * layer.both);
  }
}

TEST(Sensitivity, StopsAndRefuses) {
  const TemporaryFolder folder;
  auto request = small_sensitivity(folder);
  std::stop_source stop;
  stop.request_stop();
  Progress progress;
  sentence_of(ErrorKind::stopped, [&] { sensitivity(*small_model(), request, progress, stop.get_token()); });
  request.recipe.layers = "nothing";
  EXPECT_THAT(sentence_of(ErrorKind::bad_input, [&] { run(request); }), testing::HasSubstr("nothing"));
}

}  // namespace
}  // namespace lrc::test

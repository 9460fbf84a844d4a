// The real sample model against an independent float32 forward pass.
#include <gtest/gtest.h>

#include <cmath>

#include "calibration/calibration.h"
#include "evaluation/evaluation.h"
#include "support/golden.h"
#include "support/test_data.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

class SmolLM2 : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (sample_model().empty()) return;
    model_ = Model::open(sample_model());
    transformer_ = std::make_unique<Transformer>(make_cpu_backend(), load_weights(*model_));
  }
  static void TearDownTestSuite() {
    transformer_.reset();
    model_.reset();
  }
  void SetUp() override {
    if (!transformer_) GTEST_SKIP() << "the sample model is not in the cache folder; tests/run.sh downloads it";
  }
  SafetensorsFile expected_ = SafetensorsFile::open(data("smollm2/expected.safetensors"));
  static std::shared_ptr<const Model> model_;
  static std::unique_ptr<Transformer> transformer_;
};
std::shared_ptr<const Model> SmolLM2::model_;
std::unique_ptr<Transformer> SmolLM2::transformer_;

TEST_F(SmolLM2, OpensToItsLayers) {
  EXPECT_EQ(model_->layers().size(), 210u);
  EXPECT_EQ(model_->linear_parameters(), 106168320u);
  EXPECT_EQ(model_->config().context, 8192u);
  EXPECT_TRUE(model_->config().tied_embeddings);
  const LayerInfo* layer = model_->find_layer("model.layers.29.mlp.down_proj");
  ASSERT_NE(layer, nullptr);
  EXPECT_EQ(layer->out_features, 576u);
  EXPECT_EQ(layer->in_features, 1536u);
  EXPECT_EQ(layer->dtype, DType::q4_1);
}

TEST_F(SmolLM2, PromptLogits) {
  for (const std::string prompt : {"prompt0", "prompt1", "prompt2"}) {
    const auto ids = golden_sequences(expected_, prompt + ".ids").at(0);
    KvCache cache = transformer_->make_cache(ids.size());
    transformer_->forward(ids, cache);
    EXPECT_LE(largest_difference(transformer_->logits(ids.size() - 1, 1), golden_slice(expected_, prompt + ".logits")), 1e-3) << prompt;
  }
}

TEST_F(SmolLM2, GreedyText) {
  for (const std::string prompt : {"prompt0", "prompt1", "prompt2"}) {
    const auto expected_ids = golden_sequences(expected_, prompt + ".greedy").at(0);
    EXPECT_EQ(greedy(*transformer_, golden_sequences(expected_, prompt + ".ids").at(0), expected_ids.size()), expected_ids) << prompt;
  }
}

TEST_F(SmolLM2, WindowOfText) {
  const auto ids = golden_sequences(expected_, "window.ids").at(0);
  const MatrixF expected_nll = golden_slice(expected_, "window.nll");
  KvCache cache = transformer_->make_cache(ids.size());
  const std::span<const TokenId> scored(ids.data(), ids.size() - 1);
  double sum = 0, largest = 0;
  for (std::size_t first = 0; first < scored.size(); first += 256) {
    const std::size_t tokens = std::min<std::size_t>(256, scored.size() - first);
    transformer_->forward(scored.subspan(first, tokens), cache);
    const MatrixF logits = transformer_->logits(0, tokens);
    for (std::size_t row = 0; row < tokens; ++row) {
      const double nll = -log_probability(logits.row(row), logits.columns(), std::size_t(ids[first + row + 1]));
      largest = std::max(largest, std::abs(nll - double(expected_nll(0, first + row))));
      sum += nll;
    }
  }
  EXPECT_LE(largest, 1e-3);
  EXPECT_NEAR(std::exp(sum / double(scored.size())), 15.23320, 15.23320e-4);
}

TEST_F(SmolLM2, EvaluationOfAShortWindowIsTheMeanOfTheSameValues) {
  const auto ids = golden_sequences(expected_, "window.ids").at(0);
  const MatrixF expected_nll = golden_slice(expected_, "window.nll");
  double sum = 0;
  for (std::size_t i = 0; i < 299; ++i) sum += double(expected_nll(0, i));
  Progress progress;
  const Evaluation result = evaluate(*transformer_, nullptr, cut_windows(ids, 300, 1, "the text"), progress, {});
  EXPECT_EQ(result.tokens, 299u);
  EXPECT_NEAR(result.nll, sum / 299, 2e-4);
}

TEST_F(SmolLM2, ChatTemplateAndTokenizerAreThere) {
  ASSERT_FALSE(model_->tokenizer_problem());
  EXPECT_EQ(model_->tokenizer()->size(), 49152u);
  EXPECT_EQ(model_->tokenizer()->encode("The capital of France is", false), golden_sequences(expected_, "prompt0.ids").at(0));
  EXPECT_NE(model_->chat_template().find("<|im_start|>"), std::string::npos);
  const auto& stop = model_->tokenizer()->spec().stop;
  EXPECT_NE(std::find(stop.begin(), stop.end(), 2), stop.end()) << "<|im_end|>";
}

}  // namespace
}  // namespace lrc::test

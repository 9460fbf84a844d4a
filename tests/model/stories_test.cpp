// stories260K: an independent C program's numbers, and every device beside the scalar definition.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "evaluation/evaluation.h"
#include "support/checking_backend.h"
#include "support/test_data.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

struct Story {
  std::vector<TokenId> ids;
  double nll = 0;
  std::size_t scored = 0;
};

std::vector<Story> stories() {
  std::vector<Story> result;
  const Json file = read_json_file(data("stories260K/golden/tinystories_0-39.json"));
  for (const Json& story : file.at("docs")) {
    result.push_back(
        {story.at("ids").get<std::vector<TokenId>>(), story.at("nll_mean").get<double>(), story.at("scored").get<std::size_t>()});
  }
  return result;
}

/// The text as windows of 128 tokens.
TokenWindows story_windows(std::size_t count) {
  std::vector<TokenId> ids;
  for (const Story& story : stories()) ids.insert(ids.end(), story.ids.begin(), story.ids.end());
  return cut_windows(ids, 128, count, "the stories");
}

class Stories : public testing::TestWithParam<const char*> {
 protected:
  Stories() : weights_(load_weights(*Model::open(data("stories260K") / GetParam()))) {}
  ModelWeights weights_;
};

TEST_P(Stories, LogLikelihoods) {
  Transformer transformer = on_cpu(weights_);
  // The f16 file rounds the weights that the numbers were made with.
  const double tolerance = std::string(GetParam()).find("f16") == std::string::npos ? 1e-5 : 2e-3;
  double sum = 0;
  std::size_t scored = 0;
  for (const Story& story : stories()) {
    const MatrixF logits = all_logits(transformer, story.ids);
    double nll = 0;
    for (std::size_t i = 0; i + 1 < story.ids.size(); ++i)
      nll -= log_probability(logits.row(i), logits.columns(), std::size_t(story.ids[i + 1]));
    ASSERT_EQ(story.scored, story.ids.size() - 1);
    EXPECT_NEAR(nll / double(story.scored), story.nll, tolerance);
    sum += nll;
    scored += story.scored;
  }
  EXPECT_NEAR(std::exp(sum / double(scored)), 3.694655, 4 * tolerance);
}

TEST_P(Stories, FirstLogits) {
  if (std::string(GetParam()).find("f16") != std::string::npos) return;
  const std::string bytes = read_file(data("stories260K/golden/story0_first16.logits.f32"));
  MatrixF expected(16, 512);
  ASSERT_EQ(bytes.size(), expected.size() * sizeof(float));
  std::memcpy(expected.data(), bytes.data(), bytes.size());
  const auto first = stories().front();
  Transformer transformer = on_cpu(weights_);
  EXPECT_LE(largest_difference(all_logits(transformer, std::span(first.ids).first(16)), expected), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Files, Stories, testing::Values("stories260K-f32.gguf", "stories260K-f16.gguf", "hf"));

/// Each device beside the scalar kernels, on the model with RTN weights and random small pairs.
class Devices : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    try {
      backend_ = make_backend(GetParam());
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::device) throw;
      GTEST_SKIP() << error.what();
    }
  }
  static ModelWeights model(const ActivationScheme& activation) {
    ModelWeights weights = load_weights(*Model::open(data("stories260K/stories260K-f32.gguf")));
    rotate_weights(weights, {true, true, true, 1});
    ModelWeights result = quantized(weights, {.bits = 4}, activation, 4);
    // Small enough to leave the model one that speaks.
    for (BlockWeights& block : result.blocks) {
      for (LinearWeights& linear : block.linears) {
        for (float& value : linear.pair.u.flat()) value *= 0.05f;
      }
    }
    return result;
  }
  std::shared_ptr<Backend> backend_;
};

/// Blocks one by one, each fed with what the scalar path hands it. Returns what `device` made of them.
std::vector<MatrixF> fed_with_the_scalar_input(const std::shared_ptr<Backend>& device, const ModelWeights& weights,
                                               const std::vector<TokenId>& ids) {
  Transformer scalar = on_cpu(weights, InstructionSet::scalar), other(device, weights);
  const Buffer hidden = scalar.embed(ids);
  std::vector<MatrixF> outputs;
  for (std::size_t b = 0; b < weights.config.blocks; ++b) {
    MatrixF state(ids.size(), weights.config.hidden_size);
    scalar.backend().download(hidden, 0, std::as_writable_bytes(state.flat()));
    const Buffer fed = device->allocate(state.size() * sizeof(float));
    device->upload(fed, 0, std::as_bytes(std::span(state.flat())));
    scalar.run_block(b, hidden, ids.size());
    other.run_block(b, fed, ids.size());
    device->download(fed, 0, std::as_writable_bytes(state.flat()));
    outputs.push_back(std::move(state));
  }
  return outputs;
}

// Whole outputs of a W4A4 block cannot be held tight: a rounding at one site flips codes at the next. What can be held, without
// any allowance for flips, is every operation of the block at the numbers that really reach it.
TEST_P(Devices, EveryBlockFedWithTheScalarInput) {
  const auto ids = story_windows(1).windows.front();
  for (const int bits : {4, 16}) {
    const ModelWeights weights = model({.bits = bits});
    const auto checking = std::make_shared<CheckingBackend>(backend_);
    const auto watched = fed_with_the_scalar_input(checking, weights, ids);
    const std::size_t blocks = weights.config.blocks;
    const auto& compared = checking->compared();
    EXPECT_EQ(compared.at(bits == 4 ? "multiply_quantized" : "multiply_quantized_float"), 7 * blocks);
    EXPECT_EQ(compared.at("add_low_rank"), 7 * blocks);
    EXPECT_EQ(compared.at("attention"), blocks);
    EXPECT_EQ(compared.at("hadamard"), blocks);
    if (bits == 4) {
      EXPECT_EQ(compared.at("quantize"), 4 * blocks);
    }
    // Left alone the device runs operations behind one another without anybody waiting for them: the same bits must come out.
    EXPECT_TRUE(fed_with_the_scalar_input(backend_, weights, ids) == watched) << bits << "-bit activations";
  }
}

TEST_P(Devices, EveryOperationOfAConversation) {
  const auto ids = story_windows(1).windows.front();
  for (const int bits : {4, 16}) {
    const ModelWeights weights = model({.bits = bits});
    const auto run = [&](const std::shared_ptr<Backend>& device) {
      Transformer transformer(device, weights);
      KvCache cache = transformer.make_cache(64);
      std::vector<MatrixF> logits;
      for (const auto& [first, count] : {std::pair{0, 40}, {40, 1}, {41, 1}, {42, 7}}) {
        transformer.forward(std::span(ids).subspan(std::size_t(first), std::size_t(count)), cache);
        logits.push_back(transformer.logits(0, std::size_t(count)));
      }
      return logits;
    };
    const auto checking = std::make_shared<CheckingBackend>(backend_);
    const auto watched = run(checking);
    EXPECT_EQ(checking->compared().at("attention"), 4 * weights.config.blocks);
    EXPECT_EQ(checking->compared().at("multiply"), 4u) << "the head";
    EXPECT_TRUE(run(backend_) == watched) << bits << "-bit activations";
  }
}

TEST_P(Devices, StatisticsOfTheWholeModelAtFourBitActivations) {
  const ModelWeights weights = model({.bits = 4});
  ModelWeights nudged = weights;
  for (float& value : nudged.embedding.flat()) value *= 1.0f + 2e-7f;
  // A device in software is slow: a few hundred positions must do there.
  const TokenWindows windows = story_windows(backend_->info().type == "software" ? 2 : 8);
  Progress progress;
  Transformer scalar = on_cpu(weights, InstructionSet::scalar), other(backend_, weights), self = on_cpu(nudged, InstructionSet::scalar);
  const Evaluation by_set = evaluate(other, &scalar, windows, progress, {});
  const Evaluation by_itself = evaluate(self, &scalar, windows, progress, {});
  EXPECT_NEAR(by_set.perplexity / *by_set.reference_perplexity, 1.0, 0.01);
  EXPECT_LE(by_set.kl->mean, 2 * by_itself.kl->mean);
  EXPECT_LT(*by_set.reference_perplexity, 100) << "a model that still predicts, or the comparison says little";
}

TEST_P(Devices, TheSameGreedyTextWithSixteenBitActivations) {
  const ModelWeights weights = model({.bits = 16});
  Transformer scalar = on_cpu(weights, InstructionSet::scalar), other(backend_, weights);
  std::vector<TokenId> prompt = stories().front().ids;
  prompt.resize(8);
  EXPECT_EQ(greedy(other, prompt, 64), greedy(scalar, prompt, 64));
}

INSTANTIATE_TEST_SUITE_P(All, Devices, testing::Values("cpu:avx2", "cpu:avx512", "vulkan"), [](const auto& item) {
  const std::string id = item.param;
  return id.substr(id.find(':') + 1);
});

}  // namespace
}  // namespace lrc::test

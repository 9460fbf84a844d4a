// The forward pass against numbers of a program that shares no code with this one (tests/data/SOURCES.md).
#include <gtest/gtest.h>

#include "formats/safetensors.h"
#include "support/golden.h"
#include "support/test_data.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

// Float32 in any order of summation stays within this of the expected values (golden README).
constexpr double tolerance = 5e-4;

struct Case {
  const char* model;  ///< folder or file below tests/data/models
  const char* expected;
};
void PrintTo(const Case& item, std::ostream* stream) { *stream << item.model; }

class Golden : public testing::TestWithParam<Case> {
 protected:
  Golden()
      : model_(Model::open(data("models") / GetParam().model)),
        transformer_(make_cpu_backend(), load_weights(*model_)),
        expected_(SafetensorsFile::open(data("models") / GetParam().expected)) {}
  std::shared_ptr<const Model> model_;
  Transformer transformer_;
  SafetensorsFile expected_;
};

TEST_P(Golden, Logits) {
  const auto sequences = golden_sequences(expected_, "ids");
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    EXPECT_LE(largest_difference(all_logits(transformer_, sequences[s]), golden_slice(expected_, "logits", {s})), tolerance)
        << "sequence " << s;
  }
}

TEST_P(Golden, HiddenStatesBlockByBlock) {
  if (!expected_.find("hidden_states")) return;  // one GGUF file brings logits only
  const auto sequences = golden_sequences(expected_, "ids");
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    const std::size_t tokens = sequences[s].size(), width = model_->config().hidden_size;
    const Buffer hidden = transformer_.embed(sequences[s]);
    for (std::size_t b = 0; b <= model_->config().blocks; ++b) {
      if (b > 0) transformer_.run_block(b - 1, hidden, tokens);
      MatrixF state(tokens, width);
      transformer_.backend().download(hidden, 0, std::as_writable_bytes(state.flat()));
      EXPECT_LE(largest_difference(state, golden_slice(expected_, "hidden_states", {b, s})), tolerance) << "after block " << b;
    }
    EXPECT_LE(largest_difference(transformer_.logits_of(hidden, 0, tokens), golden_slice(expected_, "logits", {s})), tolerance);
  }
}

TEST_P(Golden, GreedyContinuationWithTheCache) {
  if (!expected_.find("greedy_ids")) return;
  const auto expected_ids = golden_sequences(expected_, "greedy_ids").at(0);
  std::vector<TokenId> prompt = golden_sequences(expected_, "ids").at(0);
  prompt.resize(12);
  EXPECT_EQ(greedy(transformer_, prompt, expected_ids.size()), expected_ids);
}

/// Short sequences take other rotary frequencies than long ones; a cache that grows past the border is made anew.
TEST(GoldenLongRope, BothSidesOfTheBorder) {
  const auto model = Model::open(data("models/phi3-longrope/hf"));
  Transformer transformer(make_cpu_backend(), load_weights(*model));
  const SafetensorsFile expected = SafetensorsFile::open(data("models/phi3-longrope/expected.safetensors"));
  const auto shorter = golden_sequences(expected, "ids_short"), longer = golden_sequences(expected, "ids");
  ASSERT_LT(shorter[0].size(), longer[0].size());
  for (std::size_t s = 0; s < longer.size(); ++s) {
    const auto short_logits = golden_slice(expected, "logits_short", {s}), long_logits = golden_slice(expected, "logits", {s});
    EXPECT_LE(largest_difference(all_logits(transformer, shorter[s]), short_logits), tolerance);
    // Token by token, over the border and back.
    KvCache cache = transformer.make_cache(longer[s].size());
    for (std::size_t t = 0; t < longer[s].size(); ++t) transformer.forward(std::span(longer[s]).subspan(t, 1), cache);
    MatrixF last(1, long_logits.columns());
    std::copy_n(long_logits.row(longer[s].size() - 1), last.size(), last.data());
    EXPECT_LE(largest_difference(transformer.logits(0, 1), last), tolerance);
    cache.length = shorter[s].size() - 1;
    transformer.forward(std::span(shorter[s]).last(1), cache);
    std::copy_n(short_logits.row(shorter[s].size() - 1), last.size(), last.data());
    EXPECT_LE(largest_difference(transformer.logits(0, 1), last), tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, Golden,
    testing::Values(
        Case{"llama-linear-rope/hf", "llama-linear-rope/expected.safetensors"}, Case{"llama-tied/hf", "llama-tied/expected.safetensors"},
        Case{"llama-tied/llama-tied-f32.gguf", "llama-tied/llama-tied-f32.gguf.expected.safetensors"},
        Case{"llama-tied/llama-tied-q8_0-q4_0.gguf", "llama-tied/llama-tied-q8_0-q4_0.gguf.expected.safetensors"},
        Case{"llama-untied-rope3/hf", "llama-untied-rope3/expected.safetensors"},
        Case{"llama-untied-rope3/llama-untied-rope3-f16.gguf", "llama-untied-rope3/llama-untied-rope3-f16.gguf.expected.safetensors"},
        Case{"mistral/hf", "mistral/expected.safetensors"}, Case{"mixtral/hf", "mixtral/expected.safetensors"},
        Case{"mixtral/mixtral-q8_0-q4_0.gguf", "mixtral/mixtral-q8_0-q4_0.gguf.expected.safetensors"},
        Case{"opt/hf", "opt/expected.safetensors"}, Case{"phi3/phi3-q8_0-q4_0.gguf", "phi3/phi3-q8_0-q4_0.gguf.expected.safetensors"},
        Case{"phi3-longrope/hf", "phi3-longrope/expected.safetensors"},
        Case{"qwen2/qwen2-f16.gguf", "qwen2/qwen2-f16.gguf.expected.safetensors"}, Case{"qwen3/hf", "qwen3/expected.safetensors"}));

}  // namespace
}  // namespace lrc::test

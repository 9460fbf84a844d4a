#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "quantization/activation.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

const WeightScheme int4_weights{.bits = 4};
const ActivationScheme int4_activations{.bits = 4};
const ActivationScheme no_activation_quantizer{.bits = 16};

TEST(Transformer, ALongPromptInPiecesSaysTheSame) {
  // 600 tokens are more than one piece inside of forward().
  const ModelWeights weights = tiny_weights();
  Transformer transformer = on_cpu(weights);
  const auto ids = random_ids(600, weights.config.vocabulary, 2);
  const MatrixF whole = all_logits(transformer, ids);
  KvCache cache = transformer.make_cache(600);
  for (const auto& [first, count] : std::vector<std::pair<std::size_t, std::size_t>>{{0, 1}, {1, 130}, {131, 1}, {132, 300}, {432, 168}}) {
    transformer.forward(std::span(ids).subspan(first, count), cache);
    ASSERT_EQ(transformer.last_tokens(), count);
    const MatrixF piece = transformer.logits(0, count);
    MatrixF expected(count, whole.columns());
    std::copy_n(whole.row(first), expected.size(), expected.data());
    EXPECT_LE(largest_difference(piece, expected), 1e-4) << first;
  }
  EXPECT_EQ(cache.length, 600u);
}

TEST(Transformer, BlockByBlockIsTheForwardPass) {
  const ModelWeights weights = quantized(tiny_weights(), int4_weights, int4_activations, 3);
  Transformer transformer = on_cpu(weights);
  const auto ids = random_ids(50, weights.config.vocabulary, 3);
  const MatrixF whole = all_logits(transformer, ids);
  const Buffer hidden = transformer.embed(ids);
  for (std::size_t b = 0; b < weights.config.blocks; ++b) transformer.run_block(b, hidden, ids.size());
  EXPECT_EQ(largest_difference(transformer.logits_of(hidden, 0, ids.size()), whole), 0.0);
}

TEST(Transformer, ABlockDoesNotLookAhead) {
  const ModelWeights weights = tiny_weights();
  Transformer transformer = on_cpu(weights);
  auto ids = random_ids(20, weights.config.vocabulary, 4);
  const MatrixF before = all_logits(transformer, ids);
  ids[12] = (ids[12] + 1) % TokenId(weights.config.vocabulary);
  const MatrixF after = all_logits(transformer, ids);
  for (std::size_t row = 0; row < 20; ++row) {
    const bool same = std::equal(before.row(row), before.row(row) + before.columns(), after.row(row));
    EXPECT_EQ(same, row < 12) << row;
  }
}

TEST(Transformer, SlidingWindow) {
  ModelWeights weights = tiny_weights({.blocks = 1});
  const auto ids = random_ids(30, weights.config.vocabulary, 4);
  Transformer full = on_cpu(weights);
  weights.blocks[0].window = 8;
  Transformer windowed = on_cpu(weights);
  const MatrixF all = all_logits(full, ids), near = all_logits(windowed, ids);
  for (std::size_t row = 0; row < 30; ++row) {
    double largest = 0;
    for (std::size_t c = 0; c < all.columns(); ++c) largest = std::max(largest, std::abs(double(all(row, c)) - double(near(row, c))));
    // Row 7 sees itself and the 7 before it: all there are.
    EXPECT_EQ(largest > 1e-4, row >= 8) << row;
  }
}

TEST(Transformer, SiteInputsAreWhatTheLayersGet) {
  const ModelWeights original = tiny_weights();
  ModelWeights weights = original;
  rotate_weights(weights, {.r4 = true});
  Transformer plain = on_cpu(original), rotated = on_cpu(weights);
  const auto ids = random_ids(9, weights.config.vocabulary, 5);
  const auto listen = [&](Transformer& transformer) {
    std::map<std::string, MatrixF> seen;
    KvCache cache = transformer.make_cache(ids.size());
    transformer.forward(ids, cache, {}, [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
      MatrixF copy(tokens, width);
      std::copy_n(x, copy.size(), copy.data());
      EXPECT_TRUE(seen.emplace(name(site), copy).second) << "a site speaks once a pass";
    });
    return seen;
  };
  const auto before = listen(plain), after = listen(rotated);
  ASSERT_EQ(before.size(), 4 * weights.config.blocks);
  EXPECT_EQ(before.at("model.layers.0.attention_input").columns(), weights.config.hidden_size);
  EXPECT_EQ(before.at("model.layers.1.attention_output").columns(), weights.config.heads * weights.config.head_dim);
  MatrixF expected = before.at("model.layers.0.mlp_hidden");
  apply_hadamard(*weights.down_hadamard, expected.data(), expected.rows());
  EXPECT_LE(largest_difference(expected, after.at("model.layers.0.mlp_hidden")), 1e-5) << "what is heard comes after the online rotation";
  EXPECT_GT(largest_difference(before.at("model.layers.0.mlp_hidden"), expected), 0.01);
}

TEST(Transformer, NothingQuantizedIsTheFloatModelBitForBit) {
  const ModelWeights weights = tiny_weights();
  const auto ids = random_ids(40, weights.config.vocabulary, 6);
  Transformer first = on_cpu(weights), second = on_cpu(weights);
  EXPECT_EQ(all_logits(first, ids), all_logits(second, ids));
}

TEST(Transformer, QuantizedLayersWithoutActivationQuantizerActLikeTheirDequantizedWeights) {
  const ModelWeights codes = quantized(tiny_weights(), int4_weights, no_activation_quantizer, 0);
  ModelWeights values = tiny_weights();
  for (std::size_t b = 0; b < values.blocks.size(); ++b) {
    for (const Role role : llama_roles)
      values.blocks[b].linear(role).weight = convert<float>(codes.blocks[b].linear(role).quantized->dequantize());
  }
  const auto ids = random_ids(40, values.config.vocabulary, 7);
  Transformer by_codes = on_cpu(codes), by_values = on_cpu(values);
  EXPECT_LE(largest_difference(all_logits(by_codes, ids), all_logits(by_values, ids)), 1e-3);
}

/// Each linear layer by the definition: codes of the input, the dequantized weight, the pair on the unquantized input.
void expect_one_block_by_the_definition(const WeightScheme& of_weights, const ActivationScheme& scheme) {
  const ModelWeights weights = quantized(tiny_weights({.blocks = 1}), of_weights, scheme, 4);
  Transformer transformer = on_cpu(weights, InstructionSet::scalar);
  const auto ids = random_ids(6, weights.config.vocabulary, 8);
  std::map<SiteKind, MatrixF> inputs;
  const Buffer hidden = transformer.embed(ids);
  MatrixF before(ids.size(), weights.config.hidden_size), after = before;
  transformer.backend().download(hidden, 0, std::as_writable_bytes(before.flat()));
  transformer.run_block(0, hidden, ids.size(), [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
    inputs[site.kind] = MatrixF(tokens, width);
    std::copy_n(x, tokens * width, inputs[site.kind].data());
  });
  transformer.backend().download(hidden, 0, std::as_writable_bytes(after.flat()));

  const auto output = [&](Role role) {
    const LinearWeights& linear = weights.blocks[0].linear(role);
    const MatrixF& x = inputs.at(site_of(role));
    MatrixF y = x;
    fake_quantize_activations(x.data(), x.rows(), x.columns(), scheme, y.data());
    const MatrixD weight = linear.quantized->dequantize(), pair = product(linear.pair);
    MatrixF result(x.rows(), weight.rows());
    for (std::size_t t = 0; t < x.rows(); ++t) {
      for (std::size_t o = 0; o < weight.rows(); ++o) {
        double sum = 0;
        for (std::size_t i = 0; i < x.columns(); ++i) sum += weight(o, i) * double(y(t, i)) + pair(o, i) * double(x(t, i));
        result(t, o) = float(sum);
      }
    }
    return result;
  };
  const MatrixF attention = output(Role::o_proj), gate = output(Role::gate_proj), up = output(Role::up_proj),
                down = output(Role::down_proj);
  MatrixF middle = gate;
  for (std::size_t i = 0; i < middle.size(); ++i) {
    const double g = double(gate.data()[i]);
    middle.data()[i] = float(g / (1 + std::exp(-g)) * double(up.data()[i]));
  }
  // The factors are stored as float16 on a device: its share of the difference.
  EXPECT_LE(largest_difference(middle, inputs.at(SiteKind::mlp_hidden)), 2e-3);
  MatrixF expected = before;
  for (std::size_t i = 0; i < expected.size(); ++i) expected.data()[i] += attention.data()[i] + down.data()[i];
  EXPECT_LE(largest_difference(expected, after), 2e-3);
}

TEST(Transformer, OneBlockByTheDefinition) { expect_one_block_by_the_definition(int4_weights, {.bits = 4, .group_size = 0, .clip = 0.9f}); }

TEST(Transformer, HighColumnsByTheDefinition) {
  const HighColumns first{.count = 8, .period = 0, .bits = 8}, of_heads{.count = 3, .period = 16, .bits = 7};
  for (const HighColumns& high : {first, of_heads}) {
    WeightScheme weight = int4_weights;
    ActivationScheme activation{.bits = 4, .group_size = 0, .clip = 0.9f};
    weight.high = activation.high = high;
    expect_one_block_by_the_definition(weight, activation);
    activation.symmetric = false;
    expect_one_block_by_the_definition(weight, activation);
    expect_one_block_by_the_definition(weight, no_activation_quantizer);
  }
}

TEST(Transformer, BranchControl) {
  constexpr std::size_t rank = 5;
  const ModelWeights with_pair = quantized(tiny_weights(), int4_weights, no_activation_quantizer, rank);
  ModelWeights without_pair = with_pair;
  ModelWeights cut = with_pair;
  for (BlockWeights& block : without_pair.blocks) {
    for (LinearWeights& linear : block.linears) linear.pair = {};
  }
  for (BlockWeights& block : cut.blocks) {
    for (LinearWeights& linear : block.linears) {
      for (MatrixF* factor : {&linear.pair.u, &linear.pair.v}) {
        MatrixF first(factor->rows(), 2);
        for (std::size_t r = 0; r < factor->rows(); ++r) std::copy_n(factor->row(r), 2, first.row(r));
        *factor = first;
      }
    }
  }
  const auto ids = random_ids(20, with_pair.config.vocabulary, 9);
  Transformer full = on_cpu(with_pair), bare = on_cpu(without_pair), two = on_cpu(cut);
  const MatrixF whole = all_logits(full, ids), none = all_logits(bare, ids);
  ASSERT_GT(largest_difference(whole, none), 0.1);
  EXPECT_EQ(all_logits(full, ids, {.components = rank}), whole);
  EXPECT_EQ(all_logits(full, ids, {.components = 1000}), whole);
  EXPECT_EQ(all_logits(full, ids, {.components = 0}), none);
  EXPECT_EQ(all_logits(full, ids, {.bypass = true}), none);
  EXPECT_LE(largest_difference(all_logits(full, ids, {.components = 2}), all_logits(two, ids)), 1e-4);
  EXPECT_GT(largest_difference(all_logits(full, ids, {.components = 2}), whole), 0.01);

  const std::size_t blocks = with_pair.config.blocks;
  const std::vector<bool> all(blocks, true), only_last = {false, false, true};
  EXPECT_EQ(all_logits(full, ids, {.muted_attention = all, .muted_mlp = all}), none);
  const MatrixF half = all_logits(full, ids, {.muted_attention = all});
  EXPECT_GT(largest_difference(half, none), 0.01);
  EXPECT_GT(largest_difference(half, whole), 0.01);
  ModelWeights last_bare = with_pair;
  for (const Role role : {Role::gate_proj, Role::up_proj, Role::down_proj}) last_bare.blocks[2].linear(role).pair = {};
  Transformer last = on_cpu(last_bare);
  EXPECT_EQ(all_logits(full, ids, {.muted_mlp = only_last}), all_logits(last, ids));
}

TEST(Transformer, LayersOfOneSiteMayHaveTheirOwnActivationScheme) {
  // k_proj keeps its input in float between two layers that quantize it.
  ModelWeights weights = quantized(tiny_weights({.blocks = 1}), int4_weights, int4_activations, 0);
  weights.blocks[0].linear(Role::k_proj).activation = no_activation_quantizer;
  weights.blocks[0].linear(Role::v_proj).activation = {.bits = 8, .clip = 1.0f};
  const auto ids = random_ids(10, weights.config.vocabulary, 10);
  Transformer mixed = on_cpu(weights);
  const MatrixF logits = all_logits(mixed, ids);
  for (const Role role : {Role::q_proj, Role::k_proj, Role::v_proj}) {
    // Changing any one of the three schemes to that of its neighbour must show.
    ModelWeights other = weights;
    other.blocks[0].linear(role).activation = role == Role::k_proj ? int4_activations : no_activation_quantizer;
    Transformer changed = on_cpu(other);
    EXPECT_GT(largest_difference(all_logits(changed, ids), logits), 1e-4) << name(role);
  }
}

TEST(Transformer, RefusesWhatCannotBeRun) {
  const ModelWeights weights = tiny_weights();
  Transformer transformer = on_cpu(weights);
  KvCache cache = transformer.make_cache(8);
  const auto problem = [&](const std::vector<TokenId>& ids) {
    try {
      transformer.forward(ids, cache);
    } catch (const Error& error) {
      return error.kind() == ErrorKind::bad_input ? std::string(error.what()) : "another kind";
    }
    return std::string("no error");
  };
  EXPECT_THAT(problem({1, 2, TokenId(weights.config.vocabulary)}), testing::HasSubstr("120"));
  EXPECT_THAT(problem({-1}), testing::HasSubstr("-1"));
  EXPECT_THAT(problem({}), testing::HasSubstr("no tokens"));
  EXPECT_EQ(problem({1, 2, 3, 4, 5}), "no error");
  EXPECT_THAT(problem({1, 2, 3, 4}), testing::HasSubstr("room for 8"));
  EXPECT_EQ(cache.length, 5u);
  EXPECT_EQ(problem({1, 2, 3}), "no error");
  EXPECT_THAT(problem({1}), testing::HasSubstr("room for 8"));
  EXPECT_THROW(transformer.embed(std::vector<TokenId>{5000}), Error);

  ModelWeights missing = weights;
  missing.blocks[1].linear(Role::up_proj).weight = MatrixF();
  try {
    on_cpu(missing);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("model.layers.1.mlp.up_proj"));
  }
}

TEST(Transformer, AGrownCacheKeepsWhatItHolds) {
  const ModelWeights weights = tiny_weights();
  Transformer transformer = on_cpu(weights);
  const auto ids = random_ids(20, weights.config.vocabulary, 11);
  KvCache large = transformer.make_cache(20), small = transformer.make_cache(10);
  for (KvCache* cache : {&large, &small}) transformer.forward(std::span(ids).first(10), *cache);
  transformer.grow_cache(small, 20);
  EXPECT_EQ(small.length, 10u);
  transformer.forward(std::span(ids).last(10), large);
  const MatrixF expected = transformer.logits(0, 10);
  transformer.forward(std::span(ids).last(10), small);
  EXPECT_EQ(transformer.logits(0, 10), expected);
}

}  // namespace
}  // namespace lrc::test

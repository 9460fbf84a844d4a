// The quantized key and value cache in the forward pass, and R3.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/error.h"
#include "quantization/activation.h"
#include "support/checking_backend.h"
#include "support/float_logits.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

ActivationScheme kv(int bits, std::size_t group = 0) { return {bits, group, 1.0f, false}; }

double mean_square(const MatrixF& a, const MatrixF& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(double(a.data()[i]) - double(b.data()[i]), 2);
  return sum / double(a.size());
}

TEST(QuantizedCache, R3LeavesTheFloatModelAsItIs) {
  // Not a power of two either: heads of 12 have a matrix of their own construction.
  for (const std::size_t head_dim : {std::size_t(16), std::size_t(12)}) {
    const ModelWeights weights = tiny_weights({.head_dim = head_dim});
    const auto ids = random_ids(40, weights.config.vocabulary, 5);
    ModelWeights rotated = weights;
    rotate_weights(rotated, {.r3 = true});
    ASSERT_TRUE(rotated.head_hadamard);
    EXPECT_EQ(rotated.head_hadamard->order, head_dim);
    EXPECT_TRUE(rotated.blocks[0].linear(Role::q_proj).weight == weights.blocks[0].linear(Role::q_proj).weight);
    const MatrixF before = logits_of(weights, ids), after = logits_of(rotated, ids);
    EXPECT_LE(largest_difference(before, after), 2e-4);
    EXPECT_GT(largest_difference(before, after), 0.0) << "it was applied";
  }
}

TEST(QuantizedCache, MoreBitsAreCloserToFloat) {
  const ModelWeights weights = tiny_weights();
  const auto ids = random_ids(60, weights.config.vocabulary, 5);
  const MatrixF expected = logits_of(weights, ids);
  double worse = 1e30;
  for (const int bits : {2, 3, 4, 8}) {
    ModelWeights quantized = weights;
    quantized.cache = kv(bits);
    const double error = mean_square(logits_of(quantized, ids), expected);
    EXPECT_GT(error, 0.0);
    EXPECT_LT(error, 0.7 * worse) << bits;
    worse = error;
  }
  EXPECT_LT(worse, 1e-2 * mean_square(expected, MatrixF(expected.rows(), expected.columns())));
}

// One dimension of the keys that is far larger than the others is what R3 is for: it widens the grid of the whole head.
TEST(QuantizedCache, R3HelpsAgainstOutliersOfKeys) {
  constexpr std::size_t count = 200, dim = 64;
  std::mt19937 generator(4);
  std::normal_distribution<float> normal;
  std::vector<float> q(count * dim), k(count * dim);
  for (float& value : q) value = normal(generator);
  for (float& value : k) value = normal(generator);
  for (std::size_t i = 5; i < q.size(); i += dim) k[i] *= 20, q[i] /= 20;
  const CacheLayout layout = cache_layout(kv(4), 1, dim);
  const auto error_of_scores = [&](const std::vector<float>& queries, const std::vector<float>& keys) {
    std::vector<std::uint8_t> codes(count * layout.code_bytes), zeros(count);
    std::vector<float> scales(count), held(keys.size());
    quantize_cache_rows(keys.data(), count, layout, codes.data(), scales.data(), zeros.data());
    dequantize_cache_rows(codes.data(), scales.data(), zeros.data(), count, layout, held.data());
    double sum = 0;
    for (std::size_t t = 0; t < count; ++t) {
      double score = 0;
      for (std::size_t d = 0; d < dim; ++d) score += double(queries[t * dim + d]) * (double(held[t * dim + d]) - double(keys[t * dim + d]));
      sum += score * score;
    }
    return sum;
  };
  const double plain = error_of_scores(q, k);
  const HadamardOrder hadamard = find_hadamard(dim).value();
  apply_hadamard(hadamard, q.data(), count);
  apply_hadamard(hadamard, k.data(), count);
  EXPECT_LT(error_of_scores(q, k), 0.3 * plain);
}

TEST(QuantizedCache, TokenByTokenInPiecesAndGrownSaysTheSame) {
  ModelWeights weights = tiny_weights();
  weights.cache = kv(4, 8);
  rotate_weights(weights, {.r3 = true});
  Transformer transformer = on_cpu(weights);
  const auto ids = random_ids(50, weights.config.vocabulary, 2);
  const MatrixF whole = all_logits(transformer, ids);
  KvCache cache = transformer.make_cache(20);
  for (const auto& [first, count, capacity] :
       std::vector<std::tuple<std::size_t, std::size_t, std::size_t>>{{0, 1, 20}, {1, 15, 20}, {16, 1, 45}, {17, 20, 45}, {37, 13, 50}}) {
    transformer.grow_cache(cache, capacity);
    transformer.forward(std::span(ids).subspan(first, count), cache);
    MatrixF expected(count, whole.columns());
    std::copy_n(whole.row(first), expected.size(), expected.data());
    EXPECT_LE(largest_difference(transformer.logits(0, count), expected), 1e-3) << first;
  }
  // Set back to a beginning, it goes on from there.
  cache.length = 30;
  transformer.forward(std::span(ids).subspan(30, 20), cache);
  MatrixF expected(20, whole.columns());
  std::copy_n(whole.row(30), expected.size(), expected.data());
  EXPECT_LE(largest_difference(transformer.logits(0, 20), expected), 1e-3);
}

TEST(QuantizedCache, IsReallySmaller) {
  ModelWeights weights = tiny_weights();
  const auto bytes_of = [&](const ActivationScheme& cache) {
    weights.cache = cache;
    Transformer transformer = on_cpu(weights);
    const std::size_t before = transformer.backend().allocated_bytes();
    const KvCache held = transformer.make_cache(1000);
    const std::size_t taken = transformer.backend().allocated_bytes() - before;
    EXPECT_EQ(taken, 1000 * transformer.cache_bytes_per_token());
    return taken;
  };
  // 3 blocks, keys and values of 2 heads of 16: floats; bytes, or half of one, with 5 for scale and zero of each head.
  EXPECT_EQ(bytes_of({.bits = 16}), 1000u * 3 * 2 * 32 * 4);
  EXPECT_EQ(bytes_of(kv(8)), 1000u * 3 * 2 * (32 + 2 * 5));
  EXPECT_EQ(bytes_of(kv(4)), 1000u * 3 * 2 * (16 + 2 * 5));
}

TEST(QuantizedCache, APassWithoutACacheQuantizesToo) {
  ModelWeights weights = tiny_weights();
  weights.cache = kv(4);
  Transformer transformer = on_cpu(weights);
  const auto ids = random_ids(50, weights.config.vocabulary, 3);
  const MatrixF whole = all_logits(transformer, ids);
  const Buffer hidden = transformer.embed(ids);
  for (std::size_t b = 0; b < weights.config.blocks; ++b) transformer.run_block(b, hidden, ids.size());
  EXPECT_EQ(largest_difference(transformer.logits_of(hidden, 0, ids.size()), whole), 0.0);
}

TEST(QuantizedCache, RefusesGroupsThatDoNotDivideHeads) {
  ModelWeights weights = tiny_weights();
  weights.cache = kv(4, 12);
  EXPECT_THROW(on_cpu(weights), Error);
}

// Every operation of a conversation, watched on each device of this machine.
TEST(QuantizedCache, EveryDeviceAgreesOperationByOperation) {
  ModelWeights weights = tiny_weights();
  weights.cache = kv(4);
  rotate_weights(weights, {.r2 = true, .r3 = true});
  const auto ids = random_ids(49, weights.config.vocabulary, 6);
  std::vector<std::shared_ptr<Backend>> devices{make_cpu_backend()};
  const auto listed = list_vulkan_devices();
  for (std::size_t i = 0; i < listed.size(); ++i)
    if (listed[i].usable) devices.push_back(make_vulkan_backend(i));
  for (const auto& device : devices) {
    SCOPED_TRACE(device->info().name);
    const auto checking = std::make_shared<CheckingBackend>(device);
    Transformer transformer(checking, weights);
    KvCache cache = transformer.make_cache(64);
    for (const auto& [first, count] : {std::pair{0, 40}, {40, 1}, {41, 8}})
      transformer.forward(std::span(ids).subspan(std::size_t(first), std::size_t(count)), cache);
    EXPECT_EQ(checking->compared().at("store_quantized"), 3 * weights.config.blocks);
    EXPECT_EQ(checking->compared().at("attention_quantized"), 3 * weights.config.blocks);
    EXPECT_EQ(checking->compared().count("attention"), 0u);
    EXPECT_EQ(checking->compared().at("hadamard"), 3 * 2 * weights.config.blocks);
  }
}

}  // namespace
}  // namespace lrc::test

// The gradients of every operation and of whole blocks of every family, against central finite differences in float64; the forward
// pass against the one that the program runs.
#include "refinement/block_function.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/parallel.h"
#include "model/transformer.h"
#include "support/family_models.h"
#include "support/tiny_model.h"

namespace lrc::refinement {
namespace {

using test::Random;

MatrixD random(std::size_t rows, std::size_t columns, std::uint64_t seed, double deviation = 1) {
  return convert<double>(Random(seed).matrix(rows, columns, deviation));
}

double weighted(const MatrixD& values, const MatrixD& weights) {
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) sum += values.data()[i] * weights.data()[i];
  return sum;
}

/// The derivative of `loss` by entries of `at`, which is changed and put back; up to `most` entries, spread evenly.
void expect_gradient(MatrixD& at, const MatrixD& gradient, const std::function<double()>& loss, const std::string& what,
                     std::size_t most = 40, double step = 1e-5) {
  ASSERT_EQ(at.size(), gradient.size()) << what;
  double largest = 0;
  for (const double v : gradient.flat()) largest = std::max(largest, std::abs(v));
  EXPECT_GT(largest, 0) << what;
  for (std::size_t n = 0; n < std::min(most, at.size()); ++n) {
    const std::size_t i = n * at.size() / std::min(most, at.size());
    const double before = at.data()[i];
    at.data()[i] = before + step;
    const double above = loss();
    at.data()[i] = before - step;
    const double below = loss();
    at.data()[i] = before;
    EXPECT_NEAR(gradient.data()[i], (above - below) / (2 * step), 1e-6 * largest + 1e-9) << what << " entry " << i;
  }
}

TEST(Operations, Norms) {
  MatrixD x = random(5, 12, 1);
  const MatrixD weights = random(5, 12, 2);
  std::vector<double> gain(12), bias(12);
  for (std::size_t i = 0; i < 12; ++i) gain[i] = 0.5 + 0.1 * double(i), bias[i] = 0.3 * double(i) - 1;
  MatrixD out(5, 12);
  MatrixD d_rms(5, 12), d_layer(5, 12);
  rms_norm_backward(Rows<double>(x), gain, 1e-3, Rows<double>(weights), d_rms.data());
  layer_norm_backward(Rows<double>(x), gain, 1e-3, Rows<double>(weights), d_layer.data());
  expect_gradient(
      x, d_rms, [&] { return rms_norm(Rows<double>(x), gain, 1e-3, out.data()), weighted(out, weights); }, "rms", 60);
  expect_gradient(
      x, d_layer, [&] { return layer_norm(Rows<double>(x), gain, bias, 1e-3, out.data()), weighted(out, weights); }, "layer", 60);
}

TEST(Operations, GatedUnit) {
  MatrixD gate = random(3, 10, 1, 2), up = random(3, 10, 2);
  const MatrixD weights = random(3, 10, 3);
  MatrixD out(3, 10), d_gate(3, 10), d_up(3, 10);
  silu_multiply_backward(gate.data(), up.data(), weights.data(), 30, d_gate.data(), d_up.data());
  const auto loss = [&] { return silu_multiply(gate.data(), up.data(), 30, out.data()), weighted(out, weights); };
  expect_gradient(gate, d_gate, loss, "gate");
  expect_gradient(up, d_up, loss, "up");
}

TEST(Operations, RotaryEmbeddingTurnsBack) {
  const RopeTable table{{1.0f, 0.3f, 0.01f}, 1.25f};
  MatrixD x = random(4, 12, 1);
  MatrixD d = random(4, 12, 2);
  const MatrixD weights = d;
  rope(d.data(), 4, 2, 6, 7, table, true);
  expect_gradient(
      x, d,
      [&] {
        MatrixD out = x;
        rope(out.data(), 4, 2, 6, 7, table);
        return weighted(out, weights);
      },
      "rope", 48);
}

TEST(Operations, Attention) {
  // Grouped heads, with and without a window, all queries and only the last ones.
  for (const std::size_t window : {std::size_t(0), std::size_t(3)})
    for (const std::size_t first : {std::size_t(0), std::size_t(5)}) {
      const AttentionShape shape{6, 2, 4, window};
      const std::size_t positions = 9;
      MatrixD q = random(positions - first, 24, 1), k = random(positions, 8, 2), v = random(positions, 8, 3);
      const MatrixD weights = random(positions - first, 24, 4);
      MatrixD out(positions - first, 24);
      std::vector<MatrixD> kept;
      attention(Rows<double>(q), Rows<double>(k), Rows<double>(v), first, shape, out.data(), &kept);
      const auto d = attention_backward(Rows<double>(q), Rows<double>(k), Rows<double>(v), first, shape, kept, Rows<double>(weights));
      const auto loss = [&] {
        attention(Rows<double>(q), Rows<double>(k), Rows<double>(v), first, shape, out.data());
        return weighted(out, weights);
      };
      const std::string where = " window " + std::to_string(window) + " from " + std::to_string(first);
      expect_gradient(q, d.q, loss, "q" + where);
      expect_gradient(k, d.k, loss, "k" + where, 72);
      expect_gradient(v, d.v, loss, "v" + where, 72);
    }
}

TEST(Operations, TheQuantizerPassesWhatItDoesNotClip) {
  MatrixF x(1, 6);
  const float values[] = {1.0f, -1.0f, 0.95f, 0.1f, -0.96f, 0.0f};
  std::copy_n(values, 6, x.data());
  MatrixF y(1, 6);
  std::vector<unsigned char> passes;
  // scale 0.9 / 7: the top is 0.9, the bottom -8 steps.
  quantize(Rows<float>(x), {4, 0, 0.9f}, y.data(), passes);
  EXPECT_THAT(passes, testing::ElementsAre(0, 1, 1, 1, 1, 1));
  // A narrower clip cuts both ends.
  quantize(Rows<float>(x), {4, 0, 0.5f}, y.data(), passes);
  EXPECT_THAT(passes, testing::ElementsAre(0, 0, 0, 1, 0, 1));
  for (const NumberFormat format : {NumberFormat::mxint, NumberFormat::mxfp4, NumberFormat::nvfp4}) {
    const MatrixF wide = Random(3).matrix(4, 64, 1);
    MatrixF out(4, 64);
    ActivationScheme scheme{4};
    scheme.format = format;
    scheme.group_size = default_block(format);
    quantize(Rows<float>(wide), scheme, out.data(), passes);
    // At most the largest value of a group may be beyond its last step.
    EXPECT_GT(std::count(passes.begin(), passes.end(), 1), 200);
  }
}

/// A pair on every layer, so that its gradients are there to be checked.
void add_pairs(BlockFunction<double>& block, PairInput input) {
  std::uint64_t seed = 100;
  for (auto& linear : block.linears()) {
    linear.u = random(linear.weight.rows(), 3, ++seed, 0.1);
    linear.v = random(linear.weight.columns(), 3, ++seed, 0.1);
    linear.pair_input = input;
    linear.wants_weight_gradient = linear.wants_row_gradient = true;
  }
}

void check_block(BlockFunction<double>& block, std::size_t hidden, const std::string& what) {
  for (const std::size_t first : {std::size_t(0), std::size_t(4)}) {
    MatrixD x = random(7, hidden, 11);
    const MatrixD weights = random(7 - first, hidden, 12);
    const auto loss = [&] { return weighted(block.forward(Rows<double>(x), first, false), weights); };
    block.forward(Rows<double>(x), first);
    MatrixD d_input;
    block.backward(weights, &d_input);
    const std::string where = what + " from " + std::to_string(first);
    // Copies: forward() fills the layers anew.
    const auto linears = block.linears();
    expect_gradient(x, d_input, loss, where + " input", 30);
    for (std::size_t l = 0; l < linears.size(); ++l) {
      auto& own = block.linears()[l];
      const std::string layer = where + " " + std::string(name(own.role));
      expect_gradient(own.weight, linears[l].d_weight, loss, layer + " weight", 12);
      expect_gradient(own.u, linears[l].d_u, loss, layer + " u", 8);
      expect_gradient(own.v, linears[l].d_v, loss, layer + " v", 8);
      // By the logarithm of each row's scale: what the derivative by the weight says of the whole row.
      for (std::size_t r = 0; r < own.weight.rows(); ++r) {
        double sum = 0;
        for (std::size_t c = 0; c < own.weight.columns(); ++c) sum += linears[l].d_weight(r, c) * own.weight(r, c);
        EXPECT_NEAR(linears[l].d_row[r], sum, 1e-9 * (1 + std::abs(sum))) << layer << " row " << r;
      }
    }
  }
}

/// ‖a − b‖ / ‖b‖.
double distance(const MatrixF& a, const MatrixF& b) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    error += std::pow(double(a.data()[i]) - double(b.data()[i]), 2);
    norm += std::pow(double(b.data()[i]), 2);
  }
  return std::sqrt(error / norm);
}

class Families : public testing::TestWithParam<test::FamilyModel> {};

TEST_P(Families, GradientsOfABlock) {
  const auto model = Model::open(test::data(std::string("models/") + GetParam().path));
  const ModelWeights weights = load_weights(*model);
  if (weights.config.experts > 0) {
    EXPECT_THROW((BlockFunction<double>(weights.config, weights.blocks[0], {}, true, 7)), Error);
    return;
  }
  for (const PairInput input : {PairInput::unquantized, PairInput::quantized}) {
    BlockFunction<double> block(weights.config, weights.blocks[0], weights.down_hadamard, weights.positions.empty(), 7);
    add_pairs(block, input);
    check_block(block, weights.config.hidden_size, GetParam().path);
  }
}

TEST_P(Families, ForwardIsThatOfTheProgram) {
  const auto model = Model::open(test::data(std::string("models/") + GetParam().path));
  ModelWeights weights = load_weights(*model);
  if (weights.config.experts > 0) return;
  // Rotated where it can be, quantized with a pair: every part that a run has.
  const RotationChoice choice{find_hadamard(weights.config.hidden_size).has_value(), find_hadamard(weights.config.head_dim).has_value(),
                              find_hadamard(weights.config.feed_forward).has_value(), 3};
  rotate_weights(weights, choice);
  const std::size_t tokens = 40, hidden = weights.config.hidden_size;
  for (const bool quantized : {false, true}) {
    const ModelWeights used = quantized ? test::quantized(weights, {4}, {8}, 3) : weights;
    Transformer transformer = test::on_cpu(used);
    const std::size_t b = weights.blocks.size() - 1;
    const MatrixF x = Random(5).matrix(tokens, hidden, 1);
    const Buffer buffer = transformer.backend().allocate(x.size() * sizeof(float));
    transformer.backend().upload(buffer, 0, std::as_bytes(x.flat()));
    transformer.run_block(b, buffer, tokens);
    MatrixF expected(tokens, hidden);
    transformer.backend().download(buffer, 0, std::as_writable_bytes(expected.flat()));
    BlockFunction<float> block(used.config, used.blocks[b], used.down_hadamard, used.positions.empty(), tokens);
    const MatrixF all = block.forward(Rows<float>(x)), last = block.forward(Rows<float>(x), 25, false);
    MatrixF end(15, hidden);
    std::copy_n(expected.row(25), end.size(), end.data());
    if (!quantized) {
      EXPECT_LT(test::largest_difference(all, expected), 2e-4);
      EXPECT_LT(test::largest_difference(last, end), 2e-4);
    }
    // A code that flips by the last bit of the arithmetic moves single outputs by a step of the 8-bit grid, and few of them.
    EXPECT_LT(distance(all, expected), 8e-3) << quantized;
    EXPECT_LT(distance(last, end), 8e-3) << quantized;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Families, testing::ValuesIn(test::family_models()));

TEST(BlockFunction, GradientsBehindTheOnlineRotation) {
  ModelWeights weights = test::tiny_weights();
  rotate_weights(weights, {true, true, true, 1});
  BlockFunction<double> block(weights.config, weights.blocks[1], weights.down_hadamard, true, 7);
  add_pairs(block, PairInput::unquantized);
  check_block(block, weights.config.hidden_size, "rotated");
}

TEST(BlockFunction, SlopesOfChannelScales) {
  // By the logarithm of a scale that divides a channel where it is made, everything behind it held.
  const ModelWeights weights = test::tiny_weights();
  const std::size_t hidden = weights.config.hidden_size;
  BlockFunction<double> block(weights.config, weights.blocks[1], {}, true, 7);
  block.want_channel_slopes();
  MatrixD x = random(7, hidden, 11);
  for (const std::size_t first : {std::size_t(0), std::size_t(3)}) {
    const MatrixD d_output = random(7 - first, hidden, 12);
    const auto loss = [&] { return weighted(block.forward(Rows<double>(x), first, false), d_output); };
    block.divide_norms({}, {});
    block.forward(Rows<double>(x), first);
    block.backward(d_output);
    const auto slope_of = [&](SiteKind site) {
      MatrixD slope(1, hidden);
      for (std::size_t c = 0; c < hidden; ++c) slope(0, c) = -block.channel_slopes(site)[c];
      return slope;
    };
    const MatrixD of_attention = slope_of(SiteKind::attention_input), of_mlp = slope_of(SiteKind::mlp_input);
    const std::vector<double> of_mixed = block.channel_slopes(SiteKind::attention_output);
    MatrixD logs(1, hidden);
    const auto factors = [&] {
      std::vector<double> values;
      for (const double log : logs.flat()) values.push_back(std::exp(log));
      return values;
    };
    expect_gradient(
        logs, of_attention, [&] { return block.divide_norms(factors(), {}), loss(); }, "attention norm");
    expect_gradient(
        logs, of_mlp, [&] { return block.divide_norms({}, factors()), loss(); }, "mlp norm");
    block.divide_norms({}, {});
    // A row of v makes one channel of each of the three query heads that read it.
    auto& v = block.linear(Role::v_proj);
    const std::size_t head = weights.config.head_dim, sharing = weights.config.heads / weights.config.kv_heads;
    MatrixD rows(1, v.weight.rows()), expected(1, v.weight.rows());
    for (std::size_t c = 0; c < of_mixed.size(); ++c) expected(0, c / head / sharing * head + c % head) -= of_mixed[c];
    const MatrixD original = v.weight;
    expect_gradient(
        rows, expected,
        [&] {
          v.weight = original;
          for (std::size_t r = 0; r < v.weight.rows(); ++r)
            for (std::size_t c = 0; c < v.weight.columns(); ++c) v.weight(r, c) /= std::exp(rows(0, r));
          return loss();
        },
        "values");
    v.weight = original;
  }
}

TEST(BlockFunction, GradientsAreTheSameForAnyNumberOfThreads) {
  const ModelWeights weights = test::quantized(test::tiny_weights(), {4}, {4}, 3);
  const auto gradient = [&](int threads) {
    set_thread_count(threads);
    BlockFunction<float> block(weights.config, weights.blocks[0], {}, true, 300);
    for (auto& linear : block.linears()) linear.wants_row_gradient = true;
    const MatrixF x = Random(5).matrix(300, weights.config.hidden_size, 1);
    block.backward(block.forward(Rows<float>(x), 40));
    return block.linears();
  };
  const auto one = gradient(1), three = gradient(3);
  set_thread_count(0);
  for (std::size_t l = 0; l < one.size(); ++l) {
    EXPECT_EQ(one[l].d_u, three[l].d_u);
    EXPECT_EQ(one[l].d_v, three[l].d_v);
    EXPECT_EQ(one[l].d_row, three[l].d_row);
  }
}

}  // namespace
}  // namespace lrc::refinement

// What refine_block promises: less error on text that it did not train on, what is stored is what was measured, codes stay.
#include "refinement/refine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include <functional>

#include "base/error.h"
#include "base/parallel.h"
#include "correction/increments.h"
#include "model/channel_scales.h"
#include "refinement/block_function.h"
#include "support/tiny_model.h"
#include "tensor/dtype.h"

namespace lrc {
namespace {

using refinement::BlockFunction;
using refinement::Rows;
using test::Random;

struct Setting {
  WeightScheme weight{4};
  ActivationScheme activation{4};
  FactorScheme factors;
  std::size_t rank = 4;
  bool increments = false, learn_scales = false;
  int steps = 80;
};

/// A block whose input is a little off, as behind a quantized prefix.
struct Problem {
  static constexpr std::size_t context = 64, training = 12, held_out = 2;
  ModelWeights weights = test::tiny_weights();
  std::optional<HadamardOrder> none;
  std::vector<MatrixF> inputs, targets;
  std::vector<RefinedLayer> layers;
  ChannelScales scales;  ///< that were learned
  Setting setting;

  /// `outlier`: by how much one channel of what each norm makes is larger.
  explicit Problem(Setting s, float outlier = 1) : setting(std::move(s)) {
    for (auto* gain : {&weights.blocks[0].attention_norm, &weights.blocks[0].mlp_norm}) (*gain)[5] *= outlier;
    const BlockWeights& block = weights.blocks[0];
    BlockFunction<float> original(weights.config, block, none, true, context);
    for (std::size_t w = 0; w < training + held_out; ++w) {
      const MatrixF x = Random(10 + w).matrix(context, weights.config.hidden_size, 1);
      targets.push_back(original.forward(Rows<float>(x)));
      inputs.push_back(x);
      const MatrixF noise = Random(90 + w).matrix(context, weights.config.hidden_size, 0.03);
      for (std::size_t i = 0; i < noise.size(); ++i) inputs.back().data()[i] += noise.data()[i];
    }
    for (const LinearWeights& linear : block.linears) {
      LayerSolution solution;
      solution.scheme.weight = setting.weight;
      solution.scheme.activation = setting.activation;
      solution.scheme.factors = setting.factors;
      const MatrixD w = convert<double>(linear.weight);
      solution.weight = quantize_rtn(w, setting.weight, true);
      if (setting.increments) {
        solution.scheme.method = "lsi";
        solution.increments = std::make_shared<IncrementedWeight>(start_increments(w, setting.weight, 8, true, linear.info.name));
      } else if (setting.rank > 0) {
        solution.pair.scheme = setting.factors;
        const MatrixD u = convert<double>(Random(7).matrix(w.rows(), setting.rank, 0.02));
        const MatrixD v = convert<double>(Random(8).matrix(w.columns(), setting.rank, 0.02));
        if (setting.factors.format == FactorFormat::half) {
          solution.pair.u = convert<float>(u);
          solution.pair.v = convert<float>(v);
          for (MatrixF* factor : {&solution.pair.u, &solution.pair.v})
            for (float& value : factor->flat()) value = round_to_half(value);
        } else {
          solution.pair.u_codes = encode_factor(u, setting.factors, false);
          solution.pair.v_codes = encode_factor(v, setting.factors, true);
          solution.pair.u = decode_factor(solution.pair.u_codes, u.rows(), u.columns(), setting.factors, false);
          solution.pair.v = decode_factor(solution.pair.v_codes, v.rows(), v.columns(), setting.factors, true);
        }
      }
      layers.push_back({linear.info.role, std::move(solution)});
    }
  }

  RefineOutcome refine(std::size_t with_held_out = held_out, std::size_t skipped = 0) {
    std::vector<const float*> from, to;
    for (std::size_t w = 0; w < training + with_held_out; ++w) {
      from.push_back(inputs[w].data());
      to.push_back(targets[w].data());
    }
    const RefineRequest request{.config = weights.config,
                                .block = weights.blocks[0],
                                .down_hadamard = none,
                                .inputs = from,
                                .targets = to,
                                .training_windows = training,
                                .context = context,
                                .skipped_positions = skipped,
                                .steps = setting.steps,
                                .seed = 1,
                                .learn_scales = setting.learn_scales};
    const RefineOutcome outcome = refine_block(request, layers, {});
    scales = {outcome.scales};
    return outcome;
  }

  /// The loss of the layers as they are stored, by the definition of the door.
  double held_out_loss(std::size_t skipped = 0) const {
    BlockWeights block = weights.blocks[0];
    for (std::size_t l = 0; l < layers.size(); ++l) {
      LinearWeights& linear = block.linear(layers[l].role);
      linear.quantized = std::make_shared<QuantizedWeight>(layers[l].solution.weight);
      linear.pair = layers[l].solution.pair;
      linear.activation = setting.activation;
      linear.weight = {};
    }
    if (scales.any()) fold_channel_scales(block, weights.config, scales);
    BlockFunction<float> function(weights.config, block, none, true, context);
    double sum = 0;
    for (std::size_t w = training; w < training + held_out; ++w) {
      const MatrixF y = function.forward(Rows<float>(inputs[w]));
      for (std::size_t r = skipped; r < context; ++r) {
        double error = 0, norm = 0;
        for (std::size_t c = 0; c < y.columns(); ++c) {
          const double t = double(targets[w](r, c)), e = double(y(r, c)) - t;
          error += e * e;
          norm += t * t;
        }
        sum += error / norm / double(held_out * (context - skipped));
      }
    }
    return sum;
  }
};

std::vector<std::pair<std::string, Setting>> settings() {
  std::vector<std::pair<std::string, Setting>> all;
  all.emplace_back("pair and row scales", Setting{});
  Setting scales;
  scales.rank = 0;
  scales.weight.group_size = 16;
  scales.weight.symmetric = false;
  all.emplace_back("group scales with zero points alone", scales);
  Setting int8;
  int8.factors = {FactorFormat::int8, 8};
  all.emplace_back("int8 factors", int8);
  Setting blocks;
  blocks.weight.format = NumberFormat::mxint;
  blocks.weight.group_size = 16;
  blocks.factors = {FactorFormat::mxint, 8};
  all.emplace_back("powers of two stay, mxint factors", blocks);
  Setting lsi;
  lsi.increments = true;
  lsi.weight.bits = 3;
  lsi.activation.bits = 16;
  all.emplace_back("increments, weights alone", lsi);
  lsi.weight.group_size = 16;
  lsi.weight.symmetric = false;
  lsi.activation.bits = 4;
  all.emplace_back("increments, groups, zero points, activations", lsi);
  lsi.learn_scales = true;
  all.emplace_back("increments and channel scales, groups, zero points, activations", lsi);
  lsi.weight = {3};
  lsi.activation.bits = 16;
  all.emplace_back("increments and channel scales, rows, weights alone", lsi);
  return all;
}

TEST(Refine, LessErrorOnHeldOutTextAndWhatIsStoredIsWhatWasMeasured) {
  for (const auto& [what, setting] : settings()) {
    Problem problem(setting);
    const std::vector<RefinedLayer> before = problem.layers;
    const double loss_before = problem.held_out_loss();
    const RefineOutcome outcome = problem.refine();
    EXPECT_NEAR(outcome.held_out_before, loss_before, 1e-5 * loss_before) << what;
    EXPECT_GT(outcome.best_step, 0) << what;
    EXPECT_LT(outcome.held_out_after, 0.999 * outcome.held_out_before) << what;
    EXPECT_LT(outcome.loss_after, 1.02 * outcome.loss_before) << what;
    EXPECT_NEAR(problem.held_out_loss(), outcome.held_out_after, 1e-5 * loss_before) << what;
    for (std::size_t l = 0; l < before.size(); ++l) {
      const LayerSolution &now = problem.layers[l].solution, &then = before[l].solution;
      if (!setting.increments) {
        EXPECT_EQ(now.weight.codes, then.weight.codes) << what;
      }
      if (setting.weight.format != NumberFormat::integer) {
        EXPECT_EQ(now.weight, then.weight) << what;
      }
      for (const double s : now.weight.scales.flat()) ASSERT_EQ(double(round_to_half(float(s))), s) << what;
      for (const MatrixF* factor : {&now.pair.u, &now.pair.v})
        for (const float value : factor->flat()) ASSERT_EQ(round_to_half(value), value) << what;
      if (setting.factors.format != FactorFormat::half && setting.rank > 0 && !setting.increments) {
        EXPECT_EQ(decode_factor(now.pair.v_codes, now.pair.v.rows(), now.pair.v.columns(), setting.factors, true), now.pair.v) << what;
      }
    }
  }
}

TEST(Refine, LearnedScalesLeaveTheFloatBlockAndBringSomething) {
  // One channel of each norm is twelve times the others: what scales even out, and increments of singular values cannot.
  Setting setting;
  setting.increments = setting.learn_scales = true;
  setting.activation.bits = 4;
  const auto after = [&](bool learn) {
    setting.learn_scales = learn;
    Problem problem(setting, 12.0f);
    const RefineOutcome outcome = problem.refine();
    EXPECT_EQ(problem.scales.any(), learn);
    if (!learn) return outcome.held_out_after;
    for (const auto& of_site : problem.scales.by_site)
      for (const float factor : of_site) EXPECT_TRUE(factor > 0.2f && factor < 5.0f) << factor;
    EXPECT_NO_THROW(check_scales(problem.scales, problem.weights.config, false, "here"));
    EXPECT_TRUE(problem.scales.by_site[std::size_t(SiteKind::mlp_hidden)].empty());
    BlockWeights folded = problem.weights.blocks[0];
    fold_channel_scales(folded, problem.weights.config, problem.scales);
    BlockFunction<float> one(problem.weights.config, problem.weights.blocks[0], problem.none, true, Problem::context);
    BlockFunction<float> two(problem.weights.config, folded, problem.none, true, Problem::context);
    const MatrixF &x = problem.inputs[0], same = one.forward(Rows<float>(x));
    EXPECT_LT(test::largest_difference(same, two.forward(Rows<float>(x))), 1e-3);
    return outcome.held_out_after;
  };
  EXPECT_LT(after(true), 0.98 * after(false));
}

TEST(Refine, TheFirstPositionCountsAsOneToken) {
  // A massive activation in the first position, wrong by a little of itself: a plain sum of squares would see nothing else.
  Problem problem({});
  for (auto* rows : {&problem.inputs, &problem.targets})
    for (MatrixF& window : *rows)
      for (std::size_t c = 0; c < window.columns(); ++c) window(0, c) = 1000.0f * (c % 2 ? 1.0f : -1.0f);
  const RefineOutcome outcome = problem.refine();
  EXPECT_LT(outcome.held_out_after, 0.999 * outcome.held_out_before);
}

TEST(Refine, PositionsLeftOutAreNoPartOfTheLoss) {
  Problem problem({});
  for (MatrixF& window : problem.targets)
    for (std::size_t r = 0; r < 2; ++r)
      for (std::size_t c = 0; c < window.columns(); ++c) window(r, c) = std::numeric_limits<float>::quiet_NaN();
  const double before = problem.held_out_loss(2);
  const RefineOutcome outcome = problem.refine(Problem::held_out, 2);
  EXPECT_NEAR(outcome.held_out_before, before, 1e-5 * before);
  EXPECT_LT(outcome.held_out_after, 0.999 * before);
  EXPECT_NEAR(problem.held_out_loss(2), outcome.held_out_after, 1e-5 * before);
}

TEST(Refine, TheSameForAnyNumberOfThreads) {
  Problem one({}), three({});
  set_thread_count(1);
  const RefineOutcome a = one.refine();
  set_thread_count(3);
  const RefineOutcome b = three.refine();
  set_thread_count(0);
  EXPECT_EQ(a.held_out_after, b.held_out_after);
  for (std::size_t l = 0; l < one.layers.size(); ++l) {
    EXPECT_EQ(one.layers[l].solution.pair, three.layers[l].solution.pair);
    EXPECT_EQ(one.layers[l].solution.weight, three.layers[l].solution.weight);
  }
}

TEST(Refine, WhatCannotBeImprovedStaysBitForBit) {
  // The target is what the block says already.
  Problem problem({});
  BlockWeights block = problem.weights.blocks[0];
  for (const RefinedLayer& layer : problem.layers) {
    LinearWeights& linear = block.linear(layer.role);
    linear.quantized = std::make_shared<QuantizedWeight>(layer.solution.weight);
    linear.pair = layer.solution.pair;
    linear.activation = problem.setting.activation;
  }
  BlockFunction<float> function(problem.weights.config, block, problem.none, true, Problem::context);
  for (std::size_t w = 0; w < problem.inputs.size(); ++w) problem.targets[w] = function.forward(Rows<float>(problem.inputs[w]));
  const std::vector<RefinedLayer> before = problem.layers;
  EXPECT_EQ(problem.refine().best_step, 0);
  for (std::size_t l = 0; l < before.size(); ++l) {
    EXPECT_EQ(problem.layers[l].solution.weight, before[l].solution.weight);
    EXPECT_EQ(problem.layers[l].solution.pair, before[l].solution.pair);
  }
}

TEST(Refine, NeedsHeldOutText) {
  Problem problem({});
  std::string sentence;
  try {
    problem.refine(0);
  } catch (const Error& e) {
    sentence = e.what();
  }
  EXPECT_THAT(sentence, testing::HasSubstr("held_out_windows"));
}

}  // namespace
}  // namespace lrc

// LSI: gradients against the golden files and finite differences, the promise never to be worse than plain rounding, refusals.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "correction/increments.h"
#include "correction/linalg.h"
#include "correction/solve.h"
#include "quantization/activation.h"
#include "support/solver_case.h"

namespace lrc {
namespace {

using test::random_inputs;
using test::random_matrix;
using test::SolverCase;

class LsiGolden : public testing::TestWithParam<std::string> {};

TEST_P(LsiGolden, GradientOfTheIncrements) {
  const SolverCase golden(GetParam());
  const MatrixD w = golden.w();
  const MatrixD s_x = moments_in_double(golden.x(), {16}).s_x();
  int seen = 0;
  for (const int bits : {3, 4})
    for (const auto& g : golden.facts["groups"]) {
      const std::size_t group = g.get<std::size_t>();
      const std::string name = "lsi.int" + std::to_string(bits) + "_g" + std::to_string(group);
      if (!golden.has(name + ".grad")) continue;
      ++seen;
      const WeightScheme scheme{bits, group, false, WeightClip::none};
      MatrixD gradient = linalg::multiply(linalg::subtract(quantize_rtn(w, scheme, false).dequantize(), w), s_x);
      for (double& v : gradient.flat()) v *= 2;
      const IncrementedWeight start = start_increments(w, scheme, 0, false, name);
      IncrementGradient result;
      project_gradient(start, convert<float>(gradient), result);
      const MatrixD expected = golden.file.read_double(name + ".grad");
      double largest = 0;
      for (const double v : expected.flat()) largest = std::max(largest, std::abs(v));
      ASSERT_EQ(result.increments.size(), expected.size()) << name;
      for (std::size_t j = 0; j < expected.size(); ++j)
        EXPECT_NEAR(double(result.increments[j]), expected.data()[j], 2e-5 * largest) << name << " " << j;
    }
  EXPECT_GT(seen, 0);
}

INSTANTIATE_TEST_SUITE_P(Cases, LsiGolden, testing::ValuesIn(test::solver_cases()));

TEST(Lsi, SingularDecompositionGivesTheMatrixBack) {
  for (const auto& [rows, columns] : {std::pair{20, 33}, {33, 20}, {1, 7}}) {
    const MatrixD a = random_matrix(std::size_t(rows), std::size_t(columns), 3);
    const auto parts = linalg::singular_decomposition(a);
    MatrixD scaled = parts.left;
    for (std::size_t r = 0; r < scaled.rows(); ++r)
      for (std::size_t j = 0; j < scaled.columns(); ++j) scaled(r, j) *= parts.values[j];
    EXPECT_LT(test::relative_difference(linalg::multiply(scaled, parts.right), a), 1e-12);
    const MatrixD unit = linalg::gram(parts.right);
    for (std::size_t i = 0; i < unit.rows(); ++i)
      for (std::size_t j = 0; j < unit.columns(); ++j) EXPECT_NEAR(unit(i, j), i == j ? 1 : 0, 1e-12);
    EXPECT_TRUE(std::is_sorted(parts.values.rbegin(), parts.values.rend()));
  }
}

// The loss Σ G · Ŵ with the rounding's offset and the clipped sides held as they are: what straight-through rounding derives.
double straight_through(const IncrementedWeight& start, const IncrementedWeight& moved, const MatrixF& gradient) {
  const MatrixF before = incremented(start), after = incremented(moved);
  const std::size_t group = start.scheme.group_size == 0 ? before.columns() : start.scheme.group_size;
  const auto range = [&](const IncrementedWeight& weight, const MatrixF& w, std::size_t r, std::size_t g, double& high, double& low) {
    high = low = 0;
    for (std::size_t i = 0; i < group; ++i) {
      const double v = double(w(r, g * group + i));
      high = std::max(high, weight.scheme.symmetric ? std::abs(v) : v);
      low = std::min(low, v);
    }
    const auto sigmoid = [](float x) { return 1 / (1 + std::exp(-double(x))); };
    high *= sigmoid(weight.clip_high(r, g));
    if (!weight.scheme.symmetric) low *= sigmoid(weight.clip_low(r, g));
  };
  double sum = 0;
  for (std::size_t r = 0; r < before.rows(); ++r)
    for (std::size_t g = 0; g < before.columns() / group; ++g) {
      double high0, low0, high1, low1;
      range(start, before, r, g, high0, low0);
      range(moved, after, r, g, high1, low1);
      const bool symmetric = start.scheme.symmetric;
      const double numbers = symmetric ? highest_code(start.scheme.bits) : (1 << start.scheme.bits) - 1;
      const double scale0 = (symmetric ? high0 : high0 - low0) / numbers, scale1 = (symmetric ? high1 : high1 - low1) / numbers;
      const double zero = symmetric ? 0 : std::clamp(std::nearbyint(-low0 / scale0), 0.0, numbers);
      const double lowest = symmetric ? lowest_code(start.scheme.bits) : -zero, highest = symmetric ? numbers : numbers - zero;
      for (std::size_t i = g * group; i < (g + 1) * group; ++i) {
        const double position = double(before(r, i)) / scale0, nearest = std::nearbyint(position);
        double value = double(after(r, i)) + scale1 * (nearest - position);
        if (nearest > highest) value = symmetric ? scale1 * highest : high1;
        if (nearest < lowest) value = symmetric ? scale1 * lowest : low1;
        sum += double(gradient(r, i)) * value;
      }
    }
  return sum;
}

TEST(Lsi, EveryGradientIsThatOfStraightThroughRounding) {
  for (const bool symmetric : {true, false})
    for (const std::size_t group : {std::size_t(0), std::size_t(8)}) {
      const MatrixD w = random_matrix(10, 24, 5);
      IncrementedWeight start = start_increments(w, {3, group, symmetric, WeightClip::none}, 4, false, "w");
      // Somewhere in the middle of the training: values moved, and clipping that cuts.
      for (std::size_t j = 0; j < start.increments.size(); ++j) start.increments[j] = 0.05f * float(int(j % 5) - 2);
      for (std::size_t i = 0; i < start.square.size(); ++i) start.square.data()[i] = 0.03f * float(int(i % 3) - 1);
      for (float& v : start.clip_high.flat()) v = 0.7f;
      for (float& v : start.clip_low.flat()) v = 1.1f;
      const MatrixF gradient = convert<float>(random_matrix(10, 24, 6));
      const IncrementGradient slope = increment_gradient(start, incremented(start), gradient);
      const auto check = [&](const char* what, std::size_t index, float step, float expected, const auto& entry) {
        IncrementedWeight up = start, down = start;
        entry(up)[index] += step;
        entry(down)[index] -= step;
        const double here = straight_through(start, start, gradient);
        const double above = (straight_through(start, up, gradient) - here) / double(step);
        const double below = (here - straight_through(start, down, gradient)) / double(step);
        // Where another weight becomes the largest of its row on one side, the other side's slope is the one.
        const double numeric = std::abs(above - double(expected)) < std::abs(below - double(expected)) ? above : below;
        EXPECT_NEAR(double(expected), numeric, 4e-3 * (1 + std::abs(numeric))) << what << " " << index << " symmetric " << symmetric;
      };
      for (std::size_t j = 0; j < start.increments.size(); ++j)
        check("increment", j, 2e-3f, slope.increments[j], [](IncrementedWeight& x) { return x.increments.data(); });
      for (std::size_t j = 0; j < start.square.size(); ++j)
        check("square", j, 2e-3f, slope.square.data()[j], [](IncrementedWeight& x) { return x.square.data(); });
      for (std::size_t j = 0; j < start.clip_high.size(); ++j)
        check("high", j, 4e-3f, slope.clip_high.data()[j], [](IncrementedWeight& x) { return x.clip_high.data(); });
      for (std::size_t j = 0; j < start.clip_low.size(); ++j)
        check("low", j, 4e-3f, slope.clip_low.data()[j], [](IncrementedWeight& x) { return x.clip_low.data(); });
    }
}

LayerSolution solve(const MatrixD& w, const MatrixD& x, WeightScheme weight, int bits, int steps, std::size_t square = 0) {
  ActivationScheme activation;
  activation.bits = bits;
  const SiteStatistics site = prepare_site(moments_in_double(x, activation), 0.01, activation, "site");
  LayerScheme scheme;
  scheme.method = "lsi";
  scheme.weight = weight;
  scheme.activation = activation;
  scheme.steps = steps;
  scheme.square = square;
  return solve_layer({w, site, scheme, "layer", false}, {});
}

TEST(Lsi, LessErrorThanPlainRoundingAndNothingAtInference) {
  const MatrixD w = random_matrix(48, 64, 8), x = random_inputs(1500, 64, 9);
  for (const int activation_bits : {16, 4})
    for (const auto& weight : {WeightScheme{3, 0, true, WeightClip::search}, WeightScheme{3, 32, false, WeightClip::none}}) {
      const LayerSolution solution = solve(w, x, weight, activation_bits, 60);
      EXPECT_LT(solution.losses.loss, 0.97 * solution.losses.loss_uncorrected) << activation_bits;
      EXPECT_TRUE(solution.pair.empty());
      EXPECT_EQ(solution.weight.scheme, weight);
      EXPECT_DOUBLE_EQ(solution.losses.loss, layer_loss(w, solution.weight, {}, moments_in_double(x, {activation_bits})));
    }
}

TEST(Lsi, ASquareLearnsWhatTheDiagonalCannot) {
  const MatrixD w = random_matrix(40, 64, 18), x = random_inputs(1500, 64, 19);
  const WeightScheme weight{3, 16, false, WeightClip::none};
  EXPECT_LT(solve(w, x, weight, 16, 80, 32).losses.loss, solve(w, x, weight, 16, 80).losses.loss);
}

TEST(Lsi, NeverWorseThanPlainRounding) {
  // On the grid already: nothing can be gained, and nothing may be lost.
  const MatrixD w = quantize_rtn(random_matrix(12, 16, 1), {4, 0, true, WeightClip::none}, true).dequantize();
  const LayerSolution kept = solve(w, random_inputs(300, 16, 2), {4, 0, true, WeightClip::none}, 16, 30);
  EXPECT_LE(kept.losses.loss, kept.losses.loss_uncorrected);
  EXPECT_NEAR(kept.losses.loss, 0, 1e-9 * kept.losses.norm_wx);
  // Zero rows and a matrix of zeros.
  const LayerSolution nothing = solve(MatrixD(8, 16), random_inputs(300, 16, 2), {4, 0, true, WeightClip::search}, 4, 5);
  EXPECT_EQ(nothing.losses.loss, 0);
}

TEST(Lsi, TheSameForAnyNumberOfThreads) {
  const MatrixD w = random_matrix(200, 48, 21), x = random_inputs(600, 48, 22);
  set_thread_count(1);
  const LayerSolution one = solve(w, x, {3, 0, true, WeightClip::search}, 4, 10);
  set_thread_count(3);
  const LayerSolution three = solve(w, x, {3, 0, true, WeightClip::search}, 4, 10);
  set_thread_count(0);
  EXPECT_EQ(one.weight, three.weight);
}

TEST(Lsi, RefusesWhatItCannotDo) {
  const MatrixD w = random_matrix(8, 16, 1), x = random_inputs(200, 16, 2);
  const auto sentence = [&](const WeightScheme& weight, std::size_t square) -> std::string {
    try {
      solve(w, x, weight, 16, 3, square);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(sentence({4, 16, true, WeightClip::none, NumberFormat::mxint}, 0), testing::HasSubstr("lsi learns how integer grids"));
  EXPECT_THAT(sentence({4, 0, true, WeightClip::none}, 9), testing::HasSubstr("a square of 9 is larger than the 8"));
}

}  // namespace
}  // namespace lrc

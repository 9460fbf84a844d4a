// The knapsack against every combination of small problems.
#include "correction/allocation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "base/parallel.h"

namespace lrc::test {
namespace {

using Layers = std::vector<std::vector<AllocationChoice>>;

double best_of_all(const Layers& layers, std::uint64_t budget, std::size_t layer = 0) {
  if (layer == layers.size()) return 0;
  double best = std::numeric_limits<double>::infinity();
  for (const auto& choice : layers[layer])
    if (choice.bits <= budget) best = std::min(best, choice.loss + best_of_all(layers, budget - choice.bits, layer + 1));
  return best;
}

Layers random_layers(std::mt19937& random, std::size_t count, std::uint64_t unit) {
  Layers layers(count);
  for (auto& layer : layers) {
    const std::uint64_t base = unit * (1 + random() % 9);
    for (std::size_t c = 0; c < 2 + random() % 5; ++c) layer.push_back({base + unit * (random() % 30), double(random() % 1000) / 10});
  }
  return layers;
}

std::uint64_t least(const Layers& layers) {
  std::uint64_t sum = 0;
  for (const auto& layer : layers) sum += layer[undominated(layer).front()].bits;
  return sum;
}

TEST(Allocation, IsTheBestOfAllCombinations) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 200; ++trial) {
    const Layers layers = random_layers(random, 1 + trial % 6, trial % 2 == 0 ? 1 : 48);
    const std::uint64_t budget = least(layers) + random() % 4000 % (trial % 2 == 0 ? 90 : 4000);
    const Allocation result = allocate(layers, budget);
    EXPECT_TRUE(result.exact);
    EXPECT_LE(result.bits, budget);
    EXPECT_NEAR(result.loss, best_of_all(layers, budget), 1e-9) << trial;
    EXPECT_LE(result.bound, result.loss + 1e-9);
    std::uint64_t bits = 0;
    for (std::size_t l = 0; l < layers.size(); ++l) bits += layers[l][result.chosen[l]].bits;
    EXPECT_EQ(bits, result.bits);
  }
}

TEST(Allocation, CoarserUnitsStayWithinTheBudgetAndTheBoundSaysHowFar) {
  std::mt19937 random(9);
  for (int trial = 0; trial < 50; ++trial) {
    const Layers layers = random_layers(random, 5, 997);
    const std::uint64_t budget = least(layers) + random() % 60000;
    const Allocation coarse = allocate(layers, budget, 16), fine = allocate(layers, budget);
    EXPECT_LE(coarse.bits, budget);
    EXPECT_GE(coarse.loss, fine.loss - 1e-9);
    EXPECT_LE(coarse.bound, fine.loss + 1e-9);
  }
}

TEST(Allocation, TakesNoBitsForNothing) {
  const Layers layers = {{{10, 1.0}, {20, 1.0}, {30, 0.5}, {40, 0.5}}};
  const Allocation result = allocate(layers, 1000);
  EXPECT_EQ(result.chosen[0], 2u);
  EXPECT_EQ(result.bits, 30u);
  EXPECT_EQ(result.price, 0);
  EXPECT_EQ(allocate(layers, 29).chosen[0], 0u);
}

TEST(Allocation, SaysWhenNothingFits) {
  const Layers layers = {{{10, 1.0}}, {{15, 1.0}, {12, 2.0}}};
  EXPECT_EQ(allocate(layers, 22).bits, 22u);
  try {
    allocate(layers, 21);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    EXPECT_THAT(error.what(), testing::HasSubstr("22 bits"));
  }
}

TEST(Allocation, TheSameForAnyNumberOfThreads) {
  // Far more steps than one thread takes at a time.
  std::mt19937 random(11);
  Layers layers(20);
  for (auto& layer : layers)
    for (int c = 0; c < 6; ++c) layer.push_back({1 + random() % 20000, double(random() % 1000)});
  set_thread_count(1);
  const Allocation one = allocate(layers, least(layers) + 70000);
  set_thread_count(4);
  const Allocation four = allocate(layers, least(layers) + 70000);
  set_thread_count(0);
  EXPECT_EQ(one.chosen, four.chosen);
}

}  // namespace
}  // namespace lrc::test

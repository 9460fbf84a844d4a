#include "base/progress.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace lrc {
namespace {

TEST(Progress, FractionsFollowThePlan) {
  std::vector<ProgressUpdate> updates;
  Progress progress([&](const ProgressUpdate& update) { updates.push_back(update); });
  progress.plan({{"first", 1}, {"second", 3}});
  progress.report("first", 0, 2);
  progress.report("first", 1, 2, "layer");
  progress.report("first", 2, 2);
  progress.report("second", 1, 2);
  progress.report("second", 2, 2);
  ASSERT_EQ(updates.size(), 5u);
  const double expected[] = {0, 0.125, 0.25, 0.625, 1};
  for (std::size_t i = 0; i < 5; ++i) EXPECT_DOUBLE_EQ(updates[i].fraction, expected[i]);
  EXPECT_EQ(updates[1].layer, "layer");
  EXPECT_EQ(updates[1].done, 1u);
  EXPECT_EQ(updates[1].total, 2u);
  EXPECT_FALSE(updates[0].remaining_s) << "nothing is known at the start";
}

TEST(Progress, NeverFalls) {
  double last = 0;
  Progress progress([&](const ProgressUpdate& update) {
    EXPECT_GE(update.fraction, last);
    EXPECT_LE(update.fraction, 1.0);
    last = update.fraction;
  });
  progress.plan({{"a", 1}, {"b", 1}});
  progress.report("b", 1, 2);
  progress.report("a", 1, 2);
  progress.report("unknown", 1, 1);
  progress.report("b", 2, 2);
  progress.report("a", 2, 2);
  progress.report("b", 5, 2);
}

TEST(Progress, StagesThatTakeTurnsAddUp) {
  std::vector<double> fractions;
  Progress progress([&](const ProgressUpdate& update) { fractions.push_back(update.fraction); });
  progress.plan({{"walk", 1}, {"solve", 3}}, true);
  progress.report("walk", 1, 2);
  progress.report("solve", 1, 2);
  progress.report("walk", 2, 2);
  progress.report("solve", 2, 2);
  EXPECT_EQ(fractions, (std::vector<double>{0.125, 0.5, 0.625, 1}));
}

TEST(Progress, ReportsFromSeveralThreadsAndToNobody) {
  std::atomic<int> count{0};
  Progress progress([&](const ProgressUpdate&) { ++count; });
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (std::size_t k = 0; k < 100; ++k) progress.report("s", k, 100);
    });
  threads.clear();
  EXPECT_EQ(count, 400);
  Progress silent;
  EXPECT_NO_THROW(silent.report("s", 1, 2));
}

TEST(Progress, StopIsAnErrorOfItsOwnKind) {
  std::stop_source source;
  EXPECT_NO_THROW(throw_if_stopped(source.get_token()));
  source.request_stop();
  try {
    throw_if_stopped(source.get_token());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::stopped);
  }
}

}  // namespace
}  // namespace lrc

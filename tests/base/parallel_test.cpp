#include "base/parallel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace lrc {
namespace {

class Parallel : public ::testing::Test {
 protected:
  void TearDown() override { set_thread_count(0); }
};

using Chunk = std::pair<std::size_t, std::size_t>;

std::multiset<Chunk> chunks_of(std::size_t count, std::size_t grain) {
  std::mutex mutex;
  std::multiset<Chunk> chunks;
  parallel_for(count, grain, [&](std::size_t begin, std::size_t end) {
    const std::lock_guard lock(mutex);
    chunks.insert({begin, end});
  });
  return chunks;
}

TEST_F(Parallel, ChunksDependOnCountAndGrainAlone) {
  for (const auto& [count, grain] : {Chunk{0, 4}, Chunk{1, 4}, Chunk{4, 4}, Chunk{5, 4}, Chunk{1000, 7}, Chunk{3, 0}}) {
    set_thread_count(1);
    const auto alone = chunks_of(count, grain);
    std::size_t covered = 0;
    for (const auto& [begin, end] : alone) {
      EXPECT_EQ(begin, covered);
      EXPECT_LE(end - begin, std::max<std::size_t>(1, grain));
      covered = end;
    }
    EXPECT_EQ(covered, count);
    for (const int threads : {2, 3, 8}) {
      set_thread_count(threads);
      EXPECT_EQ(thread_count(), threads);
      EXPECT_EQ(chunks_of(count, grain), alone) << count << " by " << grain << " on " << threads;
    }
  }
}

TEST_F(Parallel, ACallInsideABodyIsOneOfItsOwn) {
  for (const int threads : {1, 4}) {
    set_thread_count(threads);
    std::atomic<int> sum{0};
    parallel_for(20, 1, [&](std::size_t, std::size_t) {
      int inner = 0;  // whoever helps has left when the call returns
      std::mutex mutex;
      parallel_for(10, 3, [&](std::size_t begin, std::size_t end) {
        parallel_for(4, 1, [&](std::size_t, std::size_t) { sum += 0; });
        const std::lock_guard lock(mutex);
        inner += int(end - begin);
      });
      EXPECT_EQ(inner, 10);
      sum += inner;
    });
    EXPECT_EQ(sum, 200);
  }
}

TEST_F(Parallel, IdleThreadsHelpInsideABody) {
  set_thread_count(4);
  // One chunk is work for one thread; the four inside of it meet only when all four run at a time, also the caller, which may have
  // left that chunk to a worker.
  for (int round = 0; round < 100; ++round) {
    std::atomic<int> there{0};
    parallel_for(2, 1, [&](std::size_t begin, std::size_t) {
      if (begin != 0) return;
      parallel_for(4, 1, [&](std::size_t, std::size_t) {
        ++there;
        while (there < 4) std::this_thread::yield();
      });
    });
    ASSERT_EQ(there, 4);
  }
}

TEST_F(Parallel, NoMoreThreadsWorkThanWereAllowed) {
  set_thread_count(3);
  std::atomic<int> now{0}, most{0};
  parallel_for(6, 1, [&](std::size_t, std::size_t) {
    parallel_for(8, 1, [&](std::size_t, std::size_t) {
      const int working = ++now;
      for (int before = most; before < working && !most.compare_exchange_weak(before, working);) {
      }
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      --now;
    });
  });
  EXPECT_LE(most, 3);
  EXPECT_GE(most, 1);
}

TEST_F(Parallel, TheFirstExceptionComesBackAndTheNextCallWorks) {
  for (const int threads : {1, 4}) {
    set_thread_count(threads);
    for (int round = 0; round < 50; ++round) {
      EXPECT_THROW(parallel_for(100, 1,
                                [](std::size_t begin, std::size_t) {
                                  if (begin == 13) throw std::runtime_error("thirteen");
                                }),
                   std::runtime_error);
      std::atomic<std::size_t> sum{0};
      parallel_for(100, 3, [&](std::size_t begin, std::size_t end) { sum += end - begin; });
      EXPECT_EQ(sum, 100u);
    }
  }
}

TEST_F(Parallel, AnExceptionInsideANestedCallComesBack) {
  set_thread_count(3);
  EXPECT_THROW(
      parallel_for(8, 1,
                   [](std::size_t, std::size_t) { parallel_for(4, 1, [](std::size_t, std::size_t) { throw std::logic_error("inner"); }); }),
      std::logic_error);
  // The thread must not believe that it is still inside.
  EXPECT_EQ(chunks_of(100, 9).size(), 12u);
}

TEST_F(Parallel, SeveralThreadsMayCallAtOnce) {
  set_thread_count(3);
  std::vector<std::thread> callers;
  std::atomic<std::size_t> sum{0};
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) parallel_for(50, 4, [&](std::size_t begin, std::size_t end) { sum += end - begin; });
    });
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(sum, 4u * 200 * 50);
}

}  // namespace
}  // namespace lrc

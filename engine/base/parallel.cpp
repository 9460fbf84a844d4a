// A pool of workers that spin briefly and then sleep: a decoding step makes several hundred short calls, and a sleep
// between each would cost more than the work. Work is taken in fixed chunks by an atomic counter, so that a core that is
// busy elsewhere does not hold the others up.
#include "base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace lrc {
namespace {

thread_local bool inside_parallel = false;

int default_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, int(std::thread::hardware_concurrency()));
}

struct Task {
  const std::function<void(std::size_t, std::size_t)>* body = nullptr;
  std::size_t count = 0, grain = 1;
  std::atomic<std::size_t> next{0};
  std::atomic<int> running{0};
  std::mutex error_mutex;
  std::exception_ptr error;

  void work() {
    inside_parallel = true;
    for (;;) {
      const std::size_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= count) break;
      try {
        (*body)(begin, std::min(count, begin + grain));
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
        next.store(count, std::memory_order_relaxed);
      }
    }
    inside_parallel = false;
  }
};

class Pool {
 public:
  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      quit_ = true;
      generation_.fetch_add(1);
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
  }

  int threads() const { return threads_; }
  void set_threads(int threads) { threads_ = threads < 1 ? default_threads() : threads; }

  void run(Task& task) {
    // One parallel region at a time owns the workers; a second lane computes alone rather than wait for the first.
    std::unique_lock owner(owner_, std::try_to_lock);
    const std::size_t chunks = (task.count + task.grain - 1) / task.grain;
    const int helpers = int(std::min<std::size_t>(std::size_t(threads_), chunks)) - 1;
    if (!owner.owns_lock() || helpers < 1) {
      task.work();
      return;
    }
    {
      const std::lock_guard lock(mutex_);
      while (int(workers_.size()) < helpers) {
        const int index = int(workers_.size());
        workers_.emplace_back([this, index] { loop(index); });
      }
      task_ = &task;
      wanted_ = helpers;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    task.work();
    // Only workers that have joined are waited for: on a busy machine one may wake long after the work is done.
    {
      const std::lock_guard lock(mutex_);
      task_ = nullptr;
    }
    for (int spins = 0; task.running.load(std::memory_order_acquire) != 0; ++spins)
      if (spins > 2000) std::this_thread::yield();
  }

 private:
  void loop(int index) {
    unsigned seen = 0;
    for (;;) {
      for (int spins = 0; generation_.load(std::memory_order_acquire) == seen && spins < 4000; ++spins) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
      }
      Task* task = nullptr;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return quit_ || generation_.load() != seen; });
        if (quit_) return;
        seen = generation_.load();
        if (task_ != nullptr && index < wanted_) {
          task = task_;
          task->running.fetch_add(1, std::memory_order_relaxed);
        }
      }
      if (task) {
        task->work();
        task->running.fetch_sub(1, std::memory_order_release);
      }
    }
  }

  std::mutex owner_, mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
  std::atomic<unsigned> generation_{0};
  Task* task_ = nullptr;
  int wanted_ = 0;
  std::atomic<int> threads_{default_threads()};
  bool quit_ = false;
};

Pool& pool() {
  static Pool instance;
  return instance;
}

}  // namespace

int thread_count() { return pool().threads(); }
void set_thread_count(int threads) { pool().set_threads(threads); }

void parallel_for(std::size_t count, std::size_t grain, const std::function<void(std::size_t, std::size_t)>& body) {
  if (count == 0) return;
  grain = std::max<std::size_t>(1, grain);
  if (inside_parallel) {
    for (std::size_t begin = 0; begin < count; begin += grain) body(begin, std::min(count, begin + grain));
    return;
  }
  Task task;
  task.body = &body;
  task.count = count;
  task.grain = grain;
  pool().run(task);
  if (task.error) std::rethrow_exception(task.error);
}

}  // namespace lrc

// A pool of workers that spin briefly and then sleep: a decoding step makes several hundred short calls, and a sleep
// between each would cost more than the work. Work is taken in fixed chunks by an atomic counter, so that a core that is
// busy elsewhere does not hold the others up. Every region that still has chunks is open to whoever is idle, also one inside of
// another: seven layers on sixteen processors use all of them. Who has run out of chunks and waits for a helper is idle too: it
// helps with the regions inside of its own.
#include "base/parallel.h"

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace lrc {
namespace {

struct Task;
// Whether this thread is among those that are counted as busy, and the region whose body it runs.
thread_local bool counted = false;
thread_local Task* current = nullptr;

int default_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, int(std::thread::hardware_concurrency()));
}

struct Task {
  const std::function<void(std::size_t, std::size_t)>* body = nullptr;
  std::size_t count = 0, grain = 1;
  Task* parent = current;
  std::atomic<std::size_t> next{0};
  std::atomic<int> helpers{0};
  std::mutex error_mutex;
  std::exception_ptr error;

  bool has_chunks() const { return next.load(std::memory_order_relaxed) < count; }
  bool inside(const Task& region) const {
    for (const Task* outer = parent; outer; outer = outer->parent)
      if (outer == &region) return true;
    return false;
  }
  void work() {
    Task* const before = std::exchange(current, this);
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
    current = before;
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
    const std::size_t chunks = (task.count + task.grain - 1) / task.grain;
    if (chunks < 2 || threads_ < 2) {
      task.work();
      return;
    }
    const bool outermost = !counted;
    {
      const std::lock_guard lock(mutex_);
      while (int(workers_.size()) < threads_ - 1) workers_.emplace_back([this] { loop(); });
      if (outermost) {
        counted = true;
        ++busy_;
      }
      open_.push_back(&task);
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    task.work();
    bool others = false;
    {
      const std::lock_guard lock(mutex_);
      std::erase(open_, &task);
      if (outermost) {
        counted = false;
        --busy_;
        others = !open_.empty();
        if (others) generation_.fetch_add(1, std::memory_order_release);
      }
    }
    if (others) wake_.notify_all();
    // Only workers that have joined are waited for: on a busy machine one may wake long after the work is done.
    for (int spins = 0; task.helpers.load(std::memory_order_acquire) != 0; ++spins) {
      if (spins <= 2000) continue;
      if (help_inside(task, outermost)) continue;
      if (spins > 4000) {
        const timespec moment{0, 50000};
        ::nanosleep(&moment, nullptr);
      } else {
        std::this_thread::yield();
      }
    }
  }

 private:
  /// The newest region with chunks left that `fits`: an inner one holds an outer one up.
  template <typename Fits>
  Task* newest(Fits fits) {
    const auto found = std::find_if(open_.rbegin(), open_.rend(), [&](const Task* task) { return task->has_chunks() && fits(*task); });
    if (found == open_.rend()) return nullptr;
    (*found)->helpers.fetch_add(1, std::memory_order_relaxed);
    return *found;
  }

  /// For an idle worker. Nobody joins when all processors have work.
  Task* join() {
    if (busy_ >= threads_) return nullptr;
    Task* const task = newest([](const Task&) { return true; });
    if (task) ++busy_;
    return task;
  }

  /// For a caller whose region has no chunks left but helpers at work. A caller from outside is not counted while it waits; one
  /// that is itself inside of a body still is. Returns whether there was something to do.
  bool help_inside(Task& region, bool outermost) {
    Task* task = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (outermost && busy_ >= threads_) return false;
      task = newest([&](const Task& other) { return other.inside(region); });
      if (!task) return false;
      if (outermost) {
        counted = true;
        ++busy_;
      }
    }
    task->work();
    task->helpers.fetch_sub(1, std::memory_order_release);
    if (outermost) {
      const std::lock_guard lock(mutex_);
      counted = false;
      --busy_;
    }
    return true;
  }

  void loop() {
    counted = true;  // by join()
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
        task = join();
      }
      while (task) {
        task->work();
        // The last look at the task: its region may end now.
        task->helpers.fetch_sub(1, std::memory_order_release);
        const std::lock_guard lock(mutex_);
        --busy_;
        task = join();
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
  std::vector<Task*> open_;
  int busy_ = 0;  // threads that work: callers outside of any region, and workers
  std::atomic<unsigned> generation_{0};
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
  Task task;
  task.body = &body;
  task.count = count;
  task.grain = std::max<std::size_t>(1, grain);
  pool().run(task);
  if (task.error) std::rethrow_exception(task.error);
}

}  // namespace lrc

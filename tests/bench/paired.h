#pragma once
// Paired measurement: the rates of a virtual machine drift by halves within minutes, so every benchmark runs the ceiling it
// is compared with in turn with the kernel and reports the ratio: its median, and the tenth and ninetieth percentile.
#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/parallel.h"

namespace lrc::bench {

/// Of this thread on a processor where it does all the work itself (other programs then do not count), else of the clock.
inline double now() {
  timespec time{};
  ::clock_gettime(thread_count() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}

template <typename Work>
double seconds(Work&& work) {
  const double begin = now();
  work();
  return now() - begin;
}

inline double percentile(std::vector<double> values, double fraction) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::size_t(fraction * double(values.size() - 1) + 0.5)];
}

/// `amount` is what one call of `work` moves or computes, in the ceiling's unit; `ceiling` returns the rate just reached.
template <typename Work, typename Ceiling>
void paired(benchmark::State& state, double amount, const char* unit, Work&& work, Ceiling&& ceiling) {
  std::vector<double> rates, ratios;
  work();
  ceiling();
  for (auto _ : state) {
    const double limit = ceiling();
    const double time = seconds(work);
    state.SetIterationTime(time);
    rates.push_back(amount / time);
    ratios.push_back(amount / time / limit);
  }
  state.SetLabel(unit);
  state.counters["rate"] = percentile(rates, 0.5);
  state.counters["ratio"] = percentile(ratios, 0.5);
  state.counters["ratio_p10"] = percentile(ratios, 0.1);
  state.counters["ratio_p90"] = percentile(ratios, 0.9);
}

/// Registers a paired benchmark: at least 15 pairs.
inline void add(const std::string& name, void (*function)(benchmark::State&, InstructionSet, int), InstructionSet set, int threads) {
  benchmark::RegisterBenchmark((name + "/threads:" + std::to_string(threads)).c_str(),
                               [=](benchmark::State& state) {
                                 set_thread_count(threads);
                                 function(state, set, threads);
                                 set_thread_count(0);
                               })
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond)
      ->MinTime(0.3);
}

struct Set {
  InstructionSet set;
  const char* name;
};
/// The instruction sets of this processor that have kernels.
inline std::vector<Set> sets() {
  std::vector<Set> present;
  for (const Set& set : {Set{InstructionSet::avx2, "avx2"}, Set{InstructionSet::avx512_vnni, "avx512"}})
    if (cpu_has(set.set)) present.push_back(set);
  return present;
}

/// Memory to read as a ceiling, on the same kind of pages as a backend's own.
class Memory {
 public:
  explicit Memory(std::size_t bytes) : backend_(make_cpu_backend()), buffer_(backend_->allocate(bytes)) {
    // Every page is touched: pages that never were are all one page of zeros.
    const std::vector<std::byte> ones(bytes, std::byte{1});
    backend_->upload(buffer_, 0, ones);
  }
  const float* data() const { return backend_->host_view(buffer_); }
  std::size_t size() const { return buffer_->bytes() / sizeof(float); }

 private:
  std::shared_ptr<Backend> backend_;
  Buffer buffer_;
};

// Ceilings, on as many threads as parallel_for uses. Rates in units a second.
double read_rate(const Memory& memory);                  ///< bytes
double byte_dot_rate(InstructionSet set, int threads);   ///< operations, a multiply-add is two
double float_fma_rate(InstructionSet set, int threads);  ///< operations

}  // namespace lrc::bench

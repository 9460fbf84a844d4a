#pragma once
// Inside of run/runner.h: several runs on their way through the blocks. runner.cpp prepares them and walks; batch_blocks.cpp does to a
// block what is done there.
#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/progress.h"
#include "run/block_refinement.h"
#include "run/block_solver.h"
#include "run/float_stream.h"
#include "run/memory_plan.h"
#include "run/one_run.h"
#include "run/quantized_stream.h"
#include "run/runner.h"

namespace lrc {

/// Several runs carried out side by side. What is computed for a run does not depend on its company.
class Batch {
 public:
  Batch(std::span<const RunRequest> requests, Progress& progress, std::stop_token stop, const LayerCallback& on_layer)
      : requests_(requests), progress_(progress), stop_(stop), on_layer_(on_layer) {}

  std::vector<Manifest> run();

 private:
  /// Runs over the same float stream: same rotation, same windows.
  struct Group {
    std::vector<OneRun*> runs;
    std::uint64_t memory_limit = 0;
  };
  using Clock = std::chrono::steady_clock;
  static double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

  void prepare();
  void check_memory(const RunRequest& request) const;
  void plan();
  void solve(Group& group);
  bool finds_bases(const Group& group) const;
  void find_bases(const Group& group, const std::filesystem::path& spill_folder);
  void scale_block(FloatStream& stream, OneRun& run, std::size_t block, const MemoryPlan& plan);
  struct Reader {
    OneRun* run = nullptr;
    std::size_t scheme = 0;  // which of the moments are its own
    std::vector<LayerTask> tasks = {};
  };
  void solve_readers(const BlockWeights& weights, std::vector<BlockMoments> moments, std::vector<Reader> readers, const MemoryPlan& plan);
  void solve_in_passes(OneRun& run, FloatStream& stream, std::size_t block, const MemoryPlan& plan);
  void solve_on(QuantizedStream& quantized, OneRun& run, FloatStream& stream, std::size_t block, const MemoryPlan& plan);
  /// The losses of refined layers are measured with what they were solved from.
  void remember(const OneRun& run, const BlockMoments& moments) {
    if (const auto refined = refinements_.find(&run); refined != refinements_.end()) refined->second.remember(moments);
  }
  void refine(OneRun& run, FloatStream& stream, QuantizedStream& prefix, std::size_t block);
  /// Of a solved layer: it is written, or held back until its block is refined.
  void finish(OneRun& run, SolvedLayer layer);
  void write(OneRun& run, SolvedLayer layer);
  /// What goes wrong inside is written down in the runs that it concerns; a failure ends these, a stop all of them.
  void guard(const std::vector<OneRun*>& concerned, const std::function<void()>& work);
  bool has_ended(const OneRun* run) {
    const std::lock_guard lock(ending_);
    return ended_.contains(run);
  }
  /// False when it had ended before.
  bool mark_ended(const OneRun* run) {
    const std::lock_guard lock(ending_);
    return ended_.insert(run).second;
  }
  std::size_t done() const {
    std::size_t sum = 0;
    for (const auto& run : runs_) sum += run->done();
    return sum;
  }

  std::span<const RunRequest> requests_;
  Progress& progress_;
  std::stop_token stop_;
  const LayerCallback& on_layer_;
  std::shared_ptr<const Model> model_;
  std::vector<std::unique_ptr<OneRun>> runs_;
  std::map<std::string, Group> groups_;
  std::map<const OneRun*, BlockRefinement> refinements_;  // of the runs that refine
  std::mutex ending_;                                     // what follows
  std::set<const OneRun*> ended_;
  std::exception_ptr failure_;
  std::mutex finishing_;
  std::size_t layers_ = 0, blocks_ = 0, blocks_walked_ = 0, to_rotate_ = 0, rotated_ = 0, blocks_to_refine_ = 0, blocks_refined_ = 0;
};

}  // namespace lrc

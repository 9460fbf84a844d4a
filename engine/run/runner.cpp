#include "run/runner.h"

#include <chrono>
#include <exception>
#include <map>
#include <new>

#include "base/error.h"
#include "base/hash.h"
#include "run/clip_search.h"
#include "run/float_stream.h"
#include "run/one_run.h"
#include "run/quantized_stream.h"

namespace lrc {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Runs over the same float stream: same rotation, same windows.
struct Group {
  std::vector<OneRun*> runs;
};

/// Several runs carried out side by side. What is computed for a run does not depend on its company.
class Batch {
 public:
  Batch(std::span<const RunRequest> requests, Progress& progress, std::stop_token stop, const LayerCallback& on_layer)
      : requests_(requests), progress_(progress), stop_(stop), on_layer_(on_layer) {}

  std::vector<Manifest> run() {
    const auto start = Clock::now();
    prepare();
    plan();
    for (auto& run : runs_) run->add_time("open", seconds_since(start));
    for (auto& [key, group] : groups_) guard(group.runs, [&] { solve(group); });
    if (failure_) std::rethrow_exception(failure_);
    std::vector<Manifest> manifests;
    for (const auto& run : runs_) manifests.push_back(run->manifest());
    return manifests;
  }

 private:
  void prepare();
  void plan();
  void solve(Group& group);
  void solve_block_of(OneRun& run, const FloatStream& stream, BlockMoments moments, std::vector<LayerTask> tasks);
  void solve_on(QuantizedStream& quantized, OneRun& run, const FloatStream& stream, std::size_t block);
  void finish(OneRun& run, const LayerTask& task, LayerSolution solution, double seconds);
  /// What goes wrong inside is written down in the runs that it concerns; a failure ends these, a stop all of them.
  template <typename Work>
  void guard(const std::vector<OneRun*>& concerned, const Work& work);
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
  std::set<const OneRun*> ended_;
  std::exception_ptr failure_;
  std::mutex finishing_;
  std::size_t layers_ = 0, blocks_ = 0, blocks_walked_ = 0;
};

template <typename Work>
void Batch::guard(const std::vector<OneRun*>& concerned, const Work& work) {
  const auto end = [&](RunState state, const std::string& sentence) {
    for (OneRun* run : concerned)
      if (ended_.insert(run).second) run->end(state, sentence);
  };
  try {
    work();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::stopped) {
      end(RunState::stopped, error.what());
      throw;
    }
    end(RunState::failed, error.what());
    if (!failure_) failure_ = std::current_exception();
  } catch (const std::bad_alloc&) {
    const std::string sentence = "There is not enough memory for this run; close other programs or choose fewer calibration tokens.";
    end(RunState::failed, sentence);
    if (!failure_) failure_ = std::make_exception_ptr(Error(ErrorKind::io, sentence));
  }
}

void Batch::prepare() {
  const RunRequest& first = requests_.front();
  model_ = first.model ? first.model : Model::open(first.model_path);
  // Everything is checked before the first folder is made.
  for (const auto& request : requests_)
    if (const auto problem = problem_of(request.recipe, *model_)) throw Error(ErrorKind::bad_input, *problem);
  std::map<std::string, std::shared_ptr<const RunCorpus>> corpora;
  std::vector<std::string> keys;
  for (const auto& request : requests_) {
    const Recipe& recipe = request.recipe;
    const Json windows = {corpus_file(recipe).string(), recipe.calibration_tokens, recipe.calibration_context, recipe.held_out_windows};
    auto& corpus = corpora[windows.dump()];
    if (!corpus) corpus = std::make_shared<RunCorpus>(open_corpus(recipe, *model_));
    const RotationChoice& rotation = recipe.rotation;
    keys.push_back(Json({windows, rotation.r1, rotation.r2, rotation.r4, rotation.seed}).dump());
    runs_.push_back(nullptr);
    runs_.back() = std::make_unique<OneRun>(request, model_, corpus);
    groups_[keys.back()].runs.push_back(runs_.back().get());
  }
}

void Batch::plan() {
  std::map<std::string, double> seconds;
  for (const auto& [key, group] : groups_) {
    std::size_t blocks = 0;
    for (const OneRun* run : group.runs) {
      blocks = std::max(blocks, run->blocks_to_walk());
      layers_ += run->manifest().layers_total;
      for (const auto& [stage, value] : forecast(run->manifest().recipe, *model_).by_stage)
        if (stage == "solve" || run == group.runs.front()) seconds[stage] += value;
    }
    blocks_ += blocks;
  }
  std::vector<std::pair<std::string, double>> stages;
  for (const char* stage : {"rotate", "calibrate", "solve"}) stages.emplace_back(stage, seconds[stage]);
  progress_.plan(stages, true);
  progress_.report("solve", done(), layers_);
  if (blocks_ > 0) progress_.report("rotate", 0, blocks_);
}

void Batch::solve(Group& group) {
  std::size_t blocks = 0;
  for (const OneRun* run : group.runs) blocks = std::max(blocks, run->blocks_to_walk());
  std::vector<OneRun*> active;
  for (OneRun* run : group.runs)
    if (run->blocks_to_walk() > 0) {
      run->forget_evaluation();
      active.push_back(run);
    }
  if (blocks > 0) {
    auto mark = Clock::now();
    const auto lap = [&](const char* stage) {
      for (OneRun* run : active) run->add_time(stage, seconds_since(mark));
      mark = Clock::now();
    };
    const RunCorpus& corpus = group.runs.front()->corpus();
    FloatStream stream(*model_, group.runs.front()->manifest().recipe.rotation, corpus.windows, corpus.calibration_windows);
    std::map<const OneRun*, QuantizedStream> quantized;
    for (const OneRun* run : active)
      if (const Stream mode = run->manifest().recipe.stream; mode != Stream::fp)
        quantized.try_emplace(run, stream, mode, corpus.calibration_windows, corpus.windows.context);
    for (std::size_t block = 0; block < blocks; ++block) {
      throw_if_stopped(stop_);
      stream.load();
      lap("rotate");
      progress_.report("rotate", ++blocks_walked_, blocks_);
      // What needs the float stream at the door of this block comes before the stream moves on.
      for (OneRun* run : active) {
        if (ended_.contains(run)) continue;
        guard({run}, [&, run = run] {
          const auto start = Clock::now();
          const bool searches = run->manifest().recipe.search_clip && !run->missing_of(block).empty();
          const auto own = quantized.find(run);
          if (searches) run->set_clips(block, best_clips(stream, run->layers_of(block), site_count(model_->config()), stop_));
          if (own != quantized.end()) solve_on(own->second, *run, stream, block);
          if (searches || own != quantized.end()) run->add_time("solve", seconds_since(start));
        });
      }
      mark = Clock::now();
      // Runs that quantize their activations in the same way share the moments, too.
      std::vector<SiteSchemes> schemes;
      std::vector<std::pair<OneRun*, std::size_t>> readers;
      for (OneRun* run : active) {
        const auto tasks = run->missing_of(block);
        if (tasks.empty() || ended_.contains(run) || quantized.contains(run)) continue;
        const auto scheme = site_schemes(tasks, site_count(model_->config()));
        const auto known = std::find(schemes.begin(), schemes.end(), scheme);
        readers.emplace_back(run, std::size_t(known - schemes.begin()));
        if (known == schemes.end()) schemes.push_back(scheme);
      }
      auto moments = stream.advance(schemes, stop_);
      lap("calibrate");
      progress_.report("calibrate", blocks_walked_, blocks_);
      for (std::size_t r = 0; r < readers.size(); ++r) {
        const auto [run, scheme] = readers[r];
        const bool last = std::none_of(readers.begin() + std::ptrdiff_t(r) + 1, readers.end(),
                                       [&, s = scheme](const auto& other) { return other.second == s; });
        guard({run}, [&, run = run, scheme = scheme] {
          solve_block_of(*run, stream, last ? std::move(moments[scheme]) : BlockMoments(moments[scheme]), run->missing_of(block));
        });
      }
      mark = Clock::now();
    }
  }
  for (OneRun* run : group.runs)
    if (ended_.insert(run).second) run->end(RunState::done);
  progress_.report("solve", done(), layers_);
}

void Batch::solve_block_of(OneRun& run, const FloatStream& stream, BlockMoments moments, std::vector<LayerTask> tasks) {
  const auto start = Clock::now();
  solve_block(stream.block(), std::move(moments), std::move(tasks), stop_,
              [&](const LayerTask& task, LayerSolution solution, double seconds) { finish(run, task, std::move(solution), seconds); });
  run.add_time("solve", seconds_since(start));
}

void Batch::finish(OneRun& run, const LayerTask& task, LayerSolution solution, double seconds) {
  const LayerRecord record = run.finish_layer(task, std::move(solution), seconds);
  const std::lock_guard lock(finishing_);
  progress_.report("solve", done(), layers_, record.name);
  if (on_layer_) on_layer_(record);
}

// The sites of a block one after the other, each behind the codes of those before it.
void Batch::solve_on(QuantizedStream& quantized, OneRun& run, const FloatStream& stream, std::size_t block) {
  const auto tasks = run.missing_of(block);
  if (tasks.empty() && run.manifest().recipe.stream == Stream::replay) return;
  quantized.enter();
  for (const auto& task : run.layers_of(block))
    if (run.is_finished(task.layer->name)) quantized.set(*task.layer, read_layer(run.path(), task.layer->name));
  for (const auto kind : {SiteKind::attention_input, SiteKind::attention_output, SiteKind::mlp_input, SiteKind::mlp_hidden}) {
    std::vector<LayerTask> own;
    for (const auto& task : tasks)
      if (task.layer->site().kind == kind) own.push_back(task);
    if (own.empty()) continue;
    auto measured = quantized.measure(kind, own.front().scheme.activation, stop_);
    BlockMoments moments;
    moments.by_site.resize(site_count(model_->config()));
    moments.held_out_by_site.resize(site_count(model_->config()));
    moments.by_site[std::size_t(kind)] = std::move(measured.calibration);
    moments.held_out_by_site[std::size_t(kind)] = std::move(measured.held_out);
    solve_block(stream.block(), std::move(moments), std::move(own), stop_,
                [&](const LayerTask& task, LayerSolution solution, double seconds) {
                  quantized.set(*task.layer, solution);
                  finish(run, task, std::move(solution), seconds);
                });
  }
  quantized.leave(stop_);
}

}  // namespace

std::string fingerprint(const Model& model, const Recipe& recipe, const std::string& corpus_sha256) {
  const Json facts = {{"model", model.checkpoint().sha256()}, {"recipe", deciding_fields(recipe)}, {"corpus", corpus_sha256}};
  return sha256_of(facts.dump());
}

Manifest carry_out(const RunRequest& request, Progress& progress, std::stop_token stop, const LayerCallback& on_layer) {
  throw_if_stopped(stop);
  return Batch({&request, 1}, progress, stop, on_layer).run().front();
}

std::vector<Manifest> carry_out_together(std::span<const RunRequest> requests, Progress& progress, std::stop_token stop,
                                         const LayerCallback& on_layer) {
  throw_if_stopped(stop);
  if (requests.empty()) throw Error(ErrorKind::bad_input, "There is no recipe to carry out.");
  return Batch(requests, progress, stop, on_layer).run();
}

}  // namespace lrc

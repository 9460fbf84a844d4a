#include "run/runner.h"

#include <cassert>
#include <chrono>
#include <exception>
#include <future>
#include <map>
#include <new>

#include "base/error.h"
#include "base/hash.h"
#include "run/block_refinement.h"
#include "run/choose_scales.h"
#include "run/clip_search.h"
#include "run/float_stream.h"
#include "run/layer_rotation.h"
#include "run/memory_plan.h"
#include "run/one_run.h"
#include "run/principal_basis.h"
#include "run/quantized_stream.h"

namespace lrc {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Runs over the same float stream: same rotation, same windows.
struct Group {
  std::vector<OneRun*> runs;
  std::uint64_t memory_limit = 0;
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
  void finish(OneRun& run, const LayerTask& task, LayerSolution solution, double seconds);
  void write(OneRun& run, const LayerTask& task, LayerSolution solution, double seconds);
  /// What goes wrong inside is written down in the runs that it concerns; a failure ends these, a stop all of them.
  template <typename Work>
  void guard(const std::vector<OneRun*>& concerned, const Work& work);
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

template <typename Work>
void Batch::guard(const std::vector<OneRun*>& concerned, const Work& work) {
  const auto end = [&](RunState state, const std::string& sentence) {
    for (OneRun* run : concerned)
      if (mark_ended(run)) run->end(state, sentence);
  };
  const auto remember = [&](std::exception_ptr failure) {
    const std::lock_guard lock(ending_);
    if (!failure_) failure_ = std::move(failure);
  };
  try {
    work();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::stopped) {
      end(RunState::stopped, error.what());
      throw;
    }
    end(RunState::failed, error.what());
    remember(std::current_exception());
  } catch (const std::bad_alloc&) {
    const std::string sentence = "There is not enough memory for this run; close other programs or choose fewer calibration tokens.";
    end(RunState::failed, sentence);
    remember(std::make_exception_ptr(Error(ErrorKind::io, sentence)));
  }
}

void Batch::prepare() {
  const RunRequest& first = requests_.front();
  model_ = first.model ? first.model : Model::open(first.model_path);
  // Everything is checked before the first folder is made.
  for (const auto& request : requests_) {
    if (const auto problem = problem_of(request.recipe, *model_)) throw Error(ErrorKind::bad_input, *problem);
    if (!request.recipe.rotation.file.empty()) rotations_of(request.recipe.rotation, model_->config());
    check_memory(request);
  }
  std::map<std::string, std::shared_ptr<const RunCorpus>> corpora;
  std::vector<std::string> keys;
  for (const auto& request : requests_) {
    const Recipe& recipe = request.recipe;
    const Json windows = {corpus_file(recipe).string(),
                          recipe.calibration_tokens,
                          recipe.calibration_context,
                          recipe.held_out_windows,
                          recipe.calibration_mix ? Json({recipe.calibration_mix->text, recipe.calibration_mix->share}) : Json(),
                          recipe.skip_first_positions};
    auto& corpus = corpora[windows.dump()];
    if (!corpus) corpus = std::make_shared<RunCorpus>(open_corpus(recipe, *model_));
    const RotationChoice rotation = layer_rotation(recipe.rotation);
    // Scaled blocks are a run's own: it walks alone.
    const std::string own = recipe.smoothing == Smoothing::none ? "" : request.folder.string();
    keys.push_back(Json({windows, rotation.r1, rotation.r2, rotation.r4, rotation.seed, rotation.file, rotation.high_share, own}).dump());
    runs_.push_back(nullptr);
    runs_.back() = std::make_unique<OneRun>(request, model_, corpus);
    Group& group = groups_[keys.back()];
    group.runs.push_back(runs_.back().get());
    if (request.memory_limit_bytes != 0 && (group.memory_limit == 0 || request.memory_limit_bytes < group.memory_limit))
      group.memory_limit = request.memory_limit_bytes;
  }
}

void Batch::check_memory(const RunRequest& request) const {
  if (request.memory_limit_bytes == 0) return;
  const MemoryPlan leanest = plan_memory({&request.recipe, 1}, *model_, request.memory_limit_bytes);
  if (request.recipe.refine > 0 && (!leanest.together() || leanest.spill))
    throw Error(ErrorKind::unsupported,
                "Refinement keeps the moments of a block and all hidden states in memory, which this memory limit "
                "does not allow for " +
                    model_->display_name() + "; allow more, or set refine to 0.");
  if (leanest.peak_bytes <= request.memory_limit_bytes) return;
  const auto mebibytes = [](std::uint64_t bytes) { return std::to_string((bytes + (1u << 20) - 1) >> 20) + " MiB"; };
  throw Error(ErrorKind::bad_input, "The recipe " + request.recipe.name + " needs at least " + mebibytes(leanest.peak_bytes) +
                                        " of memory on " + model_->display_name() + ", and " + mebibytes(request.memory_limit_bytes) +
                                        " are allowed; allow more, or leave the widest layers in float.");
}

void Batch::plan() {
  std::map<std::string, double> seconds;
  for (const auto& [key, group] : groups_) {
    std::size_t blocks = 0;
    for (const OneRun* run : group.runs) {
      blocks = std::max(blocks, run->blocks_to_walk());
      layers_ += run->manifest().layers_total;
      if (run->manifest().recipe.refine > 0) blocks_to_refine_ += run->blocks_to_walk();
      for (const auto& [stage, value] : forecast(run->manifest().recipe, *model_).by_stage)
        if (stage == "solve" || stage == "refine" || run == group.runs.front()) seconds[stage] += value;
    }
    blocks_ += blocks;
    to_rotate_ += blocks + (finds_bases(group) ? model_->config().blocks : 0);
  }
  std::vector<std::pair<std::string, double>> stages;
  for (const char* stage : {"rotate", "calibrate", "solve"}) stages.emplace_back(stage, seconds[stage]);
  if (blocks_to_refine_ > 0) stages.emplace_back("refine", seconds["refine"]);
  progress_.plan(stages, true);
  progress_.report("solve", done(), layers_);
  if (blocks_ > 0) progress_.report("rotate", 0, to_rotate_);
}

bool Batch::finds_bases(const Group& group) const {
  return std::ranges::any_of(group.runs, [](const OneRun* run) { return run->blocks_to_walk() > 0 && run->lacks_bases(); });
}

// Runs of a group have the same bases: they are found once.
void Batch::find_bases(const Group& group, const std::filesystem::path& spill_folder) {
  if (!finds_bases(group)) return;
  const OneRun& first = *group.runs.front();
  const auto bases = find_principal_rotations(*model_, first.manifest().recipe.rotation, first.corpus(), spill_folder, stop_,
                                              [this] { progress_.report("rotate", ++rotated_, to_rotate_); });
  for (OneRun* run : group.runs)
    if (run->lacks_bases()) run->set_bases(bases);
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
    std::vector<Recipe> recipes;
    for (const OneRun* run : active) recipes.push_back(run->manifest().recipe);
    MemoryPlan plan = plan_memory(recipes, *model_, group.memory_limit);
    const auto spill_folder = plan.spill ? active.front()->path() : std::filesystem::path();
    find_bases(group, spill_folder);
    lap("rotate");
    const RotationChoice rotation = layer_rotation(active.front()->rotation());
    FloatStream stream(*model_, rotation, corpus.windows, corpus.calibration_windows, rotations_of(rotation, model_->config()),
                       spill_folder);
    std::map<const OneRun*, QuantizedStream> quantized;
    for (const OneRun* run : active)
      if (run->manifest().recipe.stream != Stream::fp)
        quantized.try_emplace(run, stream, run->manifest().recipe, corpus.calibration_windows, corpus.windows.context, spill_folder);
    // What a refined block reads comes from behind the refined ones, whatever its layers are solved on.
    std::map<const OneRun*, QuantizedStream> prefixes;
    std::map<const OneRun*, std::size_t> blocks_of;  // that refining runs walk
    const auto prefix_of = [&](const OneRun* run) -> QuantizedStream& {
      const auto own = quantized.find(run);
      return run->manifest().recipe.stream == Stream::propagated ? own->second : prefixes.at(run);
    };
    for (const OneRun* run : active) {
      const Recipe& recipe = run->manifest().recipe;
      if (recipe.refine == 0) continue;
      blocks_of[run] = run->blocks_to_walk();
      refinements_.try_emplace(run, recipe, corpus.calibration_windows, corpus.windows.context);
      if (recipe.stream != Stream::propagated) {
        Recipe behind = recipe;
        behind.stream = Stream::propagated;
        prefixes.try_emplace(run, stream, behind, corpus.calibration_windows, corpus.windows.context, spill_folder);
      }
    }
    if (!blocks_of.empty()) plan.ahead = false;  // a refined block is finished before the walk goes on
    std::future<void> solving;                   // waits for its end when an error leaves this function
    for (std::size_t block = 0; block < blocks; ++block) {
      throw_if_stopped(stop_);
      stream.load();
      lap("rotate");
      ++blocks_walked_;
      progress_.report("rotate", ++rotated_, to_rotate_);
      for (OneRun* run : active)
        if (run->manifest().recipe.smoothing != Smoothing::none) scale_block(stream, *run, block, plan);
      lap("calibrate");
      // What needs the float stream at the door of this block comes before the stream moves on.
      for (OneRun* run : active) {
        if (has_ended(run)) continue;
        guard({run}, [&, run = run] {
          const auto start = Clock::now();
          const bool searches = run->manifest().recipe.search_clip && !run->missing_of(block).empty();
          const auto own = quantized.find(run);
          const bool passes = own == quantized.end() && !plan.together();
          if (searches) run->set_clips(block, best_clips(stream, run->layers_of(block), site_count(model_->config()), plan.passes, stop_));
          if (own != quantized.end()) solve_on(own->second, *run, stream, block, plan);
          if (passes) solve_in_passes(*run, stream, block, plan);
          if (prefixes.contains(run)) prefixes.at(run).enter();
          if (searches || passes || own != quantized.end()) run->add_time("solve", seconds_since(start));
        });
      }
      mark = Clock::now();
      // Runs that quantize their activations in the same way share the moments, too.
      std::vector<SiteSchemes> schemes;
      std::vector<Reader> readers;
      for (OneRun* run : active) {
        auto tasks = run->missing_of(block);
        if (tasks.empty() || has_ended(run) || quantized.contains(run) || !plan.together()) continue;
        const auto scheme = site_schemes(tasks, site_count(model_->config()));
        const auto known = std::find(schemes.begin(), schemes.end(), scheme);
        readers.push_back({run, std::size_t(known - schemes.begin()), std::move(tasks)});
        if (known == schemes.end()) schemes.push_back(scheme);
      }
      for (OneRun* run : active)
        if (run->manifest().recipe.learn_scales && !has_ended(run) && !run->missing_of(block).empty())
          refinements_.at(run).remember_door(stream);
      auto moments = stream.advance(schemes, stop_);
      lap("calibrate");
      progress_.report("calibrate", blocks_walked_, blocks_);
      // The layers of the block before: at most one block is solved beside the walk.
      if (solving.valid()) solving.get();
      if (plan.ahead && !readers.empty()) {
        const auto weights = std::make_shared<const BlockWeights>(stream.take_block());
        solving = std::async(std::launch::async, [&, weights, moments = std::move(moments), readers = std::move(readers)]() mutable {
          solve_readers(*weights, std::move(moments), std::move(readers), plan);
        });
      } else {
        solve_readers(stream.block(), std::move(moments), std::move(readers), plan);
      }
      for (OneRun* run : active)
        if (blocks_of.contains(run) && block < blocks_of.at(run) && !ended_.contains(run))
          guard({run}, [&, run = run] { refine(*run, stream, prefix_of(run), block); });
      if (plan.ahead)
        lap("solve");
      else
        mark = Clock::now();
    }
    if (solving.valid()) solving.get();
    if (plan.ahead) lap("solve");
  }
  for (OneRun* run : group.runs)
    if (mark_ended(run)) run->end(RunState::done);
  progress_.report("solve", done(), layers_);
}

// The run is alone on this stream.
void Batch::scale_block(FloatStream& stream, OneRun& run, std::size_t block, const MemoryPlan& plan) {
  const auto layers = run.layers_of(block);
  if (layers.empty()) return;
  const Recipe& recipe = run.manifest().recipe;
  // What is kept of learned ones belongs to the finished layers; the float stream always takes those that were chosen.
  std::optional<ChannelScales> scales;
  if (!recipe.learn_scales) scales = run.scales_of(block);
  if (!scales) {
    scales = choose_scales(stream, layers, recipe, stop_, plan.passes);
    if (!run.missing_of(block).empty()) run.set_scales(block, *scales);
  }
  stream.scale(*scales);
}

void Batch::solve_readers(const BlockWeights& weights, std::vector<BlockMoments> moments, std::vector<Reader> readers,
                          const MemoryPlan& plan) {
  for (std::size_t r = 0; r < readers.size(); ++r) {
    const auto start = Clock::now();
    auto& [run, scheme, tasks] = readers[r];
    if (has_ended(run)) continue;
    const bool last = std::none_of(readers.begin() + std::ptrdiff_t(r) + 1, readers.end(),
                                   [&, s = scheme](const Reader& other) { return other.scheme == s; });
    guard({run}, [&, run = run, scheme = scheme, &tasks = tasks] {
      remember(*run, moments[scheme]);
      solve_block(weights, last ? std::move(moments[scheme]) : BlockMoments(moments[scheme]), std::move(tasks), stop_,
                  [&](const LayerTask& task, LayerSolution solution, double seconds) { finish(*run, task, std::move(solution), seconds); },
                  {plan.layers_at_once});
    });
    // Beside the walk only the waiting for it counts: the stages of a run add up to its time.
    if (!plan.ahead) run->add_time("solve", seconds_since(start));
  }
}

namespace {

/// Layers that are solved but lack their losses on held-out tokens.
class Solved {
 public:
  void add(const LayerTask& task, LayerSolution solution, double seconds) {
    const std::lock_guard lock(mutex_);
    layers_.push_back({task, std::move(solution), seconds});
  }
  struct Layer {
    LayerTask task;
    LayerSolution solution;
    double seconds = 0;
  };
  std::vector<Layer>& layers() { return layers_; }

 private:
  std::mutex mutex_;
  std::vector<Layer> layers_;
};

}  // namespace

// Where the moments of a whole block do not fit: a few sites at a time, and the held-out moments when the solves have given
// their memory back.
void Batch::solve_in_passes(OneRun& run, FloatStream& stream, std::size_t block, const MemoryPlan& plan) {
  const auto tasks = run.missing_of(block);
  const std::size_t sites = site_count(model_->config());
  const auto schemes = site_schemes(tasks, sites);
  for (const auto& pass : plan.passes) {
    Listening listening;
    listening.sites.assign(sites, false);
    for (const std::size_t site : pass) listening.sites[site] = true;
    std::vector<LayerTask> own;
    for (const auto& task : tasks)
      if (std::ranges::find(pass, task.layer->site().index()) != pass.end()) own.push_back(task);
    if (own.empty()) continue;
    listening.held_out = false;
    BlockMoments moments = stream.peek(schemes, stop_, listening);
    remember(run, moments);
    Solved solved;
    solve_block(stream.block(), std::move(moments), std::move(own), stop_,
                [&](const LayerTask& task, LayerSolution solution, double seconds) { solved.add(task, std::move(solution), seconds); },
                {plan.layers_at_once, &schemes});
    std::swap(listening.calibration, listening.held_out);
    moments = stream.peek(schemes, stop_, listening);
    remember(run, moments);
    for (auto& [task, solution, seconds] : solved.layers()) {
      const auto& layer = *task.layer;
      add_held_out_losses(solution, convert<double>(stream.block().linear(layer.role, layer.expert).weight),
                          moments.held_out_by_site[layer.site().index()]);
      finish(run, task, std::move(solution), seconds);
    }
  }
}

void Batch::finish(OneRun& run, const LayerTask& task, LayerSolution solution, double seconds) {
  const auto refined = refinements_.find(&run);
  if (refined == refinements_.end()) return write(run, task, std::move(solution), seconds);
  refined->second.hold(task, std::move(solution), seconds);
}

void Batch::write(OneRun& run, const LayerTask& task, LayerSolution solution, double seconds) {
  const LayerRecord record = run.finish_layer(task, std::move(solution), seconds);
  const std::lock_guard lock(finishing_);
  progress_.report("solve", done(), layers_, record.name);
  if (on_layer_) on_layer_(record);
}

// The float stream has passed the block: its hidden states are what the refined block should make of the prefix's.
void Batch::refine(OneRun& run, FloatStream& stream, QuantizedStream& prefix, std::size_t block) {
  const auto start = Clock::now();
  BlockRefinement& refinement = refinements_.at(&run);
  if (refinement.empty()) {
    for (const auto& task : run.layers_of(block)) prefix.set(*task.layer, read_layer(run.path(), task.layer->name));
  } else {
    RefinedBlock refined = refinement.run(stream, block, prefix.own_hidden(), stop_);
    if (refined.scales.any()) {
      auto scales = run.scales_of(block);
      assert(scales && "learned scales start from chosen ones");
      for (std::size_t s = 0; s < refined.scales.by_site.size(); ++s)
        for (std::size_t c = 0; c < refined.scales.by_site[s].size(); ++c) {
          auto& whole = scales->by_site[s];
          if (whole.empty()) whole.assign(refined.scales.by_site[s].size(), 1.0f);
          whole[c] *= refined.scales.by_site[s][c];
        }
      run.set_scales(block, *scales);
    }
    run.add_refinement(refined.record);
    for (auto& [task, solution, seconds] : refined.layers) {
      prefix.set(*task.layer, solution);
      write(run, task, std::move(solution), seconds);
    }
    run.add_time("refine", seconds_since(start));
  }
  if (run.manifest().recipe.learn_scales) {
    // As the finished run will have it, whether the block was refined now or before.
    BlockWeights frame = std::move(load_rotated_block(*model_, block, layer_rotation(run.rotation())).blocks.front());
    if (const auto scales = run.scales_of(block)) fold_channel_scales(frame, model_->config(), *scales);
    prefix.set_frame(frame);
  }
  prefix.leave(stop_);
  progress_.report("refine", ++blocks_refined_, blocks_to_refine_);
}

// The sites of a block one after the other, each behind the codes of those before it.
void Batch::solve_on(QuantizedStream& quantized, OneRun& run, FloatStream& stream, std::size_t block, const MemoryPlan& plan) {
  const auto tasks = run.missing_of(block);
  if (tasks.empty() && run.manifest().recipe.stream == Stream::replay) return;
  quantized.enter();
  for (const auto& task : run.layers_of(block))
    if (run.is_finished(task.layer->name)) quantized.set(*task.layer, read_layer(run.path(), task.layer->name));
  const auto moments_of = [&](SecondMoments calibration, SecondMoments held_out, SiteKind kind) {
    BlockMoments moments;
    moments.by_site.resize(site_count(model_->config()));
    moments.held_out_by_site.resize(site_count(model_->config()));
    moments.by_site[std::size_t(kind)] = std::move(calibration);
    moments.held_out_by_site[std::size_t(kind)] = std::move(held_out);
    return moments;
  };
  for (const auto kind : {SiteKind::attention_input, SiteKind::attention_output, SiteKind::mlp_input, SiteKind::mlp_hidden}) {
    std::vector<LayerTask> own;
    for (const auto& task : tasks)
      if (task.layer->site().kind == kind) own.push_back(task);
    if (own.empty()) continue;
    const ActivationScheme activation = own.front().scheme.activation;
    Listening listening;
    listening.held_out = !plan.held_out_later;
    auto measured = quantized.measure(kind, activation, stop_, listening);
    Solved solved;
    BlockMoments moments = moments_of(std::move(measured.calibration), std::move(measured.held_out), kind);
    remember(run, moments);
    solve_block(stream.block(), std::move(moments), std::move(own), stop_,
                [&](const LayerTask& task, LayerSolution solution, double seconds) {
                  if (plan.held_out_later) return solved.add(task, std::move(solution), seconds);
                  quantized.set(*task.layer, solution);
                  finish(run, task, std::move(solution), seconds);
                },
                {plan.layers_at_once});
    if (solved.layers().empty()) continue;
    // What the layers of a site compute does not change their input: it can be measured after they were solved.
    listening = {.sites = {}, .calibration = false, .held_out = true};
    const SecondMoments held_out = quantized.measure(kind, activation, stop_, listening).held_out;
    if (refinements_.contains(&run)) remember(run, moments_of({}, held_out, kind));
    for (auto& [task, solution, seconds] : solved.layers()) {
      add_held_out_losses(solution, convert<double>(stream.block().linear(task.layer->role, task.layer->expert).weight), held_out);
      quantized.set(*task.layer, solution);
      finish(run, task, std::move(solution), seconds);
    }
  }
  // A refined block is left when it is refined.
  if (!refinements_.contains(&run) || run.manifest().recipe.stream != Stream::propagated) quantized.leave(stop_);
}

}  // namespace

std::string fingerprint(const Model& model, const Recipe& recipe, const std::string& corpus_sha256) {
  Json facts = {{"model", model.checkpoint().sha256()}, {"recipe", deciding_fields(recipe)}, {"corpus", corpus_sha256}};
  if (!recipe.rotation.file.empty()) facts["rotation"] = sha256_of_file(recipe.rotation.file);
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

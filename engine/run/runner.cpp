#include "run/runner.h"

#include <future>
#include <map>
#include <new>

#include "base/error.h"
#include "base/hash.h"
#include "run/batch.h"
#include "run/clip_search.h"
#include "run/layer_rotation.h"
#include "run/principal_basis.h"

namespace lrc {

std::vector<Manifest> Batch::run() {
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

void Batch::guard(const std::vector<OneRun*>& concerned, const std::function<void()>& work) {
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

#include "run/solve_alone.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "base/error.h"
#include "run/block_solver.h"
#include "run/corpus.h"
#include "run/float_stream.h"
#include "run/one_run.h"

namespace lrc {
namespace {

/// What one block needs: its tasks, and the sites that these read.
struct BlockQuestion {
  std::vector<LayerTask> tasks;
  SiteSchemes schemes;
  std::vector<Site> sites;
};

std::map<std::size_t, BlockQuestion> questions_of(const Model& model, const Recipe& recipe, const std::vector<const LayerInfo*>& layers) {
  std::map<std::size_t, BlockQuestion> questions;
  for (const LayerInfo* layer : layers) {
    LayerScheme scheme = effective_scheme(recipe, *layer);
    if (scheme.skipped) throw Error(ErrorKind::bad_input, layer->name + " stays in float under this recipe; there is nothing to solve.");
    questions[layer->block].tasks.push_back({layer, std::move(scheme)});
  }
  for (auto& [block, question] : questions) {
    question.schemes = site_schemes(question.tasks, site_count(model.config()));
    for (const auto& task : question.tasks) {
      const auto add = [&](const Site& site) {
        if (std::ranges::find(question.sites, site) == question.sites.end()) question.sites.push_back(site);
      };
      const Site site = task.layer->site();
      add(site);
      // What all tokens bring to an expert's input stands in for tokens that it did not see.
      if (site.expert != no_expert && site.kind == SiteKind::mlp_input) add({block, SiteKind::mlp_input});
    }
  }
  return questions;
}

bool is_ready(const BlockQuestion& question, const std::filesystem::path& keep) {
  return !keep.empty() &&
         std::ranges::all_of(question.sites, [&](const Site& site) { return is_kept(keep, site, question.schemes[site.index()]); });
}

/// Walks the float model up to the last of the blocks that are not ready; `take` gets the moments of each of them.
void gather(const Model& model, const Recipe& recipe, const std::map<std::size_t, BlockQuestion>& questions,
            const std::filesystem::path& keep, Progress& progress, std::stop_token stop,
            const std::function<void(std::size_t block, BlockMoments moments, const BlockWeights& weights, SiteSamples samples)>& take) {
  std::size_t blocks = 0;
  for (const auto& [block, question] : questions)
    if (!is_ready(question, keep)) blocks = block + 1;
  if (blocks == 0) return;
  RunCorpus corpus = open_corpus(recipe, model);
  corpus.windows.windows.resize(corpus.calibration_windows);  // nothing is held out
  FloatStream stream(model, recipe.rotation, corpus.windows, corpus.calibration_windows);
  for (std::size_t block = 0; block < blocks; ++block) {
    throw_if_stopped(stop);
    stream.load();
    const auto question = questions.find(block);
    if (question == questions.end() || is_ready(question->second, keep)) {
      stream.advance({}, stop);
    } else {
      SiteSamples samples = take_samples(stream, corpus.windows, corpus.calibration_windows, stop);
      auto moments = std::move(stream.advance({&question->second.schemes, 1}, stop).front());
      take(block, std::move(moments), stream.block(), std::move(samples));
    }
    progress.report("gather", block + 1, blocks);
  }
}

void keep_wanted(const BlockQuestion& question, const std::filesystem::path& keep, const BlockMoments& moments, SiteSamples& samples) {
  if (keep.empty()) return;
  for (const Site& site : question.sites)
    if (moments.by_site[site.index()].tokens > 0)
      keep_site(keep, site, question.schemes[site.index()], moments.by_site[site.index()], samples[site.index()]);
}

}  // namespace

std::optional<std::string> problem_of_solving_alone(const Recipe& recipe) {
  if (recipe.stream != Stream::fp)
    return "With the stream " + std::string(name(recipe.stream)) +
           " a layer depends on the layers before it and is not solved alone; run the recipe, or take the stream fp.";
  if (recipe.search_clip)
    return "The clip that this recipe searches for belongs to a whole block and is not found for a layer alone; run the recipe, or set the "
           "clip.";
  if (recipe.smoothing != Smoothing::none)
    return "The channel scales of this recipe are chosen for a whole block; run the recipe, or take smoothing none to solve a layer alone.";
  if (recipe.refine > 0) return "Refinement tunes a block's layers together; run the recipe, or set refine to 0 to solve a layer alone.";
  if (recipe.rotation.high_share > 0)
    return "The principal bases that high precision takes are found for a whole model; run the recipe, or set high_precision to 0 to solve "
           "a layer alone.";
  if (!recipe.rotation.file.empty() || recipe.calibration_mix)
    return "Layers are not solved alone with rotations from a file or with a second calibration text; run the recipe.";
  return {};
}

bool is_ready_to_solve(const Model& model, const Recipe& recipe, const std::vector<const LayerInfo*>& layers,
                       const std::filesystem::path& keep) {
  return std::ranges::all_of(questions_of(model, recipe, layers), [&](const auto& item) { return is_ready(item.second, keep); });
}

void solve_alone(const Model& model, const Recipe& recipe, const std::vector<const LayerInfo*>& layers, const std::filesystem::path& keep,
                 Progress& progress, std::stop_token stop, const AloneCallback& solved) {
  throw_if_stopped(stop);
  if (const auto problem = problem_of_solving_alone(recipe)) throw Error(ErrorKind::bad_input, *problem);
  if (const auto problem = problem_of(recipe, model)) throw Error(ErrorKind::bad_input, *problem);
  const auto questions = questions_of(model, recipe, layers);
  std::mutex mutex;
  std::size_t done = 0;
  progress.report("solve", 0, layers.size());
  const auto solve = [&](const BlockQuestion& question, const BlockWeights& weights, BlockMoments moments) {
    solve_block(weights, std::move(moments), question.tasks, stop, [&](SolvedLayer layer) {
      AloneSolution result;
      result.layer = layer.task.layer;
      result.record = record_of(layer, {});
      result.spectrum = spectrum_of_solution(result.layer->name, layer.solution);
      result.solution = std::move(layer.solution);
      const std::lock_guard lock(mutex);
      progress.report("solve", ++done, layers.size(), layer.task.layer->name);
      solved(std::move(result));
    });
  };
  // What is ready first: the walk may take a while.
  std::map<std::size_t, BlockQuestion> missing;
  for (const auto& [block, question] : questions) {
    if (!is_ready(question, keep)) {
      missing.emplace(block, question);
      continue;
    }
    BlockMoments moments;
    moments.by_site.resize(question.schemes.size());
    moments.held_out_by_site.resize(question.schemes.size());
    bool whole = true;
    for (const Site& site : question.sites) {
      auto kept = kept_site(keep, site, question.schemes[site.index()]);
      whole = whole && kept;
      if (kept) moments.by_site[site.index()] = std::move(kept->moments);
    }
    if (!whole) {  // taken away meanwhile
      missing.emplace(block, question);
      continue;
    }
    solve(question, load_rotated_block(model, block, recipe.rotation).blocks.front(), std::move(moments));
  }
  gather(model, recipe, missing, keep, progress, stop,
         [&](std::size_t block, BlockMoments moments, const BlockWeights& weights, SiteSamples samples) {
           const BlockQuestion& question = missing.at(block);
           keep_wanted(question, keep, moments, samples);
           solve(question, weights, std::move(moments));
         });
}

KeptSite site_of_layer(const Model& model, const Recipe& recipe, const LayerInfo& layer, const std::filesystem::path& keep,
                       Progress& progress, std::stop_token stop) {
  const auto questions = questions_of(model, recipe, {&layer});
  const BlockQuestion& question = questions.at(layer.block);
  const Site site = layer.site();
  if (!keep.empty())
    if (auto kept = kept_site(keep, site, question.schemes[site.index()])) return std::move(*kept);
  KeptSite result;
  gather(model, recipe, questions, keep, progress, stop, [&](std::size_t, BlockMoments moments, const BlockWeights&, SiteSamples samples) {
    result.moments = std::move(moments.by_site[site.index()]);
    result.sample = std::move(samples[site.index()]);
    if (!keep.empty() && result.moments.tokens > 0) keep_site(keep, site, question.schemes[site.index()], result.moments, result.sample);
  });
  return result;
}

}  // namespace lrc

#pragma once
// Solves single layers outside of a run, from moments that were kept or are gathered again: the same codes, factors and losses as a run
// of the recipe gives them (but for the held-out loss, which nobody measures here).
#include <filesystem>
#include <functional>
#include <stop_token>
#include <vector>

#include "base/progress.h"
#include "run/kept_sites.h"
#include "run/manifest.h"
#include "run/spectra.h"

namespace lrc {

struct AloneSolution {
  const LayerInfo* layer = nullptr;
  LayerSolution solution;
  LayerRecord record;      ///< names no file
  LayerSpectrum spectrum;  ///< as spectrum_of_run() reads it
};
LayerSpectrum spectrum_of_solution(const std::string& layer, const LayerSolution& solution);
/// Told of each solved layer, on the thread that solved it; one call at a time.
using AloneCallback = std::function<void(AloneSolution)>;

/// Why layers of this recipe cannot be solved one by one, or nothing: behind a quantized prefix a layer depends on those before it.
std::optional<std::string> problem_of_solving_alone(const Recipe& recipe);

/// `layers` (of this model) under the recipe, block by block. `keep` is kept_sites_folder() or "" (nothing is read or kept there).
/// Sites that are not kept are gathered: the float model is walked up to their block. Progress: "gather" (blocks), "solve" (layers).
/// Throws Error.
void solve_alone(const Model& model, const Recipe& recipe, const std::vector<const LayerInfo*>& layers, const std::filesystem::path& keep,
                 Progress& progress, std::stop_token stop, const AloneCallback& solved);

/// Whether solve_alone() would find all it needs there.
bool is_ready_to_solve(const Model& model, const Recipe& recipe, const std::vector<const LayerInfo*>& layers,
                       const std::filesystem::path& keep);

/// The site of a layer under the recipe, kept or gathered (and then kept); the second asks for the sample, too.
KeptSite site_of_layer(const Model& model, const Recipe& recipe, const LayerInfo& layer, const std::filesystem::path& keep,
                       Progress& progress, std::stop_token stop);

}  // namespace lrc

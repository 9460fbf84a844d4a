#pragma once
// Carries out a recipe. Layout of a run folder:
//   manifest.json                      facts; rewritten whole after each layer
//   layers/NAME.safetensors            one solved layer: codes (packed), scales F16, u F16, v F16, losses and curves; written
//                                      whole or not at all, same bytes for the same recipe on the same machine
//   transforms/block-N.safetensors     channel scales that were folded into a block before it was solved (run/transforms.h)
//   transforms/rotation.safetensors    rotations that were imported, as they came, or principal bases that the run found
// Resuming needs nothing but these files: finished layers are kept, the float stream up to the first unfinished block is
// computed again.
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "base/progress.h"
#include "correction/solve.h"
#include "run/manifest.h"

namespace lrc {

struct RunRequest {
  std::filesystem::path model_path;
  std::shared_ptr<const Model> model;  ///< opened already, or null
  Recipe recipe;
  std::filesystem::path folder;
  /// What the process may come to hold in memory; 0 = what is free at the start. It decides how the work is cut (run/memory_plan.h),
  /// never a result.
  std::uint64_t memory_limit_bytes = 0;
};
/// Told after each finished layer, on the thread that solved it; one call at a time.
using LayerCallback = std::function<void(const LayerRecord&)>;

/// Starts or continues the run in `folder`. A folder of another model, recipe or corpus throws Error(bad_input) saying which
/// of them differs. Stopping throws Error(stopped) after the manifest says so; a failure is recorded and rethrown.
Manifest carry_out(const RunRequest& request, Progress& progress, std::stop_token stop, const LayerCallback& on_layer = {});

/// Several recipes on one model side by side: those with the same rotation and calibration windows share the float forward pass,
/// and the second moments where they quantize activations alike. Each folder holds the same bytes as a run of its own; the times
/// "rotate" and "calibrate" in a manifest are those of the shared work. All requests are checked before the first folder is made.
/// A run that fails is recorded and the others go on; the first failure is then rethrown.
std::vector<Manifest> carry_out_together(std::span<const RunRequest> requests, Progress& progress, std::stop_token stop,
                                         const LayerCallback& on_layer = {});

/// Evaluates a finished run on a text and records the result in its manifest.
struct EvaluationRequest {
  std::filesystem::path text;  ///< "" = the shipped WikiText-2 test text
  std::size_t context = 2048;  ///< at most the model's
  std::size_t windows = 0;     ///< 0 = all
  bool with_reference = true;  ///< KL and top-1 against the original
  std::string device = "cpu";
  bool again = true;  ///< off: runs that were evaluated in the same way already keep their figures
};
Evaluation evaluate_run(const std::filesystem::path& run_folder, const EvaluationRequest& request, Progress& progress,
                        std::stop_token stop);

/// Runs of one model in one pass: the original is computed once for all of them.
std::vector<Evaluation> evaluate_runs(std::span<const std::filesystem::path> run_folders, const EvaluationRequest& request,
                                      Progress& progress, std::stop_token stop);

/// One solved layer as it lies in the folder.
LayerSolution read_layer(const std::filesystem::path& run_folder, const std::string& layer);

/// The exact `lrc quantize …` command that does the same.
std::string command_of(const RunRequest& request);
/// What must match to continue.
std::string fingerprint(const Model& model, const Recipe& recipe, const std::string& corpus_sha256);

}  // namespace lrc

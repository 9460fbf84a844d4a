#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "evaluation/evaluation.h"
#include "run/recipe.h"

namespace lrc {

struct LayerRecord {
  std::string name, method;
  int weight_bits = 4, activation_bits = 4, factor_bits = 16;
  std::size_t group_size = 0, rank = 0, out_features = 0, in_features = 0;
  double bits_per_weight = 0;
  // Relative to ‖W X‖²; NaN, written as null, where the input is all zero and nothing can be relative to it.
  double loss = 0, loss_uncorrected = 0, loss_regularized = 0, lower_bound = 0, weights_only = 0, activations_only = 0;
  std::optional<double> held_out_loss;
  std::optional<double> range_finder_missed;  ///< LayerLosses::range_finder_missed
  std::size_t tokens = 0;                     ///< calibration tokens that the layer's input saw: all of them, but for experts
  std::string warning;                        ///< one sentence when an expert saw too few; else empty
  double seconds = 0;
  std::string file;  ///< layers/NAME.safetensors
  std::string sha256;
};

/// Channel scales of one block as they were folded (run/transforms.h).
struct TransformRecord {
  std::size_t block = 0;
  std::string file;  ///< transforms/block-N.safetensors
  std::string sha256;
};

/// What `refine` did to one block. Losses: mean over tokens of ‖block output − original‖² / ‖original‖², behind the quantized prefix,
/// for what is stored.
struct RefinementRecord {
  std::size_t block = 0;
  int steps = 0, best_step = 0;                    ///< best_step 0: what was solved stayed as it was
  double loss_before = 0, loss_after = 0;          ///< over training windows
  double held_out_before = 0, held_out_after = 0;  ///< over held-out windows: what decided
  double seconds = 0;
};

enum class RunState { running, paused, stopped, failed, done };
std::string_view name(RunState state);

/// RUN/manifest.json: the facts of a run. `results` (PPL, KL) are added by an evaluation after the solve.
struct Manifest {
  int format_version = 1;
  std::string program_version;
  std::filesystem::path model_path;
  std::string model_sha256, model_name;
  Recipe recipe;
  std::vector<std::pair<std::string, LayerScheme>> effective;
  std::string calibration_path, calibration_sha256;
  std::size_t calibration_tokens = 0;
  std::string calibration_mix_path, calibration_mix_sha256;  ///< of the second text; empty when there is none
  std::string rotation_sha256;                               ///< of transforms/rotation.safetensors; empty without imported or principal ones
  Json machine;
  std::vector<std::pair<std::string, double>> timings;  ///< stage, seconds
  double bits_per_weight = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t peak_memory_bytes = 0;
  std::vector<LayerRecord> layers;            ///< finished ones, in order
  std::vector<RefinementRecord> refinements;  ///< in order; empty without `refine`
  std::size_t layers_total = 0;
  std::vector<TransformRecord> transforms;  ///< by block; only with a recipe that smooths
  RunState state = RunState::running;
  std::string failure;  ///< the sentence, when failed
  std::optional<Evaluation> evaluation;
  Json evaluation_protocol;  ///< text, sha256, context, windows
  std::string fingerprint;   ///< of model + recipe + corpus: what must match to continue
};

/// Where a run keeps the rotations that it imported, or the principal bases that it found.
inline constexpr const char* imported_rotation_file = "transforms/rotation.safetensors";

std::string_view program_version();  ///< "0.1.0"

Json to_json(const Manifest& manifest);
/// Throws Error(bad_file) naming file and key; a newer format_version is refused with the version that can open it.
Manifest read_manifest(const std::filesystem::path& run_folder);
void write_manifest(const std::filesystem::path& run_folder, const Manifest& manifest);  ///< whole or not at all
bool is_run_folder(const std::filesystem::path& path);

}  // namespace lrc

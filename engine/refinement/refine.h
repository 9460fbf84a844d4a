#pragma once
// The door of the folder: tunes the solved layers of one block on the block's own output error (issue of every layer-wise solve: what
// one layer leaves, the next could make up for). Inputs come from behind the quantized prefix, targets from the float model.
//
// Loss: the mean over tokens of ‖y − t‖² / ‖t‖². Tokens count alike whatever they carry: the first position, whose massive
// activations would make up nearly all of a plain sum of squares, is one token among the others.
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "correction/solve.h"
#include "model/weights.h"

namespace lrc {

struct RefinedLayer {
  Role role = Role::q_proj;
  LayerSolution solution;  ///< as solved; as refined when it returns
};

struct RefineRequest {
  const ModelConfig& config;
  const BlockWeights& block;  ///< float, rotated; layers that are not refined stay as they are there
  const std::optional<HadamardOrder>& down_hadamard;
  bool rotary = true;
  std::span<const float*const> inputs, targets;  ///< by window, (context, hidden)
  std::size_t training_windows = 0;              ///< the first ones; the rest decides which iterate is kept
  std::size_t context = 0;
  std::size_t skipped_positions = 0;  ///< the first ones of each window: attended to, but no part of the loss
  int steps = 0;
  std::uint64_t seed = 0;
  bool learn_scales = false;  ///< channel scales, too (LET, refinement/learned_scales.h); every layer was solved by lsi
};

/// Losses for what is stored: over the held-out windows, and over as many training windows.
struct RefineOutcome {
  int best_step = 0;
  double loss_before = 0, loss_after = 0, held_out_before = 0, held_out_after = 0;
  /// By Site::index(): what the input of a site is divided by, and the codes of its layers take into account, beside the scales that the
  /// block came with. Empty where none were learned, or none were kept.
  std::vector<std::vector<float>> scales = {};
};

/// The same result for any number of threads. Throws Error(stopped), Error(unsupported) for blocks with experts and
/// Error(bad_input) without held-out windows.
RefineOutcome refine_block(const RefineRequest& request, std::vector<RefinedLayer>& layers, std::stop_token stop);

}  // namespace lrc

#pragma once
// Solves the layers of one block from the block's second moments.
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "calibration/block_walk.h"
#include "correction/solve.h"
#include "model/weights.h"

namespace lrc {

struct LayerTask {
  const LayerInfo* layer = nullptr;
  LayerScheme scheme;
  // Filled by solve_block.
  std::size_t tokens = 0;    ///< calibration tokens that the layer's input saw
  std::string warning = {};  ///< one sentence when they were too few, see calibration/expert_moments.h
};
struct SolvedLayer {
  LayerTask task;
  LayerSolution solution;
  double seconds = 0;  ///< of its solve
};
/// Told of each solved layer, on the thread that solved it; several may be told at once.
using SolvedCallback = std::function<void(SolvedLayer solved)>;

/// The activation scheme of each of a block's `sites`, by Site::index(), from the layers that read it; sites that nobody reads
/// have none (16 bits). What all tokens bring to the experts (mlp_input) is measured as the experts themselves quantize it.
SiteSchemes site_schemes(const std::vector<LayerTask>& tasks, std::size_t sites);

/// Work of a layer up to a common factor: its site's factorization, GPTQ and the eigenproblem. What is most is solved first.
double solving_work(const LayerInfo& layer);

/// What a caller knows beyond the tasks; nothing of it changes a result.
struct SolveSettings {
  int layers_at_once = 0;                ///< at most so many in work; 0 = as many as there are threads
  const SiteSchemes* schemes = nullptr;  ///< of the whole block, where the tasks are only a part of it
};
/// Layers run in parallel, biggest first; a site is factorized when its first layer comes up. The results do not depend on
/// the number of threads. `moments` is used up. Throws the first layer's Error.
void solve_block(const BlockWeights& weights, BlockMoments moments, std::vector<LayerTask> tasks, std::stop_token stop,
                 const SolvedCallback& solved, const SolveSettings& settings = {});

/// The losses of a solved layer on held-out tokens, where there were any.
void add_held_out_losses(LayerSolution& solution, const MatrixD& weight, const SecondMoments& held_out);

}  // namespace lrc

#pragma once
// `refine` in a run: layers of a block are held back when they are solved, tuned together on the block's output error, and finished
// then. What feeds the block is the stream behind the refined prefix.
#include <mutex>
#include <stop_token>
#include <vector>

#include "run/block_solver.h"
#include "run/manifest.h"
#include "run/quantized_stream.h"

namespace lrc {

/// What is stored of a block, its layers in order.
struct RefinedBlock {
  RefinementRecord record;
  std::vector<SolvedLayer> layers;
  ChannelScales scales = {};  ///< learned on top of those that the block was solved with; empty when there are none
};

class BlockRefinement {
 public:
  BlockRefinement(const Recipe& recipe, std::size_t calibration_windows, std::size_t context)
      : recipe_(recipe), calibration_windows_(calibration_windows), context_(context) {}

  /// Keeps a solved layer. May be called from several threads.
  void hold(SolvedLayer layer);
  /// The moments that a site was solved from, by Site::index(): the losses of the refined layers are theirs.
  void remember(const BlockMoments& moments);
  bool empty() const { return held_.empty(); }
  /// With learned scales: hidden states at the door of the block that the stream has loaded, to measure its layers anew.
  void remember_door(FloatStream& stream);

  /// Tunes what was held and forgets it; `inputs` are hidden states at the block's door behind the quantized prefix, `stream` has
  /// passed the block.
  RefinedBlock run(FloatStream& stream, std::size_t block, const HiddenStates& inputs, std::stop_token stop);

 private:
  void measure_scaled(FloatStream& stream, const ChannelScales& scales, BlockWeights& block, std::stop_token stop);

  const Recipe& recipe_;
  std::size_t calibration_windows_, context_;
  std::vector<SolvedLayer> held_;
  BlockMoments moments_;
  std::vector<MatrixF> door_;  // by window
  std::mutex mutex_;
};

}  // namespace lrc

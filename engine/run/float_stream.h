#pragma once
// The float model walked block by block with the rotations folded in: one block's weights are in memory at a time, so that
// what a run needs does not grow with the depth of the model.
#include <memory>
#include <span>
#include <stop_token>

#include "calibration/block_walk.h"
#include "model/channel_scales.h"
#include "model/imported_rotations.h"
#include "model/transformer.h"
#include "model/weights.h"

namespace lrc {

class FloatStream {
 public:
  /// Embeds all windows; the first `calibration_windows` gather moments, the rest are held out. `imported`: the matrices of
  /// rotation.file, if it names one. With a `spill_folder` the hidden
  /// states are kept in a file there.
  FloatStream(const Model& model, const RotationChoice& rotation, const TokenWindows& windows, std::size_t calibration_windows,
              std::shared_ptr<const ImportedRotations> imported = nullptr, const std::filesystem::path& spill_folder = {});

  std::size_t next_block() const { return next_; }  ///< the loaded one until it is run
  /// Loads and rotates the next block. advance() or skip() then runs it.
  void load();
  /// Folds channel scales into the loaded block, whose float outputs stay. They must have been checked.
  void scale(const ChannelScales& scales);
  /// Runs the loaded block over all windows and gathers moments for its sites, once for each of `activations`.
  std::vector<BlockMoments> advance(std::span<const SiteSchemes> activations, std::stop_token stop, const WindowObserver& listener = {});
  /// Weights of the block that was loaded last, rotated.
  const BlockWeights& block() const { return weights_.blocks.front(); }
  /// Hands them over when the stream has left the block: they outlive the next load().
  BlockWeights take_block() { return std::move(weights_.blocks.front()); }
  /// A model of that block alone.
  const ModelWeights& weights() const { return weights_; }
  Transformer& transformer() { return *transformer_; }
  const std::shared_ptr<Backend>& shared_backend() const { return backend_; }
  /// Of every window, at the door of the loaded block.
  const HiddenStates& hidden() const { return walk_->hidden(); }
  /// The first positions of each window, where nothing is measured.
  std::size_t skipped_positions() const { return walk_->skipped_positions(); }
  /// Lets somebody see the sites of the loaded block over the calibration windows.
  void observe(const SiteObserver& observer, std::stop_token stop) { walk_->observe(observer, stop); }
  /// Moments of the loaded block's sites without leaving it: another activation scheme may be tried after it.
  BlockMoments peek(const SiteSchemes& activation, std::stop_token stop, const Listening& listening = {}) {
    return walk_->peek(activation, stop, listening);
  }

 private:
  const Model& model_;
  RotationChoice rotation_;
  std::shared_ptr<const ImportedRotations> imported_;
  std::shared_ptr<Backend> backend_;
  ModelWeights weights_;  // of one block; the embedding is a stand-in
  std::unique_ptr<Transformer> transformer_;
  std::unique_ptr<BlockWalk> walk_;
  std::size_t next_ = 0;
};

/// One block of the model, rotated, as a model of its own that nobody asks for logits.
ModelWeights load_rotated_block(const Model& model, std::size_t block, const RotationChoice& rotation,
                                const ImportedRotations* imported = nullptr);

}  // namespace lrc

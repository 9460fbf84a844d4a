#pragma once
// Walks a float model block by block over all windows, so that one block's weights and one site's moments are in use at a
// time, and gathers the second moments of every site of the block.
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "base/progress.h"
#include "calibration/calibration.h"
#include "calibration/hidden_states.h"
#include "model/transformer.h"
#include "quantization/second_moments.h"

namespace lrc {

/// The activation scheme of each site of a block, by Site::index().
using SiteSchemes = std::vector<ActivationScheme>;

struct BlockMoments {
  std::vector<SecondMoments> by_site;           ///< by Site::index(); an expert that saw no token has tokens = 0
  std::vector<SecondMoments> held_out_by_site;  ///< of the held-out windows; tokens = 0 when there are none
};

/// What a pass over the windows listens to.
struct Listening {
  std::vector<bool> sites = {};  ///< by Site::index(); empty: to all of them
  bool calibration = true, held_out = true;
};

/// Sees the input of each site as a SiteObserver does; true when it has seen enough of this block.
using SiteListener = std::function<bool(const Site& site, const float* x, std::size_t tokens, std::size_t width)>;
/// Runs a block on `hidden`, which is used up, until the listener has seen enough.
void listen_to_block(Transformer& transformer, std::size_t block, const Buffer& hidden, std::size_t tokens, const SiteListener& listener);
/// Sees what enters each site of a block (after online rotations, before quantization), window by window: x (tokens, width).
using WindowObserver = std::function<void(std::size_t window, const Site& site, const float* x, std::size_t tokens, std::size_t width)>;

/// Hidden states of all windows, advanced block by block.
class BlockWalk {
 public:
  /// The first `calibration` windows gather moments, the rest are held out. With a `spill_folder` hidden states are kept in a file
  /// there; what is gathered does not depend on it. Throws Error(unsupported) where positions are to be skipped in a model with
  /// experts, whose tokens have lost their position.
  BlockWalk(Transformer& transformer, const TokenWindows& windows, std::size_t calibration_windows,
            const std::filesystem::path& spill_folder = {});

  /// From here on blocks are run by this transformer (same backend), whose own first block is block `first_block` of the
  /// model: for a model whose weights are loaded block by block. It must outlive its use.
  void use(Transformer& transformer, std::size_t first_block);

  std::size_t next_block() const { return next_; }
  std::size_t skipped_positions() const { return skipped_; }
  /// Runs the next block over all windows and gathers moments for its sites, once for each of `activations`: runs that differ
  /// in nothing else share the forward pass. The listener sees every position.
  std::vector<BlockMoments> advance(std::span<const SiteSchemes> activations, std::stop_token stop, const WindowObserver& listener = {});
  BlockMoments advance(const SiteSchemes& activation, std::stop_token stop) {
    return std::move(advance(std::span(&activation, 1), stop).front());
  }
  /// The moments of advance() without moving on; those of sites and windows that are not listened to stay empty.
  BlockMoments peek(const SiteSchemes& activation, std::stop_token stop, const Listening& listening = {});
  /// Runs the next block over the calibration windows for an observer alone, which sees the positions that count, and does not move on.
  void observe(const SiteObserver& observer, std::stop_token stop);
  /// Of every window, at the door of the next block.
  const HiddenStates& hidden() const { return hidden_; }
  /// Runs it without listening: what a resumed run does with blocks that are finished.
  void skip(std::stop_token stop) { advance(std::span<const SiteSchemes>(), stop); }

 private:
  Transformer* transformer_;
  std::size_t calibration_windows_, next_ = 0, first_block_ = 0, context_, skipped_;
  HiddenStates hidden_;
};

}  // namespace lrc

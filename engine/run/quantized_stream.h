#pragma once
// The stream behind the quantized prefix, walked beside the float one (methods.md 1.11): hidden states that have passed every layer
// that is solved so far, also those of the block in work. Its sites are measured one after the other, because each depends on the
// codes of the sites before it.
#include <mutex>
#include <stop_token>

#include "correction/solve.h"
#include "run/float_stream.h"
#include "run/recipe.h"

namespace lrc {

class QuantizedStream {
 public:
  /// By the recipe's stream: propagated, or replay (back on the float model's hidden states at the door of each block). Its keys and
  /// values are quantized on their way into attention, behind R3 where the recipe has it. `original` must outlive it. With a
  /// `spill_folder` its hidden states are kept in a file there.
  QuantizedStream(FloatStream& original, const Recipe& recipe, std::size_t calibration_windows, std::size_t context,
                  std::filesystem::path spill_folder = {});

  /// Takes over the block that the float stream has loaded, all of it in float.
  void enter();
  /// Moments of one site, with the drift, over the windows that are listened to.
  struct SiteMoments {
    SecondMoments calibration, held_out;
  };
  SiteMoments measure(SiteKind kind, const ActivationScheme& activation, std::stop_token stop, const Listening& listening = {});
  /// From here on the layer computes with its codes and its pair. May be called from several threads.
  void set(const LayerInfo& layer, LayerSolution solution);
  /// Of every window behind the prefix, at the door of the block in work.
  const HiddenStates& own_hidden() const { return hidden_; }
  /// Runs the block over all windows.
  void leave(std::stop_token stop);
  /// What surrounds the quantized layers of the block it has entered, in the place of what the float stream has there: norms, biases and
  /// layers in float.
  void set_frame(const BlockWeights& block);

 private:
  /// Its own hidden states, or the float model's where it begins each block on them.
  const HiddenStates& hidden() const { return mode_ == Stream::replay ? original_.hidden() : hidden_; }
  FloatStream& original_;
  Stream mode_;
  ActivationScheme cache_;
  bool rotates_keys_;
  std::size_t calibration_windows_, context_;
  ModelWeights weights_;  // the block in work
  HiddenStates hidden_;
  std::mutex mutex_;
};

}  // namespace lrc

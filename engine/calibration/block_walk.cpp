#include "calibration/block_walk.h"

#include <algorithm>
#include <cassert>

#include "base/error.h"

namespace lrc {

BlockWalk::BlockWalk(Transformer& transformer, const TokenWindows& windows, std::size_t calibration_windows)
    : transformer_(&transformer), calibration_windows_(std::min(calibration_windows, windows.windows.size())), context_(windows.context) {
  if (calibration_windows_ == 0) throw Error(ErrorKind::bad_input, "Calibration needs at least one window of text.");
  hidden_.reserve(windows.windows.size());
  for (const auto& window : windows.windows) hidden_.push_back(transformer_->embed(window));
}

void BlockWalk::use(Transformer& transformer, std::size_t first_block) {
  assert(first_block <= next_);
  transformer_ = &transformer;
  first_block_ = first_block;
}

std::vector<BlockMoments> BlockWalk::advance(std::span<const SiteSchemes> activations, std::stop_token stop,
                                             const WindowObserver& listener) {
  auto moments = run(activations, true, stop, listener);
  ++next_;
  return moments;
}

BlockMoments BlockWalk::peek(const SiteSchemes& activation, std::stop_token stop) {
  return std::move(run({&activation, 1}, false, stop, {}).front());
}

std::vector<BlockMoments> BlockWalk::run(std::span<const SiteSchemes> activations, bool move_on, std::stop_token stop,
                                         const WindowObserver& listener) {
  assert(next_ < transformer_->config().blocks);
  // A stop in the middle leaves windows at different depths; the walk is of no use after it.
  std::vector<BlockMoments> moments(activations.size());
  for (std::size_t a = 0; a < activations.size(); ++a) {
    assert(activations[a].size() == site_count(transformer_->config()));
    moments[a].by_site.resize(activations[a].size());
    moments[a].held_out_by_site.resize(activations[a].size());
  }
  for (std::size_t w = 0; w < hidden_.size(); ++w) {
    throw_if_stopped(stop);
    SiteObserver observer;
    if (!activations.empty() || listener) {
      observer = [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
        for (std::size_t a = 0; a < activations.size(); ++a) {
          throw_if_stopped(stop);
          auto& by_site = w < calibration_windows_ ? moments[a].by_site : moments[a].held_out_by_site;
          accumulate(by_site[site.index()], x, tokens, width, activations[a][site.index()]);
        }
        if (listener) listener(w, site, x, tokens, width);
      };
    }
    Buffer hidden = hidden_[w];
    if (!move_on) {
      hidden = transformer_->backend().allocate(hidden_[w]->bytes());
      transformer_->backend().copy(hidden_[w], 0, hidden, 0, hidden_[w]->bytes());
    }
    transformer_->run_block(next_ - first_block_, hidden, context_, observer);
  }
  // Devices that run later must have finished before the moments of the next block count on this one.
  transformer_->backend().finish();
  return moments;
}

}  // namespace lrc

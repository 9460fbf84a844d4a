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

BlockMoments BlockWalk::advance(const std::array<ActivationScheme, 4>& activation, std::stop_token stop) { return run(&activation, stop); }

void BlockWalk::skip(std::stop_token stop) { run(nullptr, stop); }

BlockMoments BlockWalk::run(const std::array<ActivationScheme, 4>* activation, std::stop_token stop) {
  assert(next_ < transformer_->config().blocks);
  // A stop in the middle leaves windows at different depths; the walk is of no use after it.
  BlockMoments moments;
  for (std::size_t w = 0; w < hidden_.size(); ++w) {
    throw_if_stopped(stop);
    SiteObserver observer;
    if (activation) {
      auto& by_site = w < calibration_windows_ ? moments.by_site : moments.held_out_by_site;
      observer = [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
        throw_if_stopped(stop);
        accumulate(by_site[std::size_t(site.kind)], x, tokens, width, (*activation)[std::size_t(site.kind)]);
      };
    }
    transformer_->run_block(next_ - first_block_, hidden_[w], context_, observer);
  }
  // Devices that run later must have finished before the moments of the next block count on this one.
  transformer_->backend().finish();
  ++next_;
  return moments;
}

}  // namespace lrc

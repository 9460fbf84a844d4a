#include "calibration/block_walk.h"

#include <algorithm>
#include <cassert>

#include "base/error.h"

namespace lrc {
namespace {

/// Thrown by an observer that has seen what it was after: the rest of the block need not run.
struct SeenEnough {};

std::vector<BlockMoments> empty_moments(std::span<const SiteSchemes> activations, [[maybe_unused]] std::size_t sites) {
  std::vector<BlockMoments> moments(activations.size());
  for (std::size_t a = 0; a < activations.size(); ++a) {
    assert(activations[a].size() == sites);
    moments[a].by_site.resize(activations[a].size());
    moments[a].held_out_by_site.resize(activations[a].size());
  }
  return moments;
}

}  // namespace

void listen_to_block(Transformer& transformer, std::size_t block, const Buffer& hidden, std::size_t tokens, const SiteListener& listener) {
  try {
    transformer.run_block(block, hidden, tokens, [&](const Site& site, const float* x, std::size_t count, std::size_t width) {
      if (listener(site, x, count, width)) throw SeenEnough();
    });
  } catch (const SeenEnough&) {
    // What was asked for is there; the buffers of the rest of the block are only scratch.
  }
}

BlockWalk::BlockWalk(Transformer& transformer, const TokenWindows& windows, std::size_t calibration_windows,
                     const std::filesystem::path& spill_folder)
    : transformer_(&transformer),
      calibration_windows_(std::min(calibration_windows, windows.windows.size())),
      context_(windows.context),
      skipped_(windows.skipped_positions),
      hidden_(transformer.backend(), spill_folder) {
  if (calibration_windows_ == 0) throw Error(ErrorKind::bad_input, "Calibration needs at least one window of text.");
  if (skipped_ >= context_)
    throw Error(ErrorKind::bad_input, "Leaving out the first " + std::to_string(skipped_) + " positions leaves nothing of windows of " +
                                          std::to_string(context_) + " tokens.");
  if (skipped_ > 0 && transformer.config().experts > 0)
    throw Error(ErrorKind::unsupported,
                "The first positions cannot be left out for models with experts: a token that is routed to one "
                "has lost its position; set skip_first_positions to 0.");
  for (const auto& window : windows.windows) hidden_.add(transformer_->embed(window));
}

void BlockWalk::use(Transformer& transformer, std::size_t first_block) {
  assert(first_block <= next_);
  transformer_ = &transformer;
  first_block_ = first_block;
}

std::vector<BlockMoments> BlockWalk::advance(std::span<const SiteSchemes> activations, std::stop_token stop,
                                             const WindowObserver& listener) {
  assert(next_ < transformer_->config().blocks);
  // A stop in the middle leaves windows at different depths; the walk is of no use after it.
  auto moments = empty_moments(activations, site_count(transformer_->config()));
  for (std::size_t w = 0; w < hidden_.size(); ++w) {
    throw_if_stopped(stop);
    SiteObserver observer;
    if (!activations.empty() || listener) {
      observer = [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
        for (std::size_t a = 0; a < activations.size(); ++a) {
          throw_if_stopped(stop);
          auto& by_site = w < calibration_windows_ ? moments[a].by_site : moments[a].held_out_by_site;
          accumulate(by_site[site.index()], x + skipped_ * width, tokens - skipped_, width, activations[a][site.index()]);
        }
        if (listener) listener(w, site, x, tokens, width);
      };
    }
    const Buffer hidden = hidden_.get(w);
    transformer_->run_block(next_ - first_block_, hidden, context_, observer);
    hidden_.put(w, hidden);
  }
  // Devices that run later must have finished before the moments of the next block count on this one.
  transformer_->backend().finish();
  ++next_;
  return moments;
}

void BlockWalk::observe(const SiteObserver& observer, std::stop_token stop) {
  const SiteObserver behind_skipped = [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
    observer(site, x + skipped_ * width, tokens - skipped_, width);
  };
  for (std::size_t w = 0; w < calibration_windows_; ++w) {
    throw_if_stopped(stop);
    transformer_->run_block(next_ - first_block_, hidden_.copy(w), context_, behind_skipped);
  }
}

BlockMoments BlockWalk::peek(const SiteSchemes& activation, std::stop_token stop, const Listening& listening) {
  assert(next_ < transformer_->config().blocks);
  BlockMoments moments = std::move(empty_moments({&activation, 1}, site_count(transformer_->config())).front());
  const auto wanted = [&](const Site& site) { return listening.sites.empty() || listening.sites[site.index()]; };
  // How many sites can end a pass early: which experts a window reaches is not known before.
  std::size_t awaited = 0;
  for (std::size_t s = 0; s < activation.size(); ++s) {
    const Site site = site_at(next_, s);
    if (!wanted(site)) continue;
    if (site.expert != no_expert) {
      awaited = 0;
      break;
    }
    ++awaited;
  }
  for (std::size_t w = 0; w < hidden_.size(); ++w) {
    throw_if_stopped(stop);
    const bool calibrates = w < calibration_windows_;
    if (!(calibrates ? listening.calibration : listening.held_out)) continue;
    auto& by_site = calibrates ? moments.by_site : moments.held_out_by_site;
    std::size_t seen = 0;
    listen_to_block(*transformer_, next_ - first_block_, hidden_.copy(w), context_,
                    [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
                      throw_if_stopped(stop);
                      if (wanted(site)) {
                        accumulate(by_site[site.index()], x + skipped_ * width, tokens - skipped_, width, activation[site.index()]);
                        ++seen;
                      }
                      return seen == awaited && awaited != 0;
                    });
  }
  transformer_->backend().finish();
  return moments;
}

}  // namespace lrc

#pragma once
// Which clip ratio of the activation quantizer serves a site best (methods.md 1.5): each candidate has second moments of its own.
#include <stop_token>
#include <vector>

#include "run/block_solver.h"
#include "run/float_stream.h"

namespace lrc {

/// The clip of each of the loaded block's `sites`, by Site::index(), out of 0.80, 0.85, 0.90, 0.95 and 1.0: the one with the smallest sum
/// over the site's layers of the certified bound at their rank (lrc), or of ‖W (X − Y)‖² (methods that take no account of Y). Sites whose
/// activations have no clip (16 bits, block formats) keep what they have. Measured on the float stream. The sites of one of `passes`
/// have their moments in memory at a time.
std::vector<float> best_clips(FloatStream& stream, const std::vector<LayerTask>& layers, std::size_t sites,
                              const std::vector<std::vector<std::size_t>>& passes, std::stop_token stop);

}  // namespace lrc

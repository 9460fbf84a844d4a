#pragma once
// Which channel scales the loaded block gets before it is measured and solved.
#include <stop_token>
#include <vector>

#include "model/channel_scales.h"
#include "run/block_solver.h"
#include "run/float_stream.h"
#include "run/recipe.h"

namespace lrc {

/// For the block that the stream has loaded and not scaled yet: from the float model's inputs over the calibration windows and the
/// weights of `layers`, those that are quantized. An input that none of them reads, or whose predecessor takes no scales (R4 in
/// between), is left as it is. `passes`: the sites, by Site::index(), whose moments may be in memory at a time; none: all.
ChannelScales choose_scales(FloatStream& stream, const std::vector<LayerTask>& layers, const Recipe& recipe, std::stop_token stop,
                            const std::vector<std::vector<std::size_t>>& passes = {});
/// Scales the loaded block as the recipe says, if it does: for passes that measure and keep no record of it.
void smooth_loaded_block(FloatStream& stream, const Model& model, const Recipe& recipe, std::stop_token stop);

}  // namespace lrc

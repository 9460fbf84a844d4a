#pragma once
// What the tabs Distributions and Channels say in words, computed from the engine's numbers.
#include <QString>

#include "run/distributions.h"

namespace lrc::app {

/// The rotation that this kind of input goes through: "R1", "R2", "R4".
QString rotation_name(SiteKind site);
/// "R4 spreads the input: 5.2 → 14.1 of 16 levels are in use, …" (rich text).
QString describe_distributions(const LayerDistributions& found, SiteKind site);
/// "levels in use 5.2 → 14.1 of 16 · max ÷ rms 41 → 4.6 · clipped 0.1 %"
QString describe_spread(const Spread& before, const Spread& after, bool rotates);
/// "Channels 907, 211 are more than 4 × the median in blocks 0, 1 and 29." (rich text) of one basis; `block` is the one shown.
QString describe_channels(const ChannelMap& map, bool before, std::size_t block);
/// "18 % of the error of quantized activations arises at position 0, which is 0.05 % of the tokens." (rich text)
QString describe_positions(const LayerDistributions& found);
/// "0", "1 … 3"
QString range_text(const PositionShare& share);

}  // namespace lrc::app

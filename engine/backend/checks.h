#pragma once
// What every backend asks of its parameters before it uses them: one sentence for one fault, whatever the device.
#include "backend/backend.h"

namespace lrc {

/// Shapes, groups, bits and codes fit each other. Throws Error(bad_input or unsupported).
void check_weight(const QuantizedWeight& weight);
/// Both factors have the same rank, which is not 0.
void check_pair(const LowRankPair& pair);
/// Order, base and power of two fit each other.
void check_hadamard(const HadamardOrder& hadamard);
/// Heads share key-value heads evenly.
void check_attention(const AttentionShape& shape);
/// The cache's rows are those of the shape's key-value heads, and it has room for the positions up to `end`.
void check_cache(const DeviceCache& cache, const AttentionShape& shape, std::size_t end);
/// Frequencies for half of the head's dimensions.
void check_rope(const RopeTable& table, std::size_t head_dim);
/// Values that share a scale; throws Error(bad_input) when that does not divide the width.
std::size_t activation_group(const ActivationScheme& scheme, std::size_t width);

}  // namespace lrc

#pragma once
// A recipe brought to a given size, so that methods are compared at equal bytes.
#include "model/model.h"
#include "run/recipe.h"

namespace lrc {

/// The same recipe, brought to `bits_per_weight` of the quantized layers, factors and scales counted. Where its method has a
/// rank: one percentage for all layers, and one rank more for some where that steps over the size. Elsewhere: b bits, and b + 1
/// for some. These some are down_proj first, then o_proj, v_proj, k_proj, q_proj, up_proj, gate_proj (other families: what they
/// have in these places), within a role from the last block to the first, until the size is full. The recipe's own overrides
/// stand and win. Throws Error(bad_input) naming the nearest size where the wanted one is not reached within 0.5 %.
Recipe matched_to(const Recipe& recipe, const Model& model, double bits_per_weight);

}  // namespace lrc

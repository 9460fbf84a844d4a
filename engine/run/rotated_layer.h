#pragma once
// One layer and its input in the two bases that a person compares: as the file has them, and behind the rotations of a recipe.
#include "model/model.h"
#include "model/weights.h"
#include "quantization/scheme.h"

namespace lrc {

/// The weight (out, in) as a run quantizes it: norm gains folded in, rotated on both sides. Reads that one tensor alone.
MatrixF rotated_weight(const Model& model, const LayerInfo& layer, const RotationChoice& rotation);

/// ‖W − Ŵ‖² ÷ ‖W‖² of plain rounding to this scheme's grid, W as rotated_weight gives it; 0 where W is zero.
double rounding_error(const Model& model, const LayerInfo& layer, const RotationChoice& rotation, const WeightScheme& scheme);

/// Whether the input of this site is another one behind the rotations.
bool rotates_input(const RotationChoice& rotation, SiteKind site);

/// Rows of a site's input (tokens, width) behind the rotations become those of the model as it is in the file: the Hadamard
/// matrices are undone, then gain and bias of the norm before the site applied. Throws Error(unsupported) when a width has no
/// Hadamard order.
void undo_rotation(MatrixF& inputs, const Model& model, const RotationChoice& rotation, const Site& site);

}  // namespace lrc

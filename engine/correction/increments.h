#pragma once
// LSI's parametrisation of a weight (arXiv 2406.16299; methods.md 3): W(I) = W + left (diag(I) + M) right with the singular vectors
// of W, M a square in the top left corner, rounded on a grid whose clipping is learned (OmniQuant's LWC: the largest and the
// smallest weight of a row or group count for sigmoid(γ) of themselves). Straight-through rounding gives the gradients.
#include <span>
#include <vector>

#include "quantization/quantized_weight.h"
#include "tensor/matrix.h"

namespace lrc {

struct IncrementedWeight {
  WeightScheme scheme;
  bool round_to_half = true;
  MatrixF base;                   ///< W (out, in)
  MatrixF left, right;            ///< (out, n), (n, in)
  std::vector<float> increments;  ///< I (n), all 0 at first
  MatrixF square;                 ///< M (side, side); empty = none
  MatrixF clip_high, clip_low;    ///< γ (out, groups); symmetric grids have no clip_low
};

/// I = 0, M = 0 of the given side, and the clipping that the scheme's own grid has, γ = 4 where it has none.
/// Throws Error(unsupported) naming `layer` for block formats, Error(bad_input) when the side is above min(out, in).
IncrementedWeight start_increments(const MatrixD& weight, const WeightScheme& scheme, std::size_t square, bool round_to_half,
                                   const std::string& layer);
/// W(I).
MatrixF incremented(const IncrementedWeight& weight);
/// Codes of W(I) on the learned grid.
QuantizedWeight round_increments(const IncrementedWeight& weight, const MatrixF& incremented);

struct IncrementGradient {
  std::vector<float> increments;
  MatrixF square, clip_high, clip_low;
};
/// From G = dL/dŴ (out, in): dL/dI_j = u_jᵀ G v_j and dL/dM = U_nᵀ G V_n with the clipped entries of G handed to the grid's ends.
IncrementGradient increment_gradient(const IncrementedWeight& weight, const MatrixF& incremented, const MatrixF& gradient);
/// The first half of it: fills the clipping's gradients and gives G by the unrounded values, clipped entries handed to the ends.
MatrixF clip_gradient(const IncrementedWeight& weight, const MatrixF& incremented, const MatrixF& gradient, IncrementGradient& result);
/// u_jᵀ G v_j for every j, and U_nᵀ G V_n.
void project_gradient(const IncrementedWeight& weight, const MatrixF& gradient, IncrementGradient& result);

}  // namespace lrc

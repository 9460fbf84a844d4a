#pragma once
#include <cstddef>

#include "quantization/scheme.h"
#include "tensor/matrix.h"

namespace lrc {

/// Second moments of one input site, sums over tokens (not centred), in the noise form of methods.md 1.4: X the input of the
/// linear layers at run time (after online rotations), Y = Q_a(X), E = Y − X, one column a token in the paper's notation.
struct SecondMoments {
  std::size_t tokens = 0;
  MatrixD s_y;   ///< Y Yᵀ   (in, in)
  MatrixD s_ey;  ///< E Yᵀ   (in, in), not symmetric
  MatrixD s_e;   ///< E Eᵀ   (in, in)

  std::size_t width() const { return s_y.rows(); }
  MatrixD s_x() const;   ///< S_y − S_ey − S_yeᵀ… = X Xᵀ
  MatrixD s_xy() const;  ///< S_y − S_ey = X Yᵀ
  void merge(const SecondMoments& other);
};

/// Adds tokens of x (tokens, width): activations are quantized by `scheme` (off: Y = X), products of fixed chunks in
/// float32 are flushed into float64. The result depends on the order and the split of calls only by rounding.
/// Throws Error(numerical) on NaN or infinity.
void accumulate(SecondMoments& moments, const float* x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme);
/// Exact in float64, for small problems brought as matrices (`lrc solve`, tests). X (tokens, in) float64 of float32 numbers.
SecondMoments moments_in_double(const MatrixD& x, const ActivationScheme& scheme);

}  // namespace lrc

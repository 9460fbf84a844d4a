#pragma once
#include <cstddef>
#include <vector>

#include "quantization/scheme.h"
#include "tensor/matrix.h"

namespace lrc {

/// What single channels carry (methods.md 2.2, 4.4, 4.5). A batch is what one call of accumulate() brings: a window of text.
struct ChannelStatistics {
  std::vector<double> sum_of_magnitudes;   ///< Σ |x_i| over tokens
  std::vector<double> largest;             ///< max |x_i|
  std::vector<double> largest_batch_mean;  ///< max over batches of the mean |x_i|
  void merge(const ChannelStatistics& other);
};

/// Second moments of one input site, sums over tokens (not centred), in the noise form of methods.md 1.4: X the input of the
/// linear layers at run time (after online rotations), Y = Q_a(X), E = Y − X, one column a token in the paper's notation.
struct SecondMoments {
  std::size_t tokens = 0;
  MatrixD s_y;   ///< Y Yᵀ   (in, in)
  MatrixD s_ey;  ///< E Yᵀ   (in, in), not symmetric
  MatrixD s_e;   ///< E Eᵀ   (in, in)
  ChannelStatistics channels;
  /// Of the propagated stream only (methods.md 1.11): X above is then the input X̂ behind the quantized prefix, and D = X_float − X̂.
  MatrixD s_dx;  ///< D X̂ᵀ
  MatrixD s_dy;  ///< D Yᵀ
  MatrixD s_d;   ///< D Dᵀ

  bool has_drift() const { return !s_d.empty(); }
  std::size_t width() const { return s_y.rows(); }
  MatrixD s_x() const;   ///< S_y − S_ey − S_yeᵀ… = X Xᵀ
  MatrixD s_xy() const;  ///< S_y − S_ey = X Yᵀ
  void merge(const SecondMoments& other);
  /// As if every token had come `factor` times; `tokens` is rounded. Largest values and batch means stay.
  void scale(double factor);
};

/// Adds tokens of x (tokens, width): activations are quantized by `scheme` (off: Y = X), products of fixed chunks in
/// float32 are flushed into float64. The result depends on the order and the split of calls only by rounding.
/// Throws Error(numerical) on NaN or infinity.
void accumulate(SecondMoments& moments, const float* x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme);
/// The channel statistics of a batch alone. Throws Error(numerical) on NaN or infinity.
void accumulate(ChannelStatistics& channels, const float* x, std::size_t tokens, std::size_t width);
/// The same for the propagated stream: x behind the quantized prefix, `original` what the float model has there. Either all calls
/// for one site bring an original or none does.
void accumulate(SecondMoments& moments, const float* x, const float* original, std::size_t tokens, std::size_t width,
                const ActivationScheme& scheme);
/// Exact in float64, for small problems brought as matrices (`lrc solve`, tests). X (tokens, in) float64 of float32 numbers.
/// X counts as `batches` consecutive batches, as equal as possible, the first ones one longer.
SecondMoments moments_in_double(const MatrixD& x, const ActivationScheme& scheme, std::size_t batches = 1);
/// With drift: x behind the quantized prefix, `original` the float model's.
SecondMoments moments_in_double(const MatrixD& x, const MatrixD& original, const ActivationScheme& scheme);

}  // namespace lrc

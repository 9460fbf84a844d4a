#pragma once
// Channel scales s of one input: x / s goes to the layers, W diag(s) takes x's place in them (model/channel_scales.h folds them).
// All functions return one scale for each input channel, or nothing where scaling would change nothing.
#include <cstddef>
#include <span>
#include <vector>

#include "quantization/quantized_weight.h"
#include "quantization/second_moments.h"
#include "tensor/matrix.h"

namespace lrc {

/// A layer that reads the input.
struct SmoothedLayer {
  MatrixD weight;  ///< (out, in)
  WeightScheme scheme;
};

/// SmoothQuant (arXiv 2211.10438): s_j = max|X_j|^α / max|W_:j|^(1−α), the column maximum over all layers that read the input.
/// `shared[j]`: channels with the same number get one scale, from their largest maxima. Channels that are always zero keep 1.
std::vector<float> smoothquant_scales(const ChannelStatistics& input, std::span<const SmoothedLayer> layers, double alpha,
                                      std::span<const std::size_t> shared);

/// AWQ (arXiv 2306.00978): s = mean|x|^r, r = 0, 0.05 … 0.95, over sqrt(max s · min s); the r with the smallest output error
/// Σ ‖(W − Q(W diag s) diag(1/s)) X‖² of the layers, Q rounding to nearest without a clip search. `moments`: of the float input.
/// Differs from the authors' program in what it minimises: there the mean squared error of the module around the layers
/// (attention, MLP) on a few hundred tokens, here that of the layers' own outputs over all calibration tokens.
/// `shared`: channels with the same number take the mean of their magnitudes. Costs 20 times a layer's rounding and loss.
std::vector<float> awq_scales(const SecondMoments& moments, std::span<const SmoothedLayer> layers, std::span<const std::size_t> shared);

/// H-SVDQuant's smoothing (methods.md 4.19): s_j = (h_j / Σ_i |W_ij|^p)^{1/(p+2)} with geometric mean 1, h_j = Σ x_j² and p = 2: it
/// minimises Σ_j h_j s_j⁻² · Σ_ij |W_ij s_j|^p, a smooth stand-in for the rounding error of rows with one scale. The authors leave
/// p open. `shared`: sums over the channels of a number.
std::vector<float> closed_form_scales(const SecondMoments& moments, std::span<const SmoothedLayer> layers,
                                      std::span<const std::size_t> shared);

/// AWQ's clip search: for each row and group the largest magnitude (with zero points: both ends) is shrunk by 0, 5 … 45 % to the
/// smallest output error dᵀ S_x d of the group, d = W − Q(W) there. `moments` (in, in) of the layer's input, undamped. Where no clip
/// has a meaning (block formats) the grid is the plain one. Differs from the authors' program in measuring over all tokens
/// instead of 512.
WeightGrid awq_clipped_grid(const MatrixD& weight, const MatrixD& moments, const WeightScheme& scheme, bool to_half);

}  // namespace lrc

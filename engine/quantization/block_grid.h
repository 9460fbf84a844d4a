#pragma once
// Scales of the block formats (mxint, mxfp4, nvfp4; methods.md 2.3 and 4.21), shared by weights and activations.
#include <cstdint>

#include "quantization/quantized_weight.h"

namespace lrc {

/// The exponent e of a block whose largest magnitude is `largest` > 0: mxint clamp(ceil(log2 max), −127, 128), mxfp4
/// clamp(floor(log2 max) − 2, −127, 127), and that of the rounded maximum for mxfp4_rounded.
int block_exponent(NumberFormat format, double largest);
/// Value of the whole number 1 in a block of this exponent: 2^(e − (bits − 1)) for mxint, half of 2^e for mxfp4.
double block_scale(NumberFormat format, int exponent, int bits);

/// E4M3 (no infinity, largest 448), to nearest, ties to even; magnitudes above 448 become 448.
std::uint8_t encode_e4m3(double value);
double decode_e4m3(std::uint8_t bits);
/// What nvfp4's block scales are multiplied by: 448 · 6 / max|T| as float32 (1 for an all-zero tensor).
float nvfp4_tensor_scale(double largest);

/// The grid of a weight; blocks whose largest magnitude is at most `nothing` are zeros and take the exponent of the smallest
/// other block (methods.md 2.3), or scale 0 where there is none.
WeightGrid fit_block_grid(const MatrixD& weight, const WeightScheme& scheme, double nothing);

}  // namespace lrc

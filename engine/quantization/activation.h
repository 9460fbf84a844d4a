#pragma once
// The one activation quantizer. Calibration, the reference forward pass, the CPU kernels and the shaders compute these
// codes for the same float32 input, bit for bit. The code is defined by comparison, not by division: with
// s = max|x| · (clip / qmax) (the constant rounded to float32 once on the host, one float32 multiplication), the code is
// the integer q with (q − ½)·s ≤ x ≤ (q + ½)·s, both products in float32, ties to the even q, then clamped. Devices whose
// division is not exactly rounded can therefore agree (an approximate quotient is only the first guess).
#include <cstddef>
#include <cstdint>

#include "quantization/scheme.h"
#include "tensor/matrix.h"

namespace lrc {

int highest_code(int bits);  ///< 2^(b−1) − 1
int lowest_code(int bits);   ///< −2^(b−1)
/// clip / qmax as the float32 constant that everybody multiplies max|x| by.
float activation_scale_factor(const ActivationScheme& scheme);
/// The code of one value for a scale > 0, unclamped range limited to ±127 by the caller's bits (scale 0 → code 0).
int activation_code(float x, float scale, int lowest, int highest);

/// Whole numbers (tokens, width) and scales (tokens, groups) of x (tokens, width): value = number · scale in every format
/// (scheme.h). Asymmetric: the numbers are code − zero, and `zeros` (tokens, groups), where given, receives the zero points.
/// E2M1 elements are doubled and their scales halved. Scale of an all-zero group is 0, numbers 0. High columns are quantized as a
/// matrix of their own, the others as another (column_parts.h); numbers stand in their columns, groups of the high part come first.
/// Throws Error(bad_input) when the group size does not divide the width, Error(numerical) on NaN or infinity.
void quantize_activations(const float* x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme, std::int8_t* codes,
                          float* scales, std::int8_t* zeros = nullptr);
/// The same numbers counted from 0: codes (tokens, width) with value = (code − zero) · scale; zeros (tokens, groups), 2^(b−1) for
/// symmetric schemes. Holds 8 bits with zero points, too. Integer formats without high columns only.
void quantize_unsigned(const float* x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme, std::uint8_t* codes,
                       float* scales, std::uint8_t* zeros);
/// Quantize-dequantize: y = number · scale. x and y may be the same.
void fake_quantize_activations(const float* x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme, float* y);

/// max|x|; a NaN or an infinity anywhere makes it NaN or infinite.
float largest_magnitude(const float* x, std::size_t count);

/// Scales of a token of this width.
std::size_t activation_groups(const ActivationScheme& scheme, std::size_t width);

/// Whether the one integer kernel of every device makes these codes (symmetric integers); the other formats have the definition of
/// activation.cpp alone.
bool has_plain_codes(const ActivationScheme& scheme);

}  // namespace lrc

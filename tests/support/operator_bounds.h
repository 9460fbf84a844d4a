#pragma once
// How far two correct float32 kernels of one operator may be apart, given its operands: one bound per element of the result.
// Every bound is a rounding unit times a norm of the operands, so that it shrinks and grows with the numbers that are computed.
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"

namespace lrc::test {

using Bounds = std::vector<double>;

/// Unit roundoff of float32.
constexpr double kUnit = 1.0 / (1 << 24);

/// Rounding of a sum of n products: errors of either sign add up like √n (worst case n; a lost or doubled term is far above).
inline double sum_error(std::size_t n) { return 4 * (std::sqrt(double(n)) + 4) * kUnit; }

/// `expected` (tokens, width) is the definition's result.
Bounds rms_norm_bounds(const std::vector<float>& expected, std::size_t width);
/// x (tokens, width): the error of the mean, and the sum of squares behind it.
Bounds layer_norm_bounds(const std::vector<float>& x, const std::vector<float>& gain, const std::vector<float>& bias, float epsilon);
/// Row rows[i] of `before` += weights[i] · row i of x: one product and one sum, in one rounding or in two.
Bounds add_rows_bounds(const std::vector<float>& x, std::span<const std::uint32_t> rows, std::span<const float> weights, std::size_t width,
                       const std::vector<float>& before);
Bounds silu_multiply_bounds(const std::vector<float>& gate, const std::vector<float>& up);
Bounds rope_bounds(const std::vector<float>& x, std::size_t tokens, std::size_t heads, std::size_t head_dim, float attention_factor);
Bounds hadamard_bounds(const std::vector<float>& x, std::size_t order);
/// x (tokens, in): Σ |w(r, i)| |x(t, i)| times the rounding of the sum; (tokens, out).
Bounds multiply_bounds(const MatrixF& weight, const float* x, std::size_t tokens);
Bounds multiply_quantized_float_bounds(const QuantizedWeight& weight, const float* x, std::size_t tokens);
/// The integer dots are exact; what is rounded are one product and one sum a segment, at most groups of both kinds.
Bounds multiply_quantized_bounds(const QuantizedWeight& weight, const std::vector<std::int8_t>& codes, const std::vector<float>& scales,
                                 std::size_t tokens);
/// `before` (tokens, out) is what the pair is added to.
Bounds low_rank_bounds(const LowRankPair& pair, const float* x, const std::vector<float>& before, std::size_t tokens,
                       std::size_t components);
/// Scores of size |q||k|/√d carry errors of that times the unit, and the exponential makes them relative errors of the weights.
Bounds attention_bounds(const std::vector<float>& q, const std::vector<float>& k, const std::vector<float>& v, std::size_t first,
                        std::size_t tokens, const AttentionShape& shape);

}  // namespace lrc::test

#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/matrix.h"

namespace lrc {

/// How U and V are stored. int8: one float16 scale per component and factor, codes −127…127. mxint: sign and bits−1 magnitude
/// bits, one exponent byte per block of `block` entries, along the dimension that the product sums over (V: in_features,
/// U: the rank) or across it; the last block of a line may be shorter.
enum class FactorFormat { half, int8, mxint };
struct FactorScheme {
  FactorFormat format = FactorFormat::half;
  int bits = 16;           ///< 16, 8, or 2…8 for mxint
  std::size_t block = 16;  ///< of mxint
  bool along_contraction = true;
  bool operator==(const FactorScheme&) const = default;
};
std::string to_string(const FactorScheme& scheme);  ///< "fp16", "int8", "mxint8", "mxint8/32", "mxint8/16-across"
std::optional<FactorScheme> factor_scheme(std::string_view text);
/// Bits of both factors with their scales.
std::size_t factor_bits(const FactorScheme& scheme, std::size_t rank, std::size_t out_features, std::size_t in_features);

/// What the correction multiplies: the activation as it is (LRC), or as the quantizer left it (LQER).
enum class PairInput { unquantized, quantized };

/// Codes behind a factor (rows, rank) that is not stored as float16; empty otherwise.
struct FactorCodes {
  std::vector<std::int8_t> codes;  ///< (rows, rank)
  MatrixF scales;                  ///< int8 (1, rank); mxint (rows, blocks of a row) or (blocks of a column, rank), powers of two
  bool operator==(const FactorCodes&) const = default;
};

/// The correction U Vᵀ: y += U (Vᵀ x). U (out, rank), V (in, rank), components ordered by how much they explain, so that the
/// first k of them are the pair of rank k in U's span. The numbers are float16 in every format: codes decode to the nearest.
struct LowRankPair {
  MatrixF u, v;
  FactorScheme scheme = {};
  FactorCodes u_codes = {}, v_codes = {};
  std::size_t rank() const { return u.columns(); }
  bool empty() const { return u.empty(); }
  bool operator==(const LowRankPair&) const = default;
};

/// One factor in its stored form. `is_v` says which dimension a product sums over.
FactorCodes encode_factor(const MatrixD& factor, const FactorScheme& scheme, bool is_v);
MatrixF decode_factor(const FactorCodes& codes, std::size_t rows, std::size_t rank, const FactorScheme& scheme, bool is_v);
/// Shape of a factor's scales; (0, 0) for float16.
std::pair<std::size_t, std::size_t> factor_scales_shape(const FactorScheme& scheme, std::size_t rows, std::size_t rank, bool is_v);

/// U Vᵀ (out, in) in float64.
MatrixD product(const LowRankPair& pair);

}  // namespace lrc

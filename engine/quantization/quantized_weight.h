#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "quantization/scheme.h"
#include "tensor/matrix.h"

namespace lrc {

/// A weight matrix on its grid: value(i, j) = codes(i, j) · scales(i, j / group). Codes are unpacked here (one byte each);
/// files and kernels pack them.
struct QuantizedWeight {
  WeightScheme scheme;
  std::size_t out_features = 0, in_features = 0;
  std::vector<std::int8_t> codes;  ///< (out, in)
  MatrixD scales;                  ///< (out, groups), groups = 1 per row; a run stores them as float16

  std::size_t group_size() const { return scheme.group_size == 0 ? in_features : scheme.group_size; }
  std::size_t groups() const { return in_features == 0 ? 0 : in_features / group_size(); }
  MatrixD dequantize() const;  ///< (out, in)
  bool operator==(const QuantizedWeight&) const = default;
};

/// Two 4-bit codes (−8…7) to a byte, code + 8, element 2i in the low nibble; rows padded to a whole byte.
std::vector<std::uint8_t> pack_nibbles(const std::int8_t* codes, std::size_t rows, std::size_t columns);
std::vector<std::int8_t> unpack_nibbles(const std::uint8_t* packed, std::size_t rows, std::size_t columns);

/// Throws Error(bad_input) naming `layer` when the group size does not divide in_features, or bits are out of range.
void check_scheme(const WeightScheme& scheme, std::size_t in_features, const std::string& layer);

/// The grid of W (out, in) or of target matrices: scales (out, groups). `round_to_half`: scales rounded to float16 before
/// codes are taken (what a run stores); without it float64 (what golden files hold).
MatrixD fit_scales(const MatrixD& weight, const WeightScheme& scheme, bool round_to_half);
/// Rounds to nearest on given scales (ties to even).
QuantizedWeight round_to_grid(const MatrixD& weight, const WeightScheme& scheme, const MatrixD& scales);
/// Round to nearest with fitted scales (RTN).
QuantizedWeight quantize_rtn(const MatrixD& weight, const WeightScheme& scheme, bool round_to_half);

struct GptqOptions {
  double damping = 0.01;   ///< of the Hessian's mean diagonal, added inside
  bool act_order = false;  ///< columns by descending diagonal, static groups
  bool round_to_half = false;
};
struct GptqResult {
  QuantizedWeight weight;
  double sum_of_squared_normalised_errors = 0;  ///< = tr(D H Dᵀ) with the damped H, D = W − Ŵ
};
/// GPTQ (arXiv 2210.17323) of W (out, in) with Hessian (in, in), float64. Dead channels (zero diagonal): diagonal 1, column 0.
/// Cholesky failures: damping ×10 up to 3 times, then Error(numerical). Deterministic.
GptqResult quantize_gptq(const MatrixD& weight, const MatrixD& hessian, const WeightScheme& scheme, const GptqOptions& options);

}  // namespace lrc

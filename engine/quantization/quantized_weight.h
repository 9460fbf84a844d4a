#pragma once
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "quantization/scheme.h"
#include "tensor/matrix.h"

namespace lrc {

/// The scales of a weight matrix, and what else its format needs beside the codes.
struct WeightGrid {
  MatrixD scales;                  ///< (out, groups); a value is a whole number times this; groups of high columns come first
  std::vector<std::int8_t> zeros;  ///< (out, groups), asymmetric grids only
  double tensor_scale = 1;         ///< nvfp4: what block scales were multiplied by before they became E4M3
  bool operator==(const WeightGrid&) const = default;
};

/// A weight matrix on its grid: value(i, j) = (codes(i, j) − zeros(i, j / group)) · scales(i, j / group), with high columns the group
/// of column_parts.h. Codes are unpacked here (one byte each); files and kernels pack them. Symmetric grids have no zeros; E2M1 elements are held doubled
/// (0, 1, 2, 3, 4, 6, 8, 12 and their negatives), their scales halved.
struct QuantizedWeight {
  WeightScheme scheme;
  std::size_t out_features = 0, in_features = 0;
  std::vector<std::int8_t> codes;       ///< (out, in)
  MatrixD scales;                       ///< (out, groups), groups = 1 per row; a run stores them as float16 (block formats: a byte)
  std::vector<std::int8_t> zeros = {};  ///< (out, groups); empty when symmetric
  double tensor_scale = 1;              ///< see WeightGrid

  /// Of a weight in one part; with high columns ask column_parts.h.
  std::size_t group_size() const {
    assert(!scheme.high.any());
    return scheme.group_size == 0 ? in_features : scheme.group_size;
  }
  std::size_t groups() const;
  MatrixD dequantize() const;  ///< (out, in)
  /// Codes less their zeros, (out, in): what a kernel multiplies. The codes themselves when symmetric.
  std::vector<std::int8_t> integers() const;
  bool operator==(const QuantizedWeight&) const = default;
};

/// Two 4-bit codes (−8…7) to a byte, code + 8, element 2i in the low nibble; rows padded to a whole byte.
std::vector<std::uint8_t> pack_nibbles(const std::int8_t* codes, std::size_t rows, std::size_t columns);
std::vector<std::int8_t> unpack_nibbles(const std::uint8_t* packed, std::size_t rows, std::size_t columns);

/// Throws Error(bad_input) naming `layer` when the group size does not divide in_features, or bits are out of range.
void check_scheme(const WeightScheme& scheme, std::size_t in_features, const std::string& layer);
/// The same for activations of this width.
void check_scheme(const ActivationScheme& scheme, std::size_t width, const std::string& layer);

/// The grid of W (out, in) or of target matrices. `round_to_half`: scales rounded to float16 before codes are taken (what a
/// run stores; block formats have their own scale types in any case); without it float64 (what golden files hold).
WeightGrid fit_grid(const MatrixD& weight, const WeightScheme& scheme, bool round_to_half);
/// The scales alone.
MatrixD fit_scales(const MatrixD& weight, const WeightScheme& scheme, bool round_to_half);
/// Rounds to nearest on a given grid (ties to even).
QuantizedWeight round_to_grid(const MatrixD& weight, const WeightScheme& scheme, WeightGrid grid);
/// Round to nearest with a fitted grid (RTN).
QuantizedWeight quantize_rtn(const MatrixD& weight, const WeightScheme& scheme, bool round_to_half);
/// No codes yet: shape and grid of a weight that somebody fills.
QuantizedWeight empty_on_grid(std::size_t out_features, std::size_t in_features, const WeightScheme& scheme, WeightGrid grid);

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
/// The same on a given grid (not fitted again).
GptqResult quantize_gptq(const MatrixD& weight, const MatrixD& hessian, const WeightScheme& scheme, const GptqOptions& options,
                         const WeightGrid& grid);

/// Exact coordinate descent on a frozen grid ("Bid-Up", methods.md 4.20): codes are moved one by one to the nearest grid point
/// of the minimum of tr((T − Ŵ) H (T − Ŵ)ᵀ) along their coordinate until a sweep changes nothing, or `sweeps` are done. Never
/// increases that value. Rows are independent.
void polish_codes(QuantizedWeight& weight, const MatrixD& target, const MatrixD& hessian, int sweeps);

}  // namespace lrc

#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace lrc {

/// How a number is written. In every format a value is a small whole number times a scale that its group shares, so that one
/// integer kernel multiplies them all.
///   integer         b-bit codes, symmetric or with a zero point; scale any number (float16 in a file)
///   mxint           sign and b−1 magnitude bits, scale a power of two per block (methods.md 2.3)
///   mxfp4           E2M1 elements, scale a power of two per block, exponent floor(log2 max) − 2 (OCP MX 1.0)
///   mxfp4_rounded   the same with max first rounded to a power of two at E2M1's mantissa (methods.md 4.21)
///   nvfp4           E2M1 elements, E4M3 scale per block, one float32 scale for the tensor (activations: for the token)
enum class NumberFormat { integer, mxint, mxfp4, mxfp4_rounded, nvfp4 };
std::string_view name(NumberFormat format);  ///< "int", "mxint", "mxfp4", "mxfp4-rounded", "nvfp4"
std::optional<NumberFormat> number_format(std::string_view name);
bool is_e2m1(NumberFormat format);
/// Values that share a scale where nothing else is said: 16, or 32 for mxfp4; 0 (all of a row) for integers.
std::size_t default_block(NumberFormat format);

/// Columns of a layer's input that are held in more bits than the rest (ResQ, methods.md 4.15): the first `count` of every `period`.
/// The columns of either part, in their order, are a matrix of their own with its own grid: of the high part symmetric integers of
/// `bits` bits (activations: without a clip), of the low part what the scheme says (quantization/column_parts.h).
struct HighColumns {
  std::size_t count = 0;   ///< 0 = none
  std::size_t period = 0;  ///< 0 = the whole width
  int bits = 8;
  bool any() const { return count != 0; }
  bool operator==(const HighColumns&) const = default;
};

/// search: by the rounding error of the weights alone. awq: by the error of the layer's outputs, which takes its inputs
/// (correction/smoothing.h); fit_grid knows none and leaves such a grid unclipped.
enum class WeightClip { none, search, awq };

/// Bits, grid and granularity of a weight matrix.
/// integer, symmetric: value = code · scale, codes in [−2^(b−1), 2^(b−1)−1], scale from max|w| / (2^(b−1)−1).
/// integer, asymmetric: value = (code − zero) · scale, codes in [0, 2^b−1], scale from (max − min) / (2^b−1) with
/// min ≤ 0 ≤ max, zero = round(−min / scale); at most 7 bits.
/// Both are shrunk by the clip search (norm 2.4, 80 steps; methods.md 4.1). Block formats take no search.
struct WeightScheme {
  int bits = 4;                ///< 2…8; 16 leaves the layer in float
  std::size_t group_size = 0;  ///< along in_features; 0 = one scale a row
  bool symmetric = true;
  WeightClip clip = WeightClip::search;
  NumberFormat format = NumberFormat::integer;
  HighColumns high = {};
  bool operator==(const WeightScheme&) const = default;
};

/// The dynamic activation quantizer, one scale per token or per group of a token.
/// integer, symmetric: scale = clip · max|x| / (2^(b−1)−1), codes in [−2^(b−1), 2^(b−1)−1], to nearest, ties to even.
/// integer, asymmetric: lo = clip · min(x, 0), hi = clip · max(x, 0), scale = (hi − lo) / (2^b−1), zero = round(−lo / scale),
/// code = clamp(round(x / scale) + zero, 0, 2^b−1); at most 7 bits.
/// Block formats have no clip.
struct ActivationScheme {
  int bits = 4;                ///< 2…8; 16 = off
  std::size_t group_size = 0;  ///< along in_features; 0 = whole token
  float clip = 0.9f;
  bool symmetric = true;
  NumberFormat format = NumberFormat::integer;
  HighColumns high = {};
  bool off() const { return bits >= 16; }
  bool operator==(const ActivationScheme&) const = default;
};

/// Bits that the whole number of a value needs, sign included: what a kernel must be able to hold.
int integer_bits(const WeightScheme& scheme);
int integer_bits(const ActivationScheme& scheme);
/// The largest magnitude of that number.
int largest_integer(const WeightScheme& scheme);

}  // namespace lrc

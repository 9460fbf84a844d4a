#pragma once
// Keys and values as a quantized cache holds them: what the one activation quantizer (activation.h) makes of each head of each
// token, packed. value = (code − zero) · scale with codes from 0; symmetric schemes have zero = 2^(b−1) everywhere.
#include <cstddef>
#include <cstdint>

#include "quantization/scheme.h"

namespace lrc {

/// Where the parts of a row (the keys, or the values, of one token) lie. Codes of at most 4 bits go two to a byte, element 2i in
/// the low nibble; wider ones, and those of groups of an odd size, take a byte each.
struct CacheLayout {
  ActivationScheme scheme;
  std::size_t width = 0;              ///< kv_heads · head_dim
  std::size_t group = 0, groups = 0;  ///< values that share a scale and a zero; how many of them are in a row
  bool nibbles = false;
  std::size_t code_bytes = 0;  ///< of a row
  /// Codes, float32 scales and one byte for each zero.
  std::size_t row_bytes() const { return code_bytes + groups * (sizeof(float) + 1); }
  bool operator==(const CacheLayout&) const = default;
};

/// Group size 0: one group a head. Throws Error(bad_input) when groups do not divide the heads, the bits are not 2 to 8, or the
/// format is none of whole numbers.
CacheLayout cache_layout(const ActivationScheme& scheme, std::size_t kv_heads, std::size_t head_dim);

/// x (rows, width) → codes (rows, code_bytes), scales and zeros (rows, groups). Throws Error(numerical) on NaN or infinity.
void quantize_cache_rows(const float* x, std::size_t rows, const CacheLayout& layout, std::uint8_t* codes, float* scales,
                         std::uint8_t* zeros);
/// What the codes stand for, (rows, width).
void dequantize_cache_rows(const std::uint8_t* codes, const float* scales, const std::uint8_t* zeros, std::size_t rows,
                           const CacheLayout& layout, float* out);

}  // namespace lrc

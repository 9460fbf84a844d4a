#pragma once
#include <cstddef>
#include <string>

namespace lrc {

enum class WeightClip { none, search };

/// Bits, grid and granularity of a weight matrix. Symmetric: value = code · scale, codes in [−2^(b−1), 2^(b−1)−1],
/// scale from max|w| / (2^(b−1)−1), shrunk by the clip search (norm 2.4, 80 steps; methods.md 4.1).
struct WeightScheme {
  int bits = 4;                ///< 2…8; 16 leaves the layer in float
  std::size_t group_size = 0;  ///< along in_features; 0 = one scale a row
  bool symmetric = true;
  WeightClip clip = WeightClip::search;
  bool operator==(const WeightScheme&) const = default;
};

/// The dynamic activation quantizer: symmetric, one scale per token or per group of a token,
/// scale = clip · max|x| / (2^(b−1)−1), codes in [−2^(b−1), 2^(b−1)−1], to nearest, ties to even.
struct ActivationScheme {
  int bits = 4;                ///< 2…8; 16 = off
  std::size_t group_size = 0;  ///< along in_features; 0 = whole token
  float clip = 0.9f;
  bool off() const { return bits >= 16; }
  bool operator==(const ActivationScheme&) const = default;
};

}  // namespace lrc

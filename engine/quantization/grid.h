#pragma once
// Rounding one value to the whole number behind it: shared by RTN, GPTQ and coordinate descent.
#include <algorithm>
#include <cmath>

#include "quantization/quantized_weight.h"

namespace lrc {

/// The E2M1 value nearest to half of `twice`, doubled: 0, ±1, ±2, ±3, ±4, ±6, ±8 or ±12; ties to the even code.
inline double nearest_e2m1(double twice) {
  const double p = std::abs(twice);
  const double n = p <= 0.5 ? 0 : p < 1.5 ? 1 : p <= 2.5 ? 2 : p < 3.5 ? 3 : p <= 5 ? 4 : p < 7 ? 6 : p <= 10 ? 8 : 12;
  return twice < 0 ? -n : n;
}

/// The whole numbers of a scheme, before zero points.
struct WholeNumbers {
  double lowest = 0, highest = 0;
  bool e2m1 = false;
  explicit WholeNumbers(const WeightScheme& scheme);
  /// Nearest to `position` = value / scale, for this zero point.
  double nearest(double position, double zero) const {
    if (e2m1) return nearest_e2m1(position);
    return std::clamp(std::nearbyint(position), lowest - zero, highest - zero);
  }
};

/// Of each column of a weight: the group whose scale and zero point it has, and the whole numbers that it may take.
struct ColumnGrid {
  std::vector<std::uint32_t> group;
  std::vector<WholeNumbers> numbers;
};
ColumnGrid column_grid(const WeightScheme& scheme, std::size_t in_features);

}  // namespace lrc

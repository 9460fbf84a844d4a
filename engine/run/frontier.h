#pragma once
// What every picture of size against quality needs.
#include <cstddef>
#include <span>
#include <vector>

#include "base/json.h"

namespace lrc {

struct PlainFormat {
  const char* name;
  double bits_per_weight;
};
/// Block formats that other programs store plain weights in.
inline constexpr PlainFormat plain_formats[] = {{"Q4_0", 4.5}, {"Q5_0", 5.5}, {"Q6_K", 6.5625}, {"Q8_0", 8.5}};

struct SizeAndQuality {
  double size = 0, quality = 0;  ///< of both, less is better
};
/// Indices of the points that no smaller or equally large one is as good as, by rising size.
std::vector<std::size_t> frontier(std::span<const SizeAndQuality> points);

/// Whether two manifests' `evaluation_protocol` can be set side by side: everything equal, but for where the text lies when its
/// hash is known.
bool same_protocol(Json one, Json other);

}  // namespace lrc

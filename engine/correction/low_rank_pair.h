#pragma once
#include <cstddef>

#include "tensor/matrix.h"

namespace lrc {

/// The correction U Vᵀ that acts on the unquantized activation: y += U (Vᵀ x). U (out, rank), V (in, rank), components
/// ordered by how much they explain, so that the first k of them are the pair of rank k in U's span.
struct LowRankPair {
  MatrixF u, v;
  std::size_t rank() const { return u.columns(); }
  bool empty() const { return u.empty(); }
  bool operator==(const LowRankPair&) const = default;
};

/// U Vᵀ (out, in) in float64.
MatrixD product(const LowRankPair& pair);

}  // namespace lrc

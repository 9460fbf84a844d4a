#pragma once
// Bits to layers: the multiple-choice knapsack behind `lrc allocate`.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lrc {

/// One way to store a layer: what it takes and what it is predicted to cost.
struct AllocationChoice {
  std::uint64_t bits = 0;
  double loss = 0;
};

struct Allocation {
  std::vector<std::size_t> chosen;  ///< by layer: index of its choice
  std::uint64_t bits = 0;
  double loss = 0;    ///< sum over the layers
  double bound = 0;   ///< no allocation within the budget has less (Lagrangian relaxation)
  double price = 0;   ///< loss that one more bit of budget is worth at that relaxation
  bool exact = true;  ///< sizes were not rounded up to a coarser unit for the search
};

/// The smallest sum of losses with a sum of bits within the budget, one choice for each layer. Dynamic programming over the
/// budget in units of the sizes' greatest common divisor, so the result is optimal; where that needs more than `most_units`
/// steps, sizes are rounded up to a coarser unit: the result stays within the budget and `bound` says how far from optimal it
/// can be. Among equal losses the fewest bits win, then the earlier choice. Throws Error(bad_input) when the smallest choices
/// are above the budget, naming the least one that works.
Allocation allocate(std::span<const std::vector<AllocationChoice>> layers, std::uint64_t budget_bits,
                    std::size_t most_units = std::size_t(1) << 20);

/// Indices of the choices that no other one beats in both bits and loss, by rising bits.
std::vector<std::size_t> undominated(const std::vector<AllocationChoice>& choices);

}  // namespace lrc

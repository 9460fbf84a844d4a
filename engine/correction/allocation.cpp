#include "correction/allocation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "base/error.h"
#include "base/parallel.h"

namespace lrc {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::size_t grain = 8192;  // of the budget's steps, shared out to threads

struct Relaxed {
  double value = 0;        // of the Lagrangian: a lower bound
  std::uint64_t bits = 0;  // that its choices take
};

/// Every layer takes the choice with the least loss + price · bits.
Relaxed relax(std::span<const std::vector<AllocationChoice>> layers, const std::vector<std::vector<std::size_t>>& kept, double price,
              std::uint64_t budget) {
  Relaxed result;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    double best = infinity;
    std::uint64_t bits = 0;
    for (const std::size_t c : kept[l]) {
      const double value = layers[l][c].loss + price * double(layers[l][c].bits);
      if (value >= best) continue;
      best = value;
      bits = layers[l][c].bits;
    }
    result.value += best;
    result.bits += bits;
  }
  result.value -= price * double(budget);
  return result;
}

/// The price at which the relaxed choices just fit.
double fitting_price(std::span<const std::vector<AllocationChoice>> layers, const std::vector<std::vector<std::size_t>>& kept,
                     std::uint64_t budget) {
  if (relax(layers, kept, 0, budget).bits <= budget) return 0;
  double low = 0, high = 1e-12;
  while (relax(layers, kept, high, budget).bits > budget) high *= 4;
  for (int i = 0; i < 200 && high - low > 1e-12 * high; ++i) {
    const double middle = low + (high - low) / 2;
    (relax(layers, kept, middle, budget).bits > budget ? low : high) = middle;
  }
  return high;
}

}  // namespace

std::vector<std::size_t> undominated(const std::vector<AllocationChoice>& choices) {
  std::vector<std::size_t> order(choices.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    return choices[a].bits != choices[b].bits ? choices[a].bits < choices[b].bits : choices[a].loss < choices[b].loss;
  });
  std::vector<std::size_t> kept;
  for (const std::size_t c : order)
    if (kept.empty() || choices[c].loss < choices[kept.back()].loss) kept.push_back(c);
  return kept;
}

Allocation allocate(std::span<const std::vector<AllocationChoice>> layers, std::uint64_t budget_bits, std::size_t most_units) {
  std::vector<std::vector<std::size_t>> kept;
  std::uint64_t least = 0, span = 0, unit = 0;
  for (const auto& choices : layers) {
    kept.push_back(undominated(choices));
    const std::uint64_t smallest = choices[kept.back().front()].bits;
    least += smallest;
    span += choices[kept.back().back()].bits - smallest;
    for (const std::size_t c : kept.back()) unit = std::gcd(unit, choices[c].bits - smallest);
  }
  if (least > budget_bits)
    throw Error(ErrorKind::bad_input, "The budget of " + std::to_string(budget_bits) + " bits is below the " + std::to_string(least) +
                                          " bits that the smallest choices take; allow more bits per weight or smaller choices.");
  Allocation result;
  result.price = fitting_price(layers, kept, budget_bits);
  result.bound = relax(layers, kept, result.price, budget_bits).value;

  const std::uint64_t room = std::min(budget_bits - least, span);
  unit = std::max<std::uint64_t>(unit, 1);
  if (room / unit > most_units) {
    unit = room / most_units + 1;
    result.exact = false;
  }
  const std::size_t steps = std::size_t(room / unit);
  // best[j]: least loss of the layers so far that take at most j units above their smallest choices.
  std::vector<double> best(steps + 1, 0.0), next(steps + 1);
  std::vector<std::vector<std::uint16_t>> taken;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const auto& choices = layers[l];
    std::vector<std::size_t> sizes;
    for (const std::size_t c : kept[l]) sizes.push_back(std::size_t((choices[c].bits - choices[kept[l].front()].bits + unit - 1) / unit));
    auto& row = taken.emplace_back(steps + 1);
    parallel_for(steps + 1, grain, [&](std::size_t begin, std::size_t end) {
      std::fill(next.begin() + std::ptrdiff_t(begin), next.begin() + std::ptrdiff_t(end), infinity);
      for (std::size_t k = 0; k < sizes.size(); ++k) {
        const double loss = choices[kept[l][k]].loss;
        for (std::size_t j = std::max(begin, sizes[k]); j < end; ++j) {
          const double value = best[j - sizes[k]] + loss;
          if (value >= next[j]) continue;
          next[j] = value;
          row[j] = std::uint16_t(k);
        }
      }
    });
    std::swap(best, next);
  }
  // The first of the equally good budgets: no bits for nothing.
  std::size_t at = std::size_t(std::lower_bound(best.begin(), best.end(), best.back(), std::greater<>()) - best.begin());
  result.chosen.resize(layers.size());
  for (std::size_t l = layers.size(); l-- > 0;) {
    const auto& choices = layers[l];
    const std::size_t c = kept[l][taken[l][at]];
    result.chosen[l] = c;
    result.bits += choices[c].bits;
    result.loss += choices[c].loss;
    at -= std::size_t((choices[c].bits - choices[kept[l].front()].bits + unit - 1) / unit);
  }
  return result;
}

}  // namespace lrc

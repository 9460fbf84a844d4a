#pragma once
#include <cstddef>
#include <queue>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace lrc {

/// One symbol of a word while neighbours are being joined. `begin` and `length` are in whatever unit the caller counts.
struct MergeSymbol {
  TokenId id = -1;  ///< -1: no token yet
  std::size_t begin = 0, length = 0;
  std::ptrdiff_t previous = -1, next = -1;
};

/// What joining two neighbours would give; joins of the lowest cost are done first, the leftmost of equals.
struct MergeResult {
  double cost;
  TokenId id;
};

/// Joins neighbours until `lookup(left, right)` (an optional MergeResult) offers nothing more. Symbols that were swallowed
/// get length 0; the first symbol always stays. O(n log n).
template <class Lookup>
void merge_symbols(std::vector<MergeSymbol>& symbols, Lookup lookup) {
  struct Candidate {
    double cost;
    std::ptrdiff_t left, right;
    std::size_t length;
    TokenId id;
    bool operator<(const Candidate& other) const { return cost != other.cost ? cost > other.cost : left > other.left; }
  };
  std::priority_queue<Candidate> queue;
  const auto offer = [&](std::ptrdiff_t left, std::ptrdiff_t right) {
    if (left < 0 || right < 0) return;
    const MergeSymbol &a = symbols[static_cast<std::size_t>(left)], &b = symbols[static_cast<std::size_t>(right)];
    if (const auto result = lookup(a, b)) queue.push({result->cost, left, right, a.length + b.length, result->id});
  };
  const auto count = static_cast<std::ptrdiff_t>(symbols.size());
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    symbols[static_cast<std::size_t>(i)].previous = i - 1;
    symbols[static_cast<std::size_t>(i)].next = i + 1 < count ? i + 1 : -1;
  }
  for (std::ptrdiff_t i = 0; i + 1 < count; ++i) offer(i, i + 1);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    MergeSymbol &a = symbols[static_cast<std::size_t>(best.left)], &b = symbols[static_cast<std::size_t>(best.right)];
    // Outdated: one of the two has been joined with something else since.
    if (a.length == 0 || b.length == 0 || a.length + b.length != best.length) continue;
    a.id = best.id;
    a.length = best.length;
    a.next = b.next;
    b.length = 0;
    if (a.next >= 0) symbols[static_cast<std::size_t>(a.next)].previous = best.left;
    offer(a.previous, best.left);
    offer(best.left, a.next);
  }
}

}  // namespace lrc

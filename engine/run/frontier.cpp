#include "run/frontier.h"

#include <algorithm>
#include <numeric>

namespace lrc {

std::vector<std::size_t> frontier(std::span<const SizeAndQuality> points) {
  std::vector<std::size_t> order(points.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    return points[a].size != points[b].size ? points[a].size < points[b].size : points[a].quality < points[b].quality;
  });
  std::vector<std::size_t> kept;
  for (const std::size_t i : order)
    if (kept.empty() || points[i].quality < points[kept.back()].quality) kept.push_back(i);
  return kept;
}

bool same_protocol(Json one, Json other) {
  for (Json* protocol : {&one, &other})
    if (protocol->is_object() && protocol->contains("sha256")) protocol->erase("text");
  return one == other;
}

}  // namespace lrc

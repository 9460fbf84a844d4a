#include "model/expert_routing.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "base/error.h"

namespace lrc {

std::vector<ExpertShare> route(const float* logits, std::size_t tokens, std::size_t experts, std::size_t chosen, std::size_t block) {
  std::vector<ExpertShare> shares(experts);
  std::vector<std::size_t> order(experts);
  for (std::size_t t = 0; t < tokens; ++t) {
    const float* row = logits + t * experts;
    if (std::any_of(row, row + experts, [](float value) { return !std::isfinite(value); }))
      throw Error(ErrorKind::numerical, "The router of block " + std::to_string(block) +
                                            " gave a value that is not a finite number; the weights or activations of the model overflow.");
    std::iota(order.begin(), order.end(), std::size_t(0));
    std::partial_sort(order.begin(), order.begin() + std::ptrdiff_t(chosen), order.end(),
                      [&](std::size_t a, std::size_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
    // The softmax's denominator over all experts cancels in the chosen ones' shares.
    double sum = 0;
    for (std::size_t k = 0; k < chosen; ++k) sum += std::exp(double(row[order[k]]) - double(row[order[0]]));
    for (std::size_t k = 0; k < chosen; ++k) {
      shares[order[k]].rows.push_back(std::uint32_t(t));
      shares[order[k]].weights.push_back(float(std::exp(double(row[order[k]]) - double(row[order[0]])) / sum));
    }
  }
  return shares;
}

}  // namespace lrc

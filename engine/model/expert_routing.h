#pragma once
// Which experts see which tokens. Plain numbers on the host: a router's output is tokens × experts, small beside everything else.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lrc {

/// What one expert does of a batch: rows of the batch, ascending, and the weight of its output in each.
struct ExpertShare {
  std::vector<std::uint32_t> rows;
  std::vector<float> weights;
};

/// Softmax over all experts, the `chosen` best of each token (the lower number wins a tie), their probabilities brought to the
/// sum 1. logits (tokens, experts). Throws Error(numerical) naming `block` when a logit is not a number.
std::vector<ExpertShare> route(const float* logits, std::size_t tokens, std::size_t experts, std::size_t chosen, std::size_t block);

}  // namespace lrc

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "inference/generate.h"
#include "model/probabilities.h"

namespace lrc {
namespace {

/// SplitMix64: a counter with a mixing function, the same on every machine.
std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15u;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

void check(const Sampling& sampling) {
  if (!std::isfinite(sampling.temperature) || sampling.temperature < 0)
    throw Error(ErrorKind::bad_input, "The temperature must be 0 or above.");
  if (!(sampling.top_p > 0) || sampling.top_p > 1) throw Error(ErrorKind::bad_input, "Top-p must be above 0 and at most 1.");
  if (!(sampling.min_p >= 0) || sampling.min_p > 1) throw Error(ErrorKind::bad_input, "Min-p must be from 0 to 1.");
  if (!(sampling.repetition_penalty > 0) || !std::isfinite(sampling.repetition_penalty))
    throw Error(ErrorKind::bad_input, "The repetition penalty must be above 0; 1 is none.");
}

}  // namespace

Sampler::Sampler(const Sampling& sampling) : sampling_(sampling), state_(sampling.seed) { check(sampling); }

TokenId Sampler::pick(const float* logits, std::size_t vocabulary, std::span<const TokenId> recent) {
  if (sampling_.repetition_penalty != 1 && !recent.empty()) {
    penalised_.assign(logits, logits + vocabulary);
    for (const TokenId id : recent)
      if (id >= 0 && std::size_t(id) < vocabulary)  // from the logit as it was: said twice is not punished twice
        penalised_[std::size_t(id)] =
            logits[id] > 0 ? logits[id] / sampling_.repetition_penalty : logits[id] * sampling_.repetition_penalty;
    logits = penalised_.data();
  }
  const std::size_t best = likeliest(logits, vocabulary);
  if (sampling_.temperature == 0 || sampling_.top_k == 1) return TokenId(best);

  const auto likelier = [&](TokenId a, TokenId b) {
    const float left = logits[a], right = logits[b];
    return left != right ? left > right : a < b;
  };
  std::vector<TokenId> candidates(vocabulary);
  std::iota(candidates.begin(), candidates.end(), 0);
  if (sampling_.top_k > 0 && sampling_.top_k < vocabulary) {
    std::nth_element(candidates.begin(), candidates.begin() + std::ptrdiff_t(sampling_.top_k), candidates.end(), likelier);
    candidates.resize(sampling_.top_k);
  }
  std::sort(candidates.begin(), candidates.end(), likelier);

  std::vector<double> weights(candidates.size());
  double sum = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    weights[i] = std::exp((double(logits[candidates[i]]) - double(logits[best])) / double(sampling_.temperature));
    sum += weights[i];
  }
  if (sampling_.top_p < 1) {
    // The fewest likeliest candidates that together reach top_p.
    double kept = 0;
    std::size_t count = 0;
    while (count < candidates.size() && (count == 0 || kept < double(sampling_.top_p) * sum)) kept += weights[count++];
    candidates.resize(count);
    sum = kept;
  }
  if (sampling_.min_p > 0) {
    // The likeliest has weight 1, and the weights fall.
    double kept = 0;
    std::size_t count = 0;
    while (count < candidates.size() && weights[count] >= double(sampling_.min_p)) kept += weights[count++];
    candidates.resize(count);
    sum = kept;
  }
  const double place = double(next_random(state_) >> 11) * 0x1.0p-53 * sum;
  double passed = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    passed += weights[i];
    if (place < passed) return candidates[i];
  }
  return candidates.back();
}

}  // namespace lrc

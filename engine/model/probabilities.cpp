#include "model/probabilities.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace lrc {

double log_sum_exp(const float* logits, std::size_t vocabulary) {
  const double highest = *std::max_element(logits, logits + vocabulary);
  double sum = 0;
  for (std::size_t i = 0; i < vocabulary; ++i) sum += std::exp(double(logits[i]) - highest);
  return highest + std::log(sum);
}

double log_probability(const float* logits, std::size_t vocabulary, std::size_t id) {
  return double(logits[id]) - log_sum_exp(logits, vocabulary);
}

double kl_divergence(const float* reference_logits, const float* logits, std::size_t vocabulary) {
  return kl_divergence(reference_logits, log_sum_exp(reference_logits, vocabulary), logits, log_sum_exp(logits, vocabulary), vocabulary);
}

double kl_divergence(const float* reference_logits, double reference_log_sum, const float* logits, double log_sum, std::size_t vocabulary) {
  double divergence = 0;
  for (std::size_t i = 0; i < vocabulary; ++i) {
    const double log_p = double(reference_logits[i]) - reference_log_sum;
    divergence += std::exp(log_p) * (log_p - (double(logits[i]) - log_sum));
  }
  // Rounding alone can make the divergence of nearly equal rows negative.
  return std::max(divergence, 0.0);
}

std::size_t likeliest(const float* logits, std::size_t vocabulary) {
  std::size_t best = 0;
  for (std::size_t i = 0; i < vocabulary; ++i) {
    if (std::isnan(logits[i]))
      throw Error(ErrorKind::numerical, "The model's output is not a number: its weights or its correction are unusable.");
    if (logits[i] > logits[best]) best = i;
  }
  return best;
}

}  // namespace lrc

#pragma once
// What rows of logits say, in float64: shared by evaluation and chat.
#include <cstddef>

namespace lrc {

/// log Σ exp(logits).
double log_sum_exp(const float* logits, std::size_t vocabulary);
/// log softmax(logits)[id].
double log_probability(const float* logits, std::size_t vocabulary, std::size_t id);
/// KL(p ‖ q) of two rows of logits, in nats; never negative.
double kl_divergence(const float* reference_logits, const float* logits, std::size_t vocabulary);
/// The same where log_sum_exp of both rows is known already.
double kl_divergence(const float* reference_logits, double reference_log_sum, const float* logits, double log_sum, std::size_t vocabulary);
/// The likeliest id; the lowest one wins a tie. Throws Error(numerical) when a logit is NaN.
std::size_t likeliest(const float* logits, std::size_t vocabulary);

}  // namespace lrc

#pragma once
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "base/progress.h"
#include "calibration/calibration.h"
#include "model/probabilities.h"
#include "model/transformer.h"

namespace lrc {

struct Divergence {
  double mean = 0, median = 0, p90 = 0, p95 = 0, p99 = 0, p999 = 0, max = 0;  ///< KL(reference ‖ model), nats per token
};
struct Evaluation {
  double nll = 0, perplexity = 0;                    ///< nats; exp(nll)
  std::size_t tokens = 0, windows = 0, context = 0;  ///< tokens = scored positions
  double seconds = 0;
  std::optional<double> reference_perplexity;
  std::optional<Divergence> kl;
  std::optional<double> top1_agreement;  ///< fraction
  std::vector<double> nll_of_each_window;
};

/// The protocol of `lrc perplexity`: every position from the second on in each window, empty cache at its start; with a
/// reference, KL and top-1 agreement in the same pass, no logits file. log-softmax in float64.
Evaluation evaluate(Transformer& model, Transformer* reference, const TokenWindows& windows, Progress& progress, std::stop_token stop);
/// Several models in one pass, so that the reference is computed once. `seconds` of each: its own and the reference's.
std::vector<Evaluation> evaluate_each(std::span<Transformer* const> models, Transformer* reference, const TokenWindows& windows,
                                      Progress& progress, std::stop_token stop);

}  // namespace lrc

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "evaluation/evaluation.h"

namespace lrc {
namespace {

// A window is read in pieces, so that a stop is noticed soon and logits of few rows are in memory at a time.
constexpr std::size_t forward_tokens = 256;
constexpr std::size_t logit_rows = 64;

/// What one scored position brings.
struct Position {
  double nll = 0, reference_nll = 0, kl = 0;
  bool same_top = false;
};

/// Rows of logits predict `next`, one id a row.
void score_rows(const MatrixF& logits, const MatrixF* reference, std::span<const TokenId> next, std::span<Position> positions) {
  const std::size_t vocabulary = logits.columns();
  parallel_for(next.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      const float* row = logits.row(r);
      Position& position = positions[r];
      const double sum = log_sum_exp(row, vocabulary);
      position.nll = sum - double(row[next[r]]);
      if (!reference) continue;
      const float* reference_row = reference->row(r);
      const double reference_sum = log_sum_exp(reference_row, vocabulary);
      position.reference_nll = reference_sum - double(reference_row[next[r]]);
      position.kl = kl_divergence(reference_row, reference_sum, row, sum, vocabulary);
      position.same_top = likeliest(row, vocabulary) == likeliest(reference_row, vocabulary);
    }
  });
}

/// Linear interpolation between the sorted values.
double percentile(const std::vector<double>& sorted, double share) {
  const double place = share * double(sorted.size() - 1);
  const auto below = std::size_t(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - double(below)) * (sorted[above] - sorted[below]);
}

Divergence summarize(std::vector<double> values) {
  Divergence result;
  for (const double value : values) result.mean += value;
  result.mean /= double(values.size());
  std::sort(values.begin(), values.end());
  result.median = percentile(values, 0.5);
  result.p90 = percentile(values, 0.9);
  result.p95 = percentile(values, 0.95);
  result.p99 = percentile(values, 0.99);
  result.p999 = percentile(values, 0.999);
  result.max = values.back();
  return result;
}

void check(Transformer& model, Transformer* reference, const TokenWindows& windows) {
  if (windows.windows.empty() || windows.context < 2) {
    throw Error(ErrorKind::bad_input, "There is nothing to evaluate: at least one window of 2 tokens is needed.");
  }
  for (Transformer* transformer : {&model, reference}) {
    if (transformer && windows.context > transformer->config().context) {
      throw Error(ErrorKind::bad_input, "Windows of " + std::to_string(windows.context) + " tokens do not fit the model's context of " +
                                            std::to_string(transformer->config().context) + " tokens; choose a smaller context.");
    }
  }
  if (reference && reference->config().vocabulary != model.config().vocabulary) {
    throw Error(ErrorKind::bad_input, "The reference has a vocabulary of " + std::to_string(reference->config().vocabulary) +
                                          " tokens, the model one of " + std::to_string(model.config().vocabulary) +
                                          "; they cannot be compared.");
  }
}

class Clock {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// One of the models that are evaluated side by side.
struct Pass {
  Pass(Transformer& transformer, const TokenWindows& windows)
      : model(transformer), cache(transformer.make_cache(windows.context)), positions(windows.context - 1) {}

  void finish_window(std::size_t window, bool against_reference) {
    double sum = 0;
    for (const Position& position : positions) {
      sum += position.nll;
      if (!against_reference) continue;
      same_top += position.same_top;
      divergences.push_back(position.kl);
    }
    if (!std::isfinite(sum)) {
      throw Error(ErrorKind::numerical, "The model's output is not a number in window " + std::to_string(window + 1) +
                                            ": its weights or its correction are unusable.");
    }
    result.nll_of_each_window.push_back(sum / double(positions.size()));
    nll_sum += sum;
  }

  Transformer& model;
  KvCache cache;
  Evaluation result;
  std::vector<Position> positions;  // of one window
  std::vector<double> divergences;
  double nll_sum = 0;
  std::size_t same_top = 0;
};

}  // namespace

Evaluation evaluate(Transformer& model, Transformer* reference, const TokenWindows& windows, Progress& progress, std::stop_token stop) {
  Transformer* const models[] = {&model};
  return std::move(evaluate_each(models, reference, windows, progress, stop).front());
}

std::vector<Evaluation> evaluate_each(std::span<Transformer* const> models, Transformer* reference, const TokenWindows& windows,
                                      Progress& progress, std::stop_token stop) {
  for (Transformer* model : models) check(*model, reference, windows);
  const std::size_t context = windows.context, scored = context - 1, total = windows.windows.size() * scored;
  std::vector<Pass> passes;
  for (Transformer* model : models) passes.emplace_back(*model, windows);
  KvCache reference_cache;
  if (reference) reference_cache = reference->make_cache(context);

  double reference_nll_sum = 0, reference_seconds = 0;
  std::size_t steps = 0;
  for (std::size_t w = 0; w < windows.windows.size(); ++w) {
    const std::span<const TokenId> ids(windows.windows[w]);
    reference_cache.length = 0;
    for (Pass& pass : passes) pass.cache.length = 0;
    // The last token of a window predicts nothing that is in it.
    for (std::size_t first = 0; first < scored; first += forward_tokens) {
      throw_if_stopped(stop);
      const std::size_t tokens = std::min(forward_tokens, scored - first);
      std::vector<MatrixF> reference_logits;
      if (reference) {
        const Clock clock;
        reference->forward(ids.subspan(first, tokens), reference_cache);
        for (std::size_t row = 0; row < tokens; row += logit_rows)
          reference_logits.push_back(reference->logits(row, std::min(logit_rows, tokens - row)));
        reference_seconds += clock.seconds();
      }
      for (Pass& pass : passes) {
        throw_if_stopped(stop);
        const Clock clock;
        pass.model.forward(ids.subspan(first, tokens), pass.cache);
        for (std::size_t row = 0; row < tokens; row += logit_rows) {
          throw_if_stopped(stop);
          const std::size_t rows = std::min(logit_rows, tokens - row);
          score_rows(pass.model.logits(row, rows), reference ? &reference_logits[row / logit_rows] : nullptr,
                     ids.subspan(first + row + 1, rows), std::span(pass.positions).subspan(first + row, rows));
        }
        pass.result.seconds += clock.seconds();
        progress.report("evaluate", steps += tokens, total * passes.size());
      }
    }
    for (Pass& pass : passes) pass.finish_window(w, reference != nullptr);
    // The reference's own likelihoods are the same in every pass.
    double reference_window_sum = 0;
    for (const Position& position : passes.front().positions) reference_window_sum += position.reference_nll;
    reference_nll_sum += reference_window_sum;
  }
  std::vector<Evaluation> results;
  for (Pass& pass : passes) {
    Evaluation& result = pass.result;
    result.context = context;
    result.windows = windows.windows.size();
    result.tokens = total;
    result.nll = pass.nll_sum / double(total);
    result.perplexity = std::exp(result.nll);
    if (reference) {
      result.reference_perplexity = std::exp(reference_nll_sum / double(total));
      result.kl = summarize(std::move(pass.divergences));
      result.top1_agreement = double(pass.same_top) / double(total);
    }
    result.seconds += reference_seconds;
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace lrc

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

}  // namespace

Evaluation evaluate(Transformer& model, Transformer* reference, const TokenWindows& windows, Progress& progress, std::stop_token stop) {
  check(model, reference, windows);
  const auto start = std::chrono::steady_clock::now();
  const std::size_t context = windows.context, scored = context - 1, total = windows.windows.size() * scored;
  KvCache cache = model.make_cache(context);
  KvCache reference_cache;
  if (reference) reference_cache = reference->make_cache(context);

  Evaluation result;
  result.context = context;
  result.windows = windows.windows.size();
  result.tokens = total;
  double nll_sum = 0, reference_nll_sum = 0;
  std::size_t same_top = 0;
  std::vector<double> divergences;
  std::vector<Position> positions(scored);
  for (std::size_t w = 0; w < windows.windows.size(); ++w) {
    const std::span<const TokenId> ids(windows.windows[w]);
    cache.length = reference_cache.length = 0;
    // The last token of a window predicts nothing that is in it.
    for (std::size_t first = 0; first < scored; first += forward_tokens) {
      throw_if_stopped(stop);
      const std::size_t tokens = std::min(forward_tokens, scored - first);
      model.forward(ids.subspan(first, tokens), cache);
      if (reference) {
        throw_if_stopped(stop);
        reference->forward(ids.subspan(first, tokens), reference_cache);
      }
      for (std::size_t row = 0; row < tokens; row += logit_rows) {
        throw_if_stopped(stop);
        const std::size_t rows = std::min(logit_rows, tokens - row);
        const MatrixF logits = model.logits(row, rows);
        const MatrixF reference_logits = reference ? reference->logits(row, rows) : MatrixF();
        score_rows(logits, reference ? &reference_logits : nullptr, ids.subspan(first + row + 1, rows),
                   std::span(positions).subspan(first + row, rows));
      }
      progress.report("evaluate", w * scored + first + tokens, total);
    }
    double window_sum = 0, reference_window_sum = 0;
    for (const Position& position : positions) {
      window_sum += position.nll;
      if (!reference) continue;
      reference_window_sum += position.reference_nll;
      same_top += position.same_top;
      divergences.push_back(position.kl);
    }
    if (!std::isfinite(window_sum)) {
      throw Error(ErrorKind::numerical, "The model's output is not a number in window " + std::to_string(w + 1) +
                                            ": its weights or its correction are unusable.");
    }
    result.nll_of_each_window.push_back(window_sum / double(scored));
    nll_sum += window_sum;
    reference_nll_sum += reference_window_sum;
  }
  result.nll = nll_sum / double(total);
  result.perplexity = std::exp(result.nll);
  if (reference) {
    result.reference_perplexity = std::exp(reference_nll_sum / double(total));
    result.kl = summarize(std::move(divergences));
    result.top1_agreement = double(same_top) / double(total);
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace lrc

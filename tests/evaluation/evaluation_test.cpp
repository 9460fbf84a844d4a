#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "evaluation/evaluation.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

TokenWindows random_windows(std::size_t count, std::size_t context) {
  return cut_windows(random_ids(count * context, 120, 4), context, count, "random ids");
}

TEST(Probabilities, ByHand) {
  const float a[] = {0.0f, std::log(2.0f), std::log(5.0f)};  // 1/8, 2/8, 5/8
  const float b[] = {std::log(4.0f), std::log(2.0f), std::log(2.0f)};
  EXPECT_NEAR(log_probability(a, 3, 1), std::log(0.25), 1e-7);
  const double expected = 0.125 * std::log(0.125 / 0.5) + 0.25 * std::log(0.25 / 0.25) + 0.625 * std::log(0.625 / 0.25);
  EXPECT_NEAR(kl_divergence(a, b, 3), expected, 1e-7);
  EXPECT_EQ(kl_divergence(a, a, 3), 0.0);
  EXPECT_EQ(likeliest(a, 3), 2u);
  const float tie[] = {1.0f, 3.0f, 3.0f};
  EXPECT_EQ(likeliest(tie, 3), 1u);
}

TEST(Probabilities, LargeLogitsDoNotOverflow) {
  const float a[] = {3000.0f, 2990.0f, -3000.0f}, shifted[] = {13.0f, 3.0f, -5987.0f};
  EXPECT_NEAR(log_probability(a, 3, 1), -10 - std::log1p(std::exp(-10.0)), 1e-9);
  EXPECT_NEAR(kl_divergence(a, shifted, 3), 0.0, 1e-12);
  EXPECT_NEAR(log_probability(a, 3, 2), -6000, 1e-3);
}

TEST(Evaluate, ThePublishedProtocol) {
  // 300 tokens: more than one piece of the pass.
  const ModelWeights weights = tiny_weights();
  Transformer transformer = on_cpu(weights);
  const TokenWindows windows = random_windows(2, 300);
  double sum = 0;
  std::vector<double> means;
  for (const auto& ids : windows.windows) {
    const MatrixF logits = all_logits(transformer, ids);
    double window = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) window -= log_probability(logits.row(i), logits.columns(), std::size_t(ids[i + 1]));
    means.push_back(window / 299);
    sum += window;
  }
  std::vector<ProgressUpdate> updates;
  Progress progress([&](const ProgressUpdate& update) { updates.push_back(update); });
  const Evaluation result = evaluate(transformer, nullptr, windows, progress, {});
  EXPECT_EQ(result.tokens, 598u);
  EXPECT_EQ(result.windows, 2u);
  EXPECT_EQ(result.context, 300u);
  EXPECT_NEAR(result.nll, sum / 598, 1e-5);
  EXPECT_NEAR(result.perplexity, std::exp(sum / 598), 1e-3 * std::exp(sum / 598));
  ASSERT_EQ(result.nll_of_each_window.size(), 2u);
  for (std::size_t w = 0; w < 2; ++w) EXPECT_NEAR(result.nll_of_each_window[w], means[w], 1e-5);
  EXPECT_FALSE(result.kl || result.top1_agreement || result.reference_perplexity);
  ASSERT_FALSE(updates.empty());
  EXPECT_EQ(updates.back().done, updates.back().total);
  EXPECT_EQ(updates.back().stage, "evaluate");
}

TEST(Evaluate, AModelBesideItself) {
  const ModelWeights weights = tiny_weights();
  Transformer first = on_cpu(weights), second = on_cpu(weights);
  Progress progress;
  const Evaluation result = evaluate(first, &second, random_windows(2, 100), progress, {});
  EXPECT_LE(result.kl->max, 1e-9);
  EXPECT_EQ(*result.top1_agreement, 1.0);
  EXPECT_EQ(*result.reference_perplexity, result.perplexity);
}

TEST(Evaluate, DivergenceFromTheReference) {
  const ModelWeights weights = tiny_weights();
  Transformer reference = on_cpu(weights), model = on_cpu(quantized(weights, {.bits = 3}, {.bits = 16}, 0));
  const TokenWindows windows = random_windows(1, 60);
  std::vector<double> divergences;
  std::size_t agree = 0;
  const MatrixF p = all_logits(reference, windows.windows[0]), q = all_logits(model, windows.windows[0]);
  for (std::size_t i = 0; i + 1 < 60; ++i) {
    divergences.push_back(kl_divergence(p.row(i), q.row(i), p.columns()));
    agree += likeliest(p.row(i), p.columns()) == likeliest(q.row(i), q.columns());
  }
  double mean = 0;
  for (const double value : divergences) mean += value / 59;
  std::sort(divergences.begin(), divergences.end());
  Progress progress;
  const Evaluation result = evaluate(model, &reference, windows, progress, {});
  ASSERT_GT(mean, 0.01);
  EXPECT_NEAR(result.kl->mean, mean, 1e-4 * mean);
  EXPECT_NEAR(result.kl->median, divergences[29], 1e-3 * mean);
  // 90 % of 58 steps is 52.2: between the values at 52 and 53.
  EXPECT_NEAR(result.kl->p90, 0.8 * divergences[52] + 0.2 * divergences[53], 1e-3 * mean);
  EXPECT_NEAR(result.kl->max, divergences.back(), 1e-3 * mean);
  EXPECT_LE(result.kl->p99, result.kl->p999);
  EXPECT_LE(result.kl->p999, result.kl->max);
  EXPECT_NEAR(*result.top1_agreement, double(agree) / 59, 1e-12);
  // Which of the two is the reference matters.
  const Evaluation swapped = evaluate(reference, &model, windows, progress, {});
  EXPECT_GT(std::abs(swapped.kl->mean - result.kl->mean), 1e-4 * mean);
  EXPECT_DOUBLE_EQ(swapped.perplexity, *result.reference_perplexity);
}

TEST(Evaluate, SeveralModelsInOnePassAreEachAsAlone) {
  const ModelWeights weights = tiny_weights();
  Transformer reference = on_cpu(weights), three = on_cpu(quantized(weights, {.bits = 3}, {.bits = 16}, 0)),
              four = on_cpu(quantized(weights, {.bits = 4}, {.bits = 4}, 0));
  const TokenWindows windows = random_windows(2, 300);
  Progress progress;
  Transformer* const models[] = {&three, &four};
  const auto together = evaluate_each(models, &reference, windows, progress, {});
  ASSERT_EQ(together.size(), 2u);
  EXPECT_NE(together[0].nll, together[1].nll);
  for (std::size_t i = 0; i < 2; ++i) {
    const Evaluation alone = evaluate(*models[i], &reference, windows, progress, {});
    EXPECT_EQ(together[i].nll, alone.nll);
    EXPECT_EQ(together[i].kl->mean, alone.kl->mean);
    EXPECT_EQ(together[i].kl->p99, alone.kl->p99);
    EXPECT_EQ(together[i].top1_agreement, alone.top1_agreement);
    EXPECT_EQ(together[i].reference_perplexity, alone.reference_perplexity);
    EXPECT_EQ(together[i].nll_of_each_window, alone.nll_of_each_window);
  }
}

TEST(Evaluate, SaysWhatCannotBeEvaluated) {
  const auto problem = [](Transformer& model, Transformer* reference, const TokenWindows& windows, std::stop_token stop = {}) {
    Progress progress;
    try {
      evaluate(model, reference, windows, progress, stop);
    } catch (const Error& error) {
      return std::pair(error.kind(), std::string(error.what()));
    }
    return std::pair(ErrorKind::io, std::string("no error"));
  };
  Transformer model = on_cpu(tiny_weights());
  Transformer short_context = on_cpu(tiny_weights({.context = 20}));
  Transformer other_vocabulary = on_cpu(tiny_weights({.vocabulary = 130}));
  const TokenWindows windows = random_windows(1, 30);
  EXPECT_THAT(problem(short_context, nullptr, windows).second, testing::HasSubstr("context of 20"));
  EXPECT_THAT(problem(model, &short_context, windows).second, testing::HasSubstr("context of 20"));
  EXPECT_THAT(problem(model, &other_vocabulary, windows).second, testing::HasSubstr("130"));
  EXPECT_EQ(problem(model, nullptr, TokenWindows{}).first, ErrorKind::bad_input);
  EXPECT_EQ(problem(model, nullptr, random_windows(4, 1)).first, ErrorKind::bad_input);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(problem(model, nullptr, windows, stop.get_token()).first, ErrorKind::stopped);

  ModelWeights broken = tiny_weights();
  broken.final_norm[3] = std::nanf("");
  Transformer no_number = on_cpu(broken);
  EXPECT_EQ(problem(no_number, nullptr, windows).first, ErrorKind::numerical);
}

}  // namespace
}  // namespace lrc::test

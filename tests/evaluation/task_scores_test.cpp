// Log-likelihoods against a pass without sharing, and what becomes of them.
#include "evaluation/task_scores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "evaluation/task_statistics.h"
#include "model/model.h"
#include "model/probabilities.h"
#include "support/test_data.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

using testing::HasSubstr;

std::shared_ptr<const Model> stories() {
  static const auto model = Model::open(data("stories260K/stories260K-f32.gguf"));
  return model;
}

/// Each choice on its own, from the logits of all of its positions.
ChoiceScore alone(Transformer& model, const EncodedChoice& choice) {
  const MatrixF logits = all_logits(model, choice.ids);
  ChoiceScore score{0, true};
  for (std::size_t p = choice.scored_from; p < choice.ids.size(); ++p) {
    score.log_likelihood += log_probability(logits.row(p - 1), logits.columns(), std::size_t(choice.ids[p]));
    score.greedy = score.greedy && likeliest(logits.row(p - 1), logits.columns()) == std::size_t(choice.ids[p]);
  }
  return score;
}

void expect_as_alone(Transformer& model, const std::vector<EncodedChoice>& choices, const char* what) {
  TaskScorer scorer(model, {});
  const ItemScore scores = scorer.score(choices, what);
  ASSERT_EQ(scores.size(), choices.size());
  for (std::size_t c = 0; c < choices.size(); ++c) {
    const ChoiceScore expected = alone(model, choices[c]);
    EXPECT_NEAR(scores[c].log_likelihood, expected.log_likelihood, 1e-5 * std::max(1.0, std::abs(expected.log_likelihood))) << what << c;
    EXPECT_EQ(scores[c].greedy, expected.greedy) << what << c;
  }
}

TEST(TaskScorer, SharingIsAsReadingEachAnswerAlone) {
  const ModelWeights weights = tiny_weights();
  Transformer model = on_cpu(weights);
  const auto context = random_ids(40, 120, 1), first = random_ids(9, 120, 2), second = random_ids(3, 120, 3);
  const auto joined = [](std::initializer_list<std::vector<TokenId>> parts) {
    std::vector<TokenId> all;
    for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
  };
  expect_as_alone(model, {{joined({context, first}), 40}, {joined({context, second}), 40}}, "one context ");
  expect_as_alone(model, {{joined({context, first, second}), 40}, {joined({context, first, context}), 40}}, "answers that begin alike ");
  expect_as_alone(model, {{joined({context, first}), 40}, {joined({context, first, second}), 40}}, "one answer begins the other ");
  expect_as_alone(model, {{joined({context, first, second}), 49}, {joined({context, second, second}), 43}}, "contexts that part late ");
  expect_as_alone(model, {{joined({first, second}), 9}, {joined({second, second}), 3}}, "nothing shared ");
  expect_as_alone(model, {{joined({context, first}), 40}}, "a single answer ");
  expect_as_alone(model, {{joined({context, {5}}), 40}, {joined({context, {6}}), 40}, {joined({context, {7}}), 40}}, "one token each ");
  expect_as_alone(model, {{{4, 5}, 1}, {{4, 6}, 1}}, "the shortest ");
  // More scored rows than lie in memory at a time, on both sides of the parting.
  const auto long_text = random_ids(200, 120, 5);
  expect_as_alone(model, {{joined({long_text, context, long_text}), 10}, {joined({long_text, first, long_text}), 10}}, "long ");
}

TEST(TaskScorer, TheSameForEveryOrderOfItems) {
  Transformer model = on_cpu(tiny_weights());
  const std::vector<EncodedChoice> small = {{random_ids(12, 120, 1), 5}}, large = {{random_ids(300, 120, 2), 250}};
  TaskScorer one(model, {}), other(model, {});
  const ItemScore before = one.score(small, "small");
  other.score(large, "large");
  EXPECT_EQ(other.score(small, "small"), before);
}

TEST(TaskScorer, AStoryByHand) {
  const auto weights = load_weights(*stories());
  Transformer model = on_cpu(weights);
  const auto tokenizer = stories()->tokenizer();
  const TaskChoice good{"Once upon a", " time", 4}, bad{"Once upon a", " spoon", 5};
  const auto first = encode_choice(good, *tokenizer, true, "x"), second = encode_choice(bad, *tokenizer, true, "x");
  EXPECT_EQ(first.ids.front(), *tokenizer->spec().bos);
  EXPECT_EQ(first.scored_from, 1 + tokenizer->encode("Once upon a", false).size());
  expect_as_alone(model, {first, second}, "story ");
  TaskScorer scorer(model, {});
  const ItemScore scores = scorer.score({first, second}, "story");
  EXPECT_TRUE(scores[0].greedy);
  EXPECT_FALSE(scores[1].greedy);
  EXPECT_GT(scores[0].log_likelihood, scores[1].log_likelihood + 3);
}

TEST(TaskScorer, SaysWhatDoesNotFit) {
  Transformer model = on_cpu(tiny_weights({.context = 20}));
  TaskScorer scorer(model, {});
  const auto problem = [&](TaskScorer& by, const std::vector<EncodedChoice>& choices) {
    try {
      by.score(choices, "item 3 of piqa");
    } catch (const Error& error) {
      return std::pair(error.kind(), std::string(error.what()));
    }
    return std::pair(ErrorKind::io, std::string("no error"));
  };
  // The last token is predicted, not read: 21 tokens fit into a context of 20.
  EXPECT_EQ(scorer.score({{random_ids(21, 120, 1), 4}}, "fits").size(), 1u);
  const auto too_long = problem(scorer, {{random_ids(22, 120, 1), 4}});
  EXPECT_EQ(too_long.first, ErrorKind::bad_input);
  EXPECT_THAT(too_long.second, testing::AllOf(HasSubstr("item 3 of piqa"), HasSubstr("22"), HasSubstr("20")));
  std::stop_source stop;
  stop.request_stop();
  TaskScorer stopped(model, stop.get_token());
  EXPECT_EQ(problem(stopped, {{random_ids(9, 120, 1), 4}}).first, ErrorKind::stopped);
  ModelWeights broken = tiny_weights();
  broken.final_norm[3] = std::numeric_limits<float>::quiet_NaN();
  Transformer no_number = on_cpu(broken);
  TaskScorer undefined(no_number, {});
  EXPECT_EQ(problem(undefined, {{random_ids(9, 120, 1), 4}}).first, ErrorKind::numerical);
}

TEST(EncodeChoice, PartsAsTheHarnessDoes) {
  const auto tokenizer = stories()->tokenizer();
  const auto ids = [&](const char* text) { return tokenizer->encode(text, false); };
  // Blanks that end the read text belong to the scored one.
  const auto moved = encode_choice({"Once upon ", "a time", 1}, *tokenizer, false, "x");
  const auto plain = encode_choice({"Once upon", " a time", 1}, *tokenizer, false, "x");
  EXPECT_EQ(moved.ids, plain.ids);
  EXPECT_EQ(moved.scored_from, plain.scored_from);
  EXPECT_EQ(plain.ids, ids("Once upon a time"));
  EXPECT_EQ(plain.scored_from, ids("Once upon").size());
  const auto with_bos = encode_choice({"Once upon", " a time", 1}, *tokenizer, true, "x");
  EXPECT_EQ(with_bos.ids.size(), plain.ids.size() + 1);
  EXPECT_EQ(with_bos.scored_from, plain.scored_from + 1);
  // Nothing to read: the model begins from its first token.
  const auto empty = encode_choice({"", "Once", 1}, *tokenizer, false, "x");
  EXPECT_EQ(empty.ids.front(), *tokenizer->spec().bos);
  EXPECT_EQ(empty.scored_from, 1u);
  EXPECT_THROW(encode_choice({"Once", "", 1}, *tokenizer, false, "x"), Error);
}

Task choice_task(bool normalized) {
  return {.name = "test", .sentence = {}, .fields = {}, .normalized = normalized, .files = {}, .item = nullptr};
}

TEST(TaskStatistics, AccAndAccNormByHand) {
  const Task task = choice_task(true);
  // −6 over 12 characters is −0.5 each, −4 over 4 is −1: acc takes the second, acc_norm the first.
  const TaskItem item{1, {{"c", " long", 12}, {"c", " tiny", 4}}, 0};
  const ItemScore score = {{-6, false}, {-4, false}};
  EXPECT_EQ(verdict(task, item, score, false).chosen, 1u);
  EXPECT_EQ(verdict(task, item, score, true).chosen, 0u);
  EXPECT_TRUE(verdict(task, item, score, true).right);
  // A tie goes to the first.
  EXPECT_EQ(verdict(task, item, {{-4, false}, {-4, false}}, false).chosen, 0u);
  TaskItem other = item;
  other.gold = 1;
  const std::vector<TaskItem> items = {item, item, other, other};
  const std::vector<ItemScore> scores(4, score);
  const TaskFigures f = figures(task, items, scores);
  EXPECT_EQ(f.accuracy.value, 0.5);
  EXPECT_EQ(f.normalized_accuracy->value, 0.5);
  EXPECT_FALSE(f.perplexity);
  EXPECT_FALSE(figures(choice_task(false), items, scores).normalized_accuracy);
}

TEST(TaskStatistics, IntervalsByHand) {
  const Share share = share_of(30, 50);
  EXPECT_DOUBLE_EQ(share.value, 0.6);
  EXPECT_NEAR(*share.standard_error, std::sqrt(0.24 / 49), 1e-12);
  EXPECT_NEAR(share.low, 0.46183, 1e-4);  // Wilson's interval for 30 of 50
  EXPECT_NEAR(share.high, 0.72390, 1e-4);
  const Share all = share_of(10, 10);
  EXPECT_EQ(all.high, 1.0);
  EXPECT_NEAR(all.low, 0.72247, 1e-4);
  EXPECT_FALSE(share_of(1, 1).standard_error);
}

TEST(TaskStatistics, PairedDifferenceByHand) {
  const Task task = choice_task(false);
  const TaskItem item{1, {{"c", " a", 1}, {"c", " b", 1}}, 0};
  const ItemScore right = {{-1, false}, {-2, false}}, wrong = {{-2, false}, {-1, false}};
  const std::vector<TaskItem> items(5, item);
  const std::vector<ItemScore> mine = {right, right, right, wrong, right}, other = {right, wrong, wrong, right, right};
  const PairedShares paired = compare_verdicts(task, items, mine, other, false);
  EXPECT_DOUBLE_EQ(paired.agreement, 0.4);
  EXPECT_DOUBLE_EQ(paired.difference, 0.2);
  EXPECT_EQ(paired.only_model, 2u);
  EXPECT_EQ(paired.only_reference, 1u);
  // Differences 0, 1, 1, −1, 0: mean 0.2, sum of squares about it 2.8.
  EXPECT_NEAR(*paired.standard_error, std::sqrt(2.8 / 4 / 5), 1e-12);
  EXPECT_NEAR(*paired.high - *paired.low, 2 * 1.959964 * *paired.standard_error, 1e-5);
}

TEST(TaskStatistics, GreedyTasksAskForEveryToken) {
  Task task = choice_task(false);
  task.greedy = true;
  const std::vector<TaskItem> items(2, TaskItem{1, {{"c", " w", 1}}, 0});
  const std::vector<ItemScore> scores = {{{-1, true}}, {{-3, false}}};
  const TaskFigures f = figures(task, items, scores);
  EXPECT_EQ(f.accuracy.value, 0.5);
  EXPECT_NEAR(*f.perplexity, std::exp(2.0), 1e-12);
}

}  // namespace
}  // namespace lrc::test

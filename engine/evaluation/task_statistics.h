#pragma once
// From scores to figures with their uncertainty.
#include <optional>

#include "evaluation/task_scores.h"

namespace lrc {

/// A share of `count` items. Standard error as the harness gives it, √(p (1 − p) / (count − 1)); the interval is Wilson's score
/// interval at 95 %, which stays inside 0…1 and does not shrink to nothing at the ends.
struct Share {
  double value = 0, low = 0, high = 1;
  std::optional<double> standard_error;  ///< absent for a single item
  std::size_t count = 0;
};
Share share_of(std::size_t hits, std::size_t count);

/// Two models on the same items. The difference (this − reference) has the standard error of paired items, from those on which
/// only one of the two is right; the interval at 95 % is ± 1.96 of it.
struct PairedShares {
  double agreement = 0;  ///< share of items with the same verdict: the same answer chosen; greedy tasks: both right or both wrong
  double difference = 0;
  std::size_t only_model = 0, only_reference = 0;  ///< items that only one of them has right
  std::optional<double> standard_error, low, high;
};

/// What one metric makes of an item.
struct Verdict {
  std::size_t chosen = 0;
  bool right = false;
};
Verdict verdict(const Task& task, const TaskItem& item, const ItemScore& score, bool normalized);

struct TaskFigures {
  Share accuracy;
  std::optional<Share> normalized_accuracy;  ///< where the task's convention has it
  std::optional<double> perplexity;          ///< greedy tasks: exp of the mean negative log-likelihood of the answer
};
/// `scores` of the first scores.size() items.
TaskFigures figures(const Task& task, std::span<const TaskItem> items, std::span<const ItemScore> scores);
PairedShares compare_verdicts(const Task& task, std::span<const TaskItem> items, std::span<const ItemScore> scores,
                              std::span<const ItemScore> reference, bool normalized);

}  // namespace lrc

#include "evaluation/task_statistics.h"

#include <cmath>

namespace lrc {
namespace {

constexpr double z95 = 1.959963984540054;

}  // namespace

Share share_of(std::size_t hits, std::size_t count) {
  Share share;
  share.count = count;
  if (count == 0) return share;
  const double n = double(count), p = double(hits) / n;
  share.value = p;
  if (count > 1) share.standard_error = std::sqrt(p * (1 - p) / (n - 1));
  // Wilson 1927.
  const double z2 = z95 * z95, centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = z95 / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  // At the ends these are exactly 0 and 1.
  share.low = hits == 0 ? 0.0 : centre - half;
  share.high = hits == count ? 1.0 : centre + half;
  return share;
}

Verdict verdict(const Task& task, const TaskItem& item, const ItemScore& score, bool normalized) {
  if (task.greedy) return {score.front().greedy ? 1u : 0u, score.front().greedy};
  Verdict result;
  double best = 0;
  for (std::size_t c = 0; c < score.size(); ++c) {
    const double value = score[c].log_likelihood / (normalized ? double(item.choices[c].characters) : 1.0);
    if (c > 0 && value <= best) continue;  // the first one wins a tie
    best = value;
    result.chosen = c;
  }
  result.right = result.chosen == item.gold;
  return result;
}

TaskFigures figures(const Task& task, std::span<const TaskItem> items, std::span<const ItemScore> scores) {
  std::size_t right = 0, right_normalized = 0;
  double sum = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    right += verdict(task, items[i], scores[i], false).right;
    if (task.normalized) right_normalized += verdict(task, items[i], scores[i], true).right;
    sum += scores[i].front().log_likelihood;
  }
  TaskFigures result;
  result.accuracy = share_of(right, scores.size());
  if (task.normalized) result.normalized_accuracy = share_of(right_normalized, scores.size());
  if (task.greedy && !scores.empty()) result.perplexity = std::exp(-sum / double(scores.size()));
  return result;
}

PairedShares compare_verdicts(const Task& task, std::span<const TaskItem> items, std::span<const ItemScore> scores,
                              std::span<const ItemScore> reference, bool normalized) {
  PairedShares result;
  std::size_t same = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const Verdict mine = verdict(task, items[i], scores[i], normalized), other = verdict(task, items[i], reference[i], normalized);
    same += mine.chosen == other.chosen;
    result.only_model += mine.right && !other.right;
    result.only_reference += other.right && !mine.right;
  }
  const double n = double(scores.size());
  if (scores.empty()) return result;
  result.agreement = double(same) / n;
  const double won = double(result.only_model), lost = double(result.only_reference);
  result.difference = (won - lost) / n;
  if (scores.size() > 1) {
    result.standard_error = std::sqrt((won + lost - (won - lost) * (won - lost) / n) / (n - 1) / n);
    result.low = result.difference - z95 * *result.standard_error;
    result.high = result.difference + z95 * *result.standard_error;
  }
  return result;
}

}  // namespace lrc

#include "models/error_summary.h"

#include <QCoreApplication>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "plot_style.h"

namespace lrc::app {

namespace {
QString tr(const char* text) { return QCoreApplication::translate("error_summary", text); }
QString stressed(double share) { return QString("<b>%1 %</b>").arg(100 * share, 0, 'f', 1).replace('-', QStringLiteral("−")); }
}  // namespace

void sort_changes(std::vector<LayerChange>& changes, ChangeOrder order) {
  const auto key = [order](const LayerChange& change) {
    switch (order) {
      case ChangeOrder::before:
        return -change.before;
      case ChangeOrder::after:
        return -change.after;
      case ChangeOrder::removed:
        return -change.removed();
      case ChangeOrder::model:
        break;
    }
    return double(change.layer);
  };
  std::stable_sort(changes.begin(), changes.end(), [&](const LayerChange& a, const LayerChange& b) { return key(a) < key(b); });
}

std::vector<double> cumulative_removed(const std::vector<LayerChange>& changes) {
  double total = 0, sum = 0;
  for (const LayerChange& change : changes) total += change.before;
  std::vector<double> out;
  for (const LayerChange& change : changes) {
    sum += change.removed();
    out.push_back(total > 0 ? sum / total : 0);
  }
  return out;
}

QString describe_changes(const std::vector<LayerChange>& changes, const QString& a, const QString& b, bool before_is_run) {
  if (changes.empty()) return {};
  double before = 0, after = 0;
  for (const LayerChange& change : changes) {
    before += change.before;
    after += change.after;
  }
  const double removed = before > 0 ? 1 - after / before : 0;
  QString sentence;
  if (!before_is_run)
    sentence = removed > 0.0005 ? tr("The branch removes %1 of the layers’ error.").arg(stressed(removed))
                                : tr("%1 has no branch that removes error: before and after are the same.").arg(b);
  else
    sentence = removed >= 0 ? tr("%1 has %2 less layer error than %3.").arg(b, stressed(removed), a)
                            : tr("%1 has %2 more layer error than %3.").arg(b, stressed(-removed), a);
  if (changes.size() > 20 && after > 0) {
    std::vector<double> left;
    for (const LayerChange& change : changes) left.push_back(change.after);
    std::partial_sort(left.begin(), left.begin() + 10, left.end(), std::greater<>());
    sentence += ' ' + tr("Ten of %1 layers carry %2 of what is left.")
                          .arg(changes.size())
                          .arg(stressed(std::accumulate(left.begin(), left.begin() + 10, 0.0) / after));
  }
  return sentence;
}

QString describe_sources(const LayerRecord& record) {
  const double parts = record.weights_only + record.activations_only;
  if (!(parts > 0)) return tr("Nothing is lost in this layer.");
  const double activations = record.activations_only / parts;
  QString sentence;
  if (activations >= 0.5)
    sentence = tr("%1 of this layer’s error comes from %2-bit activations.").arg(stressed(activations)).arg(record.activation_bits);
  else
    sentence = tr("%1 of this layer’s error comes from %2-bit weights.").arg(stressed(1 - activations)).arg(record.weight_bits);
  if (activations >= 0.8) sentence += ' ' + tr("More weight bits will hardly help.");
  if (activations <= 0.2) sentence += ' ' + tr("More activation bits will hardly help.");
  if (record.rank > 0 && record.loss_uncorrected > 0) {
    const double removed = 1 - record.loss / record.loss_uncorrected;
    sentence += ' ' +
                (removed >= 0 ? tr("Rank %1 removes %2;") : tr("With rank %1 it is %2 larger: what is minimised is the regularised error;"))
                    .arg(record.rank)
                    .arg(stressed(std::abs(removed))) +
                ' ' + tr("no solution of that rank has a regularised error below %1 %.").arg(format_error(record.lower_bound));
  }
  if (record.range_finder_missed)
    sentence += ' ' + tr("The randomized range finder missed %1 % of what the exact pair’s directions carry.")
                          .arg(format_error(*record.range_finder_missed));
  return sentence;
}

}  // namespace lrc::app

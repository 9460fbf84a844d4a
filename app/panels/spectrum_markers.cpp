// What stands in the lower plot beside the curves: the prediction, runs, layers solved alone, plain bits at their cost.
#include <algorithm>
#include <cmath>

#include "models/layer_lab.h"
#include "models/run_facts.h"
#include "models/spectrum_curves.h"
#include "panels/panel_widgets.h"
#include "panels/plot_tools.h"
#include "panels/spectrum_plots.h"
#include "plot_style.h"

namespace lrc::app {

namespace {

/// Whether the regularised losses of a layer may stand beside each other: the same text, transforms, activation grid and damping. Only
/// then does the bound of one hold for the other.
bool same_objective(const Recipe& a, const Recipe& b, const LayerInfo& layer) {
  if (!same_transforms(a, b) || a.calibration != b.calibration || a.calibration_mix != b.calibration_mix ||
      a.calibration_tokens != b.calibration_tokens || a.skip_first_positions != b.skip_first_positions || a.stream != b.stream)
    return false;
  try {
    const LayerScheme of_a = effective_scheme(a, layer), of_b = effective_scheme(b, layer);
    return of_a.activation == of_b.activation && of_a.damping == of_b.damping && of_a.damping_toward == of_b.damping_toward;
  } catch (const Error&) {
    return false;  // a recipe that does not fit this model says nothing about its layers
  }
}

}  // namespace

void SpectrumPlots::drawPrediction(const ShownLayer& shown) {
  const Colours& c = colours();
  const LayerSpectrum& s = *shown.spectrum;
  const auto curve = [&](double factor) {
    std::vector<double> values;
    for (std::size_t rank = 0; rank < s.lower_bound_by_rank.size(); ++rank) values.push_back(*predicted_at(s, factor, rank));
    return in_per_cent(values);
  };
  const QVector<double> x = ranks(s.lower_bound_by_rank.size(), 0);
  QCPGraph* low = addCurve(lower_, x, curve(shown.prediction->low), Qt::NoPen);
  QCPGraph* high = addCurve(lower_, x, curve(shown.prediction->high), Qt::NoPen);
  QColor ground = c.b_fill;
  ground.setAlphaF(0.12f);
  high->setBrush(ground);
  high->setChannelFillGraph(low);
  QCPGraph* middle = addCurve(lower_, x, curve(shown.prediction->factor), QPen(c.b_fill, 1.3, Qt::DashLine));
  estimate_marker_ = lower_->addGraph();
  estimate_marker_->setLineStyle(QCPGraph::lsNone);
  estimate_marker_->setScatterStyle(scatter(Marker::diamond, c.b_fill, 10, false));
  estimate_text_ = add_text(*lower_, {}, 0, 0, c.b_text, Qt::AlignLeft | Qt::AlignBottom);
  QFont italic = font_of_points(font(), 9, true);
  italic.setItalic(true);
  estimate_text_->setFont(italic);
  estimate_text_->setPadding(QMargins(8, 0, 4, 2));
  remember(estimate_text_, lower_);
  estimates_ = {low, high, middle, estimate_marker_};
}

void SpectrumPlots::movePrediction(int rank) {
  if (!estimate_marker_) return;
  const ShownLayer& shown = shown_.front();
  const auto value = predicted_at(*shown.spectrum, shown.prediction->factor, std::size_t(rank));
  // At a rank that was solved there is nothing to predict.
  const auto alone = LayerLab::of(workspace_).solvedAtRanks(shown.layer);
  const bool solved = (shown.spectrum->achieved_rank && int(*shown.spectrum->achieved_rank) == rank) ||
                      std::ranges::any_of(alone, [rank](const SolvedAlone* each) { return int(each->scheme.rank) == rank; });
  const bool said = value && *value > 0 && !solved;
  estimate_marker_->data()->clear();
  estimate_text_->setVisible(said);
  if (said) {
    estimate_marker_->addData(rank, 100 * *value);
    estimate_text_->setText(QStringLiteral("≈ ") + format_error(*value));
    estimate_text_->position->setCoords(rank, 100 * *value);
    placeEstimate(rank, 100 * *value);
  }
  lower_->replot(QCustomPlot::rpQueuedReplot);
}

void SpectrumPlots::showEstimates(bool shown) {
  for (QCPGraph* graph : estimates_) graph->setVisible(shown);
  if (estimate_text_) estimate_text_->setVisible(shown && !estimate_marker_->data()->isEmpty());
}

void SpectrumPlots::drawMarkers(const ShownLayer& shown, const QColor& colour, bool label) {
  const Colours& c = colours();
  const std::string& name = info(shown.layer).name;
  const RunEntry *a = run_in(workspace_, workspace_.slotA()), *b = run_in(workspace_, workspace_.slotB());
  const LayerRecord* of_b = record_of(b, name);
  const auto mark = [&](double rank, double loss, Marker marker, const QColor& fill, double size, const QString& text,
                        const QColor& text_colour, LabelPlace place) {
    if (!(loss > 0)) return;
    QCPGraph* graph = lower_->addGraph();
    graph->setLineStyle(QCPGraph::lsNone);
    graph->setScatterStyle(scatter(marker, fill, size));
    graph->addData(rank, 100 * loss);
    if (!text.isEmpty()) labelPoint(text, rank, 100 * loss, text_colour, Qt::AlignLeft | Qt::AlignBottom, place);
  };
  // Runs that came to the same stand under one mark.
  struct Others {
    const LayerRecord* record;
    QStringList runs;
  };
  std::vector<Others> others;
  if (label && of_b)
    for (const RunEntry& run : workspace_.runs()) {
      if (&run == a || &run == b) continue;
      const LayerRecord* other = record_of(&run, name);
      if (other == nullptr || !same_objective(run.manifest.recipe, b->manifest.recipe, info(shown.layer))) continue;
      const auto same = std::ranges::find_if(others, [other](const Others& each) {
        return each.record->rank == other->rank && std::abs(each.record->loss_regularized / other->loss_regularized - 1) < 0.01;
      });
      if (same == others.end())
        others.push_back({other, {QString("#%1").arg(run.number)}});
      else
        same->runs << QString("#%1").arg(run.number);
    }
  for (const Others& each : others)
    mark(double(each.record->rank), each.record->loss_regularized, marker_of(each.record->method), c.codes, 6, each.runs.join(", "), c.dim,
         LabelPlace::other_run);
  if (const LayerRecord* of_a = record_of(a, name); of_a && a != b)
    mark(double(of_a->rank), of_a->loss_regularized, Marker::disc, c.a_fill, 8,
         label ? QString("A #%1  %2").arg(a->number).arg(format_error(of_a->loss_regularized)) : QString(), c.a_text, LabelPlace::slot);
  if (of_b)
    mark(double(of_b->rank), of_b->loss_regularized, Marker::diamond, colour, 10,
         label ? QString("#%1  %2").arg(b->number).arg(format_error(of_b->loss_regularized)) : QString(), c.b_text, LabelPlace::slot);
}

void SpectrumPlots::drawAlone(const ShownLayer& shown, const QColor& colour, bool label) {
  for (const SolvedAlone* each : LayerLab::of(workspace_).solvedAtRanks(shown.layer)) {
    const double loss = 100 * each->record.loss_regularized;
    if (!(loss > 0)) continue;
    QCPGraph* graph = lower_->addGraph();
    graph->setLineStyle(QCPGraph::lsNone);
    graph->setScatterStyle(scatter(Marker::diamond, colour, 7));
    graph->addData(double(each->scheme.rank), loss);
    if (label)  // a run's own mark has its number above
      labelPoint(format_error(each->record.loss_regularized), double(each->scheme.rank), loss, colours().b_text,
                 Qt::AlignLeft | Qt::AlignTop, LabelPlace::alone);
  }
}

// More bits and no branch: a square stands at the rank whose factors cost as much.
void SpectrumPlots::drawPlainBits(const ShownLayer& shown) {
  const LayerTrials* trials = LayerLab::of(workspace_).trials(shown.layer);
  if (!trials || !(costPerRank() > 0)) return;
  const Colours& c = colours();
  for (const PlainBits& plain : trials->plain) {
    if (!(plain.loss_regularized > 0)) continue;
    const double rank = plain.extra_bits_per_weight / costPerRank(), loss = 100 * plain.loss_regularized;
    QCPGraph* graph = lower_->addGraph();
    graph->setLineStyle(QCPGraph::lsNone);
    graph->setScatterStyle(scatter(Marker::square, c.a_fill, 7));
    graph->addData(rank, loss);
    // Below its square: beside it the next one may stand.
    labelPoint(QString("W%1").arg(plain.bits), rank, loss, c.a_text, Qt::AlignHCenter | Qt::AlignTop, LabelPlace::plain_bits);
  }
}

}  // namespace lrc::app

// Heights and words of the spectrum's plots: how much of the curves is shown, and where the labels stand so that none lies on another.
#include <algorithm>
#include <cmath>

#include "panels/label_placer.h"
#include "panels/panel_widgets.h"
#include "panels/plot_tools.h"
#include "panels/spectrum_plots.h"
#include "plot_style.h"

namespace lrc::app {

namespace {

constexpr double shown_decades = 1e-6;  // of the largest eigenvalue: what lies below is numerical dust
// Codes that were chosen beside a branch are worth little without it: how far above everything else their curve is followed.
constexpr double followed_above = 4;
constexpr int beside = 6;  // pixels from the middle of a point's mark to its label

}  // namespace

void SpectrumPlots::scaleY() {
  for (QCustomPlot* plot : {upper_, lower_}) {
    double low = qInf(), high = 0, highest_of_codes = 0;
    const QCPRange x = plot->xAxis->range();
    for (int i = 0; i < plot->graphCount(); ++i) {
      const QCPGraph* graph = plot->graph(i);
      if (graph == fill_) continue;
      double& top = std::ranges::find(same_codes_, graph) != same_codes_.end() ? highest_of_codes : high;
      for (auto point = graph->data()->findBegin(x.lower, false); point != graph->data()->findEnd(x.upper, false); ++point)
        if (point->value > 0) {
          low = std::min(low, point->value);
          top = std::max(top, point->value);
        }
    }
    high = high > 0 ? std::max(high, std::min(highest_of_codes, followed_above * high)) : highest_of_codes;
    if (!(high > 0)) continue;
    low = std::max(low, high * shown_decades);
    // Below the curves of one layer there is room for the name of the lowest.
    if (plot == lower_ && shown_.size() == 1) low /= std::pow(high / low, 0.2);
    plot->yAxis->setRange(low / 1.25, high * 1.35);
  }
  placeLabels();
}

void SpectrumPlots::placeLabels() {
  placer_ = LabelPlacer(lower_->axisRect()->rect());
  placeEndLabels();
  placePointLabels();
}

void SpectrumPlots::placeEndLabels() {
  const double right = std::max(0.0, lower_->xAxis->range().upper);
  const QCPRange y = lower_->yAxis->range();
  // Where a curve runs out of the plot at the bottom, its name stands before that.
  const double lowest = y.lower * std::pow(y.upper / y.lower, shown_.size() == 1 ? 0.1 : 0.2);
  std::vector<std::pair<double, QCPItemText*>> heights;
  for (const EndLabel& label : end_labels_) {
    const auto& curve = label.bound ? label.of->lower_bound_by_rank : label.of->same_codes_by_rank;
    std::size_t rank = std::min(curve.size() - 1, std::size_t(right));
    while (rank > 0 && 100 * curve[rank] < lowest) --rank;
    label.text->position->setCoords(double(rank), 100 * curve[rank]);
    heights.emplace_back(lower_->yAxis->coordToPixel(100 * curve[rank]), label.text);
  }
  const QFontMetrics metrics(font_of_points(font(), 8));
  const auto take = [&](const QCPItemText& text) {
    const QPointF at(lower_->xAxis->coordToPixel(text.position->key()), lower_->yAxis->coordToPixel(text.position->value()));
    placer_.take(
        LabelPlacer::beside(at, QSizeF(metrics.horizontalAdvance(text.text()), metrics.height()), text.positionAlignment(), beside));
  };
  // Names of curves that run close together stand one above the other.
  if (shown_.size() < 2) {
    for (const EndLabel& label : end_labels_) take(*label.text);
    return;
  }
  std::sort(heights.begin(), heights.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  const double line = metrics.height();
  for (std::size_t i = 1; i < heights.size(); ++i) {
    heights[i].first = std::min(heights[i].first, heights[i - 1].first - line);
    QCPItemPosition& position = *heights[i].second->position;
    position.setCoords(position.key(), lower_->yAxis->pixelToCoord(heights[i].first));
  }
}

void SpectrumPlots::labelPoint(const QString& text, double rank, double per_cent, const QColor& colour, Qt::Alignment wanted,
                               LabelPlace place) {
  QCPItemText* item = add_text(*lower_, text, rank, per_cent, colour, wanted);
  remember(item, lower_);
  point_labels_.push_back({item, rank, per_cent, wanted, place});
}

void SpectrumPlots::placePointLabels() {
  std::ranges::stable_sort(point_labels_, {}, &PointLabel::place);
  const auto pixel = [&](const PointLabel& label) {
    return QPointF(lower_->xAxis->coordToPixel(label.rank), lower_->yAxis->coordToPixel(label.per_cent));
  };
  for (const PointLabel& label : point_labels_) placer_.take(QRectF(-4, -4, 8, 8).translated(pixel(label)));  // the marks themselves
  for (const PointLabel& label : point_labels_) placer_.place(*label.text, pixel(label), label.wanted, beside);
}

/// Above its point, or where another label stands there, below it, or a line higher.
void SpectrumPlots::placeEstimate(double rank, double per_cent) {
  const QFontMetrics number(estimate_text_->font());
  const QPointF at(lower_->xAxis->coordToPixel(rank), lower_->yAxis->coordToPixel(per_cent));
  const QSizeF size(number.horizontalAdvance(estimate_text_->text()) + 4, number.height());
  const auto is_free = [&](Qt::Alignment place) { return placer_.isFree(LabelPlacer::beside(at, size, place, beside)); };
  const bool above = is_free(Qt::AlignLeft | Qt::AlignBottom), below = !above && is_free(Qt::AlignLeft | Qt::AlignTop);
  estimate_text_->setPositionAlignment(Qt::AlignLeft | (below ? Qt::AlignTop : Qt::AlignBottom));
  estimate_text_->setPadding(QMargins(8, below ? 2 : 0, 4, above || below ? 2 : number.height() + 6));
}

}  // namespace lrc::app

#include "panels/spectrum_plots.h"

#include <QVBoxLayout>
#include <cmath>

#include "models/draft_edits.h"
#include "models/run_facts.h"
#include "models/spectrum_curves.h"
#include "panels/panel_widgets.h"
#include "panels/plot_tools.h"
#include "plot_style.h"

namespace lrc::app {

namespace {

constexpr int plot_left = 80;  // pixels: axis name and "0.00001" beside each other

}  // namespace

class SpectrumPlots::CostTicker : public QCPAxisTicker {
 public:
  double bits_per_rank = 0;

 protected:
  QVector<double> createTickVector(double, const QCPRange& range) override {
    QVector<double> ticks;
    if (!(bits_per_rank > 0)) return ticks;
    QCPAxisTicker::setTickCount(6);
    const double step = QCPAxisTicker::getTickStep(QCPRange(range.lower * bits_per_rank, range.upper * bits_per_rank));
    for (double bits = 0; bits <= range.upper * bits_per_rank * 1.0001 && ticks.size() < 12; bits += step)
      if (bits >= range.lower * bits_per_rank) ticks.push_back(bits / bits_per_rank);
    return ticks;
  }
  QString getTickLabel(double tick, const QLocale&, QChar, int) override {
    const double bits = tick * bits_per_rank;
    return bits < 1e-9 ? QStringLiteral("0") : '+' + QString::number(bits, 'g', 3);
  }
};

SpectrumPlots::SpectrumPlots(Workspace& workspace, QWidget* parent)
    : QWidget(parent), workspace_(workspace), cost_(QSharedPointer<CostTicker>::create()) {
  auto* stack = new QVBoxLayout(this);
  stack->setContentsMargins(0, 0, 0, 0);
  stack->setSpacing(0);
  legend_ = new QLabel(this);
  legend_->setTextFormat(Qt::RichText);
  legend_->setFont(font_of_points(font(), 8));
  legend_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
  legend_->setContentsMargins(plot_left, 0, 0, 0);
  upper_ = new QCustomPlot(this);
  upper_->setObjectName("spectrumPlot");
  upper_->setAccessibleName(tr("Spectrum of the error"));
  lower_ = new QCustomPlot(this);
  lower_->setObjectName("rankPlot");
  lower_->setAccessibleName(tr("Error against rank"));
  cursor_ = new RankCursor(this);
  stack->addWidget(legend_);
  stack->addWidget(upper_, 2);
  stack->addWidget(cursor_);
  stack->addWidget(lower_, 3);
  setUpPlot(upper_);
  setUpPlot(lower_);
  connect(lower_, &QCustomPlot::afterLayout, this, &SpectrumPlots::placeLabels);
  lower_->xAxis->setLabel(tr("rank"));
  lower_->xAxis2->setVisible(true);
  lower_->xAxis2->setTicker(cost_);
  lower_->xAxis2->setTickLabels(true);
  // The name of the upper axis stands before its numbers: a line of its own would be taken from the plot.
  cost_text_ = add_text(*lower_, tr("cost, b/w"), 0, 0, colours().dim, Qt::AlignRight | Qt::AlignBottom);
  cost_text_->position->setType(QCPItemPosition::ptAxisRectRatio);
  cost_text_->position->setCoords(0, 0);
  cost_text_->setPadding(QMargins(0, 0, 14, 6));
  upper_->xAxis->setTickLabels(false);
  cursor_->attach(lower_);
  cursor_->attach(upper_);
}

QString SpectrumPlots::title(int layer) const { return QString::fromStdString(short_name(info(layer))); }
double SpectrumPlots::costPerRank() const { return cost_->bits_per_rank; }

void SpectrumPlots::restyle() {
  style_plot(*upper_);
  style_plot(*lower_);
  cost_text_->setColor(colours().dim);
  cursor_->recolour();
}

void SpectrumPlots::draw(const std::vector<ShownLayer>& shown, bool weights) {
  for (const auto& [plot, item] : items_) plot->removeItem(item);
  items_.clear();
  end_labels_.clear();
  point_labels_.clear();
  same_codes_.clear();
  captured_text_ = left_text_ = nullptr;
  fill_ = nullptr;
  estimates_.clear();
  estimate_marker_ = nullptr;
  estimate_text_ = nullptr;
  upper_->clearPlottables();
  lower_->clearPlottables();
  shown_ = shown;
  weights_ = weights;
  int maximum = 0;
  std::vector<int> snaps;
  for (const ShownLayer& each : shown_) {
    maximum = std::max(maximum, int(std::min(info(each.layer).out_features, info(each.layer).in_features)));
    if (each.spectrum && each.spectrum->achieved_rank) snaps.push_back(int(*each.spectrum->achieved_rank));
  }
  const int first_layer = shown_.empty() ? -1 : shown_.front().layer;
  const bool other_layers = cursor_->maximum() != maximum || drawn_layer_ != first_layer;
  drawn_layer_ = first_layer;
  cursor_->setSnaps(snaps);
  cursor_->setMaximum(maximum);
  legend_->clear();
  if (shown_.empty()) {
    upper_->replot(QCustomPlot::rpQueuedReplot);
    lower_->replot(QCustomPlot::rpQueuedReplot);
    return;
  }
  cost_->bits_per_rank = factor_bits_per_weight(shown_.front().scheme, info(first_layer).out_features, info(first_layer).in_features, 1);
  drawUpper();
  drawLower();
  if (other_layers)
    resetZoom();
  else
    scaleY();
  upper_->replot(QCustomPlot::rpQueuedReplot);
  lower_->replot(QCustomPlot::rpQueuedReplot);
}

void SpectrumPlots::moveTo(int rank) {
  cursor_->setRank(rank);
  if (fill_ && captured_text_ && shown_.front().spectrum) {
    const LayerSpectrum& s = *shown_.front().spectrum;
    const std::size_t count = std::min(std::size_t(cursor_->rank()), s.whitened_error.size());
    fill_->setData(ranks(count, 1), in_per_cent({s.whitened_error.begin(), s.whitened_error.begin() + std::ptrdiff_t(count)}), true);
    if (const auto captured = captured_share(s, count)) {
      captured_text_->setText(tr("captured %1 %").arg(qRound(100 * *captured)));
      left_text_->setText(tr("left %1 %").arg(100 - qRound(100 * *captured)));
    }
    upper_->replot(QCustomPlot::rpQueuedReplot);
  }
  movePrediction(cursor_->rank());
}

void SpectrumPlots::setUpPlot(QCustomPlot* plot) {
  style_plot(*plot);
  plot->setMinimumSize(160, 90);
  plot->setAutoAddPlottableToLegend(false);
  plot->axisRect()->setAutoMargins(QCP::msTop | QCP::msBottom);
  plot->axisRect()->setMargins(QMargins(plot_left, 0, 12, 0));
  plot->axisRect()->setMinimumMargins(QMargins(plot_left, 4, 12, 4));
  plot->setInteractions(QCP::iRangeZoom);
  plot->axisRect()->setRangeZoom(Qt::Horizontal);
  QCustomPlot* other = plot == upper_ ? lower_ : upper_;
  connect(plot->xAxis, qOverload<const QCPRange&>(&QCPAxis::rangeChanged), this, [this, plot, other](const QCPRange& range) {
    const double maximum = std::max(1, cursor_->maximum());
    QCPRange fitted(std::max(-0.02 * maximum, range.lower), std::min(1.02 * maximum, range.upper));
    if (fitted.size() < 4) fitted = QCPRange(fitted.lower, fitted.lower + 4);
    if (fitted != range) plot->xAxis->setRange(fitted);
    plot->xAxis2->setRange(plot->xAxis->range());
    other->xAxis->setRange(plot->xAxis->range());
    scaleY();
    upper_->replot(QCustomPlot::rpQueuedReplot);
    lower_->replot(QCustomPlot::rpQueuedReplot);
    cursor_->update();
  });
  connect(plot, &QCustomPlot::mouseWheel, this, [plot](QWheelEvent* event) {
    plot->axisRect()->setRangeZoom(event->modifiers() & Qt::ShiftModifier ? Qt::Vertical : Qt::Horizontal);
  });
  connect(plot, &QCustomPlot::mousePress, this, [plot](QMouseEvent* event) {
    plot->setInteraction(QCP::iRangeDrag, event->modifiers() & Qt::ControlModifier);
    plot->axisRect()->setRangeDrag(Qt::Horizontal);
  });
  connect(plot, &QCustomPlot::mouseDoubleClick, this, [this] { resetZoom(); });
  connect(plot, &QCustomPlot::mouseMove, this, [this, plot](QMouseEvent* event) {
    QToolTip::showText(event->globalPosition().toPoint() + QPoint(12, 12), hover_text ? hover_text(event->pos()) : QString(), plot);
  });
}

void SpectrumPlots::fade() {
  for (QCustomPlot* plot : {upper_, lower_}) {
    for (int i = 0; i < plot->plottableCount(); ++i) {
      QPen pen = plot->plottable(i)->pen();
      QColor colour = pen.color();
      colour.setAlphaF(0.4f);
      pen.setColor(colour);
      plot->plottable(i)->setPen(pen);
    }
    plot->replot(QCustomPlot::rpQueuedReplot);
  }
}

QCPGraph* SpectrumPlots::addCurve(QCustomPlot* plot, const QVector<double>& x, const QVector<double>& y, const QPen& pen) {
  QCPGraph* graph = plot->addGraph();
  graph->setData(x, y, true);
  graph->setPen(pen);
  return graph;
}

void SpectrumPlots::drawUpper() {
  const Colours& c = colours();
  const bool weights = drawsWeights();
  make_logarithmic(*upper_->yAxis, weights ? tr("singular value") : tr("λ, %"));
  QStringList legend;
  const auto name = [](const QColor& colour, const QString& dash, const QString& text) {
    return QString("<span style='color:%1'>%2</span>&nbsp;%3").arg(colour.name(), dash, text);
  };
  if (shown_.size() > most_single_curves) {
    drawMany();
    legend << name(c.b_fill, QStringLiteral("──"), tr("median of %1 layers").arg(shown_.size())) << tr("band: 10…90 %");
  } else {
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      const LayerSpectrum* s = shown_[i].spectrum.get();
      if (!s) continue;
      const QPen pen = overlay_pen(i);
      if (weights) {
        QVector<double> values(s->weight.begin(), s->weight.end()), error(s->weight_error.begin(), s->weight_error.end());
        addCurve(upper_, ranks(s->weight.size(), 1), values, pen);
        addCurve(upper_, ranks(s->weight_error.size(), 1), error, QPen(shown_.size() == 1 ? c.codes : pen.color(), 1.3, Qt::DashLine));
      } else {
        addCurve(upper_, ranks(s->whitened_error.size(), 1), in_per_cent(s->whitened_error), pen);
        if (shown_.size() == 1) {
          if (shown_[i].reference)
            addCurve(upper_, ranks(shown_[i].reference->whitened_error.size(), 1), in_per_cent(shown_[i].reference->whitened_error),
                     QPen(c.a_fill, 1.3));
          const std::vector<double> plain = weight_error_share(*s);
          addCurve(upper_, ranks(plain.size(), 1), in_per_cent(plain), QPen(c.codes, 1.3, Qt::DashLine));
          fill_ = upper_->addGraph();
          fill_->setPen(Qt::NoPen);
          QColor ground = c.b_fill;
          ground.setAlphaF(0.18f);
          fill_->setBrush(ground);
        }
      }
      if (shown_.size() > 1)
        legend << name(pen.color(), pen.style() == Qt::SolidLine ? QStringLiteral("──") : QStringLiteral("╌╌"), title(shown_[i].layer));
    }
    if (shown_.size() == 1) {
      if (weights)
        legend << name(c.b_fill, QStringLiteral("──"), tr("weight W")) << name(c.codes, QStringLiteral("╌╌"), tr("rounding error W − Ŵ"));
      else
        legend << name(c.b_fill, QStringLiteral("──"), tr("whitened error (LRC)"))
               << name(c.codes, QStringLiteral("╌╌"), tr("weights only (LQER)"));
      if (!weights && shown_.front().reference) legend << name(c.a_fill, QStringLiteral("──"), tr("of A"));
    }
  }
  legend_->setText(legend.join("&nbsp;&nbsp; "));
  legend_->setToolTip(
      tr("Whitened error: eigenvalues of the error as the calibration text sees it, weights and activations (what LRC removes).\n"
         "Weights only: squared singular values of W − Ŵ as a share of ‖W − Ŵ‖² (what LQER sees)."));
  if (shown_.size() == 1 && !weights && !shown_.front().spectrum->whitened_error.empty()) {
    captured_text_ = add_text(*upper_, {}, 0, 0, c.b_text, Qt::AlignLeft | Qt::AlignBottom);
    captured_text_->setFont(font_of_points(font(), 8, true));
    left_text_ = add_text(*upper_, {}, 1, 0, c.dim, Qt::AlignRight | Qt::AlignTop);
    for (QCPItemText* text : {captured_text_, left_text_}) {
      text->position->setType(QCPItemPosition::ptAxisRectRatio);
      text->position->setCoords(text == captured_text_ ? 0.01 : 0.99, text == captured_text_ ? 0.99 : 0.02);
      remember(text, upper_);
    }
  }
}

void SpectrumPlots::drawMany() {
  std::vector<const std::vector<double>*> curves;
  for (const ShownLayer& shown : shown_)
    if (shown.spectrum) curves.push_back(drawsWeights() ? &shown.spectrum->weight : &shown.spectrum->whitened_error);
  const auto draw = [&](QCustomPlot* plot, const std::vector<const std::vector<double>*>& of, std::size_t first, bool relative) {
    const auto values = [&](double q) {
      const std::vector<double> curve = quantile_curve(of, q);
      return relative ? in_per_cent(curve) : QVector<double>(curve.begin(), curve.end());
    };
    const QVector<double> low = values(0.1), middle = values(0.5), high = values(0.9);
    const QVector<double> x = ranks(std::size_t(middle.size()), first);
    QCPGraph* bottom = addCurve(plot, x, low, Qt::NoPen);
    QCPGraph* top = addCurve(plot, x, high, Qt::NoPen);
    QColor ground = colours().b_fill;
    ground.setAlphaF(0.18f);
    top->setBrush(ground);
    top->setChannelFillGraph(bottom);
    addCurve(plot, x, middle, QPen(colours().b_fill, 1.6));
  };
  draw(upper_, curves, 1, !drawsWeights());
  std::vector<const std::vector<double>*> bounds;
  for (const ShownLayer& shown : shown_)
    if (shown.spectrum && !shown.spectrum->lower_bound_by_rank.empty()) bounds.push_back(&shown.spectrum->lower_bound_by_rank);
  if (!bounds.empty()) draw(lower_, bounds, 0, true);
}

void SpectrumPlots::drawLower() {
  const Colours& c = colours();
  make_logarithmic(*lower_->yAxis, tr("error, %"));
  if (shown_.size() > most_single_curves) return;
  for (std::size_t i = 0; i < shown_.size(); ++i) {
    const ShownLayer& shown = shown_[i];
    const LayerSpectrum* s = shown.spectrum.get();
    if (!s) continue;
    const bool single = shown_.size() == 1;
    const QPen series = overlay_pen(i);
    if (!s->lower_bound_by_rank.empty())
      addCurve(lower_, ranks(s->lower_bound_by_rank.size(), 0), in_per_cent(s->lower_bound_by_rank),
               QPen(single ? c.text : series.color(), 1.3, Qt::DotLine));
    if (!s->same_codes_by_rank.empty())
      same_codes_.push_back(addCurve(lower_, ranks(s->same_codes_by_rank.size(), 0), in_per_cent(s->same_codes_by_rank),
                                     QPen(single ? c.b_fill : series.color(), 1.0)));
    if (single && shown.reference && !shown.reference->same_codes_by_rank.empty())
      same_codes_.push_back(addCurve(lower_, ranks(shown.reference->same_codes_by_rank.size(), 0),
                                     in_per_cent(shown.reference->same_codes_by_rank), QPen(c.a_fill, 1.0)));
    if (single && shown.prediction) drawPrediction(shown);
    drawMarkers(shown, single ? c.b_fill : series.color(), single);
    drawAlone(shown, single ? c.b_fill : series.color(), single);
    if (single) drawPlainBits(shown);
    if (!single && !s->lower_bound_by_rank.empty()) {
      auto* text = add_text(*lower_, title(shown.layer), 0, 0, series.color(), Qt::AlignRight | Qt::AlignBottom);
      end_labels_.push_back({text, shown.spectrum, s->same_codes_by_rank.empty()});
      remember(text, lower_);
    }
  }
  if (shown_.size() == 1 && shown_.front().spectrum) {
    const LayerSpectrum& s = *shown_.front().spectrum;
    if (!s.same_codes_by_rank.empty()) {
      auto* text = add_text(*lower_, tr("same codes (exact)"), 0, 0, c.b_text, Qt::AlignRight | Qt::AlignBottom);
      end_labels_.push_back({text, shown_.front().spectrum, false});
      remember(text, lower_);
    }
    if (!s.lower_bound_by_rank.empty()) {
      auto* text = add_text(*lower_, tr("lower bound"), 0, 0, c.text, Qt::AlignRight | Qt::AlignTop);
      end_labels_.push_back({text, shown_.front().spectrum, true});
      remember(text, lower_);
    }
  }
}

void SpectrumPlots::resetZoom() {
  if (shown_.empty()) return;
  const double maximum = cursor_->maximum(), rank = double(shown_.front().scheme.rank);
  const double upper = std::min(maximum, std::max({0.4 * maximum, 1.5 * rank, 8.0}));
  lower_->xAxis->setRange(-0.01 * upper, upper);
  upper_->xAxis->setRange(-0.01 * upper, upper);
  scaleY();
}

}  // namespace lrc::app

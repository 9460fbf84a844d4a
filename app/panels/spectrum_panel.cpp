#include <QScrollArea>
#include <QVBoxLayout>
#include <cmath>
#include <set>

#include "models/draft_edits.h"
#include "models/run_facts.h"
#include "models/spectrum_curves.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "panels/plot_tools.h"
#include "panels/rank_cursor.h"
#include "plot_style.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

constexpr std::size_t most_single_curves = 8;
constexpr double shown_decades = 1e-5;  // of the largest eigenvalue: what lies below is numerical dust

QString per_cent(double relative) { return format_error(relative) + QStringLiteral(" %"); }

QVector<double> ranks(std::size_t count, std::size_t first) {
  QVector<double> out(static_cast<qsizetype>(count));
  for (std::size_t i = 0; i < count; ++i) out[qsizetype(i)] = double(i + first);
  return out;
}

QVector<double> in_per_cent(const std::vector<double>& values) {
  QVector<double> out;
  out.reserve(qsizetype(values.size()));
  // A logarithmic axis has no zero: exact zeros (full rank) leave a gap.
  for (const double value : values) out.push_back(value > 0 ? 100 * value : qQNaN());
  return out;
}

class CostTicker : public QCPAxisTicker {
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

class SpectrumPanel : public QWidget, public PlotHooks {
 public:
  SpectrumPanel(Workspace& workspace, QWidget* parent);

  DataTable dataTable() const override;
  int pixelOf(double x) const override { return int(std::lround(lower_->xAxis->coordToPixel(x))); }
  QString hoverText(const QPoint& pixel) const override;

 protected:
  void changeEvent(QEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;

 private:
  struct Shown {
    int layer = -1;
    LayerScheme scheme;                                        ///< of the draft
    std::shared_ptr<const LayerSpectrum> spectrum, reference;  ///< of B, and of A where it is another run
  };

  const LayerInfo& info(int layer) const { return workspace_.model()->layers()[std::size_t(layer)]; }
  QString title(int layer) const { return QString::fromStdString(short_name(info(layer))); }
  void setUpPlot(QCustomPlot* plot);
  std::vector<int> layersToShow() const;
  void choose();   ///< the layers to show changed
  void request();  ///< asks for the next curve that is missing
  void rebuild();  ///< curves from memory
  void drawUpper();
  void drawLower();
  void drawMany();
  void drawMarkers(const Shown& shown, const QColor& colour, bool label);
  void followDraft();
  void moveTo(int rank, int gesture);
  void update(int rank);  ///< lines, fill, readout at this rank
  void updateRows(int rank);
  void resetZoom();
  void scaleY();
  void fade();
  void explain();
  QCPGraph* addCurve(QCustomPlot* plot, const QVector<double>& x, const QVector<double>& y, const QPen& pen);
  void remember(QCPAbstractItem* item, QCustomPlot* plot) { items_.push_back({plot, item}); }
  std::size_t draftRank(const Shown& shown) const;
  bool drawsWeights() const { return mode_->current() == 1; }

  Workspace& workspace_;
  TitleControls* controls_;
  SegmentSwitch* mode_;
  QToolButton *pin_, *as_table_;
  Notice* notice_;
  QLabel* legend_;
  QCustomPlot *upper_, *lower_;
  RankCursor* cursor_;
  PlotTwin* twin_;
  ReadoutRow* readout_;
  QWidget* rows_;
  QGridLayout* rows_grid_;
  QSharedPointer<CostTicker> cost_ = QSharedPointer<CostTicker>::create();
  QCPGraph* fill_ = nullptr;
  QCPItemText *captured_text_ = nullptr, *left_text_ = nullptr;
  std::vector<std::pair<QCustomPlot*, QCPAbstractItem*>> items_;
  std::vector<Shown> shown_;
  bool only_worst_ = false;  ///< nothing is selected; the worst layer stands in
  std::vector<int> pinned_;
  int cell_rank_, cell_bound_, cell_same_, cell_cost_, cell_adds_, cell_captured_;
};

SpectrumPanel::SpectrumPanel(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  setObjectName("spectrumPanel");
  setWindowTitle(tr("Spectrum"));
  auto* layout = make_panel_layout(this);
  controls_ = new TitleControls(this);
  mode_ = new SegmentSwitch(tr("Spectrum of"), this);
  mode_->setObjectName("spectrumMode");
  mode_->addSegment(0, tr("Error"), tr("Eigenvalues of the whitened error: what a branch of that rank can remove"));
  mode_->addSegment(1, tr("Weights W"), tr("Singular values of the weight and of its rounding error"));
  pin_ = new IconButton("pin", tr("Keep these layers while others are selected"), this);
  pin_->setObjectName("spectrumPin");
  pin_->setCheckable(true);
  as_table_ = new IconButton("table", tr("Show the numbers as a table"), this);
  as_table_->setObjectName("spectrumTableButton");
  as_table_->setCheckable(true);
  auto* export_button = new IconButton("export", tr("Export the plots"), this);
  export_button->setObjectName("spectrumExport");
  export_button->setPopupMode(QToolButton::InstantPopup);
  controls_->add(mode_);
  controls_->add(pin_);
  controls_->add(as_table_);
  controls_->add(export_button);
  layout->addWidget(controls_);

  notice_ = new Notice(this);
  notice_->button()->setObjectName("measureButton");
  layout->addWidget(notice_);

  auto* plots = new QWidget(this);
  auto* stack = new QVBoxLayout(plots);
  stack->setContentsMargins(0, 0, 0, 0);
  stack->setSpacing(0);
  legend_ = new QLabel(plots);
  legend_->setTextFormat(Qt::RichText);
  legend_->setFont(font_of_points(font(), 8));
  legend_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
  legend_->setContentsMargins(56, 0, 0, 0);
  upper_ = new QCustomPlot(plots);
  upper_->setObjectName("spectrumPlot");
  upper_->setAccessibleName(tr("Spectrum of the error"));
  lower_ = new QCustomPlot(plots);
  lower_->setObjectName("rankPlot");
  lower_->setAccessibleName(tr("Error against rank"));
  cursor_ = new RankCursor(plots);
  stack->addWidget(legend_);
  stack->addWidget(upper_, 2);
  stack->addWidget(cursor_);
  stack->addWidget(lower_, 3);
  setUpPlot(upper_);
  setUpPlot(lower_);
  lower_->xAxis->setLabel(tr("rank"));
  lower_->xAxis2->setVisible(true);
  lower_->xAxis2->setTicker(cost_);
  lower_->xAxis2->setTickLabels(true);
  lower_->xAxis2->setLabel(tr("cost of the factors, b/w"));
  upper_->xAxis->setTickLabels(false);
  cursor_->attach(lower_);
  cursor_->attach(upper_);
  twin_ = new PlotTwin(plots, *this, "spectrumTable", this);
  layout->addWidget(twin_, 1);

  readout_ = new ReadoutRow(this);
  readout_->setObjectName("spectrumReadout");
  cell_rank_ = readout_->addCell(tr("rank"), "1888 (100 %)");
  cell_bound_ = readout_->addCell(tr("lower bound"), QStringLiteral("≥ 88.88 %"));
  cell_same_ = readout_->addCell(tr("same codes"), "88.88 %");
  cell_captured_ = readout_->addCell(tr("captured"), "100 %");
  cell_cost_ = readout_->addCell(tr("cost"), "+88.88 b/w");
  cell_adds_ = readout_->addCell(tr("adds"), "88.88 MB");
  layout->addWidget(readout_);
  rows_ = new QWidget(this);
  rows_->setObjectName("spectrumRows");
  rows_grid_ = new QGridLayout(rows_);
  rows_grid_->setContentsMargins(0, 0, 0, 0);
  rows_grid_->setHorizontalSpacing(16);
  rows_grid_->setVerticalSpacing(0);
  layout->addWidget(rows_);

  export_button->setMenu(make_export_menu(this, {upper_, lower_}, *this, "spectrum", [this] {
    return QString::fromStdString(workspace_.model() ? workspace_.model()->display_name() : "") + QStringLiteral(" · ") +
           workspace_.slotTitle(workspace_.slotB()) + QStringLiteral(" · ") + (shown_.empty() ? QString() : title(shown_.front().layer));
  }));

  mode_->on_change = [this](int) { rebuild(); };
  connect(pin_, &QToolButton::toggled, this, [this](bool on) {
    pinned_ = on ? layersToShow() : std::vector<int>{};
    choose();
  });
  connect(as_table_, &QToolButton::toggled, this, [this](bool on) { twin_->showTable(on); });
  connect(cursor_, &RankCursor::moved, this, [this](int rank, int gesture) { moveTo(rank, gesture); });
  connect(&workspace_, &Workspace::modelOpened, this, [this] {
    pin_->setChecked(false);
    choose();
  });
  connect(&workspace_, &Workspace::modelClosed, this, [this] {
    pin_->setChecked(false);
    choose();
  });
  connect(&workspace_, &Workspace::selectionChanged, this, [this] { choose(); });
  connect(&workspace_, &Workspace::slotsChanged, this, [this] { choose(); });
  connect(&workspace_, &Workspace::measuredChanged, this, [this] { choose(); });
  connect(&workspace_, &Workspace::spectrumReady, this, [this](int) { request(); });
  connect(&workspace_, &Workspace::draftChanged, this, [this] { followDraft(); });
  choose();
}

void SpectrumPanel::setUpPlot(QCustomPlot* plot) {
  style_plot(*plot);
  plot->setMinimumSize(160, 90);
  plot->setAutoAddPlottableToLegend(false);
  plot->axisRect()->setAutoMargins(QCP::msTop | QCP::msBottom);
  plot->axisRect()->setMargins(QMargins(56, 0, 12, 0));
  plot->axisRect()->setMinimumMargins(QMargins(56, 4, 12, 4));
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
    QToolTip::showText(event->globalPosition().toPoint() + QPoint(12, 12), hoverText(event->pos()), plot);
  });
}

std::vector<int> SpectrumPanel::layersToShow() const {
  if (!workspace_.hasModel()) return {};
  if (!pinned_.empty()) return pinned_;
  std::vector<int> layers = workspace_.selectedLayers();
  // The current layer leads: its shape sets the cost axis, its rank the cursor.
  const auto current = std::find(layers.begin(), layers.end(), workspace_.currentLayer());
  if (current != layers.end()) std::rotate(layers.begin(), current, current + 1);
  return layers;
}

void SpectrumPanel::choose() {
  std::vector<int> layers = layersToShow();
  only_worst_ = false;
  if (layers.empty() && workspace_.hasModel()) {
    if (const RunEntry* run = run_in(workspace_, workspace_.slotB()))
      if (const LayerRecord* worst = worst_layer(run->manifest))
        for (std::size_t i = 0; i < workspace_.model()->layers().size(); ++i)
          if (workspace_.model()->layers()[i].name == worst->name) {
            layers = {int(i)};
            only_worst_ = true;
          }
  }
  shown_.clear();
  for (const int layer : layers) shown_.push_back({layer, {}, nullptr, nullptr});
  controls_->setContext(shown_.empty()      ? QString()
                        : shown_.size() > 1 ? tr("%1 layers").arg(shown_.size())
                                            : tr("%1  %2 × %3")
                                                  .arg(title(layers.front()))
                                                  .arg(format_count(info(layers.front()).out_features))
                                                  .arg(format_count(info(layers.front()).in_features)));
  fade();
  request();
}

void SpectrumPanel::request() {
  // One at a time: a newer request of the workspace replaces an older one.
  const Slot a = workspace_.slotA(), b = workspace_.slotB();
  for (Shown& shown : shown_) {
    // What B has not solved (yet) is shown as measured, or by its weights.
    if (!shown.spectrum) shown.spectrum = workspace_.spectrum(shown.layer, workspace_.record(b, shown.layer) ? b : Slot{});
    if (!shown.spectrum) return explain();
    if (shown_.size() == 1 && a.run && !(a == b) && record_of(run_in(workspace_, a), info(shown.layer).name) && !shown.reference) {
      shown.reference = workspace_.spectrum(shown.layer, a);
      if (!shown.reference) return explain();
    }
  }
  rebuild();
}

void SpectrumPanel::fade() {
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

QCPGraph* SpectrumPanel::addCurve(QCustomPlot* plot, const QVector<double>& x, const QVector<double>& y, const QPen& pen) {
  QCPGraph* graph = plot->addGraph();
  graph->setData(x, y, true);
  graph->setPen(pen);
  return graph;
}

std::size_t SpectrumPanel::draftRank(const Shown& shown) const { return shown.scheme.rank; }

void SpectrumPanel::rebuild() {
  for (const auto& [plot, item] : items_) plot->removeItem(item);
  items_.clear();
  captured_text_ = left_text_ = nullptr;
  fill_ = nullptr;
  upper_->clearPlottables();
  lower_->clearPlottables();
  explain();
  int maximum = 0;
  std::vector<int> snaps;
  for (Shown& shown : shown_) {
    const LayerInfo& layer = info(shown.layer);
    try {
      shown.scheme = effective_scheme(workspace_.draft(), layer);
    } catch (const Error&) {
      shown.scheme = {};  // the recipe panel says what is wrong with the draft
    }
    maximum = std::max(maximum, int(std::min(layer.out_features, layer.in_features)));
    if (shown.spectrum && shown.spectrum->achieved_rank) snaps.push_back(int(*shown.spectrum->achieved_rank));
  }
  const bool other_layers =
      cursor_->maximum() != maximum || upper_->property("layer").toInt() != (shown_.empty() ? -1 : shown_.front().layer);
  cursor_->setSnaps(snaps);
  cursor_->setMaximum(maximum);
  if (shown_.empty()) {
    upper_->replot(QCustomPlot::rpQueuedReplot);
    lower_->replot(QCustomPlot::rpQueuedReplot);
    readout_->setVisible(false);
    rows_->setVisible(false);
    return;
  }
  upper_->setProperty("layer", shown_.front().layer);
  const Shown& first = shown_.front();
  cost_->bits_per_rank = factor_bits_per_weight(first.scheme, info(first.layer).out_features, info(first.layer).in_features, 1);
  drawUpper();
  drawLower();
  const bool single = shown_.size() == 1;
  readout_->setVisible(single);
  rows_->setVisible(!single);
  if (other_layers)
    resetZoom();
  else
    scaleY();
  update(int(draftRank(first)));
  twin_->refresh();
}

void SpectrumPanel::drawUpper() {
  const Colours& c = colours();
  const bool weights = drawsWeights();
  make_logarithmic(*upper_->yAxis, weights ? tr("singular value") : tr("λ, % of ‖WX‖²"));
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
        legend << name(c.b_fill, QStringLiteral("──"), tr("whitened error, weights + activations (LRC)"))
               << name(c.codes, QStringLiteral("╌╌"), tr("weights only, % of ‖W‖² (LQER)"));
      if (!weights && shown_.front().reference) legend << name(c.a_fill, QStringLiteral("──"), tr("of A"));
    }
  }
  legend_->setText(legend.join("&nbsp;&nbsp; "));
  if (shown_.size() == 1 && !weights && !shown_.front().spectrum->whitened_error.empty()) {
    captured_text_ = add_text(*upper_, {}, 0, 0, c.b_text, Qt::AlignLeft | Qt::AlignBottom);
    captured_text_->setFont(font_of_points(font(), 8, true));
    left_text_ = add_text(*upper_, {}, 1, 0, c.dim, Qt::AlignRight | Qt::AlignBottom);
    for (QCPItemText* text : {captured_text_, left_text_}) {
      text->position->setType(QCPItemPosition::ptAxisRectRatio);
      text->position->setCoords(text == captured_text_ ? 0.01 : 0.99, 0.99);
      remember(text, upper_);
    }
  }
}

void SpectrumPanel::drawMany() {
  std::vector<const std::vector<double>*> curves;
  for (const Shown& shown : shown_)
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
  for (const Shown& shown : shown_)
    if (shown.spectrum && !shown.spectrum->lower_bound_by_rank.empty()) bounds.push_back(&shown.spectrum->lower_bound_by_rank);
  if (!bounds.empty()) draw(lower_, bounds, 0, true);
}

void SpectrumPanel::drawLower() {
  const Colours& c = colours();
  make_logarithmic(*lower_->yAxis, tr("output error, % of ‖WX‖²"));
  if (shown_.size() > most_single_curves) return;
  for (std::size_t i = 0; i < shown_.size(); ++i) {
    const Shown& shown = shown_[i];
    const LayerSpectrum* s = shown.spectrum.get();
    if (!s) continue;
    const bool single = shown_.size() == 1;
    const QPen series = overlay_pen(i);
    if (!s->lower_bound_by_rank.empty())
      addCurve(lower_, ranks(s->lower_bound_by_rank.size(), 0), in_per_cent(s->lower_bound_by_rank),
               QPen(single ? c.text : series.color(), 1.3, Qt::DotLine));
    if (!s->same_codes_by_rank.empty())
      addCurve(lower_, ranks(s->same_codes_by_rank.size(), 0), in_per_cent(s->same_codes_by_rank),
               QPen(single ? c.b_fill : series.color(), 1.0));
    if (single && shown.reference && !shown.reference->same_codes_by_rank.empty())
      addCurve(lower_, ranks(shown.reference->same_codes_by_rank.size(), 0), in_per_cent(shown.reference->same_codes_by_rank),
               QPen(c.a_fill, 1.0));
    drawMarkers(shown, single ? c.b_fill : series.color(), single);
    const auto& last = s->same_codes_by_rank.empty() ? s->lower_bound_by_rank : s->same_codes_by_rank;
    if (!single && !last.empty()) {
      // At the right edge, at the height where the curve leaves the plot; scaleY() keeps it there.
      auto* text = add_text(*lower_, title(shown.layer), 0, 0, series.color(), Qt::AlignRight | Qt::AlignBottom);
      text->setProperty("curve", QVariant::fromValue(qulonglong(i)));
      remember(text, lower_);
    }
  }
  if (shown_.size() == 1 && shown_.front().spectrum) {
    const LayerSpectrum& s = *shown_.front().spectrum;
    if (!s.same_codes_by_rank.empty()) {
      auto* text = add_text(*lower_, tr("same codes"), 0, 0, c.b_text, Qt::AlignRight | Qt::AlignBottom);
      text->setProperty("same", true);
      remember(text, lower_);
    }
    if (!s.lower_bound_by_rank.empty()) {
      auto* text = add_text(*lower_, tr("lower bound"), 0, 0, c.text, Qt::AlignRight | Qt::AlignTop);
      text->setProperty("bound", true);
      remember(text, lower_);
    }
  }
}

void SpectrumPanel::drawMarkers(const Shown& shown, const QColor& colour, bool label) {
  const Colours& c = colours();
  const std::string& name = info(shown.layer).name;
  const RunEntry *a = run_in(workspace_, workspace_.slotA()), *b = run_in(workspace_, workspace_.slotB());
  const LayerRecord* of_b = record_of(b, name);
  const auto mark = [&](double rank, double loss, Marker marker, const QColor& fill, double size, const QString& text,
                        const QColor& text_colour) {
    if (!(loss > 0)) return;
    QCPGraph* graph = lower_->addGraph();
    graph->setLineStyle(QCPGraph::lsNone);
    graph->setScatterStyle(scatter(marker, fill, size));
    graph->addData(rank, 100 * loss);
    if (!text.isEmpty()) remember(add_text(*lower_, text, rank, 100 * loss, text_colour, Qt::AlignLeft | Qt::AlignBottom), lower_);
  };
  if (label)
    for (const RunEntry& run : workspace_.runs()) {
      if (&run == a || &run == b || !of_b) continue;
      const LayerRecord* other = record_of(&run, name);
      // The same game only: other activation bits or another rotation are another objective.
      if (other == nullptr || other->activation_bits != of_b->activation_bits ||
          !(run.manifest.recipe.rotation == b->manifest.recipe.rotation))
        continue;
      mark(double(other->rank), other->loss_regularized, marker_of(other->method), c.codes, 5, {}, c.dim);
    }
  if (const LayerRecord* of_a = record_of(a, name); of_a && a != b)
    mark(double(of_a->rank), of_a->loss_regularized, Marker::disc, c.a_fill, 8,
         label ? QString("A #%1  %2").arg(a->number).arg(format_error(of_a->loss_regularized)) : QString(), c.a_text);
  else if (of_b && label && a != b)
    mark(0, of_b->loss_uncorrected, Marker::disc, c.a_fill, 8, tr("A, no branch  %1").arg(format_error(of_b->loss_uncorrected)), c.a_text);
  if (of_b)
    mark(double(of_b->rank), of_b->loss_regularized, Marker::diamond, colour, 10,
         label ? QString("#%1  %2").arg(b->number).arg(format_error(of_b->loss_regularized)) : QString(), c.b_text);
}

void SpectrumPanel::explain() {
  if (!workspace_.hasModel()) return notice_->say(tr("Open a model to see where its error lives."));
  if (shown_.empty()) return notice_->say(tr("No layer is selected. Click one in the table or the map."));
  const auto loading = std::find_if(shown_.begin(), shown_.end(), [](const Shown& shown) { return !shown.spectrum; });
  if (loading != shown_.end()) return notice_->say(tr("Reading the curves of %1…").arg(title(loading->layer)));
  const Shown& first = shown_.front();
  if (first.spectrum->whitened_error.empty())
    return notice_->say(tr("Not measured yet: what activations add to the error needs one pass over the calibration text. Until then: the "
                           "singular values of the weights."),
                        Notice::Tone::warning, tr("Measure"), [this] { workspace_.measure(); });
  for (const Shown& shown : shown_)
    if (const auto rank = first_contradiction(*shown.spectrum))
      return notice_->say(
          tr("Numerical: at rank %1 of %2 the bound lies above the error of the same codes. A larger damping in the recipe repairs this.")
              .arg(*rank)
              .arg(title(shown.layer)),
          Notice::Tone::bad);
  if (const RunEntry* run = run_in(workspace_, workspace_.slotB())) {
    const Recipe &ran = run->manifest.recipe, &draft = workspace_.draft();
    if (!(ran.activation == draft.activation) || !(ran.rotation == draft.rotation))
      return notice_->say(
          tr("These curves belong to #%1 (A%2%3); the draft has another activation scheme or rotation. A run shows its own curves.")
              .arg(run->number)
              .arg(ran.activation.bits)
              .arg(ran.rotation.any() ? tr(", rotated") : QString()),
          Notice::Tone::warning);
  }
  if (!find_method(first.scheme.method).uses_rank)
    return notice_->say(tr("%1 has no branch: drag to see what one would give.").arg(method_title(first.scheme.method)));
  if (only_worst_) return notice_->say(tr("Nothing is selected: %1 is the layer with the largest error.").arg(title(first.layer)));
  notice_->clear();
}

void SpectrumPanel::resetZoom() {
  if (shown_.empty()) return;
  const double maximum = cursor_->maximum(), rank = double(draftRank(shown_.front()));
  const double upper = std::min(maximum, std::max({0.4 * maximum, 1.5 * rank, 8.0}));
  lower_->xAxis->setRange(-0.01 * upper, upper);
  upper_->xAxis->setRange(-0.01 * upper, upper);
  scaleY();
}

void SpectrumPanel::scaleY() {
  for (QCustomPlot* plot : {upper_, lower_}) {
    double low = qInf(), high = 0;
    const QCPRange x = plot->xAxis->range();
    for (int i = 0; i < plot->graphCount(); ++i) {
      const QCPGraph* graph = plot->graph(i);
      if (graph == fill_) continue;
      for (auto point = graph->data()->findBegin(x.lower, false); point != graph->data()->findEnd(x.upper, false); ++point)
        if (point->value > 0) {
          low = std::min(low, point->value);
          high = std::max(high, point->value);
        }
    }
    if (!(high > 0)) continue;
    low = std::max(low, high * shown_decades);
    plot->yAxis->setRange(low / 1.25, high * 1.35);
  }
  const double right = lower_->xAxis->range().upper;
  for (const auto& [plot, item] : items_) {
    auto* text = qobject_cast<QCPItemText*>(item);
    if (!text || plot != lower_ || shown_.empty()) continue;
    const bool same = text->property("same").toBool(), bound = text->property("bound").toBool();
    const std::size_t index = text->property("curve").isValid() ? text->property("curve").toULongLong() : 0;
    if (!same && !bound && !text->property("curve").isValid()) continue;
    const LayerSpectrum& s = *shown_[index].spectrum;
    const auto& curve = bound || s.same_codes_by_rank.empty() ? s.lower_bound_by_rank : s.same_codes_by_rank;
    const std::size_t rank = std::min(curve.size() - 1, std::size_t(std::max(0.0, right)));
    text->position->setCoords(double(rank), std::max(100 * curve[rank], lower_->yAxis->range().lower));
  }
}

void SpectrumPanel::followDraft() {
  if (shown_.empty()) return;
  for (Shown& shown : shown_) {
    try {
      shown.scheme = effective_scheme(workspace_.draft(), info(shown.layer));
    } catch (const Error&) {
      return;  // the recipe panel says what is wrong with the draft
    }
  }
  explain();
  if (find_method(shown_.front().scheme.method).uses_rank) update(int(draftRank(shown_.front())));
}

void SpectrumPanel::moveTo(int rank, int gesture) {
  if (shown_.empty()) return;
  if (!find_method(shown_.front().scheme.method).uses_rank) return update(rank);  // a look at what a branch would give
  std::vector<int> layers;
  for (const Shown& shown : shown_) layers.push_back(shown.layer);
  const Model& model = *workspace_.model();
  workspace_.editDraft(tr("Rank of %1 → %2").arg(QString::fromStdString(describe_layers(model, layers))).arg(rank),
                       with_rank(workspace_.draft(), model, layers, std::size_t(rank)), gesture);
  update(rank);
}

void SpectrumPanel::update(int rank) {
  cursor_->setRank(rank);
  rank = cursor_->rank();
  if (shown_.empty() || !shown_.front().spectrum) return;
  const Shown& first = shown_.front();
  const LayerSpectrum& s = *first.spectrum;
  if (shown_.size() > 1) return updateRows(rank);
  const LayerInfo& layer = info(first.layer);
  const std::size_t r = std::size_t(rank);
  const QString dash = QStringLiteral("–");
  readout_->setValue(cell_rank_, QString("%1 (%2 %)").arg(rank).arg(qRound(100.0 * rank / std::max(1, cursor_->maximum()))),
                     tr("%1 % of min(in, out)").arg(100.0 * rank / std::max(1, cursor_->maximum()), 0, 'f', 2));
  const auto bound = value_at(s.lower_bound_by_rank, r), same = value_at(s.same_codes_by_rank, r), captured = captured_share(s, r);
  readout_->setValue(cell_bound_, bound ? QStringLiteral("≥ ") + per_cent(*bound) : dash,
                     bound ? tr("Bound, regularised loss: %1 %").arg(100 * *bound, 0, 'g', 12) : QString());
  readout_->setValue(cell_same_, same ? per_cent(*same) : dash,
                     same ? tr("Exact, regularised loss with B's codes: %1 %").arg(100 * *same, 0, 'g', 12) : QString());
  readout_->setValue(cell_captured_, captured ? QString("%1 %").arg(qRound(100 * *captured)) : dash);
  readout_->setValue(cell_cost_,
                     QString("+%1 b/w").arg(format_bits(factor_bits_per_weight(first.scheme, layer.out_features, layer.in_features, r))));
  readout_->setValue(cell_adds_,
                     QString("%1 MB").arg(factor_bytes(first.scheme, layer.out_features, layer.in_features, r) / 1e6, 0, 'f', 2));
  if (fill_ && captured) {
    const std::size_t count = std::min(r, s.whitened_error.size());
    fill_->setData(ranks(count, 1), in_per_cent({s.whitened_error.begin(), s.whitened_error.begin() + std::ptrdiff_t(count)}), true);
    captured_text_->setText(tr("captured %1 %").arg(qRound(100 * *captured)));
    left_text_->setText(tr("left %1 %").arg(100 - qRound(100 * *captured)));
  }
  lower_->setAccessibleDescription(tr("Error against rank for %1: rank %2, bound %3, same codes %4")
                                       .arg(title(first.layer))
                                       .arg(rank)
                                       .arg(bound ? per_cent(*bound) : dash, same ? per_cent(*same) : dash));
  upper_->replot(QCustomPlot::rpQueuedReplot);
}

void SpectrumPanel::updateRows(int rank) {
  while (QLayoutItem* item = rows_grid_->takeAt(0)) {
    delete item->widget();
    delete item;
  }
  const QStringList headers = {tr("layer"), tr("rank"), tr("error of B"), tr("bound"), tr("same codes"), tr("cost"), tr("adds")};
  const auto put = [&](int row, int column, const QString& text, bool dim, const QColor& colour = {}) {
    auto* label = dim ? make_dim_label(text, rows_) : new QLabel(text, rows_);
    label->setFont(font_of_points(font(), 8, !dim && column == 0));
    if (colour.isValid()) {
      QPalette palette = label->palette();
      palette.setColor(QPalette::WindowText, colour);
      label->setPalette(palette);
    }
    rows_grid_->addWidget(label, row, column, column == 0 ? Qt::AlignLeft : Qt::AlignRight);
  };
  for (int column = 0; column < headers.size(); ++column) put(0, column, headers[column], true);
  std::vector<std::size_t> order(shown_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const RunEntry* b = run_in(workspace_, workspace_.slotB());
  const auto error_of = [&](std::size_t i) {
    const LayerRecord* record = record_of(b, info(shown_[i].layer).name);
    return record ? record->loss_regularized : -1.0;
  };
  if (shown_.size() > most_single_curves) {  // the worst three by name
    std::sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) { return error_of(x) > error_of(y); });
    order.resize(3);
  }
  const QString dash = QStringLiteral("–");
  for (int row = 0; row < int(order.size()); ++row) {
    const Shown& shown = shown_[order[std::size_t(row)]];
    const LayerInfo& layer = info(shown.layer);
    const bool follows = pinned_.empty();
    const std::size_t r = follows && row == 0 && shown_.size() <= most_single_curves ? std::size_t(rank) : shown.scheme.rank;
    const LayerRecord* record = record_of(b, layer.name);
    const auto bound = value_at(shown.spectrum->lower_bound_by_rank, r), same = value_at(shown.spectrum->same_codes_by_rank, r);
    put(row + 1, 0, title(shown.layer), false,
        shown_.size() > most_single_curves ? QColor() : overlay_pen(order[std::size_t(row)]).color());
    put(row + 1, 1, record && record->rank != r ? QString("%1 → %2").arg(record->rank).arg(r) : QString::number(r), false);
    put(row + 1, 2, record ? per_cent(record->loss_regularized) : dash, false);
    put(row + 1, 3, bound ? QStringLiteral("≥ ") + per_cent(*bound) : dash, false);
    put(row + 1, 4, same ? per_cent(*same) : dash, false);
    put(row + 1, 5, QString("+%1 b/w").arg(format_bits(factor_bits_per_weight(shown.scheme, layer.out_features, layer.in_features, r))),
        false);
    put(row + 1, 6, QString("%1 MB").arg(factor_bytes(shown.scheme, layer.out_features, layer.in_features, r) / 1e6, 0, 'f', 2), false);
  }
}

QString SpectrumPanel::hoverText(const QPoint& pixel) const {
  if (shown_.size() != 1 || !shown_.front().spectrum) return {};
  const LayerSpectrum& s = *shown_.front().spectrum;
  const double x = lower_->xAxis->pixelToCoord(pixel.x());
  if (x < 0 || x > cursor_->maximum()) return {};
  const std::size_t rank = std::size_t(std::lround(x));
  QStringList lines = {tr("rank %1").arg(rank)};
  if (rank > 0 && rank <= s.whitened_error.size()) lines << tr("λ %1 % of ‖WX‖²").arg(100 * s.whitened_error[rank - 1], 0, 'g', 3);
  if (const auto share = captured_share(s, rank)) lines << tr("captured %1 %").arg(100 * *share, 0, 'f', 1);
  if (const auto bound = value_at(s.lower_bound_by_rank, rank)) lines << tr("bound ≥ %1 %").arg(format_error(*bound));
  if (const auto same = value_at(s.same_codes_by_rank, rank)) lines << tr("same codes %1 % (exact)").arg(format_error(*same));
  return lines.join('\n');
}

DataTable SpectrumPanel::dataTable() const {
  DataTable table;
  table.headers << tr("rank") << tr("cost, b/w");
  std::size_t length = 0;
  for (const Shown& shown : shown_) {
    if (!shown.spectrum) continue;
    const QString name = shown_.size() > 1 ? ' ' + title(shown.layer) : QString();
    table.headers << tr("λ, % of ‖WX‖²") + name << tr("lower bound, %") + name << tr("same codes, %") + name << tr("σ of W") + name
                  << tr("σ of W − Ŵ") + name;
    length = std::max({length, shown.spectrum->lower_bound_by_rank.size(), shown.spectrum->weight.size() + 1});
  }
  for (std::size_t rank = 0; rank < length; ++rank) {
    QVariantList row = {int(rank), cost_->bits_per_rank * double(rank)};
    const auto number = [](std::optional<double> value, double factor) { return value ? QVariant(*value * factor) : QVariant(); };
    const auto of_index = [&](const std::vector<double>& values) {
      return rank == 0 ? std::optional<double>() : value_at(values, rank - 1);
    };
    for (const Shown& shown : shown_) {
      if (!shown.spectrum) continue;
      const LayerSpectrum& s = *shown.spectrum;
      row << number(of_index(s.whitened_error), 100) << number(value_at(s.lower_bound_by_rank, rank), 100)
          << number(value_at(s.same_codes_by_rank, rank), 100) << number(of_index(s.weight), 1) << number(of_index(s.weight_error), 1);
    }
    table.rows.push_back(row);
  }
  return table;
}

void SpectrumPanel::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() != QEvent::PaletteChange && event->type() != QEvent::StyleChange) return;
  style_plot(*upper_);
  style_plot(*lower_);
  cursor_->recolour();
  if (std::all_of(shown_.begin(), shown_.end(), [](const Shown& shown) { return shown.spectrum != nullptr; })) rebuild();
}

void SpectrumPanel::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  readout_->setCellVisible(cell_captured_, width() >= 520);
  readout_->setCellVisible(cell_same_, width() >= 400);
}

}  // namespace

QWidget* make_spectrum_panel(Workspace& workspace, QWidget* parent) { return new SpectrumPanel(workspace, parent); }

}  // namespace lrc::app

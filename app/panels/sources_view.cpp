#include "panels/sources_view.h"

#include <QHBoxLayout>
#include <QRegularExpression>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>

#include "models/draft_edits.h"
#include "models/error_summary.h"
#include "models/layer_lab.h"
#include "models/prediction.h"
#include "models/run_facts.h"
#include "panels/help_table.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"

namespace lrc::app {

SourcesView::SourcesView(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 8, 0, 0);
  column->setSpacing(4);
  sentence_ = make_sentence("sourcesSentence", this);
  column->addWidget(sentence_);
  auto* row = new QHBoxLayout;
  row->setSpacing(8);
  plot_ = new QCustomPlot(this);
  plot_->setObjectName("sourcesPlot");
  plot_->setAccessibleName(tr("Where this layer’s error comes from"));
  plot_->setMinimumSize(160, 60);
  help_ = new HelpTable(workspace_, this);
  twin_ = new PlotTwin(plot_, *this, "sourcesTable", this);
  row->addWidget(twin_, 3);
  row->addWidget(help_, 2);
  // Both take what is there: a page that asked for all that they could show would scroll as a whole.
  for (QWidget* part : {static_cast<QWidget*>(twin_), static_cast<QWidget*>(help_)}) {
    part->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Ignored);
    part->setMinimumHeight(92);
  }
  column->addLayout(row, 1);
  connect(&workspace_, &Workspace::selectionChanged, this, &SourcesView::refresh);
  connect(&workspace_, &Workspace::draftChanged, this, &SourcesView::draw);
  connect(&workspace_, &Workspace::spectrumReady, this, [this](int layer) {
    if (layer == currentLayer()) draw();
  });
  connect(&LayerLab::of(workspace_), &LayerLab::solvedChanged, this, &SourcesView::draw);
  connect(&LayerLab::of(workspace_), &LayerLab::trialsChanged, this, [this](int layer) {
    if (layer == currentLayer()) draw();
  });
}

int SourcesView::currentLayer() const {
  if (!workspace_.hasModel()) return -1;
  if (workspace_.currentLayer() >= 0) return workspace_.currentLayer();
  const RunEntry* b = run_in(workspace_, workspace_.slotB());
  const LayerRecord* worst = b ? worst_layer(b->manifest) : nullptr;
  const LayerInfo* layer = worst ? workspace_.model()->find_layer(worst->name) : nullptr;
  return layer ? int(layer - workspace_.model()->layers().data()) : -1;
}

void SourcesView::refresh() {
  draw();
  help_->setLayer(isVisible() ? currentLayer() : -1);
}

void SourcesView::showEvent(QShowEvent* event) {
  QWidget::showEvent(event);
  refresh();
}

void SourcesView::hideEvent(QHideEvent* event) {
  QWidget::hideEvent(event);
  // Later: a window that is going away hides its children too, and what is tried belongs to nobody then.
  QMetaObject::invokeMethod(
      this,
      [this] {
        if (!isVisible()) help_->setLayer(-1);
      },
      Qt::QueuedConnection);
}

/// The bars of the current layer and the sentence above them.
void SourcesView::gather() {
  bars_.clear();
  const int layer = currentLayer();
  const LayerLab& lab = LayerLab::of(workspace_);
  const SolvedAlone* alone = layer < 0 ? nullptr : lab.solved(layer);
  const LayerRecord* of_b = layer < 0 ? nullptr : workspace_.record(workspace_.slotB(), layer);
  const LayerRecord* record = of_b;
  if (!record && alone) record = &alone->record;
  if (!record && layer >= 0)
    if (const LayerTrials* trials = lab.trials(layer)) record = &trials->now;
  if (record == nullptr) {
    sentence_->setText(layer < 0 ? QString() : tr("This layer is not solved in B; Shift+F5 solves it alone."));
    return;
  }
  const Colours& c = colours();
  const QString name = QString::fromStdString(short_name(workspace_.model()->layers()[std::size_t(layer)]));
  sentence_->setText(tr("<b>%1</b>%2: ").arg(name.toHtmlEscaped(), workspace_.currentLayer() < 0 ? tr(" (worst layer)") : QString()) +
                     describe_sources(*record));
  bars_ = {{tr("weights only"), record->weights_only, c.codes},
           {tr("activations only"), record->activations_only, c.codes},
           {tr("both, no branch"), record->loss_uncorrected, c.a_fill},
           {tr("with branch"), record->loss, c.b_fill}};
  const auto& scheme = workspace_.draftSchemes()[std::size_t(layer)];
  if (alone && of_b)
    bars_.push_back({tr("draft, solved alone"), alone->record.loss, c.b_fill});
  else if (const auto draft = predicted_loss(workspace_, layer); with_estimates_ && draft && scheme && scheme->rank != record->rank)
    bars_.push_back({tr("predicted, rank %1").arg(scheme->rank), *draft, c.b_fill, Kind::estimate});
  bars_.push_back({of_b ? tr("B, regularised") : tr("regularised"), record->loss_regularized, c.scales});
  bars_.push_back({tr("its bound, rank %1").arg(record->rank), record->lower_bound, c.text, Kind::bound});
}

void SourcesView::showEstimates(bool shown) {
  with_estimates_ = shown;
  draw();
}

QString SourcesView::Bar::text() const {
  return (kind == Kind::bound ? QStringLiteral("≥ ") : kind == Kind::estimate ? QStringLiteral("≈ ") : QString()) + format_error(value);
}

void SourcesView::draw() {
  plot_->clearPlottables();
  plot_->clearItems();
  gather();
  twin_->refresh();
  // Without a bar the table of what would help has the room.
  twin_->setVisible(!bars_.empty());
  if (bars_.empty()) return;
  const Colours& c = colours();
  style_plot(*plot_);
  auto ticker = QSharedPointer<QCPAxisTickerText>::create();
  for (std::size_t i = 0; i < bars_.size(); ++i) {
    const Bar& each = bars_[i];
    const double y = double(bars_.size() - i), value = 100 * each.value;
    const bool estimate = each.kind == Kind::estimate;
    ticker->addTick(y, each.name);
    if (each.kind == Kind::bound) {
      auto* line = new QCPItemLine(plot_);
      line->start->setCoords(0, y);
      line->end->setCoords(value, y);
      line->setPen(QPen(c.text, 1.3, Qt::DotLine));
      line->setTail(QCPLineEnding::esNone);
      line->setHead(QCPLineEnding(QCPLineEnding::esBar, 12));
    } else {
      auto* bar = new QCPBars(plot_->yAxis, plot_->xAxis);
      bar->setWidth(0.42);
      QColor ground = each.colour;
      if (estimate) ground.setAlphaF(0.15f);
      bar->setPen(estimate ? QPen(each.colour, 1.3, Qt::DashLine) : QPen(Qt::NoPen));
      bar->setBrush(ground);
      bar->addData(y, value);
    }
    auto* text = add_text(*plot_, each.text(), value, y, c.text, Qt::AlignLeft | Qt::AlignVCenter);
    QFont bold = font_of_points(font(), 9, true);
    bold.setItalic(estimate);
    text->setFont(bold);
    text->setPadding(QMargins(4, 0, 0, 0));
  }
  plot_->yAxis->setTicker(ticker);
  plot_->yAxis->setLabel({});
  plot_->yAxis->setRange(0.4, double(bars_.size()) + 0.6);
  plot_->yAxis->grid()->setVisible(false);
  make_linear(*plot_->xAxis, tr("error, % of ‖WX‖²"));
  plot_->setToolTip(tr("The parts do not add exactly: weights and activations also err together."));
  plot_->setAccessibleDescription(sentence_->text().remove(QRegularExpression("<[^>]*>")));
  fit();
}

void SourcesView::fit() {
  const QFontMetrics names(plot_->yAxis->tickLabelFont()), numbers(font_of_points(font(), 9, true));
  int name_width = 0;
  for (const Bar& bar : bars_) name_width = std::max(name_width, names.horizontalAdvance(bar.name));
  const double pixels = std::max(40, plot_->width() - name_width - 32);
  // Each bar needs room for its own number behind it.
  double upper = 0;
  for (const Bar& bar : bars_)
    upper = std::max(upper, 100 * bar.value * pixels / std::max(16.0, pixels - numbers.horizontalAdvance(bar.text()) - 12));
  plot_->xAxis->setRange(0, upper > 0 ? upper : 1);
  plot_->xAxis->ticker()->setTickCount(std::clamp(int(pixels / 48), 2, 6));
  // Where it is low, the bars need the line that the name takes; the sentence above says what they are.
  plot_->xAxis->setLabel(plot_->height() < 24 * int(bars_.size()) + 36 ? QString() : tr("error, % of ‖WX‖²"));
  plot_->replot(QCustomPlot::rpQueuedReplot);
}

void SourcesView::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  if (!bars_.empty()) fit();
}

int SourcesView::pixelOf(double x) const { return int(std::lround(plot_->xAxis->coordToPixel(x))); }

QString SourcesView::hoverText(const QPoint& pixel) const {
  if (!plot_->axisRect()->rect().contains(pixel)) return {};
  const long row = std::lround(double(bars_.size()) - plot_->yAxis->pixelToCoord(pixel.y()));
  if (row < 0 || std::size_t(row) >= bars_.size()) return {};
  return bars_[std::size_t(row)].name + ' ' + bars_[std::size_t(row)].text() + QStringLiteral(" %");
}

DataTable SourcesView::dataTable() const {
  DataTable table;
  table.headers << tr("part") << tr("error, % of ‖WX‖²") << tr("how known");
  for (const Bar& bar : bars_)
    table.rows.push_back({bar.name, 100 * bar.value,
                          bar.kind == Kind::bound      ? tr("bound")
                          : bar.kind == Kind::estimate ? tr("estimate")
                                                       : tr("solved")});
  return table;
}

}  // namespace lrc::app

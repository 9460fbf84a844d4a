// Histograms of a layer's input and weight in steps of their own scale, before and behind the rotations, with the levels of the grid.
#include <QComboBox>
#include <QScrollArea>
#include <QVBoxLayout>
#include <cmath>

#include "models/draft_edits.h"
#include "models/input_summary.h"
#include "panels/input_tabs.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "run/activation_sample.h"
#include "workspace.h"

namespace lrc::app {

namespace {

constexpr int lowest_plot = 110;  // px

}  // namespace

PlotTab::PlotTab(QWidget* parent) : QWidget(parent) {
  auto* outer = new QVBoxLayout(this);
  outer->setContentsMargins(0, 0, 0, 0);
  auto* scroll = new QScrollArea(this);
  scroll->setWidgetResizable(true);
  scroll->setFrameShape(QFrame::NoFrame);
  scroll->setFocusPolicy(Qt::NoFocus);
  scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  page_ = new QWidget(scroll);
  scroll->setWidget(page_);
  outer->addWidget(scroll);
}

void PlotTab::showEvent(QShowEvent* event) {
  QWidget::showEvent(event);
  refresh();
}

void PlotTab::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() == QEvent::PaletteChange && isVisible()) refresh();
}

void PlotTab::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  // Two plots, their lines of facts, the sentence and the legend.
  const int stacked = 2 * lowest_plot + 8 * fontMetrics().lineSpacing();
  if (pair_) pair_->setDirection(height() < stacked && width() > height() ? QBoxLayout::LeftToRight : QBoxLayout::TopToBottom);
}

int shown_layer(const Workspace& workspace) {
  if (!workspace.hasModel() || workspace.model()->layers().empty()) return -1;
  return std::max(workspace.currentLayer(), 0);
}

void say_not_sampled(Notice& notice, Workspace& workspace) {
  if (!workspace.hasModel()) {
    notice.say(QObject::tr("Open a model to see what enters its layers."));
  } else if (workspace.measuring()) {
    notice.say(QObject::tr("Measuring; a sample of what enters each layer is written on the way."));
  } else if (!can_sample(workspace.draft())) {
    notice.say(
        QObject::tr("Inputs behind smoothing, imported rotations or principal bases are not sampled: what the file’s model has there "
                    "cannot be told from them."));
  } else if (workspace.sampleFolder().empty()) {
    notice.say(QObject::tr("What enters each layer behind this rotation is not sampled yet. Measuring keeps 1 024 tokens of each input."),
               Notice::Tone::plain, QObject::tr("Measure"), [&workspace] { workspace.measure(); });
  } else {
    notice.say(QObject::tr("Reading the sample of this layer…"));
  }
}

namespace {

constexpr double lowest_share = 1e-5;

class DistributionsTab : public PlotTab {
 public:
  DistributionsTab(Workspace& workspace, QWidget* parent);
  DataTable dataTable() const override;
  int pixelOf(double x) const override { return int(std::lround(inputs_->xAxis->coordToPixel(x))); }
  QString hoverText(const QPoint& pixel) const override {
    return found_ ? hover(*inputs_, found_->input_before, found_->input_after, pixel) : QString();
  }
  void showTable(bool table) override { twin_->showTable(table); }
  std::vector<QCustomPlot*> plots() const override { return {inputs_, weights_}; }

 protected:
  void refresh() override;

 private:
  QCustomPlot* makePlot(const char* name, const QString& title, QLabel*& facts, QVBoxLayout* layout);
  void draw(QCustomPlot& plot, const Spread& before, const Spread& after, bool rotates, const QString& unit);
  QString hover(const QCustomPlot& plot, const Spread& before, const Spread& after, const QPoint& pixel) const;

  Workspace& workspace_;
  Notice* notice_;
  QLabel *sentence_, *legend_, *input_facts_, *weight_facts_;
  QWidget* plots_;
  QCustomPlot *inputs_, *weights_;
  PlotTwin* twin_;
  std::shared_ptr<const LayerDistributions> found_;
};

DistributionsTab::DistributionsTab(Workspace& workspace, QWidget* parent) : PlotTab(parent), workspace_(workspace) {
  setObjectName("distributionsTab");
  auto* layout = new QVBoxLayout(page());
  layout->setContentsMargins(0, 8, 0, 0);
  layout->setSpacing(4);
  notice_ = new Notice(this);
  layout->addWidget(notice_);
  sentence_ = make_sentence("distributionsSentence", this);
  layout->addWidget(sentence_);
  legend_ = new QLabel(this);
  legend_->setFont(font_of_points(font(), 8));
  legend_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
  layout->addWidget(legend_);
  plots_ = new QWidget(this);
  auto* column = new QVBoxLayout(plots_);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  setPair(column);
  inputs_ = makePlot("distributionsPlot", tr("Distribution of the layer’s input on its grid"), input_facts_, column);
  weights_ = makePlot("distributionsWeightsPlot", tr("Distribution of the layer’s weights on their grid"), weight_facts_, column);
  twin_ = new PlotTwin(plots_, *this, "distributionsTable", this);
  layout->addWidget(twin_, 1);
  layout->addStretch(0);
  connect(inputs_, &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
    QToolTip::showText(event->globalPosition().toPoint() + QPoint(12, 12), hoverText(event->pos()), inputs_);
  });
  connect(weights_, &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
    if (found_)
      QToolTip::showText(event->globalPosition().toPoint() + QPoint(12, 12),
                         hover(*weights_, found_->weight_before, found_->weight_after, event->pos()), weights_);
  });
  for (const auto signal : {&Workspace::modelOpened, &Workspace::modelClosed, &Workspace::selectionChanged, &Workspace::draftChanged,
                            &Workspace::measuredChanged, &Workspace::measureProgress})
    connect(&workspace_, signal, this, [this] {
      if (isVisible()) refresh();
    });
  connect(&workspace_, &Workspace::inputsReady, this, [this](int layer) {
    if (isVisible() && layer == shown_layer(workspace_)) refresh();
  });
}

QCustomPlot* DistributionsTab::makePlot(const char* name, const QString& title, QLabel*& facts, QVBoxLayout* layout) {
  auto* part = new QWidget(plots_);
  auto* column = new QVBoxLayout(part);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  facts = new QLabel(part);
  facts->setObjectName(QString(name) + "Facts");
  facts->setFont(font_of_points(font(), 8));
  facts->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Minimum);
  facts->setWordWrap(true);  // beside each other there is room for half of it on a line
  column->addWidget(facts);
  auto* plot = new QCustomPlot(part);
  plot->setObjectName(name);
  plot->setAccessibleName(title);
  plot->setMinimumSize(160, lowest_plot);
  plot->setFocusPolicy(Qt::StrongFocus);
  column->addWidget(plot, 1);
  layout->addWidget(part, 1);
  return plot;
}

void DistributionsTab::refresh() {
  const int layer = shown_layer(workspace_);
  found_ = workspace_.distributions(layer);
  const bool shown = found_ != nullptr;
  sentence_->setVisible(shown);
  legend_->setVisible(shown);
  twin_->setVisible(shown);
  if (!shown) {
    const bool impossible = layer >= 0 && !workspace_.draftSchemes()[std::size_t(layer)];
    if (impossible)
      notice_->say(tr("The draft cannot be carried out on this layer; the recipe says why."));
    else
      say_not_sampled(*notice_, workspace_);
    return;
  }
  notice_->clear();
  const LayerInfo& info = workspace_.model()->layers()[std::size_t(layer)];
  const SiteKind site = info.site().kind;
  const Colours& c = colours();
  sentence_->setText(tr("<b>%1</b>: ").arg(QString::fromStdString(short_name(info)).toHtmlEscaped()) +
                     describe_distributions(*found_, site));
  const QString name = rotation_name(site);
  QString legend = found_->rotates_input || found_->rotates_weight
                       ? QStringLiteral("<span style='color:%1'>━</span> %2 &nbsp; <span style='color:%3'>━</span> %4")
                             .arg(c.codes.name(), tr("before rotation"), c.b_fill.name(), tr("behind it"))
                       : QStringLiteral("<span style='color:%1'>━</span> %2").arg(c.b_fill.name(), tr("nothing is rotated"));
  legend += QStringLiteral(" &nbsp; <span style='color:%1'>┊</span> %2").arg(c.dim.name(), tr("levels of the grid"));
  legend += QStringLiteral(" &nbsp; ") + tr("%1 tokens").arg(found_->sampled_tokens);
  legend_->setText(legend);
  input_facts_->setText(tr("<b>input x</b> &nbsp; ") + describe_spread(found_->input_before, found_->input_after, found_->rotates_input));
  weight_facts_->setText(tr("<b>weights W</b> &nbsp; ") +
                         describe_spread(found_->weight_before, found_->weight_after, found_->rotates_weight));
  for (QLabel* facts : {input_facts_, weight_facts_}) facts->setToolTip(facts->text());
  draw(*inputs_, found_->input_before, found_->input_after, found_->rotates_input,
       found_->activation_scheme.off() ? tr("value ÷ rms of its token") : tr("value ÷ step of its own scale"));
  draw(*weights_, found_->weight_before, found_->weight_after, found_->rotates_weight,
       found_->weight_scheme.bits >= 16 ? tr("value ÷ rms of its row") : tr("value ÷ step of its own scale"));
  twin_->refresh();
}

void DistributionsTab::draw(QCustomPlot& plot, const Spread& before, const Spread& after, bool rotates, const QString& unit) {
  const Colours& c = colours();
  style_plot(plot);
  plot.clearPlottables();
  plot.clearItems();
  make_logarithmic(*plot.yAxis, tr("share"));
  make_linear(*plot.xAxis, unit);
  const auto add = [&](const Spread& spread, const QColor& colour, bool filled) {
    QCPGraph* graph = plot.addGraph();
    graph->setLineStyle(QCPGraph::lsStepCenter);
    graph->setPen(QPen(colour, 1.5));
    if (filled) {
      QColor ground = colour;
      ground.setAlphaF(0.18f);
      graph->setBrush(ground);
    }
    QVector<double> x, y;
    for (std::size_t i = 0; i < spread.shares.size(); ++i) {
      x.push_back(spread.lowest + (double(i) + 0.5) * spread.bin_width);
      y.push_back(std::max(spread.shares[i], lowest_share));
    }
    graph->setData(x, y, true);
  };
  for (const double level : after.levels) {
    auto* line = new QCPItemStraightLine(&plot);
    line->point1->setCoords(level, lowest_share);
    line->point2->setCoords(level, 1);
    line->setPen(QPen(after.levels.size() > 40 ? c.grid : c.dim, 1, Qt::DotLine));
  }
  if (rotates) add(before, c.codes, true);
  add(after, c.b_fill, !rotates);
  double highest = 0;
  for (const Spread* spread : {&before, &after})
    highest = std::max(highest, *std::max_element(spread->shares.begin(), spread->shares.end()));
  plot.xAxis->setRange(after.lowest, -after.lowest);
  plot.yAxis->setRange(lowest_share, std::min(1.0, 2 * highest));
  plot.setAccessibleDescription((&plot == inputs_ ? input_facts_ : weight_facts_)->text().remove(QRegularExpression("<[^>]*>|&nbsp;")));
  plot.replot(QCustomPlot::rpQueuedReplot);
}

QString DistributionsTab::hover(const QCustomPlot& plot, const Spread& before, const Spread& after, const QPoint& pixel) const {
  if (!plot.axisRect()->rect().contains(pixel)) return {};
  const double x = plot.xAxis->pixelToCoord(pixel.x());
  const auto share = [x](const Spread& spread) {
    const double bin = std::floor((x - spread.lowest) / spread.bin_width);
    return bin < 0 || bin >= double(spread.shares.size()) ? 0.0 : spread.shares[std::size_t(bin)];
  };
  return tr("%1 steps\nbefore rotation %2 % of the values\nbehind it %3 %")
      .arg(x, 0, 'f', 2)
      .arg(100 * share(before), 0, 'g', 3)
      .arg(100 * share(after), 0, 'g', 3)
      .replace('-', QStringLiteral("−"));
}

DataTable DistributionsTab::dataTable() const {
  DataTable table;
  table.headers << tr("operand") << tr("steps") << tr("share before") << tr("share behind the rotation");
  if (!found_) return table;
  const auto add = [&](const QString& operand, const Spread& before, const Spread& after) {
    for (std::size_t i = 0; i < after.shares.size(); ++i)
      table.rows.push_back({operand, after.lowest + (double(i) + 0.5) * after.bin_width,
                            i < before.shares.size() ? QVariant(before.shares[i]) : QVariant(), after.shares[i]});
  };
  add(tr("input"), found_->input_before, found_->input_after);
  add(tr("weight"), found_->weight_before, found_->weight_after);
  return table;
}

}  // namespace

PlotTab* make_distributions_tab(Workspace& workspace, QWidget* parent) { return new DistributionsTab(workspace, parent); }

}  // namespace lrc::app

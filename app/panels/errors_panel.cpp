#include <QCheckBox>
#include <QComboBox>
#include <QScrollArea>
#include <QStackedLayout>
#include <QTabWidget>
#include <QVBoxLayout>
#include <array>
#include <cmath>

#include "models/draft_edits.h"
#include "models/error_summary.h"
#include "models/run_facts.h"
#include "panels/allocator_view.h"
#include "panels/input_tabs.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "panels/plot_tools.h"
#include "panels/sources_view.h"
#include "plot_style.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

constexpr std::size_t worst_shown = 60;

/// A page that may be higher than its tab: it scrolls, and does not hold the window high.
QScrollArea* scrolled(QWidget* page, QWidget* parent) {
  auto* scroll = new QScrollArea(parent);
  scroll->setFrameShape(QFrame::NoFrame);
  scroll->setWidgetResizable(true);
  scroll->setWidget(page);
  scroll->setFocusPolicy(Qt::NoFocus);
  scroll->viewport()->setAutoFillBackground(false);
  page->setAutoFillBackground(false);
  return scroll;
}

class ErrorsPanel : public QWidget, public PlotHooks {
 public:
  ErrorsPanel(Workspace& workspace, QWidget* parent);
  DataTable dataTable() const override;
  int pixelOf(double x) const override { return int(std::lround(all_->xAxis->coordToPixel(x))); }
  QString hoverText(const QPoint& pixel) const override;

 protected:
  void changeEvent(QEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;

 private:
  void refresh();
  void gather();
  void drawAll();
  void markCurrent();
  void showContext();
  void makeExportMenus();
  QString layerInFront() const;
  std::optional<std::size_t> at(const QPoint& pixel) const;

  Workspace& workspace_;
  TitleControls* controls_;
  QToolButton* as_table_;
  Notice* notice_;
  QTabWidget* tabs_;
  QLabel *sentence_, *legend_;
  QComboBox *order_, *count_;
  QCheckBox* bound_;
  QCustomPlot* all_;
  SourcesView* sources_;
  std::array<PlotTab*, 2> inputs_;  ///< distributions, channels
  AllocatorView* allocator_;
  QToolButton* export_;
  std::array<QMenu*, 4> export_menus_;
  PlotTwin* twin_;
  QCPItemRect* current_ = nullptr;
  std::vector<LayerChange> changes_;  ///< all, in the order shown
  std::size_t drawn_ = 0;
  bool before_is_run_ = false;
};

ErrorsPanel::ErrorsPanel(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  setObjectName("errorsPanel");
  setWindowTitle(tr("Errors"));
  auto* layout = make_panel_layout(this);
  controls_ = new TitleControls(this);
  as_table_ = new IconButton("table", tr("Show the numbers as a table"), this);
  as_table_->setObjectName("errorsTableButton");
  as_table_->setCheckable(true);
  auto* export_button = new IconButton("export", tr("Export the plot"), this);
  export_button->setObjectName("errorsExport");
  export_button->setPopupMode(QToolButton::InstantPopup);
  controls_->add(as_table_);
  controls_->add(export_button);
  layout->addWidget(controls_);
  notice_ = new Notice(this);
  layout->addWidget(notice_);
  tabs_ = new QTabWidget(this);
  tabs_->setObjectName("errorsTabs");
  tabs_->setAccessibleName(tr("Errors"));
  tabs_->setDocumentMode(true);
  layout->addWidget(tabs_, 1);
  layout->addStretch(0);  // takes the space while the tabs are hidden

  auto* all_page = new QWidget(tabs_);
  auto* all_layout = new QVBoxLayout(all_page);
  all_layout->setContentsMargins(0, 8, 0, 0);
  all_layout->setSpacing(4);
  sentence_ = make_sentence("errorsSentence", all_page);
  all_layout->addWidget(sentence_);
  auto* options = new QHBoxLayout;
  options->setSpacing(8);
  legend_ = new QLabel(all_page);
  legend_->setFont(font_of_points(font(), 8));
  order_ = new QComboBox(all_page);
  order_->setObjectName("errorsOrder");
  order_->setAccessibleName(tr("Order of the layers"));
  order_->addItems({tr("by error before"), tr("by error after"), tr("by removed"), tr("model order")});
  count_ = new QComboBox(all_page);
  count_->setObjectName("errorsCount");
  count_->setAccessibleName(tr("How many layers"));
  count_->addItems({tr("first %1").arg(worst_shown), tr("all")});
  bound_ = new QCheckBox(tr("Bound"), all_page);
  bound_->setObjectName("errorsBound");
  bound_->setToolTip(tr("The certified lower bound holds for the regularised loss: with it, the error after is drawn in that loss"));
  options->addWidget(legend_);
  options->addStretch(1);
  options->addWidget(bound_);
  options->addWidget(order_);
  options->addWidget(count_);
  all_layout->addLayout(options);
  all_ = new QCustomPlot(all_page);
  all_->setObjectName("errorsLayersPlot");
  all_->setAccessibleName(tr("Error of each layer before and after"));
  all_->setMinimumSize(160, 90);
  all_->setFocusPolicy(Qt::StrongFocus);
  twin_ = new PlotTwin(all_, *this, "errorsTable", all_page);
  all_layout->addWidget(twin_, 1);
  tabs_->addTab(all_page, tr("All layers"));

  sources_ = new SourcesView(workspace_, tabs_);
  tabs_->addTab(scrolled(sources_, tabs_), tr("Sources"));
  inputs_ = {make_distributions_tab(workspace_, tabs_), make_channels_tab(workspace_, tabs_)};
  tabs_->addTab(inputs_[0], tr("Distributions"));
  tabs_->addTab(inputs_[1], tr("Channels"));
  allocator_ = new AllocatorView(workspace_, tabs_);
  tabs_->addTab(scrolled(allocator_, tabs_), tr("Allocator"));
  connect(&Allocator::of(workspace_), &Allocator::shown, this, [this] {
    tabs_->setCurrentIndex(tabs_->count() - 1);
    if (const auto* scroll = qobject_cast<QScrollArea*>(tabs_->currentWidget())) scroll->widget()->setFocus();
  });

  export_ = export_button;
  makeExportMenus();
  connect(as_table_, &QToolButton::toggled, this, [this](bool on) {
    twin_->showTable(on);
    sources_->showTable(on);
    for (PlotTab* tab : inputs_) tab->showTable(on);
    allocator_->showTable(on);
  });
  connect(bound_, &QCheckBox::toggled, this, [this] { refresh(); });
  connect(order_, &QComboBox::currentIndexChanged, this, [this] { refresh(); });
  connect(count_, &QComboBox::currentIndexChanged, this, [this] { refresh(); });
  connect(all_, &QCustomPlot::mousePress, this, [this](QMouseEvent* event) {
    if (const auto index = at(event->pos()); index && event->button() == Qt::LeftButton) {
      const int layer = changes_[*index].layer;
      workspace_.selectLayers({layer}, layer);
    }
  });
  connect(all_, &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
    QToolTip::showText(event->globalPosition().toPoint() + QPoint(12, 12), hoverText(event->pos()), all_);
  });
  connect(&workspace_, &Workspace::modelOpened, this, [this] { refresh(); });
  connect(&workspace_, &Workspace::modelClosed, this, [this] { refresh(); });
  connect(&workspace_, &Workspace::slotsChanged, this, [this] { refresh(); });
  connect(&workspace_, &Workspace::runsChanged, this, [this] { refresh(); });
  connect(&workspace_, &Workspace::layerFinished, this, [this](int number, const QString&) {
    if (workspace_.slotB().run == number) refresh();
  });
  connect(&workspace_, &Workspace::selectionChanged, this, [this] {
    markCurrent();
    showContext();
  });
  connect(tabs_, &QTabWidget::currentChanged, this, [this] { showContext(); });
  refresh();
}

/// One for each tab that shows what is known; the allocator predicts, and predictions never leave the window.
void ErrorsPanel::makeExportMenus() {
  const auto caption = [this] {
    const QString runs = workspace_.slotTitle(workspace_.slotA()) + QStringLiteral(" → ") + workspace_.slotTitle(workspace_.slotB());
    return tabs_->currentIndex() == 0 ? runs : layerInFront() + QStringLiteral(" · ") + runs;
  };
  export_menus_[0] = make_export_menu(
      this, [this] { return std::vector{all_}; }, *this, "layer-errors", caption);
  export_menus_[1] = make_export_menu(
      this, [this] { return std::vector{sources_->plot()}; }, *sources_, "sources", caption,
      [this](bool shown) { sources_->showEstimates(shown); });
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    export_menus_[2 + i] = make_export_menu(
        this, [tab = inputs_[i]] { return tab->plots(); }, *inputs_[i], i == 0 ? "distributions" : "channels", caption);
}

QString ErrorsPanel::layerInFront() const {
  const int layer = tabs_->currentIndex() == 1 ? sources_->currentLayer() : shown_layer(workspace_);
  return layer < 0 ? QString() : QString::fromStdString(short_name(workspace_.model()->layers()[std::size_t(layer)]));
}

/// What the tab in front speaks of, all layers or the one, and what of it can be exported.
void ErrorsPanel::showContext() {
  const int tab = tabs_->currentIndex();
  const bool of_model = tab == 0 || tab == tabs_->count() - 1;
  const bool exports = tab >= 0 && std::size_t(tab) < export_menus_.size();
  export_->setEnabled(exports);
  export_->setToolTip(exports ? tr("Export the plot") : tr("What is only predicted is not exported"));
  if (exports) export_->setMenu(export_menus_[std::size_t(tab)]);
  if (of_model)
    controls_->setContext(changes_.empty() ? QString() : tr("%1 layers").arg(changes_.size()));
  else
    controls_->setContext(layerInFront());
}

void ErrorsPanel::gather() {
  changes_.clear();
  const RunEntry *a = run_in(workspace_, workspace_.slotA()), *b = run_in(workspace_, workspace_.slotB());
  before_is_run_ = a != nullptr && a != b;
  if (!workspace_.hasModel() || b == nullptr) return;
  const auto& layers = workspace_.model()->layers();
  std::map<std::string, const LayerRecord*> of_a, of_b;
  for (const LayerRecord& record : b->manifest.layers) of_b[record.name] = &record;
  if (before_is_run_)
    for (const LayerRecord& record : a->manifest.layers) of_a[record.name] = &record;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto after = of_b.find(layers[i].name);
    if (after == of_b.end()) continue;
    double before = after->second->loss_uncorrected;
    if (before_is_run_) {
      const auto found = of_a.find(layers[i].name);
      if (found == of_a.end()) continue;
      before = found->second->loss;
    }
    changes_.push_back({int(i), QString::fromStdString(short_name(layers[i])), before, after->second->loss, after->second->loss_regularized,
                        after->second->lower_bound});
  }
  sort_changes(changes_, ChangeOrder(order_->currentIndex()));
}

void ErrorsPanel::refresh() {
  gather();
  const RunEntry* b = run_in(workspace_, workspace_.slotB());
  notice_->clear();
  if (!workspace_.hasModel()) {
    notice_->say(tr("Open a model to see which of its layers quantization hurts."));
  } else if (b == nullptr) {
    notice_->say(tr("B is the original, and the original has no error. A run (F5) in slot B shows which layers hurt."));
  } else if (workspace_.slotA() == workspace_.slotB()) {
    notice_->say(tr("A and B are the same run: before is this run without its branch."));
  } else if (changes_.empty()) {
    notice_->say(tr("No layer of B is solved yet."));
  } else if (b->state == RunEntry::State::running) {
    notice_->say(tr("%1 of %2 layers are solved.").arg(b->manifest.layers.size()).arg(b->manifest.layers_total));
  }
  tabs_->setVisible(workspace_.hasModel());
  // The tabs about a run ask for more room than the two that scroll.
  tabs_->setMinimumHeight(changes_.empty() ? 120 : 0);
  const bool first_answer = !tabs_->isTabEnabled(0) && !changes_.empty();
  tabs_->setTabEnabled(0, !changes_.empty());  // a layer alone can be looked at before any run
  // Without a run, what is known is what enters the layers.
  if (changes_.empty() && tabs_->currentIndex() == 0) tabs_->setCurrentIndex(2);
  if (first_answer) tabs_->setCurrentIndex(0);
  showContext();
  sources_->refresh();
  if (changes_.empty()) return;
  sentence_->setText(
      describe_changes(changes_, workspace_.slotTitle(workspace_.slotA()), workspace_.slotTitle(workspace_.slotB()), before_is_run_));
  const Colours& c = colours();
  legend_->setText(
      QStringLiteral(
          "<span style='color:%1'>●</span> %2 &nbsp; <span style='color:%3'>◆</span> %4 &nbsp; <span style='color:%5'>╱</span> %6")
          .arg(c.a_fill.name(), before_is_run_ ? tr("A") : tr("no branch"), c.b_fill.name(), tr("B"), c.codes.name(), tr("Σ removed")));
  drawAll();
  twin_->refresh();
}

void ErrorsPanel::drawAll() {
  const Colours& c = colours();
  style_plot(*all_);
  all_->clearPlottables();
  all_->clearItems();
  make_logarithmic(*all_->yAxis, bound_->isChecked() ? tr("regularised, %") : tr("error, %"));
  make_linear(*all_->yAxis2, tr("Σ removed, %"));
  all_->yAxis2->setVisible(true);
  all_->yAxis2->setTickLabels(true);
  drawn_ = count_->currentIndex() == 0 ? std::min(worst_shown, changes_.size()) : changes_.size();
  const bool with_bound = bound_->isChecked();
  QVector<double> x, before, after, bound, removed;
  auto* stems = new QCPCurve(all_->xAxis, all_->yAxis);
  stems->setPen(QPen(c.scales, drawn_ > 120 ? 1 : 2));
  double low = qInf(), high = 0;
  const std::vector<double> cumulative = cumulative_removed(changes_);
  for (std::size_t i = 0; i < drawn_; ++i) {
    const LayerChange& change = changes_[i];
    const auto positive = [&](double value) {
      if (!(value > 0)) return qQNaN();
      low = std::min(low, 100 * value);
      high = std::max(high, 100 * value);
      return 100 * value;
    };
    x.push_back(double(i + 1));
    before.push_back(positive(change.before));
    after.push_back(positive(with_bound ? change.after_regularized : change.after));
    bound.push_back(with_bound ? positive(change.bound) : qQNaN());
    removed.push_back(100 * cumulative[i]);
    stems->addData(x.back(), before.back());
    stems->addData(x.back(), after.back());
    stems->addData(x.back(), qQNaN());
  }
  const double size = drawn_ > 120 ? 4 : 7;
  const auto dots = [&](const QVector<double>& y, const QCPScatterStyle& style) {
    QCPGraph* graph = all_->addGraph();
    graph->setLineStyle(QCPGraph::lsNone);
    graph->setScatterStyle(style);
    graph->setData(x, y, true);
  };
  QCPGraph* share = all_->addGraph(all_->xAxis, all_->yAxis2);
  share->setPen(QPen(c.codes, 1.3));
  share->setData(x, removed, true);
  dots(bound, scatter(Marker::tick, c.text, size));
  dots(before, scatter(Marker::disc, c.a_fill, size));
  dots(after, scatter(Marker::diamond, c.b_fill, size));
  all_->xAxis->setLabel(tr("%1 of %2 layers, %3").arg(drawn_).arg(changes_.size()).arg(order_->currentText()));
  all_->xAxis->setRange(0, double(drawn_) + 1);
  if (high > 0) all_->yAxis->setRange(low / 1.3, high * 1.3);
  const auto [smallest, largest] = std::minmax_element(removed.begin(), removed.end());
  all_->yAxis2->setRange(std::min(0.0, *smallest), std::max(1.0, *largest * 1.15));
  all_->setAccessibleDescription(
      tr("%1: error before %2 percent, after %3 percent")
          .arg(changes_.front().name, format_error(changes_.front().before), format_error(changes_.front().after)));
  current_ = new QCPItemRect(all_);
  current_->setPen(QPen(c.text, 1.3));
  current_->setBrush(Qt::NoBrush);
  markCurrent();
}

void ErrorsPanel::markCurrent() {
  if (current_ == nullptr) return;
  current_->setVisible(false);
  for (std::size_t i = 0; i < drawn_; ++i)
    if (changes_[i].layer == workspace_.currentLayer()) {
      const double after = bound_->isChecked() ? changes_[i].after_regularized : changes_[i].after;
      const double low = std::min(changes_[i].before, after), high = std::max(changes_[i].before, after);
      current_->topLeft->setCoords(double(i) + 0.5, 115 * high);
      current_->bottomRight->setCoords(double(i) + 1.5, 87 * low);
      current_->setVisible(true);
    }
  all_->replot(QCustomPlot::rpQueuedReplot);
}

std::optional<std::size_t> ErrorsPanel::at(const QPoint& pixel) const {
  if (!all_->axisRect()->rect().contains(pixel)) return {};
  const long index = std::lround(all_->xAxis->pixelToCoord(pixel.x())) - 1;
  if (index < 0 || std::size_t(index) >= drawn_) return {};
  return std::size_t(index);
}

QString ErrorsPanel::hoverText(const QPoint& pixel) const {
  const auto index = at(pixel);
  if (!index) return {};
  const LayerChange& change = changes_[*index];
  return tr("%1\nbefore %2 %\nafter %3 %\nbound ≥ %4 % (regularised loss)")
      .arg(change.name, format_error(change.before), format_error(change.after), format_error(change.bound));
}

DataTable ErrorsPanel::dataTable() const {
  DataTable table;
  table.headers << tr("layer") << tr("before, %") << tr("after, %") << tr("lower bound, %") << tr("removed, %");
  for (const LayerChange& change : changes_)
    table.rows.push_back({change.name, 100 * change.before, 100 * change.after, 100 * change.bound,
                          change.before > 0 ? QVariant(100 * change.removed() / change.before) : QVariant()});
  return table;
}

void ErrorsPanel::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() == QEvent::PaletteChange) refresh();
}

void ErrorsPanel::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  // Marks and colours are those of the whole window: where the row is too narrow, the legend gives way.
  legend_->setVisible(width() >= 500);
}

}  // namespace

QWidget* make_errors_panel(Workspace& workspace, QWidget* parent) { return new ErrorsPanel(workspace, parent); }

}  // namespace lrc::app

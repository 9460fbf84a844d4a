#include <QCheckBox>
#include <QComboBox>
#include <QMenu>
#include <QVBoxLayout>
#include <cmath>
#include <set>

#include "models/match_choices.h"
#include "models/run_facts.h"
#include "models/run_selection.h"
#include "models/tradeoff_points.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "panels/plot_tools.h"
#include "plot_style.h"
#include "run/match_size.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

constexpr int near_pixels = 12;
constexpr double band = 0.03;  // what counts as the same bytes

QString quality_text(Quality quality, double value) {
  switch (quality) {
    case Quality::kl:
      return QObject::tr("KL %1 nat/token").arg(format_kl(value));
    case Quality::perplexity:
      return QObject::tr("PPL %1").arg(format_perplexity(value));
    case Quality::disagreement:
      break;
  }
  return QObject::tr("other top token %1 %").arg(100 * value, 0, 'f', 1);
}

class TradeoffPanel : public QWidget, public PlotHooks {
 public:
  TradeoffPanel(Workspace& workspace, QWidget* parent);
  DataTable dataTable() const override;
  int pixelOf(double x) const override { return int(std::lround(plot_->xAxis->coordToPixel(x))); }
  QString hoverText(const QPoint& pixel) const override;

 protected:
  void changeEvent(QEvent* event) override;
  bool eventFilter(QObject* object, QEvent* event) override;

 private:
  void refresh();
  void drawGround(double low, double high);
  const TradeoffPoint* at(const QPoint& pixel) const;
  Quality quality() const { return Quality(y_->currentIndex()); }
  bool key(QKeyEvent* event);
  void askMatch(int run, const QPoint& where);

  Workspace& workspace_;
  RunSelection& selection_;
  TitleControls* controls_;
  QComboBox* y_;
  SegmentSwitch* activations_;
  QCheckBox *frontier_, *plain_;
  Notice* notice_;
  QCustomPlot* plot_;
  PlotTwin* twin_;
  QLabel* legend_;
  Tradeoff tradeoff_;
};

TradeoffPanel::TradeoffPanel(Workspace& workspace, QWidget* parent)
    : QWidget(parent), workspace_(workspace), selection_(RunSelection::of(workspace)) {
  setObjectName("tradeoffPanel");
  setWindowTitle(tr("Trade-off"));
  auto* layout = make_panel_layout(this);
  controls_ = new TitleControls(this);
  auto* as_table = new IconButton("table", tr("Show the numbers as a table"), this);
  as_table->setObjectName("tradeoffTableButton");
  as_table->setCheckable(true);
  auto* export_button = new IconButton("export", tr("Export the plot"), this);
  export_button->setObjectName("tradeoffExport");
  export_button->setPopupMode(QToolButton::InstantPopup);
  controls_->add(as_table);
  controls_->add(export_button);
  layout->addWidget(controls_);

  auto* options = new QHBoxLayout;
  options->setSpacing(8);
  auto* y_label = make_dim_label(tr("&Y"), this);
  y_ = new QComboBox(this);
  y_->setObjectName("tradeoffY");
  y_->setAccessibleName(tr("Quality"));
  y_->addItems({tr("KL to original"), tr("Perplexity"), tr("Other top token")});
  y_label->setBuddy(y_);
  activations_ = new SegmentSwitch(tr("Activations"), this);
  activations_->setObjectName("tradeoffActivations");
  activations_->addSegment(0, tr("all"), tr("Runs of every activation precision: different games in one plot"));
  for (const int bits : {4, 8, 16})
    activations_->addSegment(bits, QString("A%1").arg(bits), tr("Only runs with %1-bit activations").arg(bits));
  frontier_ = new QCheckBox(tr("Frontier"), this);
  frontier_->setChecked(true);
  plain_ = new QCheckBox(tr("Plain bits"), this);
  plain_->setChecked(true);
  options->addWidget(y_label);
  options->addWidget(y_);
  options->addWidget(activations_);
  options->addStretch(1);
  options->addWidget(frontier_);
  options->addWidget(plain_);
  layout->addLayout(options);
  notice_ = new Notice(this);
  layout->addWidget(notice_);

  plot_ = new QCustomPlot(this);
  plot_->setObjectName("tradeoffPlot");
  plot_->setAccessibleName(tr("Quality against bits per weight"));
  plot_->setMinimumSize(200, 120);
  plot_->setFocusPolicy(Qt::StrongFocus);
  plot_->setInteractions(QCP::iRangeZoom | QCP::iRangeDrag);
  plot_->installEventFilter(this);
  plot_->setContextMenuPolicy(Qt::CustomContextMenu);
  connect(plot_, &QWidget::customContextMenuRequested, this, [this](const QPoint& where) {
    const TradeoffPoint* point = at(where);
    askMatch(point ? point->run : workspace_.slotB().run.value_or(0), where);
  });
  twin_ = new PlotTwin(plot_, *this, "tradeoffTable", this);
  layout->addWidget(twin_, 1);
  legend_ = new QLabel(this);
  legend_->setFont(font_of_points(font(), 8));
  legend_->setAlignment(Qt::AlignCenter);
  legend_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
  layout->addWidget(legend_);

  export_button->setMenu(make_export_menu(this, {plot_}, *this, "trade-off", [this] {
    const QString model = workspace_.hasModel() ? QString::fromStdString(workspace_.model()->display_name()) : QString();
    const int bits = activations_->current();
    return QStringList{model, tradeoff_.protocol, bits > 0 ? tr("%1-bit activations").arg(bits) : tr("all activations")}.join(" · ");
  }));
  connect(as_table, &QToolButton::toggled, this, [this](bool on) { twin_->showTable(on); });
  connect(y_, &QComboBox::currentIndexChanged, this, [this] { refresh(); });
  activations_->on_change = [this](int) { refresh(); };
  connect(frontier_, &QCheckBox::toggled, this, [this] { refresh(); });
  connect(plain_, &QCheckBox::toggled, this, [this] { refresh(); });
  connect(&workspace_, &Workspace::runsChanged, this, [this] { refresh(); });
  connect(&workspace_, &Workspace::slotsChanged, this, [this] { refresh(); });
  connect(&workspace_, &Workspace::modelOpened, this, [this] { refresh(); });
  connect(&workspace_, &Workspace::modelClosed, this, [this] { refresh(); });
  connect(&selection_, &RunSelection::changed, this, [this] { refresh(); });
  connect(plot_, &QCustomPlot::mousePress, this, [this](QMouseEvent* event) {
    const TradeoffPoint* point = at(event->pos());
    plot_->setInteraction(QCP::iRangeDrag, point == nullptr);
    if (point == nullptr || event->button() != Qt::LeftButton) return;
    const int run = point->run;
    if (event->modifiers() & Qt::ShiftModifier)
      workspace_.setSlotA({run});
    else
      selection_.select(run);
  });
  connect(plot_, &QCustomPlot::mouseDoubleClick, this, [this](QMouseEvent* event) {
    if (const TradeoffPoint* point = at(event->pos()))
      workspace_.setSlotB({point->run});
    else
      refresh();  // back to the whole
  });
  connect(plot_, &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
    plot_->setCursor(at(event->pos()) ? Qt::PointingHandCursor : Qt::ArrowCursor);
    QToolTip::showText(event->globalPosition().toPoint() + QPoint(14, 14), hoverText(event->pos()), plot_);
  });
  refresh();
}

void TradeoffPanel::refresh() {
  tradeoff_ = tradeoff_of(workspace_, quality(), activations_->current());
  controls_->setContext(tradeoff_.protocol);
  QStringList remarks;
  std::set<int> precisions;
  for (const TradeoffPoint& point : tradeoff_.points) precisions.insert(point.activation_bits);
  if (precisions.size() > 1) remarks << tr("Runs of different activation precision share this plot: compare within one precision.");
  if (tradeoff_.evaluated_differently > 0)
    remarks << tr("%n run(s) evaluated on another text or other windows are not drawn.", nullptr, tradeoff_.evaluated_differently);
  if (tradeoff_.not_evaluated > 0)
    remarks << tr("%1 finished without an evaluation; Evaluate in Run detail adds it.")
                   .arg(tradeoff_.not_evaluated == 1 ? tr("One run") : tr("%1 runs").arg(tradeoff_.not_evaluated));
  if (tradeoff_.points.empty() && remarks.isEmpty()) remarks << tr("Evaluated runs appear here. F5 starts the first.");
  if (remarks.isEmpty())
    notice_->clear();
  else
    notice_->say(remarks.join(' '));

  const Colours& c = colours();
  style_plot(*plot_);
  plot_->clearPlottables();
  plot_->clearItems();
  const QString names[] = {tr("KL to original, nat/token (less is better)"), tr("perplexity (less is better)"),
                           tr("other top token, share (less is better)")};
  make_logarithmic(*plot_->yAxis, names[int(quality())]);
  make_linear(*plot_->xAxis, tr("bits per weight, factors included"));
  double left = 4.0, right = 9.0, low = qInf(), high = 0;
  for (const TradeoffPoint& point : tradeoff_.points) {
    left = std::min(left, point.bits_per_weight - 0.3);
    right = std::max(right, point.bits_per_weight + 0.6);
    low = std::min(low, point.quality);
    high = std::max(high, point.quality);
  }
  const bool original = quality() == Quality::perplexity && tradeoff_.original;
  if (original) {
    low = std::min(low, *tradeoff_.original);
    high = std::max(high, *tradeoff_.original);
  }
  if (!(high > 0)) low = quality() == Quality::perplexity ? 10 : 0.05, high = quality() == Quality::perplexity ? 50 : 1;
  plot_->xAxis->setRange(left - 0.2, right);
  plot_->yAxis->setRange(low / 1.35, high * 1.35);
  drawGround(low / 1.35, high * 1.35);
  if (original) {
    auto* line = new QCPItemStraightLine(plot_);
    line->point1->setCoords(0, *tradeoff_.original);
    line->point2->setCoords(1, *tradeoff_.original);
    line->setPen(QPen(c.text, 1));
    add_text(*plot_, tr("original %1").arg(format_perplexity(*tradeoff_.original)), right, *tradeoff_.original, c.dim,
             Qt::AlignRight | Qt::AlignTop);
  }
  if (frontier_->isChecked() && tradeoff_.points.size() > 1) {
    QCPGraph* line = plot_->addGraph();
    line->setLineStyle(QCPGraph::lsStepLeft);
    line->setPen(QPen(c.b_fill, 1.5));
    for (const std::size_t index : frontier(tradeoff_.points))
      line->addData(tradeoff_.points[index].bits_per_weight, tradeoff_.points[index].quality);
  }
  QStringList legend;
  std::set<std::string> methods_seen;
  for (const TradeoffPoint& point : tradeoff_.points) {
    const Slot slot{point.run};
    const bool in_a = workspace_.slotA() == slot, in_b = workspace_.slotB() == slot;
    const auto put = [&](const QCPScatterStyle& style) {
      QCPGraph* graph = plot_->addGraph();
      graph->setLineStyle(QCPGraph::lsNone);
      graph->setScatterStyle(style);
      graph->addData(point.bits_per_weight, point.quality);
    };
    if (in_a || in_b) put(QCPScatterStyle(QCPScatterStyle::ssCircle, QPen(in_b ? c.b_fill : c.a_fill, 1.8), Qt::NoBrush, 18));
    if (selection_.current() == point.run) put(QCPScatterStyle(QCPScatterStyle::ssSquare, QPen(c.text, 1), Qt::NoBrush, 22));
    put(scatter(marker_of(point.method), colour_of(point.method), 9));
    const QString slot_name = in_b ? tr("B  ") : in_a ? tr("A  ") : QString();
    add_text(*plot_, slot_name + QString("#%1 %2").arg(point.run).arg(point.title), point.bits_per_weight, point.quality,
             in_b   ? c.b_text
             : in_a ? c.a_text
                    : c.dim,
             Qt::AlignLeft | Qt::AlignBottom)
        ->setPadding(QMargins(13, 1, 2, 3));
    if (methods_seen.insert(point.method).second) {
      const QString glyphs[] = {QStringLiteral("●"), QStringLiteral("◆"), QStringLiteral("■"), QStringLiteral("▲"), QStringLiteral("—")};
      legend << QString("<span style='color:%1'>%2</span> %3")
                    .arg(colour_of(point.method).name(), glyphs[int(marker_of(point.method))], method_title(point.method).toHtmlEscaped());
    }
  }
  if (frontier_->isChecked() && tradeoff_.points.size() > 1)
    legend << QString("<span style='color:%1'>──</span> %2").arg(c.b_fill.name(), tr("frontier"));
  legend_->setText(legend.join(" &nbsp;&nbsp; "));
  legend_->setVisible(!legend.isEmpty());
  plot_->setAccessibleDescription(tradeoff_.points.empty() ? tr("No evaluated runs")
                                                           : tr("%1 runs, %2 to %3 bits per weight")
                                                                 .arg(tradeoff_.points.size())
                                                                 .arg(format_bits(tradeoff_.points.front().bits_per_weight),
                                                                      format_bits(tradeoff_.points.back().bits_per_weight)));
  plot_->replot(QCustomPlot::rpQueuedReplot);
  twin_->refresh();
}

void TradeoffPanel::drawGround(double low, double high) {
  const Colours& c = colours();
  const auto span = [&](double from, double to, const QColor& colour) {
    auto* rect = new QCPItemRect(plot_);
    rect->topLeft->setTypeY(QCPItemPosition::ptAxisRectRatio);
    rect->bottomRight->setTypeY(QCPItemPosition::ptAxisRectRatio);
    rect->topLeft->setCoords(from, 0);
    rect->bottomRight->setCoords(to, 1);
    rect->setPen(Qt::NoPen);
    rect->setBrush(colour);
  };
  if (const RunEntry* b = run_in(workspace_, workspace_.slotB()); b && b->manifest.bits_per_weight > 0) {
    QColor ground = c.b_fill;
    ground.setAlphaF(0.14f);
    span(b->manifest.bits_per_weight * (1 - band), b->manifest.bits_per_weight * (1 + band), ground);
    auto* text = add_text(*plot_, tr("same bytes as B, ±3 %"), b->manifest.bits_per_weight * (1 - band), low, c.b_text,
                          Qt::AlignRight | Qt::AlignBottom);
    text->setClipToAxisRect(true);
  }
  if (!plain_->isChecked()) return;
  for (const PlainFormat& format : plain_formats) {
    auto* line = new QCPItemStraightLine(plot_);
    line->point1->setCoords(format.bits_per_weight, low);
    line->point2->setCoords(format.bits_per_weight, high);
    line->setPen(QPen(c.dim, 1.2, Qt::DotLine));
    auto* text = add_text(*plot_, format.name, format.bits_per_weight, 0, c.dim, Qt::AlignHCenter | Qt::AlignBottom);
    text->position->setTypeY(QCPItemPosition::ptAxisRectRatio);
    text->position->setCoords(format.bits_per_weight, 0);
  }
}

const TradeoffPoint* TradeoffPanel::at(const QPoint& pixel) const {
  const TradeoffPoint* nearest = nullptr;
  double best = near_pixels * near_pixels;
  for (const TradeoffPoint& point : tradeoff_.points) {
    const double dx = plot_->xAxis->coordToPixel(point.bits_per_weight) - pixel.x(),
                 dy = plot_->yAxis->coordToPixel(point.quality) - pixel.y();
    if (dx * dx + dy * dy <= best) {
      best = dx * dx + dy * dy;
      nearest = &point;
    }
  }
  return nearest;
}

QString TradeoffPanel::hoverText(const QPoint& pixel) const {
  const TradeoffPoint* point = at(pixel);
  if (point == nullptr) return {};
  const RunEntry* run = workspace_.findRun(point->run);
  if (run == nullptr || !run->manifest.evaluation) return {};
  const Evaluation& evaluation = *run->manifest.evaluation;
  QStringList lines = {QString("#%1  %2").arg(point->run).arg(point->title),
                       tr("%1 b/w, %2").arg(format_bits(point->bits_per_weight), format_megabytes(run->manifest.file_bytes))};
  if (evaluation.kl) lines << tr("KL %1   p99 %2 nat").arg(format_kl(evaluation.kl->mean), format_kl(evaluation.kl->p99));
  if (evaluation.top1_agreement) lines << tr("same top token %1 %").arg(100 * *evaluation.top1_agreement, 0, 'f', 1);
  lines << tr("PPL %1").arg(format_perplexity(evaluation.perplexity)) +
               (evaluation.reference_perplexity ? tr("   original %1").arg(format_perplexity(*evaluation.reference_perplexity))
                                                : QString());
  for (const TradeoffPoint& other : tradeoff_.points)
    if (other.run != point->run && std::abs(other.bits_per_weight / point->bits_per_weight - 1) <= band)
      lines << tr("same bytes, #%1 %2: %3 (%4)")
                   .arg(other.run)
                   .arg(other.title, quality_text(quality(), other.quality), format_change(other.quality / point->quality - 1));
  return lines.join('\n');
}

bool TradeoffPanel::key(QKeyEvent* event) {
  if (tradeoff_.points.empty()) return false;
  std::vector<std::size_t> order(tradeoff_.points.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const bool by_quality = event->key() == Qt::Key_Up || event->key() == Qt::Key_Down;
  if (by_quality)
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return tradeoff_.points[a].quality < tradeoff_.points[b].quality; });
  const auto current =
      std::find_if(order.begin(), order.end(), [&](std::size_t i) { return tradeoff_.points[i].run == selection_.current(); });
  const bool forward = event->key() == Qt::Key_Right || event->key() == Qt::Key_Up;
  if (by_quality || event->key() == Qt::Key_Left || event->key() == Qt::Key_Right) {
    std::size_t position = current == order.end() ? 0 : std::size_t(current - order.begin());
    if (current != order.end())
      position = forward ? std::min(position + 1, order.size() - 1) : position - std::min<std::size_t>(position, 1);
    selection_.select(tradeoff_.points[order[position]].run);
    return true;
  }
  if ((event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter) && current != order.end()) {
    if (event->modifiers() & Qt::ShiftModifier)
      workspace_.setSlotA({selection_.current()});
    else
      workspace_.setSlotB({selection_.current()});
    return true;
  }
  if (event->key() == Qt::Key_M && event->modifiers() == Qt::NoModifier) {
    const bool chosen = current != order.end();
    const TradeoffPoint& point = tradeoff_.points[chosen ? *current : 0];
    askMatch(chosen ? point.run : workspace_.slotB().run.value_or(point.run),
             QPoint(int(plot_->xAxis->coordToPixel(point.bits_per_weight)), int(plot_->yAxis->coordToPixel(point.quality))));
    return true;
  }
  return false;
}

/// What can be run at the same size as a run: queued at once, its rank or bits solved for.
void TradeoffPanel::askMatch(int run, const QPoint& where) {
  const RunEntry* entry = workspace_.findRun(run);
  if (entry == nullptr || !entry->usable()) return;
  auto* menu = new QMenu(this);
  menu->setObjectName("matchBytesMenu");
  menu->setAttribute(Qt::WA_DeleteOnClose);
  QMenu* match = menu->addMenu(tr("Match bytes with #%1, %2 b/w").arg(run).arg(format_bits(entry->manifest.bits_per_weight)));
  match->setObjectName("matchBytes");
  for (const MatchChoice& choice : match_choices(entry->manifest)) {
    QAction* action = match->addAction(choice.title);
    action->setObjectName("matchBytes_" + choice.id);
    connect(action, &QAction::triggered, this, [this, choice, size = entry->manifest.bits_per_weight] {
      try {
        workspace_.queueRun(matched_to(choice.recipe, *workspace_.model(), size));
      } catch (const Error& error) {
        workspace_.banner(QString::fromUtf8(error.what()));
      }
    });
  }
  menu->addSeparator();
  connect(menu->addAction(tr("Set as A")), &QAction::triggered, this, [this, run] { workspace_.setSlotA({run}); });
  connect(menu->addAction(tr("Set as B")), &QAction::triggered, this, [this, run] { workspace_.setSlotB({run}); });
  menu->popup(plot_->mapToGlobal(where));
}

bool TradeoffPanel::eventFilter(QObject*, QEvent* event) {
  return event->type() == QEvent::KeyPress && key(static_cast<QKeyEvent*>(event));
}

DataTable TradeoffPanel::dataTable() const {
  DataTable table;
  const QString names[] = {tr("KL, nat/token"), tr("PPL"), tr("other top token")};
  table.headers << tr("run") << tr("recipe") << tr("method") << tr("A bits") << tr("b/w") << names[int(quality())];
  for (const TradeoffPoint& point : tradeoff_.points)
    table.rows.push_back({point.run, point.title, method_title(point.method), point.activation_bits, point.bits_per_weight, point.quality});
  return table;
}

void TradeoffPanel::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() == QEvent::PaletteChange) refresh();
}

}  // namespace

QWidget* make_tradeoff_panel(Workspace& workspace, QWidget* parent) { return new TradeoffPanel(workspace, parent); }

}  // namespace lrc::app

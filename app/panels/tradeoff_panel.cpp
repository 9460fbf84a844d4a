#include "panels/tradeoff_panel.h"

#include <QMenu>
#include <QVBoxLayout>

#include "models/match_choices.h"
#include "models/run_facts.h"
#include "panels/panels.h"
#include "plot_style.h"
#include "run/match_size.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

constexpr int near_pixels = 12;

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

}  // namespace

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
  connect(plot_, &QCustomPlot::afterLayout, this, [this] { placeNames(); });
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

  export_button->setMenu(make_export_menu(
      this, [this] { return std::vector{plot_}; }, *this, "trade-off",
      [this] {
        const QString model = workspace_.hasModel() ? QString::fromStdString(workspace_.model()->display_name()) : QString();
        const int bits = activations_->current();
        return QStringList{model, tradeoff_.protocol, bits > 0 ? tr("%1-bit activations").arg(bits) : tr("all activations")}.join(" · ");
      },
      [this](bool shown) {
        show_estimates_ = shown;
        refresh();
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
    const ComingPoint* coming = point ? nullptr : comingAt(event->pos());
    plot_->setInteraction(QCP::iRangeDrag, point == nullptr && coming == nullptr);
    if (coming && event->button() == Qt::LeftButton) return selection_.select(coming->run);
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
    else if (!comingAt(event->pos()))
      refresh();  // back to the whole
  });
  connect(plot_, &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
    plot_->setCursor(at(event->pos()) || comingAt(event->pos()) ? Qt::PointingHandCursor : Qt::ArrowCursor);
    QToolTip::showText(event->globalPosition().toPoint() + QPoint(14, 14), hoverText(event->pos()), plot_);
  });
  refresh();
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

double TradeoffPanel::heightOf(const ComingPoint& point) const {
  return point.quality ? plot_->yAxis->coordToPixel(*point.quality) : plot_->axisRect()->bottom();
}

const ComingPoint* TradeoffPanel::comingAt(const QPoint& pixel) const {
  for (const ComingPoint& point : tradeoff_.coming) {
    const double dx = plot_->xAxis->coordToPixel(point.bits_per_weight) - pixel.x(), dy = heightOf(point) - pixel.y();
    if (dx * dx + dy * dy <= near_pixels * near_pixels) return &point;
  }
  return nullptr;
}

QString TradeoffPanel::hoverText(const QPoint& pixel) const {
  const TradeoffPoint* point = at(pixel);
  if (point == nullptr) {
    const ComingPoint* coming = comingAt(pixel);
    if (coming == nullptr) return {};
    QStringList basis;
    for (const int run : coming->basis) basis << QString("#%1").arg(run);
    return QStringList{
        QString("#%1  %2").arg(coming->run).arg(coming->title), tr("%1 b/w, by forecast").arg(format_bits(coming->bits_per_weight)),
        coming->quality ? tr("≈ %1, predicted by size from %2").arg(quality_text(quality(), *coming->quality), basis.join(", "))
                        : tr("no measured run of this method to predict its quality from")}
        .join('\n');
  }
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
        workspace_.queueRun(matched_to(choice.recipe, *workspace_.model(), size), true);
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
  table.headers << tr("run") << tr("recipe") << tr("method") << tr("A bits") << tr("b/w") << names[int(quality())] << tr("known");
  for (const TradeoffPoint& point : tradeoff_.points)
    table.rows.push_back(
        {point.run, point.title, method_title(point.method), point.activation_bits, point.bits_per_weight, point.quality, tr("measured")});
  for (const ComingPoint& point : tradeoff_.coming)
    table.rows.push_back({point.run, point.title, method_title(point.method), point.activation_bits, point.bits_per_weight,
                          point.quality ? QVariant(*point.quality) : QVariant(), tr("predicted")});
  return table;
}

void TradeoffPanel::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() == QEvent::PaletteChange) refresh();
}

QWidget* make_tradeoff_panel(Workspace& workspace, QWidget* parent) { return new TradeoffPanel(workspace, parent); }

}  // namespace lrc::app

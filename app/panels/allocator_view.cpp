#include "panels/allocator_view.h"

#include <QCheckBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QSpinBox>
#include <QVBoxLayout>
#include <algorithm>
#include <map>
#include <set>

#include "models/draft_edits.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"

namespace lrc::app {

/// Role × block: the rank that would be set, in per cent of min(in, out).
class AllocatorMap : public QWidget {
 public:
  AllocatorMap(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
    setObjectName("allocatorMap");
    setAccessibleName(QObject::tr("Ranks that would be set, by role and block"));
    setMinimumSize(140, 90);
    setMouseTracking(true);
  }
  void show(const AllocationReport* report) {
    cells_.clear();
    roles_.clear();
    blocks_ = 1;
    highest_ = 1;
    if (report && workspace_.hasModel()) {
      std::set<Role> roles;
      for (const LayerAllocation& layer : report->layers) {
        const LayerInfo* info = workspace_.model()->find_layer(layer.name);
        if (!info) continue;
        const double per_cent = 100.0 * double(layer.rank) / double(std::min(info->out_features, info->in_features));
        roles.insert(info->role);
        blocks_ = std::max(blocks_, int(info->block) + 1);
        highest_ = std::max(highest_, per_cent);
        cells_[{info->role, int(info->block)}] = {&layer, per_cent};
      }
      roles_.assign(roles.begin(), roles.end());
    }
    update();
  }

 protected:
  void paintEvent(QPaintEvent*) override {
    if (cells_.empty()) return;
    QPainter painter(this);
    const Colours& c = colours();
    painter.setFont(font_of_points(font(), 8));
    painter.setPen(c.dim);
    const int line = painter.fontMetrics().height();
    painter.drawText(QRect(left(), 0, width() - left(), line), Qt::AlignLeft,
                     QObject::tr("rank, 0 … %1 % of min(in, out)").arg(highest_, 0, 'f', 0));
    for (std::size_t r = 0; r < roles_.size(); ++r) {
      const auto name = short_name(roles_[r]);
      painter.setPen(c.dim);
      painter.drawText(QRectF(0, top() + double(r) * cellHeight(), left() - 4, cellHeight()), Qt::AlignRight | Qt::AlignVCenter,
                       QString::fromUtf8(name.data(), qsizetype(name.size())));
      for (int block = 0; block < blocks_; ++block)
        if (const auto found = cells_.find({roles_[r], block}); found != cells_.end()) {
          const QRectF cell = cellOf(int(r), block);
          painter.fillRect(cell.adjusted(0, 0, -1, -1), viridis(found->second.per_cent / highest_));
          if (found->second.layer->rank_fixed) {  // kept as it was
            painter.setPen(QPen(c.override_mark, 1.5));
            painter.drawRect(cell.adjusted(1, 1, -2, -2));
          }
        }
    }
    painter.setPen(c.dim);
    painter.drawText(QRectF(left(), height() - line, width() - left(), line), Qt::AlignLeft, QObject::tr("block 0"));
    painter.drawText(QRectF(left(), height() - line, width() - left() - 2, line), Qt::AlignRight, QString::number(blocks_ - 1));
  }
  void mouseMoveEvent(QMouseEvent* event) override {
    for (std::size_t r = 0; r < roles_.size(); ++r)
      for (int block = 0; block < blocks_; ++block)
        if (const auto found = cells_.find({roles_[r], block});
            found != cells_.end() && cellOf(int(r), block).contains(event->position())) {
          const LayerAllocation& layer = *found->second.layer;
          setToolTip(QObject::tr("%1: W%2, rank %3 (%4 %)\npredicted %5 %\n%6")
                         .arg(QString::fromStdString(layer.name))
                         .arg(layer.weight_bits)
                         .arg(layer.rank)
                         .arg(found->second.per_cent, 0, 'f', 0)
                         .arg(format_error(layer.predicted_loss), QString::fromStdString(layer.reason)));
          return;
        }
    setToolTip({});
  }

 private:
  struct Cell {
    const LayerAllocation* layer;
    double per_cent;
  };
  int left() const { return QFontMetrics(font_of_points(font(), 8)).horizontalAdvance("down_ ") + 4; }
  int top() const { return QFontMetrics(font_of_points(font(), 8)).height() + 4; }
  double cellHeight() const { return std::min(20.0, double(height() - 2 * top()) / double(std::max<std::size_t>(1, roles_.size()))); }
  QRectF cellOf(int role, int block) const {
    const double cell_width = double(width() - left()) / blocks_;
    return {left() + block * cell_width, top() + role * cellHeight(), cell_width, cellHeight()};
  }
  Workspace& workspace_;
  std::map<std::pair<Role, int>, Cell> cells_;
  std::vector<Role> roles_;
  int blocks_ = 1;
  double highest_ = 1;
};

AllocatorView::AllocatorView(Workspace& workspace, QWidget* parent)
    : QWidget(parent), workspace_(workspace), allocator_(Allocator::of(workspace)) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 8, 0, 0);
  column->setSpacing(4);
  notice_ = new Notice(this);
  notice_->button()->setObjectName("allocatorMeasure");
  column->addWidget(notice_);
  sentence_ = make_sentence("allocatorSentence", this);
  column->addWidget(sentence_);
  pictures_ = new QWidget(this);
  auto* row = new QHBoxLayout(pictures_);
  row->setContentsMargins(0, 0, 0, 0);
  row->setSpacing(8);
  plot_ = new QCustomPlot(pictures_);
  plot_->setObjectName("allocatorPlot");
  plot_->setAccessibleName(tr("Predicted loss against budget, uniform and allocated"));
  plot_->setMinimumSize(160, 90);
  map_ = new AllocatorMap(workspace_, pictures_);
  twin_ = new PlotTwin(plot_, *this, "allocatorTable", pictures_);
  row->addWidget(twin_, 1);
  row->addWidget(map_, 1);
  column->addWidget(pictures_, 1);
  column->addStretch(0);
  // Never more than the tabs beside it ask for: what does not fit is squeezed here alone.
  setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Ignored);
  auto* numbers = new QHBoxLayout;
  auto* choices = new QHBoxLayout;
  numbers->setSpacing(8);
  choices->setSpacing(8);
  const auto spin = [&](const char* name, const QString& before, int low, int high, const QString& suffix) {
    auto* label = new QLabel(before, this);
    auto* box = new QSpinBox(this);
    box->setObjectName(name);
    box->setAccessibleName(before);
    box->setRange(low, high);
    box->setSuffix(suffix);
    label->setBuddy(box);
    numbers->addWidget(label);
    numbers->addWidget(box);
    connect(box, &QSpinBox::editingFinished, this, &AllocatorView::takeOptions);
    return box;
  };
  step_ = spin("allocatorStep", tr("Rank ×"), 1, 256, {});
  most_ = spin("allocatorMost", tr("at most"), 1, 100, " %");
  numbers->addStretch(1);
  column->addLayout(numbers);
  const auto check = [&](const char* name, const QString& text, const QString& tip) {
    auto* box = new QCheckBox(text, this);
    box->setObjectName(name);
    box->setToolTip(tip);
    choices->addWidget(box);
    connect(box, &QCheckBox::clicked, this, &AllocatorView::takeOptions);
    return box;
  };
  keep_ = check("allocatorKeep", tr("keep mine"), tr("Layers with a rank (or bits) of their own keep it"));
  bits_ = check("allocatorBits", tr("bits"), tr("Weight bits may vary, too: 3, 4, 5 or 6"));
  kl_ = check("allocatorKl", tr("by KL"), tr("Weighs a layer’s error by what it does to the model’s output: one more short pass a layer"));
  choices->addStretch(1);
  apply_ = new QPushButton(tr("Apply"), this);
  apply_->setObjectName("allocatorApply");
  choices->addWidget(apply_);
  column->addLayout(choices);
  connect(apply_, &QPushButton::clicked, this, [this] { allocator_.apply(); });
  connect(&allocator_, &Allocator::changed, this, &AllocatorView::refresh);
  connect(&allocator_, &Allocator::progress, this, &AllocatorView::explain);
  connect(&workspace_, &Workspace::draftChanged, this, &AllocatorView::explain);
  const auto drag = [this](QMouseEvent* event) {
    if (!(event->buttons() & Qt::LeftButton) || !allocator_.isMeasured()) return;
    const double bits = plot_->xAxis->pixelToCoord(event->position().x());
    allocator_.setBudget(std::clamp(std::round(bits * 20) / 20, std::ceil(allocator_.least() * 20) / 20, allocator_.most()));
  };
  connect(plot_, &QCustomPlot::mousePress, this, drag);
  connect(plot_, &QCustomPlot::mouseMove, this, [this, drag](QMouseEvent* event) {
    drag(event);
    QToolTip::showText(event->globalPosition().toPoint() + QPoint(12, 12), hoverText(event->pos()), plot_);
  });
  refresh();
}

void AllocatorView::takeOptions() {
  if (showing_) return;
  Allocator::Options options;
  options.rank_step = step_->value();
  options.most_rank_per_cent = most_->value();
  options.keep_overrides = keep_->isChecked();
  options.bits_vary = bits_->isChecked();
  options.weigh_by_kl = kl_->isChecked();
  allocator_.setOptions(options);
}

void AllocatorView::explain() {
  const auto problem = allocator_.problem();
  if (problem) {
    notice_->say(*problem, Notice::Tone::warning);
  } else if (const auto measuring = allocator_.measuring()) {
    QString text = tr("Solving the layers at two ranks: %1 of %2").arg(measuring->done).arg(measuring->total);
    if (measuring->remaining_s) text += tr(", %1 left").arg(format_duration(*measuring->remaining_s));
    notice_->say(text, Notice::Tone::plain, tr("Stop"), [this] { allocator_.stop(); });
  } else if (!allocator_.failure().isEmpty()) {
    notice_->say(allocator_.failure(), Notice::Tone::bad);
  } else if (!allocator_.isMeasured()) {
    const auto seconds = allocator_.expectedSeconds();
    const QString button = seconds ? tr("Work it out, ≈ %1").arg(format_duration(*seconds)) : tr("Work it out");
    notice_->say(tr("Each layer is solved without a branch and with one of 10 %: from these follows its error at every rank."),
                 Notice::Tone::plain, button, [this] { allocator_.measure(); });
  } else {
    notice_->clear();
  }
  apply_->setEnabled(allocator_.report() && !problem);
}

void AllocatorView::refresh() {
  showing_ = true;
  const Allocator::Options& options = allocator_.options();
  step_->setValue(options.rank_step);
  most_->setValue(int(options.most_rank_per_cent));
  keep_->setChecked(options.keep_overrides);
  bits_->setChecked(options.bits_vary);
  kl_->setChecked(options.weigh_by_kl);
  showing_ = false;
  explain();
  sentence_->setText(allocator_.sentence());
  sentence_->setVisible(allocator_.report());
  pictures_->setVisible(!allocator_.curve().empty());
  map_->show(allocator_.report());
  draw();
  twin_->refresh();
}

void AllocatorView::draw() {
  const Colours& c = colours();
  style_plot(*plot_);
  plot_->clearPlottables();
  plot_->clearItems();
  if (allocator_.curve().empty()) return;
  const bool kl = allocator_.options().weigh_by_kl;
  const double unit = kl ? 1 : 100;
  make_linear(*plot_->xAxis, tr("budget, b/w"));
  make_logarithmic(*plot_->yAxis, kl ? tr("predicted KL, nat") : tr("predicted Σ error, %"));
  QVector<double> x, allocated, uniform;
  double low = qInf(), high = 0;
  for (const auto& point : allocator_.curve()) {
    x << point.bits_per_weight;
    allocated << unit * point.allocated;
    uniform << (point.uniform ? unit * *point.uniform : qQNaN());
    for (const double value : {allocated.back(), uniform.back()})
      if (value > 0) low = std::min(low, value), high = std::max(high, value);
  }
  const auto line = [&](const QVector<double>& y, const QPen& pen, const QString& name, bool above) {
    QCPGraph* graph = plot_->addGraph();
    graph->setData(x, y, true);
    graph->setPen(pen);
    const qsizetype at = x.size() / 3;
    if (!std::isnan(y[at])) add_text(*plot_, name, x[at], y[at], pen.color(), (above ? Qt::AlignBottom : Qt::AlignTop) | Qt::AlignLeft);
  };
  // Predicted: dashed, as everywhere.
  line(uniform, QPen(c.codes, 1.3, Qt::DashLine), tr("uniform"), true);
  line(allocated, QPen(c.b_fill, 1.6, Qt::DashLine), tr("allocated"), false);
  plot_->xAxis->setRange(x.front() - 0.02 * (x.back() - x.front()), x.back());
  if (high > 0) plot_->yAxis->setRange(low / 1.15, high * 1.15);
  if (const AllocationReport* report = allocator_.report()) {
    auto* cursor = new QCPItemStraightLine(plot_);
    cursor->setPen(QPen(c.text, 1.3));
    cursor->point1->setCoords(allocator_.budget(), plot_->yAxis->range().lower);
    cursor->point2->setCoords(allocator_.budget(), plot_->yAxis->range().upper);
    QCPGraph* marker = plot_->addGraph();
    marker->setLineStyle(QCPGraph::lsNone);
    marker->setScatterStyle(scatter(Marker::diamond, c.b_fill, 10, false));
    marker->addData(report->bits_per_weight, unit * report->predicted_cost);
  }
  plot_->setAccessibleDescription(sentence_->text().remove(QRegularExpression("<[^>]*>")));
  plot_->replot(QCustomPlot::rpQueuedReplot);
}

QString AllocatorView::hoverText(const QPoint& pixel) const {
  const auto& curve = allocator_.curve();
  if (curve.empty()) return {};
  const double bits = plot_->xAxis->pixelToCoord(pixel.x());
  const auto nearest = std::ranges::min_element(curve, {}, [bits](const auto& point) { return std::abs(point.bits_per_weight - bits); });
  const double unit = allocator_.options().weigh_by_kl ? 1 : 100;
  QString text = tr("%1 b/w\nallocated ≈ %2").arg(format_bits(nearest->bits_per_weight)).arg(unit * nearest->allocated, 0, 'g', 3);
  if (nearest->uniform) text += tr("\nuniform ≈ %1").arg(unit * *nearest->uniform, 0, 'g', 3);
  return text;
}

DataTable AllocatorView::dataTable() const {
  DataTable table;
  const bool kl = allocator_.options().weigh_by_kl;
  table.headers << tr("b/w") << (kl ? tr("allocated, predicted nat") : tr("allocated, predicted Σ %"))
                << (kl ? tr("uniform, predicted nat") : tr("uniform, predicted Σ %"));
  const double unit = kl ? 1 : 100;
  for (const auto& point : allocator_.curve())
    table.rows.push_back({point.bits_per_weight, unit * point.allocated, point.uniform ? QVariant(unit * *point.uniform) : QVariant()});
  return table;
}

void AllocatorView::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() == QEvent::PaletteChange) refresh();
}

}  // namespace lrc::app

// The channels of a layer's input: how large each is beside the median one, the same in every block, and where in the text the
// error of quantized activations arises.
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>

#include "models/draft_edits.h"
#include "models/input_summary.h"
#include "panels/colour_scale.h"
#include "panels/input_tabs.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "workspace.h"

namespace lrc::app {

namespace {

enum class View { channels, positions };
constexpr std::size_t labels_shown = 4;
constexpr double brightest = 32;  // × the median: the top of the map's colours

class ChannelsTab : public PlotTab {
 public:
  ChannelsTab(Workspace& workspace, QWidget* parent);
  DataTable dataTable() const override;
  int pixelOf(double x) const override { return int(std::lround(profile_->xAxis->coordToPixel(x))); }
  QString hoverText(const QPoint& pixel) const override;
  void showTable(bool table) override { twin_->showTable(table); }
  std::vector<QCustomPlot*> plots() const override {
    return view() == View::positions ? std::vector{positions_} : std::vector{profile_, cells_};
  }

 protected:
  void refresh() override;

 private:
  bool before() const { return basis_->current() == 0; }
  View view() const { return View(view_->current()); }
  std::size_t block() const { return workspace_.model()->layers()[std::size_t(shown_layer(workspace_))].block; }
  const std::vector<double>& profile() const { return (before() ? map_->profile_before : map_->profile_after)[block()]; }
  void drawProfile();
  void drawMap();
  void drawPositions();
  QString mapText(const QPoint& pixel) const;

  Workspace& workspace_;
  Notice* notice_;
  QLabel* sentence_;
  QWidget* options_;
  SegmentSwitch *basis_, *view_;
  QWidget *plots_, *map_part_;
  QCustomPlot *profile_, *cells_, *positions_;
  QLabel* map_title_;
  ColourScale* map_scale_;
  QCPColorMap* colours_ = nullptr;
  PlotTwin* twin_;
  std::shared_ptr<const ChannelMap> map_;
  std::shared_ptr<const LayerDistributions> found_;
};

QCustomPlot* make_plot(const char* name, const QString& title, QWidget* parent) {
  auto* plot = new QCustomPlot(parent);
  plot->setObjectName(name);
  plot->setAccessibleName(title);
  plot->setMinimumSize(160, 110);
  plot->setFocusPolicy(Qt::StrongFocus);
  return plot;
}

ChannelsTab::ChannelsTab(Workspace& workspace, QWidget* parent) : PlotTab(parent), workspace_(workspace) {
  setObjectName("channelsTab");
  auto* layout = new QVBoxLayout(page());
  layout->setContentsMargins(0, 8, 0, 0);
  layout->setSpacing(4);
  notice_ = new Notice(this);
  layout->addWidget(notice_);
  sentence_ = make_sentence("channelsSentence", this);
  layout->addWidget(sentence_);
  options_ = new QWidget(this);
  auto* row = new QHBoxLayout(options_);
  row->setContentsMargins(0, 0, 0, 0);
  row->setSpacing(8);
  view_ = new SegmentSwitch(tr("What is shown"), options_);
  view_->setObjectName("channelsView");
  view_->addSegment(int(View::channels), tr("Channels"), tr("How large each channel is beside the median one"));
  view_->addSegment(int(View::positions), tr("Positions"), tr("Where in the text the error of quantized activations arises"));
  basis_ = new SegmentSwitch(tr("Basis"), options_);
  basis_->setObjectName("channelsBasis");
  basis_->addSegment(0, tr("before rotation"), tr("Channels as the file’s model has them"));
  basis_->addSegment(1, tr("behind it"), tr("Channels as the quantizer sees them"));
  row->addWidget(view_);
  row->addStretch(1);
  row->addWidget(basis_);
  layout->addWidget(options_);
  plots_ = new QWidget(this);
  auto* column = new QVBoxLayout(plots_);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  profile_ = make_plot("channelsPlot", tr("Size of each input channel"), plots_);
  map_title_ = new QLabel(plots_);
  map_title_->setFont(font_of_points(font(), 8));
  map_title_->setForegroundRole(dim_role);
  map_title_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Minimum);
  map_title_->setWordWrap(true);
  map_scale_ = new ColourScale(plots_);
  cells_ = make_plot("channelsMap", tr("The largest channel of each group in every block"), plots_);
  positions_ = make_plot("positionsPlot", tr("Share of the error by position"), plots_);
  map_part_ = new QWidget(plots_);
  auto* map_column = new QVBoxLayout(map_part_);
  map_column->setContentsMargins(0, 0, 0, 0);
  map_column->setSpacing(4);
  auto* map_head = new QHBoxLayout;
  map_head->setSpacing(8);
  map_head->addWidget(map_title_, 1);
  map_head->addWidget(map_scale_, 0, Qt::AlignTop);
  map_column->addLayout(map_head);
  map_column->addWidget(cells_, 1);
  column->addWidget(profile_, 3);
  column->addWidget(map_part_, 2);
  column->addWidget(positions_, 3);
  setPair(column);
  twin_ = new PlotTwin(plots_, *this, "channelsTable", this);
  layout->addWidget(twin_, 1);
  layout->addStretch(0);
  basis_->on_change = [this](int) { refresh(); };
  view_->on_change = [this](int) { refresh(); };
  connect(profile_, &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
    QToolTip::showText(event->globalPosition().toPoint() + QPoint(12, 12), hoverText(event->pos()), profile_);
  });
  connect(cells_, &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
    QToolTip::showText(event->globalPosition().toPoint() + QPoint(12, 12), mapText(event->pos()), cells_);
  });
  connect(cells_, &QCustomPlot::mousePress, this, [this](QMouseEvent* event) {
    // A row is a block: the layer of the same role there.
    if (!map_ || event->button() != Qt::LeftButton || !cells_->axisRect()->rect().contains(event->pos())) return;
    const LayerInfo& now = workspace_.model()->layers()[std::size_t(shown_layer(workspace_))];
    const auto wanted = std::size_t(std::max(0L, std::lround(cells_->yAxis->pixelToCoord(event->pos().y()))));
    const auto& layers = workspace_.model()->layers();
    for (std::size_t i = 0; i < layers.size(); ++i)
      if (layers[i].block == wanted && layers[i].role == now.role && layers[i].expert == now.expert)
        return workspace_.selectLayers({int(i)}, int(i));
  });
  for (const auto signal : {&Workspace::modelOpened, &Workspace::modelClosed, &Workspace::selectionChanged, &Workspace::draftChanged,
                            &Workspace::measuredChanged, &Workspace::measureProgress})
    connect(&workspace_, signal, this, [this] {
      if (isVisible()) refresh();
    });
  connect(&workspace_, &Workspace::inputsReady, this, [this] {
    if (isVisible()) refresh();
  });
}

void ChannelsTab::refresh() {
  const int layer = shown_layer(workspace_);
  map_ = workspace_.channels(layer);
  found_ = workspace_.distributions(layer);
  if (map_ && profile().empty()) map_ = nullptr;  // this block was not sampled
  const bool channels = view() == View::channels, shown = channels ? map_ != nullptr : found_ != nullptr;
  sentence_->setVisible(shown);
  twin_->setVisible(shown);
  options_->setVisible(map_ || found_);
  for (QWidget* widget : {static_cast<QWidget*>(profile_), map_part_}) widget->setVisible(channels);
  positions_->setVisible(!channels);
  if (!shown) {
    say_not_sampled(*notice_, workspace_);
    return;
  }
  notice_->clear();
  const LayerInfo& info = workspace_.model()->layers()[std::size_t(layer)];
  basis_->setVisible(channels);
  const QString name = tr("<b>%1</b>: ").arg(QString::fromStdString(short_name(info)).toHtmlEscaped());
  if (channels) {
    sentence_->setText(name + describe_channels(*map_, before(), info.block));
    drawProfile();
    drawMap();
  } else {
    sentence_->setText(name + describe_positions(*found_));
    drawPositions();
  }
  twin_->refresh();
}

void ChannelsTab::drawProfile() {
  const Colours& c = colours();
  style_plot(*profile_);
  profile_->clearPlottables();
  profile_->clearItems();
  const std::vector<double>& sizes = profile();
  make_logarithmic(*profile_->yAxis, tr("rms ÷ median"));
  make_linear(*profile_->xAxis, tr("input channel, %1").arg(before() ? tr("before rotation") : tr("behind the rotation")));
  QVector<double> x, y, outlier_x, outlier_y;
  double low = 0.5, high = 2 * outlier_factor;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (!(sizes[i] > 0)) continue;
    const bool outlier = sizes[i] > outlier_factor;
    (outlier ? outlier_x : x).push_back(double(i));
    (outlier ? outlier_y : y).push_back(sizes[i] - 1);  // a bar's value counts from its base
    low = std::min(low, sizes[i]);
    high = std::max(high, sizes[i]);
  }
  const auto bars = [&](const QVector<double>& keys, const QVector<double>& values, const QColor& colour) {
    auto* made = new QCPBars(profile_->xAxis, profile_->yAxis);
    made->setAntialiased(false);
    made->setBaseValue(1);
    made->setWidth(0.8);
    made->setPen(QPen(colour, 1));
    made->setBrush(colour);
    made->setData(keys, values, true);
  };
  bars(x, y, c.codes);
  bars(outlier_x, outlier_y, c.b_fill);
  const double top = high * 2.2;
  profile_->xAxis->setRange(-0.5, double(sizes.size()) - 0.5);
  profile_->yAxis->setRange(std::max(low / 1.2, 0.01), top);
  auto* limit = new QCPItemStraightLine(profile_);
  limit->point1->setCoords(0, outlier_factor);
  limit->point2->setCoords(1, outlier_factor);
  limit->setPen(QPen(c.dim, 1, Qt::DotLine));
  std::vector<int> order(static_cast<std::size_t>(outlier_x.size()));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = int(i);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return outlier_y[a] > outlier_y[b]; });
  std::vector<double> taken;
  for (const int i : order) {
    if (taken.size() == labels_shown) break;
    // A label close to one that stands would lie on it.
    if (std::any_of(taken.begin(), taken.end(), [&](double other) { return std::abs(other - outlier_x[i]) < 0.16 * double(sizes.size()); }))
      continue;
    taken.push_back(outlier_x[i]);
    const bool right_half = outlier_x[i] > 0.75 * double(sizes.size());
    const double size = outlier_y[i] + 1;
    add_text(*profile_, QString("%1  ×%2").arg(int(outlier_x[i])).arg(size, 0, 'f', size < 10 ? 1 : 0), outlier_x[i], size, c.text,
             (right_half ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignBottom);
  }
  profile_->setAccessibleDescription(sentence_->text().remove(QRegularExpression("<[^>]*>")));
  profile_->replot(QCustomPlot::rpQueuedReplot);
}

void ChannelsTab::drawMap() {
  style_plot(*cells_);
  cells_->clearPlottables();
  const MatrixF& cells = before() ? map_->before : map_->after;
  const int blocks = int(cells.rows()), groups = int(cells.columns());
  make_linear(*cells_->xAxis, tr("input channel"));
  make_linear(*cells_->yAxis, tr("block"));
  cells_->yAxis->setRangeReversed(true);
  for (QCPAxis* axis : {cells_->xAxis, cells_->yAxis}) axis->ticker()->setTickCount(3);
  colours_ = new QCPColorMap(cells_->xAxis, cells_->yAxis);
  const double half = double(map_->group) / 2;
  colours_->data()->setSize(groups, blocks);
  colours_->data()->setRange(QCPRange(half, double(groups) * double(map_->group) - half), QCPRange(0, std::max(1, blocks - 1)));
  double high = 2 * outlier_factor;
  for (int b = 0; b < blocks; ++b)
    for (int g = 0; g < groups; ++g) {
      colours_->data()->setCell(g, b, std::max(double(cells(std::size_t(b), std::size_t(g))), 1e-3));
      high = std::max(high, double(cells(std::size_t(b), std::size_t(g))));
    }
  QCPColorGradient gradient;
  gradient.clearColorStops();
  for (int i = 0; i <= 10; ++i) gradient.setColorStopAt(i / 10.0, map_colour(i / 10.0));
  colours_->setGradient(gradient);
  colours_->setDataScaleType(QCPAxis::stLogarithmic);
  high = std::min(high, brightest);  // one huge channel must not darken all the others
  colours_->setDataRange(QCPRange(1, high));
  colours_->setInterpolate(false);
  cells_->xAxis->setRange(0, double(map_->width));
  cells_->yAxis->setRange(-0.5, double(blocks) - 0.5);
  cells_->xAxis->grid()->setVisible(false);
  cells_->yAxis->grid()->setVisible(false);
  map_title_->setText(tr("largest of %1, ÷ median").arg(map_->group));
  map_scale_->show_range(QStringLiteral("1"), QStringLiteral("≥ %1").arg(high, 0, 'f', 0));
  cells_->setAccessibleDescription(map_title_->text());
  cells_->replot(QCustomPlot::rpQueuedReplot);
}

void ChannelsTab::drawPositions() {
  const Colours& c = colours();
  style_plot(*positions_);
  positions_->clearPlottables();
  positions_->clearItems();
  auto ticker = QSharedPointer<QCPAxisTickerText>::create();
  make_linear(*positions_->xAxis, tr("position in the text"));
  make_linear(*positions_->yAxis, tr("share, %"));
  QVector<double> x_tokens, x_error, tokens, error;
  double highest = 1;
  for (std::size_t i = 0; i < found_->positions.size(); ++i) {
    const PositionShare& share = found_->positions[i];
    ticker->addTick(double(i), range_text(share));
    x_tokens.push_back(double(i) - 0.2);
    x_error.push_back(double(i) + 0.2);
    tokens.push_back(100 * share.tokens);
    error.push_back(100 * share.error);
    highest = std::max({highest, tokens.back(), error.back()});
  }
  positions_->xAxis->setTicker(ticker);
  const auto bars = [&](const QVector<double>& x, const QVector<double>& y, const QColor& colour) {
    auto* made = new QCPBars(positions_->xAxis, positions_->yAxis);
    made->setWidth(0.36);
    made->setPen(Qt::NoPen);
    made->setBrush(colour);
    made->setData(x, y, true);
  };
  bars(x_tokens, tokens, c.scales);
  bars(x_error, error, c.b_fill);
  for (int i = 0; i < error.size(); ++i)
    add_text(*positions_, QString::number(error[i], 'g', 3), x_error[i], error[i], c.text, Qt::AlignHCenter | Qt::AlignBottom);
  positions_->xAxis->setRange(-0.6, double(error.size()) - 0.4);
  positions_->yAxis->setRange(0, highest * 1.2);
  positions_->xAxis->setLabel(tr("position in the text; grey: share of the tokens, coloured: share of the error"));
  positions_->setAccessibleDescription(sentence_->text().remove(QRegularExpression("<[^>]*>")));
  positions_->replot(QCustomPlot::rpQueuedReplot);
}

QString ChannelsTab::hoverText(const QPoint& pixel) const {
  if (!map_ || !profile_->axisRect()->rect().contains(pixel)) return {};
  const long channel = std::lround(profile_->xAxis->pixelToCoord(pixel.x()));
  if (channel < 0 || std::size_t(channel) >= profile().size()) return {};
  QString text = tr("channel %1: %2 × the median").arg(channel).arg(profile()[std::size_t(channel)], 0, 'g', 3);
  for (const auto& persistent : before() ? map_->persistent_before : map_->persistent_after)
    if (persistent.channel == std::size_t(channel)) text += '\n' + tr("an outlier in %1 blocks").arg(persistent.blocks.size());
  return text;
}

QString ChannelsTab::mapText(const QPoint& pixel) const {
  if (!map_ || !cells_->axisRect()->rect().contains(pixel)) return {};
  const auto block = std::size_t(std::max(0L, std::lround(cells_->yAxis->pixelToCoord(pixel.y()))));
  const auto group = std::size_t(std::max(0.0, cells_->xAxis->pixelToCoord(pixel.x()))) / map_->group;
  const MatrixF& cells = before() ? map_->before : map_->after;
  if (block >= cells.rows() || group >= cells.columns()) return {};
  return tr("block %1, channels %2 to %3: %4 × the median")
      .arg(block)
      .arg(group * map_->group)
      .arg(std::min((group + 1) * map_->group, map_->width) - 1)
      .arg(double(cells(block, group)), 0, 'g', 3);
}

DataTable ChannelsTab::dataTable() const {
  DataTable table;
  if (view() == View::positions) {
    table.headers << tr("positions") << tr("share of the tokens, %") << tr("share of the error, %");
    if (found_)
      for (const PositionShare& share : found_->positions) table.rows.push_back({range_text(share), 100 * share.tokens, 100 * share.error});
    return table;
  }
  table.headers << tr("channel") << tr("rms ÷ median before rotation") << tr("behind the rotation");
  if (!map_) return table;
  const std::vector<double>&before = map_->profile_before[block()], &after = map_->profile_after[block()];
  for (std::size_t c = 0; c < before.size(); ++c) table.rows.push_back({int(c), before[c], after[c]});
  return table;
}

}  // namespace

PlotTab* make_channels_tab(Workspace& workspace, QWidget* parent) { return new ChannelsTab(workspace, parent); }

}  // namespace lrc::app

#include "panels/layer_map.h"

#include <QContextMenuEvent>
#include <QHelpEvent>
#include <QMenu>
#include <QMouseEvent>
#include <QPainter>
#include <QToolTip>
#include <algorithm>
#include <cmath>

#include "panels/panel_widgets.h"
#include "plot_style.h"

namespace lrc::app {

LayerMap::LayerMap(Workspace& workspace, LayerTableModel& model, LayerProxy& proxy, QWidget* parent)
    : QWidget(parent), workspace_(workspace), model_(model), proxy_(proxy) {
  setObjectName("layersMap");
  setAccessibleName(tr("Map of layers: roles by blocks"));
  setFocusPolicy(Qt::StrongFocus);
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
  setMouseTracking(true);
  connect(&model, &LayerTableModel::refreshed, this, &LayerMap::update_scale);
  connect(&model, &QAbstractItemModel::modelReset, this, [this] {
    count();
    updateGeometry();
    update_scale();
  });
  connect(&proxy, &QAbstractItemModel::layoutChanged, this, qOverload<>(&QWidget::update));
  connect(&proxy, &QAbstractItemModel::rowsInserted, this, qOverload<>(&QWidget::update));
  connect(&proxy, &QAbstractItemModel::rowsRemoved, this, qOverload<>(&QWidget::update));
  connect(&workspace, &Workspace::selectionChanged, this, qOverload<>(&QWidget::update));
  count();
  update_scale();
}

QString LayerMap::title(Measure measure) {
  switch (measure) {
    case error_b:
      return tr("Output error, B");
    case error_a:
      return tr("Output error, A");
    case reduction:
      return tr("Reduction by B");
    case held_out:
      return tr("Held-out error, B");
    case weights_only:
      return tr("Weights only");
    case rank:
      return tr("Rank of the draft");
    case size:
      return tr("Bits per weight");
    case measure_count:
      break;
  }
  return {};
}

void LayerMap::setMeasure(Measure measure) {
  measure_ = measure;
  update_scale();
}

double LayerMap::value(int layer, Measure measure) const {
  using Table = LayerTableModel;
  static constexpr Table::Column columns[measure_count] = {Table::error_b, Table::error_a, Table::reduction,   Table::held_out,
                                                           Table::rank,    Table::size,    Table::weights_only};
  return model_.value(layer, columns[measure]);
}

bool LayerMap::hasValues(Measure measure) const {
  if (measure == rank || measure == size) return !model_.rows().empty();
  for (int layer = 0; layer < model_.rowCount(); ++layer)
    if (!std::isnan(value(layer, measure))) return true;
  return false;
}

void LayerMap::update_scale() {
  std::vector<double> known;
  for (int layer = 0; layer < model_.rowCount(); ++layer)
    if (const double v = value(layer, measure_); !std::isnan(v)) known.push_back(v);
  std::sort(known.begin(), known.end());
  low_ = high_ = 0;
  if (!known.empty()) {
    low_ = known.front();
    // Robust upper end: one extreme layer must not turn all others into one colour.
    high_ = known[std::size_t(double(known.size() - 1) * 0.98)];
  }
  logarithmic_ = low_ > 0 && high_ / low_ > 10;
  emit scaleChanged();
  update();
}

std::pair<QString, QString> LayerMap::scaleTexts() const {
  if (!hasValues(measure_)) return {};
  const auto text = [&](double v) {
    if (measure_ == rank) return QString::number(v, 'f', 0);
    if (measure_ == size) return format_bits(v);
    if (measure_ == reduction) return QString::number(v * 100, 'f', 0);
    return format_error(v);
  };
  const QString unit = measure_ == rank ? QString() : measure_ == size ? QString(" b/w") : QString(" %");
  return {text(low_), text(high_) + unit};
}

LayerMap::Geometry LayerMap::geometry_now() const {
  const int blocks = blocks_;
  const int left = fontMetrics().horizontalAdvance("block") + 8;
  const int width_left = std::max(0, width() - left - 2);
  const int cell_width = blocks > 0 ? std::clamp(width_left / blocks, 3, 40) : 16;
  return {left, 2, cell_width, 16, blocks};
}

void LayerMap::count() {
  constexpr int of_llama = 7;  // what is drawn while no model is open
  rows_ = of_llama, blocks_ = 0;
  if (!workspace_.hasModel()) return;
  rows_ = 0;
  for (const LayerInfo& layer : workspace_.model()->layers()) {
    rows_ += layer.block == 0;
    blocks_ = std::max(blocks_, int(layer.block) + 1);
  }
}

int LayerMap::rowOf(int layer) const { return layer % rows(); }

QString LayerMap::row_title(int row) const {
  if (!workspace_.hasModel()) return {};
  const LayerInfo& layer = workspace_.model()->layers()[std::size_t(row)];
  const std::string name(short_name(layer.role));
  // "3.up": the experts repeat the roles.
  return QString::fromStdString(layer.expert == no_expert ? name : std::to_string(layer.expert) + name.substr(name.find('.')));
}

QSize LayerMap::sizeHint() const { return {360, rows() * 16 + fontMetrics().height() + 8}; }
QSize LayerMap::minimumSizeHint() const { return {160, rows() * 16 + fontMetrics().height() + 8}; }

QRect LayerMap::cellOf(int layer) const {
  const Geometry g = geometry_now();
  return {g.left + model_.row(layer).facts.block * g.cell_width, g.top + rowOf(layer) * g.cell_height, g.cell_width, g.cell_height};
}

int LayerMap::find(int block, int row) const {
  if (!workspace_.hasModel() || block < 0 || row < 0 || row >= rows()) return -1;
  // All blocks of a model have the same layers in the same order.
  const int layer = block * rows() + row;
  return std::size_t(layer) < workspace_.model()->layers().size() ? layer : -1;
}

int LayerMap::layerAt(const QPoint& point) const {
  const Geometry g = geometry_now();
  if (point.x() < g.left || point.y() < g.top || g.blocks == 0) return -1;
  const int block = (point.x() - g.left) / g.cell_width, row = (point.y() - g.top) / g.cell_height;
  return block < g.blocks ? find(block, row) : -1;
}

std::vector<int> LayerMap::layers_in(const QRect& area) const {
  std::vector<int> found;
  for (int layer = 0; layer < model_.rowCount(); ++layer)
    if (cellOf(layer).intersects(area)) found.push_back(layer);
  return found;
}

void LayerMap::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  const Colours& c = colours();
  const Geometry g = geometry_now();
  const QFont small = font_of_points(font(), 8);
  painter.setFont(small);
  const auto& selection = workspace_.selectedLayers();
  std::vector<bool> row_selected(std::size_t(rows()), false);
  if (workspace_.hasModel())
    for (const int layer : selection) row_selected[std::size_t(rowOf(layer))] = true;
  for (int row = 0; row < rows(); ++row) {
    QFont font = small;
    font.setBold(row_selected[std::size_t(row)]);
    painter.setFont(font);
    painter.setPen(row_selected[std::size_t(row)] ? c.text : c.dim);
    painter.drawText(QRect(0, g.top + row * g.cell_height, g.left - 6, g.cell_height), Qt::AlignRight | Qt::AlignVCenter, row_title(row));
  }
  painter.setFont(small);
  for (int layer = 0; layer < model_.rowCount(); ++layer) {
    const QRect cell = cellOf(layer).adjusted(0, 0, -1, -1);
    const double v = value(layer, measure_);
    QColor fill = c.grid;
    if (!std::isnan(v)) {
      double t = 0.5;
      if (high_ > low_) t = logarithmic_ ? std::log(std::max(v, low_) / low_) / std::log(high_ / low_) : (v - low_) / (high_ - low_);
      fill = map_colour(t);
    }
    if (!proxy_.accepts(layer))
      fill = QColor::fromRgbF(float(fill.redF() * 0.35 + c.window.redF() * 0.65), float(fill.greenF() * 0.35 + c.window.greenF() * 0.65),
                              float(fill.blueF() * 0.35 + c.window.blueF() * 0.65));
    painter.fillRect(cell, fill);
    if (model_.row(layer).facts.pending || model_.row(layer).facts.has_override) {
      painter.setRenderHint(QPainter::Antialiasing);
      painter.setPen(Qt::NoPen);
      painter.setBrush(qGray(fill.rgb()) > 110 ? QColor("#101418") : QColor("#ffffff"));
      painter.drawEllipse(QRectF(cell).center(), 1.8, 1.8);
      painter.setRenderHint(QPainter::Antialiasing, false);
    }
  }
  // The frame of what is selected, in the text colour: seen on every colour of the map.
  painter.setBrush(Qt::NoBrush);
  for (const int layer : selection) {
    const QRect cell = cellOf(layer);
    painter.setPen(QPen(c.base, 1));
    painter.drawRect(cell.adjusted(0, 0, -2, -2));
    painter.setPen(QPen(c.text, layer == workspace_.currentLayer() ? 2 : 1));
    painter.drawRect(cell.adjusted(-1, -1, -1, -1));
  }
  painter.setPen(c.dim);
  const int base = g.top + rows() * g.cell_height;
  painter.drawText(QRect(0, base, g.left - 6, fontMetrics().height() + 2), Qt::AlignRight | Qt::AlignVCenter, tr("block"));
  const int step = g.blocks * g.cell_width / std::max(1, g.blocks) < 8 ? 10 : 5;
  for (int block = 0; block < g.blocks; ++block) {
    const bool last = block == g.blocks - 1;
    if (block % step != 0 && !last) continue;
    if (!last && g.blocks - 1 - block < step / 2 + 1 && g.blocks > step) continue;
    painter.drawText(QRect(g.left + block * g.cell_width - 12, base, g.cell_width + 24, fontMetrics().height() + 2), Qt::AlignCenter,
                     QString::number(block));
  }
  if (!band_.isNull()) {
    painter.setPen(QPen(c.text, 1, Qt::DashLine));
    painter.drawRect(band_.normalized());
  }
  if (hasFocus()) {
    painter.setPen(QPen(c.a_fill, 1));
    painter.drawRect(rect().adjusted(0, 0, -1, -1));
  }
}

void LayerMap::mousePressEvent(QMouseEvent* event) {
  if (event->button() != Qt::LeftButton || !workspace_.hasModel()) return;
  press_ = event->position().toPoint();
  const Geometry g = geometry_now();
  const bool add = event->modifiers() & Qt::ControlModifier;
  before_drag_ = add ? workspace_.selectedLayers() : std::vector<int>{};
  const int layer = layerAt(press_);
  std::vector<int> chosen;
  if (layer >= 0) {
    if (event->modifiers() & Qt::ShiftModifier && workspace_.currentLayer() >= 0) {
      chosen = layers_in(cellOf(workspace_.currentLayer()).united(cellOf(layer)).adjusted(2, 2, -2, -2));
    } else if (add && std::find(before_drag_.begin(), before_drag_.end(), layer) != before_drag_.end()) {
      std::erase(before_drag_, layer);
    } else {
      chosen = {layer};
    }
  } else if (press_.x() < g.left && press_.y() >= g.top && press_.y() < g.top + rows() * g.cell_height) {
    chosen = layers_in(
        QRect(g.left, g.top + (press_.y() - g.top) / g.cell_height * g.cell_height + 2, g.blocks * g.cell_width, g.cell_height - 4));
  } else if (press_.x() >= g.left && press_.y() >= g.top + rows() * g.cell_height) {
    chosen = layers_in(QRect(g.left + (press_.x() - g.left) / g.cell_width * g.cell_width + 1, g.top, std::max(1, g.cell_width - 2),
                             rows() * g.cell_height));
  } else {
    return;
  }
  std::vector<int> all = before_drag_;
  all.insert(all.end(), chosen.begin(), chosen.end());
  workspace_.selectLayers(all, layer >= 0 ? layer : (chosen.empty() ? -1 : chosen.front()));
}

void LayerMap::mouseMoveEvent(QMouseEvent* event) {
  if (!(event->buttons() & Qt::LeftButton) || !workspace_.hasModel()) return;
  const QPoint now = event->position().toPoint();
  if (band_.isNull() && (now - press_).manhattanLength() < 6) return;
  band_ = QRect(press_, now);
  std::vector<int> all = before_drag_;
  const auto inside = layers_in(band_.normalized());
  all.insert(all.end(), inside.begin(), inside.end());
  const int first = layerAt(press_);
  workspace_.selectLayers(all, first);
  update();
}

void LayerMap::mouseReleaseEvent(QMouseEvent*) {
  band_ = {};
  update();
}

void LayerMap::mouseDoubleClickEvent(QMouseEvent* event) {
  if (const int layer = layerAt(event->position().toPoint()); layer >= 0) emit activated(layer);
}

void LayerMap::contextMenuEvent(QContextMenuEvent* event) {
  const int layer = layerAt(event->pos());
  if (layer < 0) return;
  const LayerRow& row = model_.row(layer);
  QMenu menu(this);
  const QString role = short_role(row.facts.role);
  menu.addAction(tr("Filter: role = %1").arg(role), this, [this, role] { emit filterAsked("role:" + role); });
  const int block = row.facts.block;
  menu.addAction(tr("Filter: block = %1").arg(block), this, [this, block] { emit filterAsked(QString("block:%1").arg(block)); });
  menu.exec(event->globalPos());
}

void LayerMap::move_current(int block_step, int row_step) {
  const int current = workspace_.currentLayer();
  if (current < 0) {
    workspace_.selectLayers({0}, 0);
    return;
  }
  const LayerInfo& info = workspace_.model()->layers()[std::size_t(current)];
  const int next = find(int(info.block) + block_step, std::clamp(rowOf(workspace_.currentLayer()) + row_step, 0, rows() - 1));
  if (next >= 0) workspace_.selectLayers({next}, next);
}

void LayerMap::keyPressEvent(QKeyEvent* event) {
  if (!workspace_.hasModel()) return QWidget::keyPressEvent(event);
  switch (event->key()) {
    case Qt::Key_Left:
    case Qt::Key_BracketLeft:
      return move_current(-1, 0);
    case Qt::Key_Right:
    case Qt::Key_BracketRight:
      return move_current(1, 0);
    case Qt::Key_Up:
    case Qt::Key_BraceLeft:
      return move_current(0, -1);
    case Qt::Key_Down:
    case Qt::Key_BraceRight:
      return move_current(0, 1);
    case Qt::Key_Return:
    case Qt::Key_Enter:
      if (workspace_.currentLayer() >= 0) emit activated(workspace_.currentLayer());
      return;
    default:
      QWidget::keyPressEvent(event);
  }
}

bool LayerMap::event(QEvent* event) {
  if (event->type() == QEvent::ToolTip) {
    const auto* help = static_cast<QHelpEvent*>(event);
    const int layer = layerAt(help->pos());
    if (layer < 0) {
      QToolTip::hideText();
    } else {
      const LayerRow& row = model_.row(layer);
      const double v = value(layer, measure_);
      QString text = row.facts.short_name;
      if (!std::isnan(v)) {
        const QString number = measure_ == rank   ? QString::number(v, 'f', 0)
                               : measure_ == size ? format_bits(v) + " b/w"
                                                  : format_error(v) + " %";
        text += QString("\n%1: %2").arg(title(measure_), number);
      }
      QToolTip::showText(help->globalPos(), text, this);
    }
    return true;
  }
  return QWidget::event(event);
}

}  // namespace lrc::app

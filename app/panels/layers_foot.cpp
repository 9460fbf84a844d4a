#include "panels/layers_foot.h"

#include <QFontMetrics>
#include <QPainter>

#include "panels/layer_table_view.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"

namespace lrc::app {

ColourScale::ColourScale(QWidget* parent) : QWidget(parent) {
  setFixedHeight(20);
  setSizePolicy(QSizePolicy::Fixed, QSizePolicy::Fixed);
}

void ColourScale::show_range(const QString& low, const QString& high) {
  low_ = low;
  high_ = high;
  updateGeometry();
  update();
}

QSize ColourScale::sizeHint() const {
  if (high_.isEmpty()) return {0, 20};
  const QFontMetrics metrics(font_of_points(font(), 8));
  return {metrics.horizontalAdvance(low_) + metrics.horizontalAdvance(high_) + 88, 20};
}

void ColourScale::paintEvent(QPaintEvent*) {
  if (high_.isEmpty()) return;
  QPainter painter(this);
  painter.setFont(font_of_points(font(), 8));
  painter.setPen(colours().dim);
  const int left = painter.fontMetrics().horizontalAdvance(low_) + 4;
  painter.drawText(QRect(0, 0, left, height()), Qt::AlignLeft | Qt::AlignVCenter, low_);
  for (int x = 0; x < 76; ++x) {
    painter.setPen(map_colour(x / 75.0));
    painter.drawLine(left + x, height() / 2 - 4, left + x, height() / 2 + 3);
  }
  painter.setPen(colours().dim);
  painter.drawText(QRect(left + 80, 0, width() - left - 80, height()), Qt::AlignLeft | Qt::AlignVCenter, high_);
}

LayersFoot::LayersFoot(QWidget* parent) : QWidget(parent) {
  setObjectName("layersFoot");
  setFixedHeight(20);
}

void LayersFoot::say(const QString& counts, int overrides, int pending) {
  counts_ = counts;
  overrides_ = overrides;
  pending_ = pending;
  setAccessibleName(QString("%1, %2 overrides, %3 pending").arg(counts).arg(overrides).arg(pending));
  setToolTip(accessibleName());
  update();
}

void LayersFoot::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  painter.setFont(font_of_points(font(), 8));
  const Colours& c = colours();
  const QFontMetrics metrics = painter.fontMetrics();
  int x = 0;
  const int y = height() / 2;
  const auto text = [&](const QString& words, int gap) {
    const int width = metrics.horizontalAdvance(words);
    painter.setPen(c.dim);
    painter.drawText(QRect(x, 0, width + 2, height()), Qt::AlignLeft | Qt::AlignVCenter, words);
    x += width + gap;
  };
  text(counts_, 16);
  // The legend gives way, part by part, where the panel is narrow.
  const QString overrides = tr("%1 overrides").arg(overrides_), pending = tr("%1 pending").arg(pending_);
  if (x + metrics.horizontalAdvance(overrides) + 10 < width()) {
    painter.fillRect(QRect(x, 4, 3, height() - 8), c.override_mark);
    x += 8;
    text(overrides, 12);
  }
  if (x + metrics.horizontalAdvance(pending) + 12 < width()) {
    painter.setPen(Qt::NoPen);
    painter.setBrush(c.pending_mark);
    painter.drawEllipse(QPointF(x + 3, y), 2.5, 2.5);
    x += 10;
    text(pending, 16);
  }
  const QString bound = tr("bound");
  const int legend = 14 + metrics.horizontalAdvance("A") + 18 + metrics.horizontalAdvance("B") + 14 + metrics.horizontalAdvance(bound) + 4;
  if (x + legend < width()) {
    x = width() - legend;
    draw_marker(painter, QPointF(x + 4, y), 3.6, true);
    x += 11;
    text("A", 10);
    draw_marker(painter, QPointF(x + 4, y), 3.6, false);
    x += 11;
    text("B", 10);
    painter.setPen(QPen(c.text, 1.3));
    painter.drawLine(x, y - 5, x, y + 5);
    x += 5;
    text(bound, 0);
  }
}

}  // namespace lrc::app

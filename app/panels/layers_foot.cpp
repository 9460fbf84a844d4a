#include "panels/layers_foot.h"

#include <QFontMetrics>
#include <QPainter>

#include "panels/layer_table_view.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"

namespace lrc::app {

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

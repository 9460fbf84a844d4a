#include "panels/colour_scale.h"

#include <QPainter>

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

}  // namespace lrc::app

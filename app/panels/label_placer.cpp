#include "panels/label_placer.h"

#include <algorithm>
#include <array>

namespace lrc::app {

bool LabelPlacer::isFree(const QRectF& rect) const {
  return std::ranges::none_of(taken_, [&](const QRectF& other) { return other.intersects(rect); });
}

QRectF LabelPlacer::beside(const QPointF& point, const QSizeF& size, Qt::Alignment alignment, int gap) {
  QRectF rect(point, size);
  const bool middle = alignment & Qt::AlignHCenter;
  if (middle)
    rect.moveLeft(point.x() - size.width() / 2);
  else if (alignment & Qt::AlignLeft)
    rect.moveLeft(point.x() + gap);
  else
    rect.moveRight(point.x() - gap);
  if (alignment & Qt::AlignTop)
    rect.moveTop(point.y() + (middle ? gap : 0));
  else
    rect.moveBottom(point.y() - (middle ? gap : 0));
  return rect;
}

void LabelPlacer::place(QCPItemText& text, const QPointF& point, Qt::Alignment wanted, int gap) {
  const QFontMetrics metrics(text.font());
  const QSizeF size(metrics.horizontalAdvance(text.text()), metrics.height());
  const auto at = [](Qt::AlignmentFlag across, Qt::AlignmentFlag down) { return Qt::Alignment(across | down); };
  const std::array places = {wanted,
                             at(Qt::AlignLeft, Qt::AlignBottom),
                             at(Qt::AlignLeft, Qt::AlignTop),
                             at(Qt::AlignHCenter, Qt::AlignBottom),
                             at(Qt::AlignHCenter, Qt::AlignTop),
                             at(Qt::AlignRight, Qt::AlignBottom),
                             at(Qt::AlignRight, Qt::AlignTop)};
  const auto free = std::ranges::find_if(places, [&](Qt::Alignment place) {
    const QRectF rect = beside(point, size, place, gap);
    return inside_.contains(rect) && isFree(rect);
  });
  text.setVisible(free != places.end());
  if (free == places.end()) return;
  text.setPositionAlignment(*free);
  const bool middle = *free & Qt::AlignHCenter;
  text.setPadding(middle ? (*free & Qt::AlignTop ? QMargins(0, gap, 0, 0) : QMargins(0, 0, 0, gap)) : QMargins(gap, 0, gap, 0));
  take(beside(point, size, *free, gap));
}

}  // namespace lrc::app

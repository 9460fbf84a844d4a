#pragma once
// Words beside the points of a plot, so that none lies on another: each takes the first of its places that is free.
#include <qcustomplot.h>

#include <vector>

namespace lrc::app {

class LabelPlacer {
 public:
  /// Pixels that labels must stay in.
  explicit LabelPlacer(const QRectF& inside) : inside_(inside) {}
  void take(const QRectF& rect) { taken_.push_back(rect); }
  bool isFree(const QRectF& rect) const;
  /// Puts the text beside this pixel, where its alignment says or around it; hides it where there is no room at all, then the mark
  /// stands alone and pointing at it tells the rest. `gap`: pixels from the middle of the mark to the words.
  void place(QCPItemText& text, const QPointF& point, Qt::Alignment wanted, int gap);
  /// Where words of this size lie whose `alignment` corner or side is beside the point.
  static QRectF beside(const QPointF& point, const QSizeF& size, Qt::Alignment alignment, int gap);

 private:
  QRectF inside_;
  std::vector<QRectF> taken_;
};

}  // namespace lrc::app

#include "panels/start_widgets.h"

#include <QPainter>

#include "panels/panel_widgets.h"
#include "plot_style.h"

namespace lrc::app {

void Card::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  const Colours& c = colours();
  painter.setPen(QPen(dashed_ ? c.faint : c.line, 1, dashed_ ? Qt::DashLine : Qt::SolidLine));
  painter.setBrush(dashed_ ? c.alternate : c.base);
  painter.drawRect(rect().adjusted(0, 0, -1, -1));
}

QSize RecentDelegate::sizeHint(const QStyleOptionViewItem& option, const QModelIndex&) const {
  return {0, 2 * option.fontMetrics.height() + 12};
}

void RecentDelegate::paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const {
  const Colours& c = colours();
  painter->save();
  const bool missing = index.data(Qt::UserRole + 2).toBool();
  painter->fillRect(option.rect, option.state & QStyle::State_Selected    ? c.selected_row
                                 : option.state & QStyle::State_MouseOver ? c.alternate
                                                                          : c.base);
  const QRect inside = option.rect.adjusted(12, 4, -12, -4);
  const int line = option.fontMetrics.height();
  const QString date = index.data(Qt::UserRole + 3).toString();
  painter->setFont(font_of_points(option.font, 8));
  painter->setPen(c.dim);
  painter->drawText(QRect(inside.left(), inside.top(), inside.width(), line), Qt::AlignRight | Qt::AlignVCenter, date);
  const int date_width = painter->fontMetrics().horizontalAdvance(date) + 8;
  painter->drawText(QRect(inside.left(), inside.top() + line + 2, inside.width(), line), Qt::AlignLeft | Qt::AlignVCenter,
                    painter->fontMetrics().elidedText(index.data(Qt::UserRole + 1).toString(), Qt::ElideMiddle, inside.width()));
  painter->setFont(font_of_points(option.font, 9, true));
  painter->setPen(missing ? c.faint : c.text);
  painter->drawText(
      QRect(inside.left(), inside.top(), inside.width() - date_width, line), Qt::AlignLeft | Qt::AlignVCenter,
      painter->fontMetrics().elidedText(index.data(Qt::DisplayRole).toString(), Qt::ElideMiddle, inside.width() - date_width));
  painter->setPen(c.grid);
  painter->drawLine(option.rect.bottomLeft() + QPoint(8, 0), option.rect.bottomRight() - QPoint(8, 0));
  painter->restore();
}

void RecentList::paintEvent(QPaintEvent* event) {
  QListWidget::paintEvent(event);
  if (count() > 0) return;
  QPainter painter(viewport());
  painter.setPen(colours().faint);
  painter.drawText(viewport()->rect().adjusted(12, 12, -12, -12), Qt::AlignTop | Qt::AlignLeft | Qt::TextWordWrap,
                   QObject::tr("Models, run folders and sessions that you open are listed here."));
}

}  // namespace lrc::app

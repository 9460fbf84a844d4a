#include "panels/run_table_view.h"

#include <QHeaderView>
#include <QKeyEvent>
#include <QPainter>
#include <QPainterPath>

#include "models/notebook.h"
#include "panels/panel_widgets.h"
#include "panels/plot_tools.h"
#include "plot_style.h"
#include "widgets.h"

namespace lrc::app {

void draw_badge(QPainter& painter, const QRect& box, bool is_a) {
  painter.save();
  painter.fillRect(box, is_a ? colours().a_fill : colours().b_fill);
  painter.setPen(colours().base);
  painter.setFont(font_of_points(painter.font(), 8, true));
  painter.drawText(box, Qt::AlignCenter, is_a ? "A" : "B");
  painter.restore();
}

namespace {

void draw_state_icon(QPainter& painter, const QPointF& centre, RunEntry::State state) {
  const Colours& c = colours();
  painter.setRenderHint(QPainter::Antialiasing);
  const double x = centre.x(), y = centre.y();
  const auto stroke = [&](const QColor& colour) {
    painter.setPen(QPen(colour, 1.5, Qt::SolidLine, Qt::RoundCap, Qt::RoundJoin));
    painter.setBrush(Qt::NoBrush);
  };
  switch (state) {
    case RunEntry::State::queued:
      stroke(c.dim);
      painter.drawEllipse(centre, 5.5, 5.5);
      painter.drawPolyline(QPolygonF() << QPointF(x, y - 3.5) << QPointF(x, y) << QPointF(x + 2.5, y + 1.5));
      break;
    case RunEntry::State::running:
      painter.setPen(Qt::NoPen);
      painter.setBrush(c.highlight);
      painter.drawPolygon(QPolygonF() << QPointF(x - 3.5, y - 5) << QPointF(x + 4.5, y) << QPointF(x - 3.5, y + 5));
      break;
    case RunEntry::State::paused:
      painter.fillRect(QRectF(x - 4, y - 5, 2.5, 10), c.warn);
      painter.fillRect(QRectF(x + 1.5, y - 5, 2.5, 10), c.warn);
      break;
    case RunEntry::State::stopped:
      painter.fillRect(QRectF(x - 4, y - 4, 8, 8), c.dim);
      break;
    case RunEntry::State::failed: {
      stroke(c.bad);
      QPolygonF octagon;
      for (const auto& [dx, dy] :
           {std::pair{-2.5, -6.0}, {2.5, -6.0}, {6.0, -2.5}, {6.0, 2.5}, {2.5, 6.0}, {-2.5, 6.0}, {-6.0, 2.5}, {-6.0, -2.5}})
        octagon << QPointF(x + dx, y + dy);
      painter.drawPolygon(octagon);
      painter.drawLine(QPointF(x - 2, y - 2), QPointF(x + 2, y + 2));
      painter.drawLine(QPointF(x - 2, y + 2), QPointF(x + 2, y - 2));
      break;
    }
    case RunEntry::State::done:
      stroke(c.ok);
      painter.drawPolyline(QPolygonF() << QPointF(x - 5, y) << QPointF(x - 1.5, y + 4) << QPointF(x + 5, y - 4.5));
      break;
  }
}

}  // namespace

void RunDelegate::paint(QPainter* painter, const QStyleOptionViewItem& original, const QModelIndex& index) const {
  QStyleOptionViewItem option = original;
  initStyleOption(&option, index);
  const Colours& c = colours();
  painter->save();
  const bool selected = option.state & QStyle::State_Selected;
  painter->fillRect(option.rect, selected ? c.selected_row : index.row() % 2 ? c.alternate : c.base);
  const RunEntry* run = workspace_.findRun(index.data(RunTableModel::run_role).toInt());
  if (run == nullptr) return painter->restore();
  QRect box = option.rect.adjusted(6, 0, -6, 0);
  painter->setFont(option.font);
  QColor colour = c.text;
  switch (index.column()) {
    case RunTableModel::slot: {
      const Slot slot{run->number};
      const bool a = workspace_.slotA() == slot, b = workspace_.slotB() == slot;
      if (a || b) draw_badge(*painter, QRect(option.rect.center().x() - 8, option.rect.center().y() - 7, 16, 16), a && !b);
      return painter->restore();
    }
    case RunTableModel::recipe: {
      painter->setRenderHint(QPainter::Antialiasing);
      const bool done = run->state == RunEntry::State::done;
      const QColor fill = colour_of(run->manifest.recipe.method);
      QPainterPath path;
      const QPointF centre(box.left() + 5, box.center().y() + 0.5);
      switch (marker_of(run->manifest.recipe.method)) {
        case Marker::disc:
          path.addEllipse(centre, 4.5, 4.5);
          break;
        case Marker::square:
          path.addRect(centre.x() - 4, centre.y() - 4, 8, 8);
          break;
        case Marker::triangle:
          path.addPolygon(QPolygonF() << centre + QPointF(0, -5) << centre + QPointF(5, 4) << centre + QPointF(-5, 4)
                                      << centre + QPointF(0, -5));
          break;
        default:
          path.addPolygon(QPolygonF() << centre + QPointF(0, -5.5) << centre + QPointF(5.5, 0) << centre + QPointF(0, 5.5)
                                      << centre + QPointF(-5.5, 0) << centre + QPointF(0, -5.5));
          break;
      }
      painter->setPen(QPen(fill, 1.3));
      painter->setBrush(done ? QBrush(fill) : Qt::NoBrush);
      painter->drawPath(path);
      box.setLeft(box.left() + 16);
      const Notebook& notebook = Notebook::of(workspace_);
      if (notebook.isPinned(run->number)) {
        themed_icon("pin").paint(painter, QRect(box.right() - 15, box.center().y() - 7, 14, 14));
        box.setRight(box.right() - 18);
      }
      if (!notebook.runNote(run->number).isEmpty()) {
        painter->setPen(Qt::NoPen);
        painter->setBrush(c.text);
        const QPointF corner = option.rect.topRight();
        painter->drawPolygon(QPolygonF({corner + QPointF(-6, 0), corner + QPointF(1, 0), corner + QPointF(1, 7)}));
      }
      break;
    }
    case RunTableModel::state: {
      draw_state_icon(*painter, QPointF(box.left() + 6, box.center().y() + 0.5), run->state);
      box.setLeft(box.left() + 20);
      const QVariant fraction = index.data(RunTableModel::fraction_role);
      if (fraction.isValid() && box.width() > 120) {
        const QRect bar(box.left(), box.center().y() - 3, 40, 7);
        painter->setRenderHint(QPainter::Antialiasing, false);
        painter->setPen(c.line);
        painter->setBrush(c.base);
        painter->drawRect(bar);
        painter->fillRect(bar.adjusted(1, 1, -int((bar.width() - 1) * (1 - fraction.toDouble())), 0), c.highlight);
        box.setLeft(bar.right() + 8);
      }
      if (run->state == RunEntry::State::failed) colour = c.bad;
      break;
    }
    default:
      break;
  }
  const QString text = index.data().toString();
  if (text == QStringLiteral("–")) colour = c.faint;
  painter->setPen(colour);
  painter->drawText(box, int(option.displayAlignment) | Qt::TextSingleLine,
                    option.fontMetrics.elidedText(text, Qt::ElideRight, box.width()));
  if (option.state & QStyle::State_HasFocus) {
    painter->setRenderHint(QPainter::Antialiasing, false);
    painter->setPen(QPen(c.highlight, 1));
    painter->setBrush(Qt::NoBrush);
    painter->drawRect(option.rect.adjusted(0, 0, -1, -1));
  }
  painter->restore();
}

RunTableView::RunTableView(QWidget* parent) : QTableView(parent) {
  setObjectName("runsTable");
  setAccessibleName(tr("Runs"));
  setSelectionBehavior(SelectRows);
  setSelectionMode(SingleSelection);
  setEditTriggers(NoEditTriggers);
  setSortingEnabled(true);
  setShowGrid(false);
  setAlternatingRowColors(true);
  setTabKeyNavigation(false);
  setWordWrap(false);
  setContextMenuPolicy(Qt::CustomContextMenu);
  verticalHeader()->hide();
  verticalHeader()->setDefaultSectionSize(24);
  horizontalHeader()->setHighlightSections(false);
  horizontalHeader()->setMinimumSectionSize(24);
  horizontalHeader()->setFixedHeight(2 * fontMetrics().height() + 8);
}

void RunTableView::keyPressEvent(QKeyEvent* event) {
  switch (event->key()) {
    case Qt::Key_Space:
    case Qt::Key_Delete:
    case Qt::Key_A:
    case Qt::Key_B:
    case Qt::Key_D:
    case Qt::Key_N:
    case Qt::Key_P:
      if (event->modifiers() == Qt::NoModifier) {
        emit keyed(event->key());
        return;
      }
      break;
    default:
      break;
  }
  QTableView::keyPressEvent(event);
}

}  // namespace lrc::app

#include "panels/rank_cursor.h"

#include <QKeyEvent>
#include <QPainter>
#include <cmath>

#include "panels/panel_widgets.h"
#include "plot_style.h"

namespace lrc::app {

namespace {
// Gestures of all cursors differ, and stay clear of the small numbers that other panels join their edits by.
int next_gesture() {
  static int gesture = 1 << 20;
  return ++gesture;
}
constexpr int snap_pixels = 4;
}  // namespace

RankCursor::RankCursor(QWidget* parent) : QWidget(parent) {
  setObjectName("rankCursor");
  setAccessibleName(tr("Rank"));
  setAccessibleDescription(
      tr("Left and right change the rank by one, with Shift by eight, with Ctrl to the next multiple of 32; type a number to set it"));
  setFocusPolicy(Qt::StrongFocus);
  setCursor(Qt::SizeHorCursor);
  setFixedHeight(24);
  setToolTip(tr("Drag, or ←→ (Shift 8, Ctrl multiples of 32, Home 0), or type a number: the rank of the selected layers"));
  typed_ = new QLineEdit(this);
  typed_->setObjectName("rankCursorInput");
  typed_->setAccessibleName(tr("Rank"));
  typed_->setValidator(new QIntValidator(0, 1 << 20, typed_));
  typed_->setAlignment(Qt::AlignCenter);
  typed_->hide();
  typed_->installEventFilter(this);
  connect(typed_, &QLineEdit::returnPressed, this, [this] {
    gesture_ = next_gesture();
    const int rank = typed_->text().toInt();
    typed_->hide();
    setFocus();
    choose(rank);
  });
}

void RankCursor::attach(QCustomPlot* plot) {
  auto* item = new QCPItemStraightLine(plot);
  item->setSelectable(false);
  lines_.push_back({plot, item});
  plot->setFocusPolicy(Qt::ClickFocus);
  plot->setFocusProxy(this);
  plot->installEventFilter(this);
  recolour();
}

void RankCursor::recolour() {
  for (const Line& line : lines_)
    if (line.plot) line.item->setPen(QPen(colours().text, 1.5));
  update();
}

void RankCursor::setMaximum(int rank) {
  maximum_ = std::max(0, rank);
  setEnabled(maximum_ > 0);
  for (const Line& line : lines_)
    if (line.plot) line.item->setVisible(maximum_ > 0);
  setRank(rank_);
}

void RankCursor::setRank(int rank) {
  rank_ = std::clamp(rank, 0, maximum_);
  for (const Line& line : lines_) {
    if (!line.plot) continue;
    line.item->point1->setCoords(rank_, line.plot->yAxis->range().lower);
    line.item->point2->setCoords(rank_, line.plot->yAxis->range().upper);
    line.plot->replot(QCustomPlot::rpQueuedReplot);
  }
  update();
}

void RankCursor::choose(int rank) {
  const int before = rank_;
  setRank(rank);
  if (rank_ != before) emit moved(rank_, gesture_);
}

void RankCursor::dragTo(const QPoint& global) {
  if (lines_.empty() || !lines_.front().plot) return;
  QCustomPlot* plot = lines_.front().plot;
  const double pixel = plot->mapFromGlobal(global).x();
  int rank = int(std::lround(std::clamp(plot->xAxis->pixelToCoord(pixel), -1.0, double(maximum_) + 1)));
  for (const int snap : snaps_)
    if (std::abs(plot->xAxis->coordToPixel(snap) - pixel) <= snap_pixels) rank = snap;
  choose(rank);
}

QRect RankCursor::tag() const {
  if (lines_.empty() || !lines_.front().plot) return {};
  QCustomPlot* plot = lines_.front().plot;
  const int x = mapFromGlobal(plot->mapToGlobal(QPoint(int(plot->xAxis->coordToPixel(rank_)), 0))).x();
  const int width = QFontMetrics(font_of_points(font(), 9, true)).horizontalAdvance(tr("◂ rank 88888 ▸")) + 8;
  QRect box(x - width / 2, 2, width, height() - 4);
  if (box.left() < 0) box.moveLeft(0);
  if (box.right() >= this->width()) box.moveRight(this->width() - 1);
  return box;
}

void RankCursor::paintEvent(QPaintEvent*) {
  if (maximum_ == 0) return;
  QPainter painter(this);
  const QRect box = tag();
  painter.fillRect(box, colours().text);
  if (hasFocus()) {
    painter.setPen(QPen(colours().highlight, 2));
    painter.drawRect(box.adjusted(1, 1, -1, -1));
  }
  painter.setPen(colours().base);
  painter.setFont(font_of_points(font(), 9, true));
  painter.drawText(box, Qt::AlignCenter, tr("◂ rank %1 ▸").arg(rank_));
}

void RankCursor::mousePressEvent(QMouseEvent* event) {
  if (event->button() != Qt::LeftButton) return;
  dragging_ = true;
  gesture_ = next_gesture();
  dragTo(event->globalPosition().toPoint());
}
void RankCursor::mouseMoveEvent(QMouseEvent* event) {
  if (dragging_) dragTo(event->globalPosition().toPoint());
}
void RankCursor::mouseReleaseEvent(QMouseEvent*) { dragging_ = false; }

void RankCursor::keyPressEvent(QKeyEvent* event) {
  const int key = event->key();
  const bool steps = key == Qt::Key_Left || key == Qt::Key_Right || key == Qt::Key_Home || key == Qt::Key_End;
  if (steps) {
    if (!event->isAutoRepeat()) gesture_ = next_gesture();
    const int direction = key == Qt::Key_Left ? -1 : 1;
    if (key == Qt::Key_Home)
      choose(0);
    else if (key == Qt::Key_End)
      choose(maximum_);
    else if (event->modifiers() & Qt::ControlModifier)
      choose(direction > 0 ? (rank_ / 32 + 1) * 32 : (rank_ + 31) / 32 * 32 - 32);
    else
      choose(rank_ + direction * (event->modifiers() & Qt::ShiftModifier ? 8 : 1));
    return;
  }
  if (event->text().size() == 1 && event->text()[0].isDigit()) return startTyping(event->text());
  QWidget::keyPressEvent(event);
}

void RankCursor::startTyping(const QString& first) {
  typed_->setGeometry(tag().adjusted(0, -2, 0, 2));
  typed_->setText(first);
  typed_->show();
  typed_->setFocus();
  typed_->deselect();
}

bool RankCursor::eventFilter(QObject* object, QEvent* event) {
  if (object == typed_) {
    if (event->type() == QEvent::KeyPress && static_cast<QKeyEvent*>(event)->key() == Qt::Key_Escape) {
      typed_->hide();
      setFocus();
      return true;
    }
    if (event->type() == QEvent::FocusOut) typed_->hide();
    return false;
  }
  auto* mouse = dynamic_cast<QMouseEvent*>(event);
  if (mouse == nullptr || maximum_ == 0) return false;
  const bool plain = !(mouse->modifiers() & Qt::ControlModifier);  // Ctrl pans the plot
  if (event->type() == QEvent::MouseButtonPress && mouse->button() == Qt::LeftButton && plain) {
    setFocus(Qt::MouseFocusReason);
    mousePressEvent(mouse);
    return true;
  }
  if (event->type() == QEvent::MouseMove && dragging_) {
    mouseMoveEvent(mouse);
    return true;
  }
  if (event->type() == QEvent::MouseButtonRelease && dragging_) {
    mouseReleaseEvent(mouse);
    return true;
  }
  return false;
}

}  // namespace lrc::app

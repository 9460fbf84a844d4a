#include "frame_widgets.h"

#include <QDockWidget>
#include <QHBoxLayout>
#include <QLabel>
#include <QPainter>

#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "widgets.h"

namespace lrc::app {

DockTitle::DockTitle(QDockWidget* dock, const QString& title, QWidget* controls) : QWidget(dock) {
  setFixedHeight(30);
  auto* row = new QHBoxLayout(this);
  row->setContentsMargins(8, 2, 4, 2);
  row->setSpacing(8);
  auto* name = new QLabel(title, this);
  name->setFont(font_of_points(font(), 9, true));
  row->addWidget(name);
  if (controls) {
    row->addWidget(controls, 1);
  } else {
    row->addStretch(1);
  }
  auto* buttons = new QHBoxLayout;
  buttons->setSpacing(0);
  auto* floating = new IconButton("float", tr("Float or dock %1").arg(title), this);
  auto* close = new IconButton("close", tr("Close %1").arg(title), this);
  buttons->addWidget(floating);
  buttons->addWidget(close);
  row->addLayout(buttons);
  connect(floating, &QToolButton::clicked, dock, [dock] { dock->setFloating(!dock->isFloating()); });
  connect(close, &QToolButton::clicked, dock, &QDockWidget::close);
}

void DockTitle::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  painter.fillRect(rect(), is_dark() ? QColor("#2f3236") : QColor("#e2e5e9"));
}

SlotBadge::SlotBadge(bool is_a, QWidget* parent) : QWidget(parent), is_a_(is_a) {
  setFixedSize(22, 22);
  setToolTip(is_a ? tr("A, the reference ●") : tr("B, the candidate ◆"));
}

void SlotBadge::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  painter.setPen(Qt::NoPen);
  painter.setBrush(is_a_ ? colours().a_fill : colours().b_fill);
  painter.drawRoundedRect(QRectF(rect()).adjusted(2, 2, -2, -2), 2, 2);
  painter.setPen(is_dark() ? QColor("#14171a") : QColor("#ffffff"));
  painter.setFont(font_of_points(font(), 9, true));
  painter.drawText(rect(), Qt::AlignCenter, is_a_ ? "A" : "B");
}

}  // namespace lrc::app

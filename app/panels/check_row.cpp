#include "panels/check_row.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QPainter>
#include <QVBoxLayout>

#include "models/export_check.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"

namespace lrc::app {

void draw_status(QPainter& painter, const QPointF& centre, CheckStatus status) {
  const Colours& c = colours();
  painter.save();
  painter.setRenderHint(QPainter::Antialiasing);
  painter.setBrush(Qt::NoBrush);
  const double x = centre.x(), y = centre.y();
  const auto pen = [&](const QColor& colour) { painter.setPen(QPen(colour, 1.5, Qt::SolidLine, Qt::RoundCap, Qt::RoundJoin)); };
  switch (status) {
    case CheckStatus::ok:
      pen(c.ok);
      painter.drawPolyline(QPolygonF() << QPointF(x - 5, y) << QPointF(x - 1.5, y + 4) << QPointF(x + 5, y - 4.5));
      break;
    case CheckStatus::warning:
      pen(c.warn);
      painter.drawPolygon(QPolygonF() << QPointF(x, y - 6) << QPointF(x + 6.5, y + 5) << QPointF(x - 6.5, y + 5));
      painter.drawLine(QPointF(x, y - 2), QPointF(x, y + 1));
      painter.drawPoint(QPointF(x, y + 3));
      break;
    case CheckStatus::refused:
      pen(c.bad);
      painter.drawPolygon(QPolygonF() << QPointF(x - 2.6, y - 6.2) << QPointF(x + 2.6, y - 6.2) << QPointF(x + 6.2, y - 2.6)
                                      << QPointF(x + 6.2, y + 2.6) << QPointF(x + 2.6, y + 6.2) << QPointF(x - 2.6, y + 6.2)
                                      << QPointF(x - 6.2, y + 2.6) << QPointF(x - 6.2, y - 2.6));
      painter.drawLine(QPointF(x - 2.2, y - 2.2), QPointF(x + 2.2, y + 2.2));
      painter.drawLine(QPointF(x - 2.2, y + 2.2), QPointF(x + 2.2, y - 2.2));
      break;
  }
  painter.restore();
}

CheckRow::CheckRow(const Check& check, const QString& cost, std::function<void()> fix, QWidget* parent)
    : QWidget(parent), status_(check.status) {
  setObjectName("check_" + QString::fromStdString(check.name));
  setAccessibleName(QString::fromUtf8(name(check.status).data()) + ": " + check_title(check.name));
  auto* row = new QHBoxLayout(this);
  row->setContentsMargins(32, 4, 8, 4);
  row->setSpacing(8);
  auto* text = new QVBoxLayout;
  text->setSpacing(0);
  auto* title = new QLabel(check_title(check.name), this);
  title->setFont(font_of_points(font(), 9, check.status != CheckStatus::ok));
  auto* why = make_dim_label(QString::fromStdString(check.why), this);
  why->setWordWrap(true);
  why->setTextInteractionFlags(Qt::TextSelectableByMouse);
  text->addWidget(title);
  text->addWidget(why);
  if (!check.fix.empty() && !fix) {
    auto* advice = new QLabel(QString::fromStdString(check.fix), this);
    advice->setWordWrap(true);
    text->addWidget(advice);
  }
  row->addLayout(text, 1);
  if (fix) {
    auto* side = new QVBoxLayout;
    side->setSpacing(0);
    QString offer = QString::fromStdString(check.fix);
    if (offer.endsWith('.')) offer.chop(1);
    auto* button = new QPushButton(offer, this);
    button->setObjectName("fix_" + QString::fromStdString(check.name));
    connect(button, &QPushButton::clicked, this, std::move(fix));
    side->addWidget(button);
    auto* price = make_dim_label(cost, this);
    price->setAlignment(Qt::AlignRight);
    price->setFont(font_of_points(font(), 8));
    side->addWidget(price);
    row->addLayout(side);
  }
}

void CheckRow::paintEvent(QPaintEvent*) {
  const Colours& c = colours();
  QPainter painter(this);
  painter.fillRect(rect(), status_ == CheckStatus::refused ? c.bad_ground : status_ == CheckStatus::warning ? c.warn_ground : c.base);
  painter.setPen(c.grid);
  painter.drawLine(0, height() - 1, width(), height() - 1);
  draw_status(painter, QPointF(16, 14), status_);
}

}  // namespace lrc::app

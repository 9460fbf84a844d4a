#include "panels/divergence_strip.h"

#include <QMouseEvent>
#include <QPainter>
#include <QToolTip>
#include <algorithm>

#include "models/conversation.h"
#include "panels/panel_widgets.h"
#include "panels/token_text.h"
#include "plot_style.h"

namespace lrc::app {

namespace {
constexpr double full_height = 2.0;  // nat; fixed, so that two prompts can be compared
}

DivergenceStrip::DivergenceStrip(QWidget* parent) : QWidget(parent) {
  setObjectName("divergenceStrip");
  setAccessibleName(tr("Divergence of B from A, token by token"));
  setMouseTracking(true);
  setFont(font_of_points(font(), 8));
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
  setFixedHeight(sizeHint().height());
}

void DivergenceStrip::setTokens(std::vector<TokenComparison> compared) {
  compared_ = std::move(compared);
  current_ = -1;
  if (const auto summary = summarise(compared_))
    setAccessibleDescription(
        tr("%1 tokens, mean %2 nat, largest %3 nat").arg(compared_.size()).arg(format_kl(summary->mean), format_kl(summary->maximum)));
  update();
}

void DivergenceStrip::setCurrent(int token) {
  current_ = token;
  update();
}

QRect DivergenceStrip::plot() const { return rect().adjusted(40, fontMetrics().height() / 2, -4, -fontMetrics().height() - 6); }

int DivergenceStrip::tokenAt(int x) const {
  const QRect area = plot();
  if (compared_.empty() || x < area.left() || x > area.right()) return -1;
  return std::min(count() - 1, int(double(x - area.left()) * double(count()) / double(area.width())));
}

void DivergenceStrip::paintEvent(QPaintEvent*) {
  const Colours& c = colours();
  QPainter painter(this);
  const QRect area = plot();
  painter.fillRect(area, c.base);
  painter.setPen(c.dim);
  const int line = fontMetrics().height();
  for (const double value : {0.0, 1.0, 2.0}) {
    const int y = area.bottom() - int(double(area.height()) * value / full_height);
    painter.drawText(QRect(0, y - line / 2, 34, line), Qt::AlignRight | Qt::AlignVCenter,
                     QString::number(value, 'f', 0) + (value == 2 ? tr(" nat") : QString()));
    painter.setPen(c.grid);
    painter.drawLine(area.left(), y, area.right(), y);
    painter.setPen(c.dim);
  }
  painter.setPen(c.line);
  painter.drawRect(area);
  painter.setPen(c.dim);
  const QRect below(area.left(), area.bottom() + 4, area.width(), line);
  if (compared_.empty()) {
    painter.drawText(area, Qt::AlignCenter, tr("Each token at which B was scored stands here."));
    return;
  }
  painter.drawText(below, Qt::AlignLeft, tr("token 1"));
  painter.drawText(below, Qt::AlignRight, QString::number(count()));
  painter.drawText(below, Qt::AlignHCenter, tr("▬ top choice differs"));
  const double step = double(area.width()) / double(count());
  for (int i = 0; i < count(); ++i) {
    const TokenComparison& token = compared_[std::size_t(i)];
    const double height = double(area.height() - 3) * std::min(token.kl, full_height) / full_height;
    const QRectF bar(area.left() + step * i + (step > 4 ? 1 : 0), area.bottom() - height, std::max(1.0, step - (step > 4 ? 2 : 0)), height);
    painter.fillRect(bar, c.b_fill);
    if (!same_top(token)) painter.fillRect(QRectF(bar.left(), area.bottom() + 1, bar.width(), 2), c.text);
    if (i == current_) {
      painter.setPen(QPen(c.text, 1.3));
      painter.drawRect(QRectF(area.left() + step * i, area.top() + 1, std::max(3.0, step), area.height() - 2));
    }
  }
}

void DivergenceStrip::mousePressEvent(QMouseEvent* event) {
  if (const int token = tokenAt(event->pos().x()); token >= 0) emit picked(token);
}

void DivergenceStrip::mouseMoveEvent(QMouseEvent* event) {
  const int token = tokenAt(event->pos().x());
  QToolTip::showText(event->globalPosition().toPoint(),
                     token < 0 ? QString() : tr("token %1: KL %2 nat").arg(token + 1).arg(format_kl(compared_[std::size_t(token)].kl)),
                     this);
}

}  // namespace lrc::app

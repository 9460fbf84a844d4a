#include "panels/stage_bar.h"

#include <QPainter>
#include <numeric>

#include "panels/panel_widgets.h"
#include "plot_style.h"

namespace lrc::app {

namespace {
constexpr int bar_height = 12, gap = 2;
}

StageBar::StageBar(QWidget* parent) : QWidget(parent) {
  setObjectName("runStages");
  setAccessibleName(tr("Stages of the run"));
  setFont(font_of_points(font(), 8));
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
}

QSize StageBar::sizeHint() const { return {320, bar_height + 2 * fontMetrics().height() + 8}; }

void StageBar::setStages(std::vector<Stage> stages) {
  stages_ = std::move(stages);
  QStringList words;
  for (const Stage& stage : stages_) words << stage.name + ' ' + stage.remark;
  setAccessibleDescription(words.join(", "));
  setToolTip(words.join('\n'));
  update();
}

void StageBar::paintEvent(QPaintEvent*) {
  if (stages_.empty()) return;
  const Colours& c = colours();
  QPainter painter(this);
  double total = 0;
  for (const Stage& stage : stages_) total += stage.seconds;
  // In proportion to time, but never too narrow for the name.
  const QFontMetrics metrics = fontMetrics();
  std::vector<double> widths;
  double reserved = 0;
  for (const Stage& stage : stages_)
    reserved += std::max(metrics.horizontalAdvance(stage.name), metrics.horizontalAdvance(stage.remark)) + 8;
  const double free = std::max(0.0, double(width()) - reserved - gap * double(stages_.size() - 1));
  for (const Stage& stage : stages_)
    widths.push_back(std::max(metrics.horizontalAdvance(stage.name), metrics.horizontalAdvance(stage.remark)) + 8 +
                     (total > 0 ? free * stage.seconds / total : free / double(stages_.size())));
  double x = 0;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    const Stage& stage = stages_[i];
    const QRectF bar(x, 0, widths[i], bar_height);
    painter.fillRect(bar, c.base);
    const bool under_way = stage.fraction > 0 && stage.fraction < 1;
    painter.fillRect(QRectF(x, 0, widths[i] * stage.fraction, bar_height), under_way ? c.highlight : c.codes);
    painter.setPen(c.line);
    painter.drawRect(bar.adjusted(0.5, 0.5, -0.5, -0.5));
    QFont font = this->font();
    font.setBold(stage.current);
    painter.setFont(font);
    painter.setPen(c.text);
    const int line = metrics.height();
    painter.drawText(QRectF(x, bar_height + 3, widths[i], line), Qt::AlignLeft,
                     metrics.elidedText(stage.name, Qt::ElideRight, int(widths[i])));
    painter.setFont(this->font());
    painter.setPen(c.dim);
    painter.drawText(QRectF(x, bar_height + 3 + line, widths[i], line), Qt::AlignLeft,
                     metrics.elidedText(stage.remark, Qt::ElideRight, int(widths[i])));
    x += widths[i] + gap;
  }
}

}  // namespace lrc::app

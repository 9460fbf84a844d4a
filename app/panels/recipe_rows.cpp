#include "panels/recipe_rows.h"

#include <QHBoxLayout>
#include <QPainter>

#include "plot_style.h"
#include "widgets.h"

namespace lrc::app {

NumberBar::NumberBar(const QString& accessible_name, const std::vector<int>& numbers, QWidget* parent) : QWidget(parent) {
  auto* row = new QHBoxLayout(this);
  row->setContentsMargins(0, 0, 0, 0);
  row->setSpacing(0);
  for (const int number : numbers) {
    auto* button = new SegmentButton(QString::number(number), true, this);
    button->setAccessibleName(QString("%1 %2").arg(accessible_name).arg(number));
    button->setObjectName(QString("value_%1").arg(number));
    button->setLast(number == numbers.back());
    button->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
    button->setMinimumWidth(20);
    row->addWidget(button);
    buttons_.emplace_back(number, button);
    connect(button, &QToolButton::clicked, this, [this, number] {
      setValue(number);
      emit chosen(number);
    });
  }
}

void NumberBar::setValue(int value) {
  for (const auto& [number, button] : buttons_) button->setChecked(number == value);
}

OverrideMark::OverrideMark(QWidget* parent) : QWidget(parent) { setFixedSize(3, 18); }

void OverrideMark::setOn(bool on) {
  on_ = on;
  setToolTip(on ? tr("Set for the selection") : QString());
  update();
}

void OverrideMark::paintEvent(QPaintEvent*) {
  if (on_) QPainter(this).fillRect(rect(), colours().override_mark);
}

}  // namespace lrc::app

#include "panels/recipe_budget.h"

#include <QDoubleSpinBox>
#include <QHBoxLayout>
#include <QPainter>
#include <QPushButton>
#include <QSlider>
#include <QStyle>
#include <QStyleOptionSlider>
#include <QVBoxLayout>
#include <cmath>

#include "models/allocator.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"

namespace lrc::app {

namespace {
constexpr int steps_per_bit = 20;
constexpr double lowest = 3, highest = 16;
}  // namespace

BudgetBox::BudgetBox(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  auto* row = new QHBoxLayout;
  row->setSpacing(8);
  slider_ = new QSlider(Qt::Horizontal, this);
  slider_->setObjectName("recipeBudget");
  slider_->setAccessibleName(tr("Budget, bits per weight"));
  slider_->setRange(int(lowest * steps_per_bit), int(highest * steps_per_bit));
  slider_->setPageStep(10);
  slider_->setToolTip(tr("Bits per weight of the linear layers, factors counted"));
  value_ = new QDoubleSpinBox(this);
  value_->setObjectName("recipeBudgetValue");
  value_->setAccessibleName(tr("Budget, bits per weight"));
  value_->setRange(lowest, highest);
  value_->setSingleStep(0.05);
  value_->setDecimals(2);
  value_->setSuffix(" b/w");
  value_->setLocale(QLocale::c());
  row->addWidget(slider_, 1);
  row->addWidget(value_);
  column->addLayout(row);
  column->addSpacing(QFontMetrics(font_of_points(font(), 8)).height());  // the names of the marks
  allocate_ = new QPushButton(tr("Allocate ranks…"), this);
  allocate_->setObjectName("recipeAllocate");
  allocate_->setToolTip(tr("Spreads this budget over the layers by what each of them gains; shown before it is taken"));
  column->addWidget(allocate_, 0, Qt::AlignRight);
  Allocator& allocator = Allocator::of(workspace_);
  connect(slider_, &QSlider::valueChanged, this, [this, &allocator](int value) {
    if (!showing_) allocator.setBudget(double(value) / steps_per_bit);
  });
  connect(value_, &QDoubleSpinBox::valueChanged, this, [this, &allocator](double value) {
    if (!showing_) allocator.setBudget(value);
  });
  connect(allocate_, &QPushButton::clicked, this, [&allocator] {
    allocator.show();
    allocator.measure();
  });
  connect(&allocator, &Allocator::changed, this, &BudgetBox::refresh);
  refresh();
}

QString BudgetBox::summary() const { return tr("%1 b/w").arg(value_->value(), 0, 'f', 2); }

void BudgetBox::refresh() {
  showing_ = true;
  const double budget = Allocator::of(workspace_).budget();
  slider_->setValue(int(std::lround(budget * steps_per_bit)));
  value_->setValue(budget);
  showing_ = false;
}

void BudgetBox::paintEvent(QPaintEvent* event) {
  QWidget::paintEvent(event);
  QPainter painter(this);
  painter.setFont(font_of_points(font(), 8));
  const Colours& c = colours();
  QStyleOptionSlider option;
  option.initFrom(slider_);
  const int handle = style()->pixelMetric(QStyle::PM_SliderLength, &option, slider_);
  const QRect track = slider_->geometry().adjusted(handle / 2, 0, -handle / 2, 0);
  int free_from = track.left() - 40;
  for (const auto& [name, bits] :
       std::initializer_list<std::pair<const char*, double>>{{"Q4_0", 4.5}, {"Q5_0", 5.5}, {"Q6_K", 6.5625}, {"Q8_0", 8.5}}) {
    const int x = track.left() + int((bits - lowest) / (highest - lowest) * track.width());
    painter.setPen(c.dim);
    painter.drawLine(x, track.bottom() - 2, x, track.bottom() + 3);
    const int width = painter.fontMetrics().horizontalAdvance(name);
    // Marks that are closer than their names stand without one.
    if (x - width / 2 < free_from) continue;
    painter.drawText(x - width / 2, track.bottom() + 3 + painter.fontMetrics().ascent(), name);
    free_from = x + width / 2 + 4;
  }
}

}  // namespace lrc::app

#include "panels/panel_widgets.h"

#include <QPaintEvent>
#include <QPainter>
#include <QStyle>
#include <QVBoxLayout>

#include "plot_style.h"
#include "widgets.h"

namespace lrc::app {

ElidedLabel::ElidedLabel(const QString& text, Qt::TextElideMode mode, QWidget* parent) : QWidget(parent), text_(text), mode_(mode) {
  setSizePolicy(QSizePolicy::Preferred, QSizePolicy::Fixed);
  setAccessibleName(text);
}

void ElidedLabel::setText(const QString& text) {
  if (text == text_) return;
  text_ = text;
  setAccessibleName(text);
  updateGeometry();
  updateTip();
  update();
}

void ElidedLabel::setBold(bool bold) {
  QFont changed = font();
  changed.setBold(bold);
  setFont(changed);
}

void ElidedLabel::setDim(bool dim) {
  dim_ = dim;
  update();
}

QSize ElidedLabel::sizeHint() const { return {fontMetrics().horizontalAdvance(text_) + 2, fontMetrics().height() + 2}; }
QSize ElidedLabel::minimumSizeHint() const { return {fontMetrics().averageCharWidth() * 3, fontMetrics().height() + 2}; }

void ElidedLabel::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  painter.setPen(dim_ ? colours().dim : palette().color(QPalette::WindowText));
  painter.drawText(rect(), Qt::AlignLeft | Qt::AlignVCenter, fontMetrics().elidedText(text_, mode_, width()));
}

void ElidedLabel::resizeEvent(QResizeEvent*) { updateTip(); }

void ElidedLabel::updateTip() { setToolTip(fontMetrics().horizontalAdvance(text_) > width() ? text_ : QString()); }

TitleControls::TitleControls(QWidget* parent) : QWidget(parent) {
  setObjectName("titleControls");
  row_ = new QHBoxLayout(this);
  row_->setContentsMargins(0, 0, 0, 0);
  row_->setSpacing(4);
  context_ = new ElidedLabel({}, Qt::ElideRight, this);
  context_->setDim(true);
  context_->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
  row_->addWidget(context_, 1);
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
}

void TitleControls::add(QWidget* control) { row_->addWidget(control, 0); }

Notice::Notice(QWidget* parent) : QWidget(parent) {
  auto* row = new QHBoxLayout(this);
  row->setContentsMargins(8, 4, 8, 4);
  row->setSpacing(8);
  label_ = new QLabel(this);
  label_->setWordWrap(true);
  label_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  label_->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Preferred);
  label_->setMinimumWidth(80);
  button_ = new QPushButton(this);
  row->addWidget(label_, 1);
  row->addWidget(button_, 0, Qt::AlignVCenter);
  connect(button_, &QPushButton::clicked, this, [this] {
    // A copy: what it does may well make the notice say something else, with another action.
    if (const auto action = action_) action();
  });
  clear();
}

void Notice::say(const QString& sentence, Tone tone, const QString& button, std::function<void()> action) {
  tone_ = tone;
  action_ = std::move(action);
  label_->setText(sentence);
  button_->setText(button);
  button_->setVisible(!button.isEmpty());
  setVisible(true);
  update();
}

void Notice::clear() {
  label_->clear();
  setVisible(false);
}

void Notice::paintEvent(QPaintEvent* event) {
  if (tone_ == Tone::plain) return;
  const Colours& c = colours();
  QPainter painter(this);
  painter.fillRect(event->rect(), tone_ == Tone::good ? c.ok_ground : tone_ == Tone::warning ? c.warn_ground : c.bad_ground);
}

SegmentSwitch::SegmentSwitch(const QString& accessible_name, QWidget* parent) : QWidget(parent) {
  setAccessibleName(accessible_name);
  group_ = new QButtonGroup(this);
  group_->setExclusive(true);
  row_ = new QHBoxLayout(this);
  row_->setContentsMargins(0, 0, 0, 0);
  row_->setSpacing(0);
  setSizePolicy(QSizePolicy::Maximum, QSizePolicy::Fixed);
  connect(group_, &QButtonGroup::idToggled, this, [this](int id, bool checked) {
    if (checked && on_change) on_change(id);
  });
}

void SegmentSwitch::addSegment(int id, const QString& text, const QString& tip) {
  auto* button = new SegmentButton(text, false, this);
  button->setToolTip(tip);
  button->setAccessibleName(accessibleName() + ": " + text);
  for (auto* earlier : group_->buttons()) static_cast<SegmentButton*>(earlier)->setLast(false);
  button->setLast(true);
  group_->addButton(button, id);
  row_->addWidget(button);
  if (group_->buttons().size() == 1) button->setChecked(true);
}

void SegmentSwitch::setCurrent(int id) {
  if (auto* button = group_->button(id)) button->setChecked(true);
}

void SegmentSwitch::setSegmentEnabled(int id, bool enabled, const QString& why) {
  if (auto* button = group_->button(id)) {
    button->setEnabled(enabled);
    if (!why.isNull()) button->setToolTip(why);
  }
}

ReadoutRow::ReadoutRow(QWidget* parent) : QWidget(parent) {
  grid_ = new QGridLayout(this);
  grid_->setContentsMargins(0, 0, 0, 0);
  grid_->setHorizontalSpacing(16);
  grid_->setVerticalSpacing(0);
}

int ReadoutRow::addCell(const QString& name, const QString& widest) {
  const int column = int(values_.size());
  auto* title = make_dim_label(name, this);
  title->setFont(font_of_points(font(), 8));
  auto* value = new QLabel(QStringLiteral("–"), this);
  value->setFont(font_of_points(font(), 10, true));
  value->setMinimumWidth(QFontMetrics(value->font()).horizontalAdvance(widest));
  value->setAccessibleName(name);
  value->setTextInteractionFlags(Qt::TextSelectableByMouse);
  grid_->setColumnStretch(column, 0);
  grid_->setColumnStretch(column + 1, 1);
  grid_->addWidget(title, 0, column);
  grid_->addWidget(value, 1, column);
  names_.push_back(title);
  values_.push_back(value);
  return column;
}

void ReadoutRow::setValue(int cell, const QString& value, const QString& tip) {
  values_[std::size_t(cell)]->setText(value);
  values_[std::size_t(cell)]->setToolTip(tip);
}

void ReadoutRow::setItalic(int cell, bool italic) {
  QLabel* value = values_[std::size_t(cell)];
  if (value->font().italic() == italic) return;
  QFont font = value->font();
  font.setItalic(italic);
  value->setFont(font);
}

void ReadoutRow::setCellVisible(int cell, bool visible) {
  names_[std::size_t(cell)]->setVisible(visible);
  values_[std::size_t(cell)]->setVisible(visible);
}

QToolButton* make_tool_button(const QString& object_name, const QString& text, const QString& tip, QWidget* parent) {
  auto* button = new QToolButton(parent);
  button->setObjectName(object_name);
  button->setText(text);
  button->setToolTip(tip);
  button->setAccessibleName(tip);
  button->setAutoRaise(true);
  return button;
}

void clear_layout(QLayout& layout) {
  while (QLayoutItem* item = layout.takeAt(0)) {
    if (QWidget* widget = item->widget()) {
      widget->hide();
      widget->setObjectName({});  // nobody finds it any more
      widget->deleteLater();
    }
    delete item;
  }
}

QLabel* make_dim_label(const QString& text, QWidget* parent) {
  auto* label = new QLabel(text, parent);
  label->setForegroundRole(dim_role);
  return label;
}

QFont font_of_points(const QFont& base, double points, bool bold) {
  QFont font = base;
  // Relative to the base of 9 points, so that a larger font of the program enlarges all.
  font.setPointSizeF(base.pointSizeF() > 0 ? base.pointSizeF() * points / 9.0 : points);
  font.setBold(bold);
  return font;
}

QVBoxLayout* make_panel_layout(QWidget* panel) {
  auto* layout = new QVBoxLayout(panel);
  layout->setContentsMargins(8, 4, 8, 8);
  layout->setSpacing(8);
  return layout;
}

QLabel* make_sentence(const QString& object_name, QWidget* parent) {
  auto* label = new QLabel(parent);
  label->setObjectName(object_name);
  label->setWordWrap(true);
  label->setTextFormat(Qt::RichText);
  label->setTextInteractionFlags(Qt::TextSelectableByMouse);
  label->setMinimumWidth(80);
  return label;
}

}  // namespace lrc::app

#include "panels/page_frame.h"

#include <QKeyEvent>

#include "panels/panel_widgets.h"

namespace lrc::app {

PageFrame::PageFrame(const char* object_name, const QString& accessible_name, QWidget* parent) : QWidget(parent) {
  setObjectName(object_name);
  setAccessibleName(accessible_name);
  auto* outer = new QHBoxLayout(this);
  outer->setContentsMargins(32, 32, 32, 16);
  outer->addStretch(1);
  column_ = new QVBoxLayout;
  column_->setSpacing(12);
  outer->addLayout(column_, 8);
  outer->addStretch(1);
}

QLabel* PageFrame::addTitle(const char* object_name, QWidget* before) {
  auto* row = new QHBoxLayout;
  row->setSpacing(8);
  if (before) row->addWidget(before);
  auto* title = new QLabel(this);
  title->setObjectName(object_name);
  title->setFont(font_of_points(font(), 14, true));
  title->setWordWrap(true);
  row->addWidget(title, 1);
  column_->addLayout(row);
  return title;
}

QLabel* PageFrame::addText(const char* object_name) {
  auto* text = new QLabel(this);
  text->setObjectName(object_name);
  text->setWordWrap(true);
  column_->addWidget(text);
  return text;
}

QHBoxLayout* PageFrame::buttons() {
  if (buttons_ == nullptr) {
    buttons_ = new QHBoxLayout;
    buttons_->setSpacing(8);
    column_->addLayout(buttons_);
  }
  return buttons_;
}

QPushButton* PageFrame::addButton(const char* object_name, const QString& text, std::function<void()> what) {
  auto* button = new QPushButton(text, this);
  button->setObjectName(object_name);
  button->setMinimumHeight(30);
  connect(button, &QPushButton::clicked, this, [what = std::move(what)] { what(); });
  buttons()->addWidget(button);
  return button;
}

void PageFrame::addButtonSpace() { buttons()->addStretch(1); }

void PageFrame::keyPressEvent(QKeyEvent* event) {
  if (event->key() == Qt::Key_Escape)
    leave();
  else
    QWidget::keyPressEvent(event);
}

}  // namespace lrc::app

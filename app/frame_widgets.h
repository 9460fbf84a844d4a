#pragma once
// Small widgets of the frame: the title bar of a dock, the badge of a slot.
#include <QWidget>

class QDockWidget;

namespace lrc::app {

/// 30 px: name, the panel's own context and controls, float, close. Mouse events pass through to the dock, which moves by them.
class DockTitle : public QWidget {
  Q_OBJECT
 public:
  DockTitle(QDockWidget* dock, const QString& title, QWidget* controls);
  // The dock gives the title what it asks for: no more and no less than its height.
  QSize sizeHint() const override { return {QWidget::sizeHint().width(), 30}; }
  QSize minimumSizeHint() const override { return {80, 30}; }

 protected:
  void paintEvent(QPaintEvent* event) override;
};

/// A or B in its colour and shape.
class SlotBadge : public QWidget {
  Q_OBJECT
 public:
  SlotBadge(bool is_a, QWidget* parent);

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  bool is_a_;
};

}  // namespace lrc::app

#pragma once
// The Budget section of the recipe: bits per weight to spend, and the way to the Allocator.
#include <QWidget>

class QDoubleSpinBox;
class QPushButton;
class QSlider;

namespace lrc::app {

class Workspace;

class BudgetBox : public QWidget {
 public:
  BudgetBox(Workspace& workspace, QWidget* parent);
  QString summary() const;

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  void refresh();
  Workspace& workspace_;
  QSlider* slider_;
  QDoubleSpinBox* value_;
  QPushButton* allocate_;
  bool showing_ = false;
};

}  // namespace lrc::app

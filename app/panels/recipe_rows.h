#pragma once
// What a field of the recipe is built from: exclusive numbers, the mark of an override, and a guard that leaves the wheel to the panel.
#include <QWidget>
#include <vector>

class QToolButton;

namespace lrc::app {

/// Exclusive numbers in one frame; none is checked when the value is mixed or not among them.
class NumberBar : public QWidget {
  Q_OBJECT
 public:
  NumberBar(const QString& accessible_name, const std::vector<int>& numbers, QWidget* parent);
  void setValue(int value);  ///< −1: none

 signals:
  void chosen(int value);

 private:
  std::vector<std::pair<int, QToolButton*>> buttons_;
};

/// The bar beside a field that the selection has for itself.
class OverrideMark : public QWidget {
  Q_OBJECT
 public:
  explicit OverrideMark(QWidget* parent);
  void setOn(bool on);

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  bool on_ = false;
};

}  // namespace lrc::app

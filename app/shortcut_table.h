#pragma once
// The shortcuts of a window's actions, to be changed: a new one is taken at once unless another action has it.
#include <QWidget>

class QTableWidget;

namespace lrc::app {

class ShortcutTable : public QWidget {
  Q_OBJECT
 public:
  ShortcutTable(QWidget& window, QWidget* parent);
  /// Hides the rows without these words.
  void filter(const QString& words);

 private:
  void fill();
  void choose(class QAction* action, const class QKeySequence& keys);
  QWidget& window_;
  QTableWidget* table_;
  class QLabel* conflict_;
};

}  // namespace lrc::app

#pragma once
// "What would help": variants of one layer with their error, what they cost, and a button that writes them into the draft. Worked out on
// the query lane once the selection has rested for a moment, and dropped when it moves on.
#include <QTimer>
#include <QWidget>

#include "workspace.h"

class QGridLayout;
class QLabel;
class QPushButton;

namespace lrc::app {

class HelpTable : public QWidget {
 public:
  HelpTable(Workspace& workspace, QWidget* parent);
  void setLayer(int layer);  ///< −1: none, what is under way is stopped

 protected:
  void keyPressEvent(QKeyEvent* event) override;

 private:
  void ask();
  void refresh();

  Workspace& workspace_;
  int layer_ = -1;
  QTimer rest_;
  QGridLayout* grid_;
  QLabel* remark_;
  QPushButton* walk_;
};

}  // namespace lrc::app

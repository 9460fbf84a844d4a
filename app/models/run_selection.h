#pragma once
// Which run is looked at (not A, not B): Runs, Run detail and Trade-off share it. One object a workspace, its child.
#include <QObject>

namespace lrc::app {

class RunSelection : public QObject {
  Q_OBJECT
 public:
  static RunSelection& of(QObject& workspace);  ///< made at first use
  int current() const { return number_; }       ///< 0: none
  void select(int number);

 signals:
  void changed(int number);

 private:
  explicit RunSelection(QObject* parent) : QObject(parent) {}
  int number_ = 0;
};

}  // namespace lrc::app

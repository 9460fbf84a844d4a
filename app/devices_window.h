#pragma once
// What can compute here: what each device is, whether its kernels agree with their definition, and how fast it is.
#include <QDialog>
#include <map>

#include "backend/self_test.h"

class QLabel;
class QPushButton;
class QTreeWidget;

namespace lrc::app {

class Workspace;

class DevicesWindow : public QDialog {
  Q_OBJECT
 public:
  DevicesWindow(Workspace& workspace, QWidget* parent);
  QString report() const;  ///< as text, for the clipboard

 private:
  void fill();
  void test();
  void testNext(std::size_t index);

  Workspace& workspace_;
  QLabel* sentence_;
  QTreeWidget* list_;
  QPushButton* test_;
  std::map<std::string, DeviceCheck> checks_;  ///< by id
};

}  // namespace lrc::app

#pragma once
// Gives copied settings to other layers: which fields, to which layers; one undo step.
#include <QFrame>

#include "models/layer_settings.h"

class QButtonGroup;
class QCheckBox;
class QLabel;
class QLineEdit;
class QPushButton;

namespace lrc::app {

class Workspace;

class PasteSettings : public QFrame {
  Q_OBJECT
 public:
  PasteSettings(Workspace& workspace, CopiedSettings settings, QWidget* parent);

 private:
  PasteTarget target() const;
  std::vector<SettingField> fields() const;
  void follow();
  void paste();

  Workspace& workspace_;
  CopiedSettings settings_;
  std::vector<std::pair<SettingField, QCheckBox*>> fields_;
  QButtonGroup* targets_;
  QLineEdit* pattern_;
  QLabel* outcome_;
  QPushButton* paste_;
};

}  // namespace lrc::app

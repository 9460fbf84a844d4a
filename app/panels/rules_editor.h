#pragma once
// The rules of the draft: an ordered list with hit counts, and a line that takes the text of `--set`.
#include <QWidget>

#include "run/recipe.h"

class QLabel;
class QLineEdit;
class QListWidget;
class QToolButton;

namespace lrc::app {

class Workspace;

class RulesEditor : public QWidget {
 public:
  RulesEditor(Workspace& workspace, QWidget* parent);
  void refresh();
  QString summary() const;

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  std::vector<Override> rules() const;
  void write(const QString& name, const std::vector<Override>& rules, int current);
  void takeText();
  void move(int by);
  void remove();
  void showCurrent();

  Workspace& workspace_;
  QListWidget* list_;
  QLineEdit* text_;
  QLabel* problem_;
  QToolButton *remove_, *up_, *down_;
  bool showing_ = false;
};

}  // namespace lrc::app

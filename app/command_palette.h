#pragma once
// One box for layers, runs and commands. The line edit sits in the toolbar; the list drops below it.
#include <QFrame>
#include <QLineEdit>
#include <QListWidget>
#include <functional>
#include <vector>

namespace lrc::app {

class Workspace;

class CommandPalette : public QFrame {
  Q_OBJECT
 public:
  /// `window` owns the actions that are listed; the list is its child and lies above everything else.
  CommandPalette(Workspace& workspace, QWidget* window, QLineEdit* field);
  void open(const QString& start = {});

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  struct Entry {
    QString name, fact, shortcut;
    QChar prefix;  ///< '@' layer, '#' run, '>' command
    std::function<void()> action;
  };
  void collect();
  void filter(const QString& text);
  void choose();
  void dismiss();

  Workspace& workspace_;
  QWidget* window_;
  QLineEdit* field_;
  QListWidget* list_;
  std::vector<Entry> entries_;
  std::vector<std::size_t> shown_;
};

}  // namespace lrc::app

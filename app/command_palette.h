#pragma once
// One box for layers, runs, commands, settings and terms. The line edit sits in the toolbar; the list drops below it.
#include <QFrame>
#include <QLineEdit>
#include <QListWidget>
#include <functional>
#include <optional>
#include <vector>

namespace lrc::app {

class Workspace;

class CommandPalette : public QFrame {
  Q_OBJECT
 public:
  /// `window` owns the actions that are listed; the list is its child and lies above everything else.
  CommandPalette(Workspace& workspace, QWidget* window, QLineEdit* field);
  void open(const QString& start = {});

 signals:
  void fontScaleAsked(int per_cent);
  void themeAsked(const QString& theme);
  void termAsked(const QString& term);

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  struct Entry {
    QString name, fact, shortcut;
    QChar prefix;  ///< '@' layer, '#' run, '>' command, ':' setting, '?' term
    std::function<void()> action;
  };
  void collect();
  void collect_layers();
  void add_rank_command(const QString& text);
  void filter(const QString& text);
  void choose();
  void dismiss();

  Workspace& workspace_;
  QWidget* window_;
  QLineEdit* field_;
  QListWidget* list_;
  std::vector<Entry> entries_;
  std::optional<std::size_t> made_;  ///< the entry made from what is typed
  std::vector<std::size_t> shown_;
  QStringList recent_;  ///< names chosen lately, the latest first
};

}  // namespace lrc::app

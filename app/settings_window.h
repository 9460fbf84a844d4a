#pragma once
// Everything that is chosen once and kept: applied at once, each with its own way back, found by a search.
#include <QDialog>
#include <functional>
#include <vector>

class QLineEdit;
class QVBoxLayout;

namespace lrc::app {

class Workspace;

class SettingsWindow : public QDialog {
  Q_OBJECT
 public:
  /// `set_theme` and `set_font_scale` are the window's own, so that menu and settings do the same.
  SettingsWindow(Workspace& workspace, QWidget* parent, std::function<void(const QString&)> set_theme,
                 std::function<void(int)> set_font_scale);

 private:
  struct Row {
    QWidget* widget;
    QWidget* section;
    QString words;
  };
  QVBoxLayout* addSection(const QString& title);
  /// A label, its control, and ↺ where the value is not the default.
  void addRow(const QString& label, const QString& tip, QWidget* control, QWidget* reset);
  void addChoice(const char* key, const QString& label, const QString& tip,
                 const std::vector<std::pair<QString, QString>>& values_and_texts, const QString& standard,
                 std::function<void(const QString&)> apply);
  void addNumber(const char* key, const QString& label, const QString& tip, double least, double most, double step, int decimals,
                 const QString& suffix, const QString& text_for_least, double standard, std::function<void(double)> apply);
  void addToggle(const char* key, const QString& label, const QString& tip, bool standard, std::function<void(bool)> apply);
  void addText(const QString& text);
  void addFolders();
  void addDevices();
  void addChat();
  void addShortcuts();
  void measureCache();
  void filter(const QString& words);
  QWidget* makeReset(const char* key, const QString& label);

  Workspace& workspace_;
  QLineEdit* search_;
  QVBoxLayout* column_;
  QWidget* section_ = nullptr;
  QVBoxLayout* section_layout_ = nullptr;
  QString section_title_;
  class QLabel *cache_size_ = nullptr, *nothing_ = nullptr;
  std::vector<Row> rows_;
};

/// Threads, motion and the map's palette as they were chosen: at the start of the program.
void apply_saved_settings();
/// Shortcuts as they were chosen, over those that the actions were made with.
void apply_saved_shortcuts(QWidget& window);

}  // namespace lrc::app

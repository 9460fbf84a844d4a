#pragma once
// The frame: menus, toolbar, docks by perspective, banners, status bar. Knows panels by their factories only; no domain logic.
#include <QMainWindow>
#include <deque>
#include <map>

#include "workspace.h"

class QComboBox;
class QDockWidget;
class QLabel;
class QLineEdit;
class QStackedWidget;
class QToolBar;

namespace lrc::app {

class CommandPalette;
class Notice;
class SegmentSwitch;
class StatusBar;

class MainWindow : public QMainWindow {
  Q_OBJECT
 public:
  explicit MainWindow(Workspace& workspace);
  ~MainWindow() override;
  QSize minimumSizeHint() const override { return {600, 400}; }

 protected:
  void closeEvent(QCloseEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void dragEnterEvent(QDragEnterEvent* event) override;
  void dragLeaveEvent(QDragLeaveEvent* event) override;
  void dropEvent(QDropEvent* event) override;

 private:
  struct Banner {
    QString text, button;
    std::function<void()> action, dismissed;
  };
  void make_docks();
  void make_central();
  void make_toolbar();
  void make_banners();
  void make_menus();
  QAction* add_action(QMenu* menu, const char* object_name, const QString& text, const QKeySequence& keys, std::function<void()> what);
  QDockWidget* add_dock(const char* object_name, const QString& title, QWidget* panel);

  void show_perspective();
  void build_layout(Perspective perspective);
  void keep_layout();
  void load_layouts();
  void save_layouts();
  void reset_layout();
  void lock_layout(bool locked);
  void fill_slots();
  void fill_recent();
  void update_actions();
  void update_title();
  void show_next_banner();
  void show_open_failure(const QString& path);
  void end_open_failure();
  void next_panel(int step);
  void show_shortcuts();
  void show_about();
  void show_glossary(const QString& term);
  void show_settings();
  void show_devices();
  void set_font_scale(int per_cent);
  void set_theme(const QString& theme);
  bool may_discard();
  bool save_session(bool ask_for_name);

  Workspace& workspace_;
  QStackedWidget* central_ = nullptr;
  QWidget *start_ = nullptr, *chat_ = nullptr, *export_ = nullptr, *report_ = nullptr, *too_large_ = nullptr;
  std::vector<QDockWidget*> docks_;
  std::map<QString, QDockWidget*> dock_by_name_;
  std::map<Perspective, QByteArray> layouts_;
  std::map<Perspective, std::vector<std::pair<QDockWidget*, QSize>>> dock_sizes_;  // of this session, to the pixel
  std::map<Perspective, QSize> window_sizes_;                                      // that they belong to
  std::optional<Perspective> shown_;
  bool reporting_ = false;  ///< the page on what could not be opened stands over everything else
  SegmentSwitch* perspectives_ = nullptr;
  QComboBox *slot_a_ = nullptr, *slot_b_ = nullptr;
  QToolBar* toolbar_ = nullptr;
  std::vector<QAction*> slot_actions_;  // of the toolbar: hidden while nothing is open
  QToolBar* banner_bar_ = nullptr;
  Notice* banner_ = nullptr;
  std::deque<Banner> banners_;
  StatusBar* status_ = nullptr;
  CommandPalette* palette_ = nullptr;
  QLineEdit* jump_ = nullptr;
  QMenu* recent_menu_ = nullptr;
  QLabel* drop_line_ = nullptr;
  std::map<QString, QAction*> actions_;
  double base_points_ = 9;
};

/// Whether the desktop's own colours are dark; asked before the program sets its own.
bool system_is_dark();
/// Applies the theme that the settings hold ("system", "light", "dark").
void apply_saved_theme();

}  // namespace lrc::app

// Docks, perspectives and their layouts.
#include <QApplication>
#include <QDockWidget>
#include <QSettings>
#include <QStackedWidget>
#include <QToolBar>

#include "frame_widgets.h"
#include "main_window.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"

namespace lrc::app {

namespace {

constexpr int layout_version = 1;

QString layout_key(Perspective perspective) { return QString("layouts/%1").arg(int(perspective)); }

}  // namespace

QDockWidget* MainWindow::add_dock(const char* object_name, const QString& title, QWidget* panel) {
  auto* dock = new QDockWidget(title, this);
  dock->setObjectName(object_name);
  auto* controls = panel->findChild<QWidget*>("titleControls");
  dock->setTitleBarWidget(new DockTitle(dock, title, controls));
  dock->setWidget(panel);
  dock->setAccessibleName(title);
  addDockWidget(Qt::LeftDockWidgetArea, dock);
  dock->hide();
  docks_.push_back(dock);
  dock_by_name_[object_name] = dock;
  return dock;
}

void MainWindow::make_docks() {
  add_dock("layersDock", tr("Layers"), make_layers_panel(workspace_, this));
  add_dock("spectrumDock", tr("Spectrum"), make_spectrum_panel(workspace_, this));
  add_dock("errorsDock", tr("Errors"), make_errors_panel(workspace_, this));
  add_dock("recipeDock", tr("Recipe"), make_recipe_panel(workspace_, this));
  add_dock("runsDock", tr("Runs"), make_runs_panel(workspace_, this));
  add_dock("runDetailDock", tr("Run"), make_run_detail_panel(workspace_, this));
  add_dock("tradeoffDock", tr("Trade-off"), make_tradeoff_panel(workspace_, this));
  add_dock("compareDock", tr("Compare"), make_compare_panel(workspace_, this));
  QDockWidget* log = add_dock("logDock", tr("Log"), make_log_panel(workspace_, this));
  addDockWidget(Qt::BottomDockWidgetArea, log);
  log->hide();
}

void MainWindow::make_central() {
  central_ = new QStackedWidget(this);
  central_->setMinimumSize(0, 0);
  start_ = make_start_page(workspace_, central_);
  chat_ = make_chat_panel(workspace_, central_);
  export_ = make_export_panel(workspace_, central_);
  report_ = make_open_report_page(workspace_, central_);
  too_large_ = make_too_large_page(workspace_, central_);
  central_->addWidget(start_);
  central_->addWidget(chat_);
  central_->addWidget(export_);
  central_->addWidget(report_);
  central_->addWidget(too_large_);
  setCentralWidget(central_);
}

void MainWindow::build_layout(Perspective perspective) {
  for (QDockWidget* dock : docks_) {
    dock->setFloating(false);
    if (dock != dock_by_name_["logDock"]) removeDockWidget(dock);
  }
  const auto dock = [this](const char* object_name) { return dock_by_name_[object_name]; };
  if (perspective == Perspective::explore) {
    addDockWidget(Qt::LeftDockWidgetArea, dock("layersDock"));
    splitDockWidget(dock("layersDock"), dock("spectrumDock"), Qt::Horizontal);
    splitDockWidget(dock("spectrumDock"), dock("recipeDock"), Qt::Horizontal);
    splitDockWidget(dock("spectrumDock"), dock("errorsDock"), Qt::Vertical);
    for (const char* shown : {"layersDock", "spectrumDock", "errorsDock", "recipeDock"}) dock(shown)->show();
    const int recipe = 304, rest = std::max(400, width() - recipe - 10);
    resizeDocks({dock("layersDock"), dock("spectrumDock"), dock("recipeDock")}, {rest * 54 / 100, rest * 46 / 100, recipe}, Qt::Horizontal);
    resizeDocks({dock("spectrumDock"), dock("errorsDock")}, {62, 38}, Qt::Vertical);
  } else if (perspective == Perspective::run) {
    addDockWidget(Qt::LeftDockWidgetArea, dock("runsDock"));
    splitDockWidget(dock("runsDock"), dock("tradeoffDock"), Qt::Horizontal);
    splitDockWidget(dock("runsDock"), dock("runDetailDock"), Qt::Vertical);
    splitDockWidget(dock("tradeoffDock"), dock("compareDock"), Qt::Vertical);
    for (const char* shown : {"runsDock", "runDetailDock", "tradeoffDock", "compareDock"}) dock(shown)->show();
    resizeDocks({dock("runsDock"), dock("tradeoffDock")}, {57, 43}, Qt::Horizontal);
    resizeDocks({dock("runsDock"), dock("runDetailDock")}, {45, 55}, Qt::Vertical);
    resizeDocks({dock("tradeoffDock"), dock("compareDock")}, {55, 45}, Qt::Vertical);
  }
}

void MainWindow::keep_layout() {
  if (!shown_) return;
  layouts_[*shown_] = saveState(layout_version);
  auto& sizes = dock_sizes_[*shown_];
  sizes.clear();
  window_sizes_[*shown_] = size();
  for (QDockWidget* dock : docks_)
    if (dock->isVisible() && !dock->isFloating()) sizes.emplace_back(dock, dock->size());
}

namespace {

/// restoreState() shows the tab bars of stacked docks one by one, and each show would lay the window out anew, which changes the set of
/// tab bars under its feet (Qt 6.4): the layout rests meanwhile.
bool restore_docks(QMainWindow& window, const QByteArray& state, int version) {
  window.layout()->setEnabled(false);
  const bool restored = window.restoreState(state, version);
  window.layout()->setEnabled(true);
  window.layout()->activate();
  return restored;
}

}  // namespace

void MainWindow::show_perspective() {
  const Perspective perspective = workspace_.perspective();
  const bool has_model = workspace_.hasModel();
  keep_layout();
  setUpdatesEnabled(false);
  // A page that waits for an answer stands over everything else.
  const bool deciding = workspace_.tooLarge().has_value(), covered = reporting_ || deciding;
  const bool docked = has_model && !covered && (perspective == Perspective::explore || perspective == Perspective::run);
  const bool log_shown = dock_by_name_["logDock"]->isVisible();
  if (docked) {
    central_->hide();
    const auto kept = layouts_.find(perspective);
    if (!shown_ || *shown_ != perspective) {
      // What the kept layout does not name stays hidden.
      for (QDockWidget* dock : docks_)
        if (dock != dock_by_name_["logDock"]) dock->hide();
      if (kept == layouts_.end() || !restore_docks(*this, kept->second, layout_version)) build_layout(perspective);
      dock_by_name_["logDock"]->setVisible(log_shown);
      // A state holds proportions; going to and fro must not move a splitter by a pixel.
      if (kept != layouts_.end() && window_sizes_[perspective] == size()) {
        QList<QDockWidget*> docks;
        QList<int> widths, heights;
        for (const auto& [dock, size] : dock_sizes_[perspective]) {
          docks << dock;
          widths << size.width();
          heights << size.height();
        }
        resizeDocks(docks, widths, Qt::Horizontal);
        resizeDocks(docks, heights, Qt::Vertical);
      }
    }
    shown_ = perspective;
  } else {
    for (QDockWidget* dock : docks_)
      if (dock != dock_by_name_["logDock"]) dock->hide();
    shown_.reset();
    central_->setCurrentWidget(deciding                           ? too_large_
                               : reporting_                       ? report_
                               : !has_model                       ? start_
                               : perspective == Perspective::chat ? chat_
                                                                  : export_);
    central_->show();
  }
  toolbar_->show();
  banner_bar_->setVisible(!banners_.empty());
  perspectives_->setEnabled(has_model);
  perspectives_->setCurrent(int(perspective));
  for (QAction* action : slot_actions_) action->setVisible(has_model);
  setUpdatesEnabled(true);
  // Docks that became windows of their own meanwhile are left out by that.
  for (QDockWidget* dock : docks_) dock->setUpdatesEnabled(true);
  update_actions();
  // The keys act where the eye is, not on what was hidden.
  if (has_model && !covered) {
    const char* first[] = {"layersTable", "runsTable", "chatInput", "targetList"};
    if (auto* widget = findChild<QWidget*>(first[int(perspective)])) widget->setFocus(Qt::OtherFocusReason);
  }
}

void MainWindow::reset_layout() {
  if (!shown_) return;
  layouts_.erase(*shown_);
  QSettings().remove(layout_key(*shown_));
  build_layout(*shown_);
}

void MainWindow::lock_layout(bool locked) {
  for (QDockWidget* dock : docks_)
    dock->setFeatures(locked ? QDockWidget::DockWidgetClosable
                             : QDockWidget::DockWidgetClosable | QDockWidget::DockWidgetMovable | QDockWidget::DockWidgetFloatable);
}

void MainWindow::next_panel(int step) {
  std::vector<QWidget*> panels;
  for (QDockWidget* dock : docks_)
    if (dock->isVisible()) panels.push_back(dock->widget());
  if (central_->isVisible()) panels.push_back(central_->currentWidget());
  if (panels.empty()) return;
  int at = -1;
  for (std::size_t i = 0; i < panels.size(); ++i)
    if (panels[i]->isAncestorOf(QApplication::focusWidget()) || panels[i] == QApplication::focusWidget()) at = int(i);
  const int count = int(panels.size());
  QWidget* next = panels[std::size_t(((at < 0 ? (step > 0 ? 0 : count - 1) : at + step) + count) % count)];
  for (QWidget* child : next->findChildren<QWidget*>())
    if (child->isVisible() && child->isEnabled() && (child->focusPolicy() & Qt::TabFocus)) return child->setFocus(Qt::TabFocusReason);
}

void MainWindow::load_layouts() {
  for (const Perspective perspective : {Perspective::explore, Perspective::run}) {
    const QByteArray kept = QSettings().value(layout_key(perspective)).toByteArray();
    if (!kept.isEmpty()) layouts_[perspective] = kept;
  }
}

void MainWindow::save_layouts() {
  keep_layout();
  for (const auto& [perspective, state] : layouts_) QSettings().setValue(layout_key(perspective), state);
}

}  // namespace lrc::app

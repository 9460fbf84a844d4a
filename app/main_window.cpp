#include "main_window.h"

#include <QApplication>
#include <QCloseEvent>
#include <QDockWidget>
#include <QFileInfo>
#include <QLabel>
#include <QMimeData>
#include <QScreen>
#include <QSettings>
#include <QStackedWidget>

#include "models/layer_lab.h"
#include "models/notebook.h"
#include "panels/panels.h"
#include "plot_style.h"
#include "settings_window.h"
#include "status_bar.h"
#include "widgets.h"

namespace lrc::app {

namespace {

bool desktop_is_dark = false;

}  // namespace

bool system_is_dark() { return QApplication::palette().color(QPalette::Window).lightness() < 128; }

void apply_saved_theme() {
  static const bool asked = [] {
    desktop_is_dark = system_is_dark();
    return true;
  }();
  Q_UNUSED(asked);
  const QString theme = QSettings().value("theme", "system").toString();
  set_dark(theme == "dark" || (theme == "system" && desktop_is_dark));
}

MainWindow::MainWindow(Workspace& workspace) : workspace_(workspace) {
  setObjectName("mainWindow");
  setAcceptDrops(true);
  setDockNestingEnabled(true);
  setDockOptions(QMainWindow::AllowNestedDocks | QMainWindow::AllowTabbedDocks);
  setTabPosition(Qt::AllDockWidgetAreas, QTabWidget::North);
  base_points_ = QApplication::font().pointSizeF();
  qApp->installEventFilter(new WheelGuard(this));
  make_central();
  make_docks();
  make_menus();
  apply_saved_settings();
  apply_saved_shortcuts(*this);
  make_toolbar();
  make_banners();
  status_ = new StatusBar(workspace_, this);
  setStatusBar(status_);
  connect(status_, &StatusBar::runAsked, this, [this] {
    if (workspace_.hasModel()) workspace_.setPerspective(Perspective::run);
  });
  connect(status_, &StatusBar::logAsked, this, [this] {
    QDockWidget* log = dock_by_name_["logDock"];
    log->setVisible(!log->isVisible());
  });
  connect(status_, &StatusBar::devicesAsked, this, &MainWindow::show_devices);
  connect(status_, &StatusBar::memoryAsked, this, [this] {
    if (workspace_.hasModel()) workspace_.setPerspective(Perspective::explore);
  });
  drop_line_ = new QLabel(this);
  drop_line_->setObjectName("dropLine");
  drop_line_->setAlignment(Qt::AlignCenter);
  drop_line_->setAutoFillBackground(true);
  drop_line_->setFrameShape(QFrame::Box);
  drop_line_->hide();

  for (const auto signal : {&Workspace::perspectiveChanged, &Workspace::modelOpened})
    connect(&workspace_, signal, this, [this] {
      reporting_ = false;
      show_perspective();
    });
  connect(&workspace_, &Workspace::runsChanged, this, &MainWindow::fill_slots);
  connect(&Notebook::of(workspace_), &Notebook::changed, this, &MainWindow::fill_slots);
  connect(&Notebook::of(workspace_), &Notebook::changed, this, &MainWindow::update_title);
  connect(&workspace_, &Workspace::slotsChanged, this, &MainWindow::fill_slots);
  connect(&workspace_, &Workspace::openFailed, this, &MainWindow::show_open_failure);
  for (const auto signal : {&Workspace::openedTooLarge, &Workspace::openingDecided})
    connect(&workspace_, signal, this, [this] { show_perspective(); });
  connect(&workspace_, &Workspace::openFailureDismissed, this, &MainWindow::end_open_failure);
  connect(&workspace_, &Workspace::bannerRequested, this,
          [this](const QString& text, const QString& button, std::function<void()> action, std::function<void()> dismissed) {
            banners_.push_back({text, button, std::move(action), std::move(dismissed)});
            if (banners_.size() > 20) banners_.pop_front();
            show_next_banner();
          });
  connect(&workspace_, &Workspace::recentFilesChanged, this, &MainWindow::fill_recent);
  for (const auto signal :
       {&Workspace::modelOpened, &Workspace::draftChanged, &Workspace::selectionChanged, &Workspace::slotsChanged, &Workspace::runsChanged,
        &Workspace::perspectiveChanged, &Workspace::measureProgress, &Workspace::measuredChanged}) {
    connect(&workspace_, signal, this, &MainWindow::update_actions);
  }
  connect(&LayerLab::of(workspace_), &LayerLab::progressChanged, this, &MainWindow::update_actions);
  connect(&workspace_, &Workspace::draftChanged, this, &MainWindow::update_title);
  connect(&workspace_, &Workspace::modelOpened, this, &MainWindow::update_title);

  load_layouts();
  set_font_scale(QSettings().value("fontScale", 100).toInt());
  // 1440 × 900 where the screen has room for it and the window's frame.
  const QSize room = screen() ? screen()->availableSize() - QSize(16, 40) : QSize(1440, 900);
  resize(QSize(1440, 900).boundedTo(room));
  if (const QByteArray geometry = QSettings().value("geometry").toByteArray(); !geometry.isEmpty()) restoreGeometry(geometry);
  fill_slots();
  fill_recent();
  update_title();
  show_perspective();
}

// An open editor hands over what it holds while everything is still there.
MainWindow::~MainWindow() { hide(); }

void MainWindow::show_open_failure(const QString& path) {
  if (!QFileInfo::exists(path)) workspace_.forgetRecentFile(path);
  reporting_ = true;
  show_perspective();
}

void MainWindow::end_open_failure() {
  if (!reporting_) return;
  reporting_ = false;
  show_perspective();
}

// ---- Drag and drop -----------------------------------------------------------------------------------------------------

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
  const auto urls = event->mimeData()->urls();
  if (urls.isEmpty() || !urls.front().isLocalFile()) return;
  drop_line_->setText(workspace_.describeDrop(urls.front().toLocalFile()));
  drop_line_->setGeometry(rect().center().x() - std::min(width() - 32, 720) / 2, 84, std::min(width() - 32, 720), 40);
  drop_line_->show();
  drop_line_->raise();
  event->acceptProposedAction();
}

void MainWindow::dragLeaveEvent(QDragLeaveEvent*) { drop_line_->hide(); }

void MainWindow::dropEvent(QDropEvent* event) {
  drop_line_->hide();
  const auto urls = event->mimeData()->urls();
  if (urls.isEmpty()) return;
  event->acceptProposedAction();
  workspace_.drop(urls.front().toLocalFile());
}

// ---- Closing -----------------------------------------------------------------------------------------------------------

void MainWindow::closeEvent(QCloseEvent* event) {
  if (!may_discard()) {
    event->ignore();
    return;
  }
  save_layouts();
  QSettings().setValue("geometry", saveGeometry());
  event->accept();
}

void MainWindow::update_title() {
  QStringList parts;
  if (!workspace_.sessionFile().isEmpty()) parts << QFileInfo(workspace_.sessionFile()).fileName() + (workspace_.isModified() ? "*" : "");
  if (workspace_.hasModel()) parts << QString::fromStdString(workspace_.model()->display_name());
  parts << tr("LRC Workbench");
  setWindowTitle(parts.join(" — "));
}

}  // namespace lrc::app

#include "main_window.h"

#include <QApplication>
#include <QClipboard>
#include <QCloseEvent>
#include <QComboBox>
#include <QDockWidget>
#include <QFileDialog>
#include <QLineEdit>
#include <QMessageBox>
#include <QMimeData>
#include <QPainter>
#include <QSettings>
#include <QStackedWidget>
#include <QToolBar>
#include <QVBoxLayout>

#include "command_palette.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "plot_style.h"
#include "status_bar.h"
#include "widgets.h"

namespace lrc::app {

namespace {

constexpr int layout_version = 1;
bool desktop_is_dark = false;

/// 26 px: name, the panel's own context and controls, float, close. Mouse events pass through to the dock, which moves by them.
class DockTitle : public QWidget {
 public:
  DockTitle(QDockWidget* dock, const QString& title, QWidget* controls) : QWidget(dock) {
    setFixedHeight(30);
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(8, 2, 4, 2);
    row->setSpacing(8);
    auto* name = new QLabel(title, this);
    name->setFont(font_of_points(font(), 9, true));
    row->addWidget(name);
    if (controls) {
      row->addWidget(controls, 1);
    } else {
      row->addStretch(1);
    }
    auto* buttons = new QHBoxLayout;
    buttons->setSpacing(0);
    auto* floating = new IconButton("float", QObject::tr("Float or dock %1").arg(title), this);
    auto* close = new IconButton("close", QObject::tr("Close %1").arg(title), this);
    buttons->addWidget(floating);
    buttons->addWidget(close);
    row->addLayout(buttons);
    connect(floating, &QToolButton::clicked, dock, [dock] { dock->setFloating(!dock->isFloating()); });
    connect(close, &QToolButton::clicked, dock, &QDockWidget::close);
  }
  QSize minimumSizeHint() const override { return {80, 30}; }

 protected:
  void paintEvent(QPaintEvent*) override {
    QPainter painter(this);
    painter.fillRect(rect(), is_dark() ? QColor("#2f3236") : QColor("#e2e5e9"));
  }
};

/// A or B in its colour and shape.
class SlotBadge : public QWidget {
 public:
  SlotBadge(bool is_a, QWidget* parent) : QWidget(parent), is_a_(is_a) {
    setFixedSize(22, 22);
    setToolTip(is_a ? QObject::tr("A, the reference ●") : QObject::tr("B, the candidate ◆"));
  }

 protected:
  void paintEvent(QPaintEvent*) override {
    QPainter painter(this);
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setPen(Qt::NoPen);
    painter.setBrush(is_a_ ? colours().a_fill : colours().b_fill);
    painter.drawRoundedRect(QRectF(rect()).adjusted(2, 2, -2, -2), 2, 2);
    painter.setPen(is_dark() ? QColor("#14171a") : QColor("#ffffff"));
    painter.setFont(font_of_points(font(), 9, true));
    painter.drawText(rect(), Qt::AlignCenter, is_a_ ? "A" : "B");
  }

 private:
  bool is_a_;
};

QString layout_key(Perspective perspective) { return QString("layouts/%1").arg(int(perspective)); }

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
  make_central();
  make_docks();
  make_menus();
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
  connect(status_, &StatusBar::memoryAsked, this, [this] {
    if (workspace_.hasModel()) workspace_.setPerspective(Perspective::explore);
  });
  drop_line_ = new QLabel(this);
  drop_line_->setObjectName("dropLine");
  drop_line_->setAlignment(Qt::AlignCenter);
  drop_line_->setAutoFillBackground(true);
  drop_line_->setFrameShape(QFrame::Box);
  drop_line_->hide();

  connect(&workspace_, &Workspace::perspectiveChanged, this, &MainWindow::show_perspective);
  connect(&workspace_, &Workspace::modelOpened, this, &MainWindow::show_perspective);
  connect(&workspace_, &Workspace::runsChanged, this, &MainWindow::fill_slots);
  connect(&workspace_, &Workspace::slotsChanged, this, &MainWindow::fill_slots);
  connect(&workspace_, &Workspace::openFailed, this, &MainWindow::show_open_failure);
  connect(&workspace_, &Workspace::bannerRequested, this, [this](const QString& text, const QString& button, std::function<void()> action) {
    banners_.push_back({text, button, std::move(action)});
    if (banners_.size() > 20) banners_.pop_front();
    show_next_banner();
  });
  connect(&workspace_, &Workspace::recentFilesChanged, this, &MainWindow::fill_recent);
  for (const auto signal :
       {&Workspace::modelOpened, &Workspace::draftChanged, &Workspace::selectionChanged, &Workspace::slotsChanged, &Workspace::runsChanged,
        &Workspace::perspectiveChanged, &Workspace::measureProgress, &Workspace::measuredChanged}) {
    connect(&workspace_, signal, this, &MainWindow::update_actions);
  }
  connect(&workspace_, &Workspace::draftChanged, this, &MainWindow::update_title);
  connect(&workspace_, &Workspace::modelOpened, this, &MainWindow::update_title);

  for (const Perspective perspective : {Perspective::explore, Perspective::run}) {
    const QByteArray kept = QSettings().value(layout_key(perspective)).toByteArray();
    if (!kept.isEmpty()) layouts_[perspective] = kept;
  }
  set_font_scale(QSettings().value("fontScale", 100).toInt());
  resize(1440, 900);
  if (const QByteArray geometry = QSettings().value("geometry").toByteArray(); !geometry.isEmpty()) restoreGeometry(geometry);
  fill_slots();
  fill_recent();
  update_title();
  show_perspective();
}

MainWindow::~MainWindow() = default;

// ---- Docks and perspectives --------------------------------------------------------------------------------------------

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
  central_->addWidget(start_);
  central_->addWidget(chat_);
  central_->addWidget(export_);
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
  for (QDockWidget* dock : docks_)
    if (dock->isVisible() && !dock->isFloating()) sizes.emplace_back(dock, dock->size());
}

void MainWindow::show_perspective() {
  const Perspective perspective = workspace_.perspective();
  const bool has_model = workspace_.hasModel();
  keep_layout();
  setUpdatesEnabled(false);
  const bool docked = has_model && (perspective == Perspective::explore || perspective == Perspective::run);
  const bool log_shown = dock_by_name_["logDock"]->isVisible();
  if (docked) {
    central_->hide();
    const auto kept = layouts_.find(perspective);
    if (!shown_ || *shown_ != perspective) {
      // What the kept layout does not name stays hidden.
      for (QDockWidget* dock : docks_)
        if (dock != dock_by_name_["logDock"]) dock->hide();
      if (kept == layouts_.end() || !restoreState(kept->second, layout_version)) build_layout(perspective);
      dock_by_name_["logDock"]->setVisible(log_shown);
      // A state holds proportions; going to and fro must not move a splitter by a pixel.
      if (kept != layouts_.end()) {
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
    central_->setCurrentWidget(!has_model ? start_ : perspective == Perspective::chat ? chat_ : export_);
    central_->show();
  }
  toolbar_->show();
  banner_bar_->setVisible(!banners_.empty());
  perspectives_->setEnabled(has_model);
  perspectives_->setCurrent(int(perspective));
  for (QAction* action : slot_actions_) action->setVisible(has_model);
  setUpdatesEnabled(true);
  update_actions();
  // The keys act where the eye is, not on what was hidden.
  if (has_model) {
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

// ---- Toolbar -----------------------------------------------------------------------------------------------------------

void MainWindow::make_toolbar() {
  toolbar_ = addToolBar(tr("Toolbar"));
  toolbar_->setObjectName("toolbar");
  toolbar_->setMovable(false);
  toolbar_->setContextMenuPolicy(Qt::PreventContextMenu);
  toolbar_->setIconSize({16, 16});
  toolbar_->setContentsMargins(4, 2, 4, 2);
  toolbar_->layout()->setSpacing(4);
  perspectives_ = new SegmentSwitch(tr("Perspective"), toolbar_);
  perspectives_->setObjectName("perspectiveBar");
  const QStringList names = {tr("Explore"), tr("Run"), tr("Chat"), tr("Export")};
  for (int i = 0; i < 4; ++i) perspectives_->addSegment(i, names[i], QString("%1  Ctrl+%2").arg(names[i]).arg(i + 1));
  perspectives_->on_change = [this](int index) {
    if (workspace_.hasModel()) workspace_.setPerspective(Perspective(index));
  };
  toolbar_->addWidget(perspectives_);
  toolbar_->addSeparator();
  for (const auto& [object_name, button_name] : std::initializer_list<std::pair<const char*, const char*>>{
           {"backAction", "backButton"}, {"forwardAction", "forwardButton"}, {"undoAction", "undoButton"}, {"redoAction", "redoButton"}}) {
    toolbar_->addAction(actions_[object_name]);
    if (QWidget* button = toolbar_->widgetForAction(actions_[object_name])) button->setObjectName(button_name);
  }
  toolbar_->addSeparator();
  const auto make_slot = [this](const char* object_name, const QString& name) {
    auto* combo = new QComboBox(toolbar_);
    combo->setObjectName(object_name);
    combo->setAccessibleName(name);
    combo->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    combo->setMinimumContentsLength(8);
    combo->setFixedWidth(176);
    return combo;
  };
  slot_a_ = make_slot("slotA", tr("Slot A, the reference"));
  slot_b_ = make_slot("slotB", tr("Slot B, the candidate"));
  auto* swap = new IconButton("swap", tr("Swap A and B  Ctrl+Shift+X"), toolbar_);
  swap->setObjectName("swapSlotsButton");
  connect(swap, &QToolButton::clicked, &workspace_, &Workspace::swapSlots);
  slot_actions_ = {toolbar_->addWidget(new SlotBadge(true, toolbar_)), toolbar_->addWidget(slot_a_), toolbar_->addWidget(swap),
                   toolbar_->addWidget(new SlotBadge(false, toolbar_)), toolbar_->addWidget(slot_b_)};
  const auto chosen = [](const QComboBox* combo) {
    const int number = combo->currentData().toInt();
    return number > 0 ? Slot{number} : Slot{};
  };
  connect(slot_a_, &QComboBox::activated, this, [this, chosen] { workspace_.setSlotA(chosen(slot_a_)); });
  connect(slot_b_, &QComboBox::activated, this, [this, chosen] { workspace_.setSlotB(chosen(slot_b_)); });
  auto* space = new QWidget(toolbar_);
  space->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Preferred);
  toolbar_->addWidget(space);
  jump_ = new QLineEdit(toolbar_);
  jump_->setObjectName("jumpField");
  jump_->setAccessibleName(tr("Jump to a layer, run or command"));
  jump_->setPlaceholderText(tr("Jump to anything   Ctrl+K"));
  jump_->setFixedWidth(212);
  jump_->setFocusPolicy(Qt::ClickFocus);
  toolbar_->addWidget(jump_);
  palette_ = new CommandPalette(workspace_, this, jump_);
}

void MainWindow::fill_slots() {
  const auto fill = [this](QComboBox* combo, Slot slot) {
    combo->clear();
    combo->addItem(tr("Original"), 0);
    const auto& runs = workspace_.runs();
    for (auto run = runs.rbegin(); run != runs.rend(); ++run) {
      if (run->state != RunEntry::State::done) continue;
      QString text = workspace_.slotTitle({run->number});
      combo->addItem(text, run->number);
      QString fact = tr("%1 b/w").arg(format_bits(run->manifest.bits_per_weight));
      if (run->manifest.evaluation && run->manifest.evaluation->kl)
        fact += tr(", KL %1").arg(format_kl(run->manifest.evaluation->kl->mean));
      combo->setItemData(combo->count() - 1, text + "  " + fact, Qt::ToolTipRole);
    }
    const int at = combo->findData(slot.run.value_or(0));
    combo->setCurrentIndex(std::max(0, at));
    combo->setToolTip(combo->currentData(Qt::ToolTipRole).toString().isEmpty() ? combo->currentText()
                                                                               : combo->currentData(Qt::ToolTipRole).toString());
    combo->view()->setMinimumWidth(combo->view()->sizeHintForColumn(0) + 24);
  };
  fill(slot_a_, workspace_.slotA());
  fill(slot_b_, workspace_.slotB());
}

void MainWindow::resizeEvent(QResizeEvent* event) {
  QMainWindow::resizeEvent(event);
  const bool narrow = width() < 1400;
  slot_a_->setFixedWidth(narrow ? 128 : 176);
  slot_b_->setFixedWidth(narrow ? 128 : 176);
  jump_->setFixedWidth(narrow ? 180 : 212);
  jump_->setPlaceholderText(narrow ? tr("Jump to…   Ctrl+K") : tr("Jump to anything   Ctrl+K"));
}

// ---- Banners -----------------------------------------------------------------------------------------------------------

void MainWindow::make_banners() {
  addToolBarBreak();
  banner_bar_ = new QToolBar(tr("Messages"), this);
  banner_bar_->setObjectName("bannerArea");
  banner_bar_->setMovable(false);
  banner_bar_->setContextMenuPolicy(Qt::PreventContextMenu);
  banner_bar_->layout()->setContentsMargins(0, 0, 0, 0);
  addToolBar(banner_bar_);
  banner_ = new Notice(banner_bar_);
  banner_->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Preferred);
  banner_bar_->addWidget(banner_);
  auto* close = new IconButton("close", tr("Dismiss this message"), banner_bar_);
  close->setObjectName("bannerClose");
  connect(close, &QToolButton::clicked, this, [this] {
    if (!banners_.empty()) banners_.pop_front();
    show_next_banner();
  });
  banner_bar_->addWidget(close);
  banner_bar_->hide();
}

void MainWindow::show_next_banner() {
  if (banners_.empty()) {
    banner_->clear();
    banner_bar_->hide();
    return;
  }
  const Banner now = banners_.front();
  const QString count = banners_.size() > 1 ? tr("  (1 of %1)").arg(banners_.size()) : QString();
  banner_->say(now.text + count, Notice::Tone::warning, now.button, [this, action = now.action] {
    if (!banners_.empty()) banners_.pop_front();
    show_next_banner();
    if (action) action();
  });
  banner_bar_->show();
}

void MainWindow::show_open_failure(const QString& path, const QString& sentence) {
  banners_.push_front({sentence, tr("Choose another…"), [this] { actions_["openModelAction"]->trigger(); }});
  if (!QFileInfo::exists(path)) workspace_.forgetRecentFile(path);
  show_next_banner();
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
  keep_layout();
  QSettings settings;
  for (const auto& [perspective, state] : layouts_) settings.setValue(layout_key(perspective), state);
  settings.setValue("geometry", saveGeometry());
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

// Menus and actions of the main window: every action has an object name and is found by the palette.
#include <QApplication>
#include <QClipboard>
#include <QDockWidget>
#include <QFileDialog>
#include <QLineEdit>
#include <QMenuBar>
#include <QMessageBox>
#include <QSettings>
#include <algorithm>

#include "base/files.h"
#include "command_palette.h"
#include "main_window.h"
#include "models/allocator.h"
#include "models/draft_edits.h"
#include "models/layer_lab.h"
#include "models/run_selection.h"
#include "models/sensitivities.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "widgets.h"

namespace lrc::app {

QAction* MainWindow::add_action(QMenu* menu, const char* object_name, const QString& text, const QKeySequence& keys,
                                std::function<void()> what) {
  auto* action = new QAction(text, this);
  action->setObjectName(object_name);
  action->setShortcut(keys);
  connect(action, &QAction::triggered, this, [what = std::move(what)] { what(); });
  if (menu) menu->addAction(action);
  addAction(action);
  actions_[object_name] = action;
  return action;
}

void MainWindow::make_menus() {
  QMenu* file = menuBar()->addMenu(tr("&File"));
  add_action(file, "openModelAction", tr("&Open model…"), QKeySequence("Ctrl+O"), [this] {
    const QString path = QFileDialog::getOpenFileName(this, tr("Open a model"), QSettings().value("lastFolder").toString(),
                                                      tr("Models (*.gguf *.safetensors config.json);;All files (*)"));
    if (path.isEmpty()) return;
    QSettings().setValue("lastFolder", QFileInfo(path).path());
    workspace_.openModel(path.endsWith(".gguf") ? path : QFileInfo(path).path());
  });
  add_action(file, "openFolderAction", tr("Open model or run &folder…"), {}, [this] {
    const QString path =
        QFileDialog::getExistingDirectory(this, tr("Open a model or run folder"), QSettings().value("lastFolder").toString());
    if (!path.isEmpty()) workspace_.drop(path);
  });
  add_action(file, "openSessionAction", tr("Open &session…"), QKeySequence("Ctrl+Shift+O"), [this] {
    const QString path = QFileDialog::getOpenFileName(this, tr("Open a session"), {}, tr("Sessions (*.lrcsession)"));
    if (!path.isEmpty()) workspace_.openSession(path);
  });
  recent_menu_ = file->addMenu(tr("&Recent"));
  file->addSeparator();
  add_action(file, "saveSessionAction", tr("&Save session"), QKeySequence("Ctrl+S"), [this] { save_session(false); });
  add_action(file, "saveSessionAsAction", tr("Save session &as…"), QKeySequence("Ctrl+Shift+S"), [this] { save_session(true); });
  add_action(file, "saveSelfContainedAction", tr("Save as self-&contained…"), {}, [this] {
    const QString folder = QFileDialog::getExistingDirectory(this, tr("A folder for the session and copies of its runs"));
    if (!folder.isEmpty()) workspace_.saveSelfContained(folder);
  });
  file->addSeparator();
  add_action(file, "settingsAction", tr("Se&ttings…"), QKeySequence("Ctrl+,"), [this] { show_settings(); });
  add_action(file, "devicesAction", tr("&Devices…"), {}, [this] { show_devices(); });
  file->addSeparator();
  add_action(file, "quitAction", tr("&Quit"), QKeySequence("Ctrl+Q"), [this] { close(); });

  QMenu* edit = menuBar()->addMenu(tr("&Edit"));
  for (const bool undo : {true, false}) {
    QAction* action =
        undo ? workspace_.undoStack().createUndoAction(this, tr("Undo")) : workspace_.undoStack().createRedoAction(this, tr("Redo"));
    action->setObjectName(undo ? "undoAction" : "redoAction");
    action->setShortcut(QKeySequence(undo ? "Ctrl+Z" : "Ctrl+Shift+Z"));
    edit->addAction(action);
    actions_[undo ? "undoAction" : "redoAction"] = action;
  }
  edit->addSeparator();
  add_action(edit, "backAction", tr("&Back"), QKeySequence("Alt+Left"), [this] { workspace_.goBack(); });
  add_action(edit, "forwardAction", tr("For&ward"), QKeySequence("Alt+Right"), [this] { workspace_.goForward(); });
  edit->addSeparator();
  add_action(edit, "filterAction", tr("&Filter layers"), QKeySequence("Ctrl+F"), [this] {
    workspace_.setPerspective(Perspective::explore);
    if (auto* filter = findChild<QLineEdit*>("layersFilter")) {
      filter->setFocus(Qt::ShortcutFocusReason);
      filter->selectAll();
    }
  });
  add_action(edit, "paletteAction", tr("&Jump to anything"), QKeySequence("Ctrl+K"), [this] { palette_->open(); });
  add_action(edit, "commandsAction", tr("Run a &command"), QKeySequence("Ctrl+Shift+P"), [this] { palette_->open(">"); });

  QMenu* layers = menuBar()->addMenu(tr("&Layers"));
  add_action(layers, "selectRoleAction", tr("Select all of this &role"), QKeySequence("Ctrl+Shift+A"), [this] {
    const int current = workspace_.currentLayer();
    if (current < 0) return;
    const auto& all = workspace_.model()->layers();
    std::vector<int> chosen;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (all[i].role == all[std::size_t(current)].role) chosen.push_back(int(i));
    workspace_.selectLayers(chosen, current);
  });
  add_action(layers, "selectBlockAction", tr("Select all of this &block"), {}, [this] {
    const int current = workspace_.currentLayer();
    if (current < 0) return;
    const auto& all = workspace_.model()->layers();
    std::vector<int> chosen;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (all[i].block == all[std::size_t(current)].block) chosen.push_back(int(i));
    workspace_.selectLayers(chosen, current);
  });
  add_action(layers, "resetLayersAction", tr("Reset the selection to &inherited"), {}, [this] {
    const auto& chosen = workspace_.selectedLayers();
    if (chosen.empty()) return;
    workspace_.editDraft(tr("Reset %1").arg(QString::fromStdString(describe_layers(*workspace_.model(), chosen))),
                         without_own_settings(workspace_.draft(), *workspace_.model(), chosen));
  });

  const auto ask_panel = [this](const char* door) {
    workspace_.setPerspective(Perspective::explore);
    if (auto* action = findChild<QAction*>(door)) action->trigger();
  };
  layers->addSeparator();
  add_action(layers, "copySettingsAction", tr("&Copy the layer’s settings"), QKeySequence("Ctrl+Shift+C"),
             [=] { ask_panel("copySettingsAsked"); });
  add_action(layers, "pasteSettingsAction", tr("&Paste settings to…"), QKeySequence("Ctrl+Shift+V"),
             [=] { ask_panel("pasteSettingsAsked"); });
  add_action(layers, "noteAction", tr("&Note on the layer…"), {}, [=] { ask_panel("noteAsked"); });

  QMenu* recipe = menuBar()->addMenu(tr("Re&cipe"));
  add_action(recipe, "importRecipeAction", tr("&Import…"), {}, [this] {
    const QString path = QFileDialog::getOpenFileName(this, tr("Import a recipe"), {}, tr("Recipes (*.json)"));
    if (!path.isEmpty()) workspace_.drop(path);
  });
  add_action(recipe, "exportRecipeAction", tr("&Export…"), {}, [this] {
    const QString path = QFileDialog::getSaveFileName(this, tr("Export the recipe"), "recipe.json", tr("Recipes (*.json)"));
    if (path.isEmpty()) return;
    try {
      write_file_atomically(path.toStdString(), to_text(workspace_.draft()));
      workspace_.log(LogLevel::info, tr("Recipe saved as %1").arg(path));
    } catch (const Error& error) {
      workspace_.banner(QString::fromUtf8(error.what()));
    }
  });
  add_action(recipe, "revertAction", tr("&Revert to the run in B"), {}, [this] { workspace_.revertDraft(); });
  recipe->addSeparator();
  add_action(recipe, "copyCommandAction", tr("&Copy as command"), {},
             [this] { QApplication::clipboard()->setText(workspace_.commandOfDraft()); });
  add_action(recipe, "copyRecipeAction", tr("Copy as &JSON"), {},
             [this] { QApplication::clipboard()->setText(QString::fromStdString(to_text(workspace_.draft()))); });

  QMenu* run = menuBar()->addMenu(tr("&Run"));
  add_action(run, "runAction", tr("&Run the recipe"), QKeySequence("F5"), [this] {
    const bool watch = !workspace_.runningRun();
    const int number = workspace_.startRun();
    if (number <= 0 || !watch) return;
    RunSelection::of(workspace_).select(number);
    workspace_.setPerspective(Perspective::run);
  });
  add_action(run, "queueAction", tr("&Queue the recipe"), QKeySequence("Ctrl+F5"), [this] { workspace_.startRun(); });
  add_action(run, "solveSelectionAction", tr("S&olve the selection now"), QKeySequence("Shift+F5"),
             [this] { LayerLab::of(workspace_).solveSelection(); });
  add_action(run, "pauseAction", tr("&Pause or resume"), QKeySequence("Ctrl+P"), [this] {
    if (const RunEntry* running = workspace_.runningRun()) return workspace_.pauseRun(running->number);
    for (auto entry = workspace_.runs().rbegin(); entry != workspace_.runs().rend(); ++entry)
      if (entry->state == RunEntry::State::paused) return workspace_.resumeRun(entry->number);
  });
  add_action(run, "stopAction", tr("&Stop"), QKeySequence("Ctrl+."), [this] {
    if (workspace_.measuring()) return workspace_.stopMeasuring();
    if (LayerLab::of(workspace_).solving()) return LayerLab::of(workspace_).stopSolving();
    if (const RunEntry* running = workspace_.runningRun()) workspace_.stopRun(running->number);
  });
  run->addSeparator();
  add_action(run, "measureAction", tr("&Measure the layers"), QKeySequence("Ctrl+M"), [this] { workspace_.measure(); });
  add_action(run, "sensitivityAction", tr("Measure the s&ensitivities"), {}, [this] { Sensitivities::of(workspace_).measure(); });
  add_action(run, "allocateAction", tr("&Allocate ranks…"), {}, [this] {
    workspace_.setPerspective(Perspective::explore);
    Allocator::of(workspace_).show();
  });
  add_action(run, "swapSlotsAction", tr("S&wap A and B"), QKeySequence("Ctrl+Shift+X"), [this] { workspace_.swapSlots(); });

  QMenu* chat = menuBar()->addMenu(tr("C&hat"));
  for (const char* name :
       {"newChatAction", "answerAgainAction", "previousTurnAction", "nextTurnAction", "bypassBranchAction", "chatModeAction"}) {
    auto* action = chat_->findChild<QAction*>(name);
    action->setParent(this);  // as all actions: the palette and the shortcut table list the window's own
    actions_[name] = action;
    chat->addAction(action);
    connect(action, &QAction::triggered, this, [this] { workspace_.setPerspective(Perspective::chat); });
  }

  QMenu* view = menuBar()->addMenu(tr("&View"));
  const char* perspective_actions[] = {"exploreAction", "runPerspectiveAction", "chatAction", "exportAction"};
  const QStringList names = {tr("&Explore"), tr("&Run"), tr("&Chat"), tr("E&xport")};
  for (int i = 0; i < 4; ++i)
    add_action(view, perspective_actions[i], names[i], QKeySequence(QString("Ctrl+%1").arg(i + 1)),
               [this, i] { workspace_.setPerspective(Perspective(i)); });
  view->addSeparator();
  QMenu* panels = view->addMenu(tr("&Panels"));
  for (QDockWidget* dock : docks_) {
    QAction* toggle = dock->toggleViewAction();
    toggle->setObjectName(dock->objectName() + "Action");
    panels->addAction(toggle);
  }
  add_action(view, "nextPanelAction", tr("&Next panel"), QKeySequence("F6"), [this] { next_panel(1); });
  add_action(view, "previousPanelAction", tr("Pre&vious panel"), QKeySequence("Shift+F6"), [this] { next_panel(-1); });
  add_action(view, "closePanelAction", tr("Close the &floating panel"), QKeySequence("Ctrl+W"), [this] {
    for (QWidget* widget = QApplication::focusWidget(); widget; widget = widget->parentWidget())
      if (auto* dock = qobject_cast<QDockWidget*>(widget)) {
        if (dock->isFloating()) dock->close();
        return;
      }
  });
  add_action(view, "resetLayoutAction", tr("Reset this &layout"), {}, [this] { reset_layout(); });
  QAction* lock =
      add_action(view, "lockLayoutAction", tr("L&ock the layout"), {}, [this] { lock_layout(actions_["lockLayoutAction"]->isChecked()); });
  lock->setCheckable(true);
  view->addSeparator();
  add_action(view, "themeAction", tr("Light or &dark"), QKeySequence("Ctrl+Shift+D"), [this] { set_theme(is_dark() ? "light" : "dark"); });
  add_action(view, "systemThemeAction", tr("&Theme of the system"), {}, [this] { set_theme("system"); });
  add_action(view, "largerFontAction", tr("Lar&ger text"), QKeySequence("Ctrl++"),
             [this] { set_font_scale(QSettings().value("fontScale", 100).toInt() + 10); });
  add_action(view, "smallerFontAction", tr("S&maller text"), QKeySequence("Ctrl+-"),
             [this] { set_font_scale(QSettings().value("fontScale", 100).toInt() - 10); });
  add_action(view, "normalFontAction", tr("N&ormal text"), QKeySequence("Ctrl+0"), [this] { set_font_scale(100); });
  add_action(view, "fullScreenAction", tr("&Full screen"), QKeySequence("F11"),
             [this] { setWindowState(windowState() ^ Qt::WindowFullScreen); });

  QMenu* help = menuBar()->addMenu(tr("&Help"));
  QAction* sheet = add_action(help, "shortcutsAction", tr("&Shortcuts"), QKeySequence("F1"), [this] { show_shortcuts(); });
  sheet->setShortcuts({QKeySequence("F1"), QKeySequence("Ctrl+/")});
  add_action(help, "glossaryAction", tr("&Terms"), {}, [this] { show_glossary({}); });
  add_action(help, "aboutAction", tr("&About"), {}, [this] { show_about(); });

  const auto icons = std::initializer_list<std::pair<const char*, const char*>>{
      {"backAction", "back"}, {"forwardAction", "forward"}, {"undoAction", "undo"}, {"redoAction", "redo"}};
  for (const auto& [name, icon] : icons) actions_[name]->setIcon(themed_icon(icon));
}

void MainWindow::update_actions() {
  const bool has_model = workspace_.hasModel(), selected = !workspace_.selectedLayers().empty();
  const auto enable = [this](const char* name, bool on) { actions_[name]->setEnabled(on); };
  for (const char* name :
       {"saveSessionAction", "saveSessionAsAction", "saveSelfContainedAction", "filterAction", "copyCommandAction", "copyRecipeAction",
        "exportRecipeAction", "importRecipeAction", "exploreAction", "runPerspectiveAction", "chatAction", "exportAction",
        "resetLayoutAction", "newChatAction", "answerAgainAction", "bypassBranchAction", "chatModeAction"})
    enable(name, has_model);
  for (const char* name :
       {"selectRoleAction", "selectBlockAction", "resetLayersAction", "copySettingsAction", "pasteSettingsAction", "noteAction"})
    enable(name, has_model && selected);
  enable("backAction", workspace_.canGoBack());
  enable("forwardAction", workspace_.canGoForward());
  const bool can_run = has_model && !workspace_.draftProblem();
  enable("runAction", can_run);
  enable("queueAction", can_run);
  enable("solveSelectionAction", can_run && selected);
  enable("revertAction", has_model && workspace_.referenceRun() && !workspace_.pendingChanges().isEmpty());
  const auto& runs = workspace_.runs();
  const bool paused = std::any_of(runs.begin(), runs.end(), [](const RunEntry& run) { return run.state == RunEntry::State::paused; });
  enable("pauseAction", workspace_.runningRun() || paused);
  enable("stopAction", workspace_.runningRun() || workspace_.measuring() || LayerLab::of(workspace_).solving());
  for (const char* name : {"sensitivityAction", "allocateAction"}) enable(name, has_model);
  enable("measureAction", has_model && !workspace_.measuring() && (!workspace_.isMeasured() || workspace_.sampleFolder().empty()));
  enable("swapSlotsAction", has_model && !(workspace_.slotA() == workspace_.slotB()));
}

void MainWindow::fill_recent() {
  recent_menu_->clear();
  for (const QString& path : workspace_.recentFiles()) {
    QAction* action = recent_menu_->addAction(QFileInfo(path).fileName() + "  —  " + QFileInfo(path).path());
    connect(action, &QAction::triggered, this, [this, path] { workspace_.drop(path); });
  }
  recent_menu_->setEnabled(!recent_menu_->isEmpty());
}

void MainWindow::set_theme(const QString& theme) {
  QSettings().setValue("theme", theme);
  apply_saved_theme();
}

void MainWindow::set_font_scale(int per_cent) {
  per_cent = std::clamp(per_cent, 80, 200);
  QSettings().setValue("fontScale", per_cent);
  QFont font = QApplication::font();
  font.setPointSizeF(base_points_ * per_cent / 100);
  if (font != QApplication::font()) QApplication::setFont(font);
}

bool MainWindow::save_session(bool ask_for_name) {
  QString file = workspace_.sessionFile();
  if (ask_for_name || file.isEmpty()) {
    file = QFileDialog::getSaveFileName(this, tr("Save the session"), file.isEmpty() ? "session.lrcsession" : file,
                                        tr("Sessions (*.lrcsession)"));
    if (file.isEmpty()) return false;
    if (QFileInfo(file).suffix().isEmpty()) file += ".lrcsession";
  }
  const bool saved = workspace_.saveSession(file);
  update_title();
  return saved;
}

bool MainWindow::may_discard() {
  // Asked only for a session that has a name; an unnamed draft is kept by the autosave.
  if (workspace_.sessionFile().isEmpty() || !workspace_.isModified()) return true;
  const auto answer = QMessageBox::question(this, tr("Unsaved changes"),
                                            tr("%1 has changes that are not saved.").arg(QFileInfo(workspace_.sessionFile()).fileName()),
                                            QMessageBox::Save | QMessageBox::Discard | QMessageBox::Cancel);
  if (answer == QMessageBox::Save) return save_session(false);
  return answer == QMessageBox::Discard;
}

}  // namespace lrc::app

#pragma once
// The only panel header that the main window includes: one factory a panel, each panel in its own .cpp. None includes another;
// all speak to the workspace. Object names: design list (layersTable, recipeRank, rankCursor, …).
//
// The title bar of a panel's dock is made by the main window. A panel's windowTitle() is its name; its first row, a widget with
// the object name "titleControls" (dim context, small controls; TitleControls of panel_widgets.h), is moved into the title bar.
#include <QWidget>

namespace lrc::app {

class Workspace;

QWidget* make_start_page(Workspace& workspace, QWidget* parent);
/// Stands where a model would after Workspace::openFailed.
QWidget* make_open_report_page(Workspace& workspace, QWidget* parent);
/// Stands where a model would after Workspace::openedTooLarge, until the person has decided.
QWidget* make_too_large_page(Workspace& workspace, QWidget* parent);
QWidget* make_layers_panel(Workspace& workspace, QWidget* parent);
QWidget* make_recipe_panel(Workspace& workspace, QWidget* parent);
QWidget* make_spectrum_panel(Workspace& workspace, QWidget* parent);
QWidget* make_errors_panel(Workspace& workspace, QWidget* parent);
QWidget* make_tradeoff_panel(Workspace& workspace, QWidget* parent);
QWidget* make_runs_panel(Workspace& workspace, QWidget* parent);
QWidget* make_run_detail_panel(Workspace& workspace, QWidget* parent);
QWidget* make_compare_panel(Workspace& workspace, QWidget* parent);
QWidget* make_chat_panel(Workspace& workspace, QWidget* parent);
QWidget* make_export_panel(Workspace& workspace, QWidget* parent);
QWidget* make_log_panel(Workspace& workspace, QWidget* parent);

}  // namespace lrc::app

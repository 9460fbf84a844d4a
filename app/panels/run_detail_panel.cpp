#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "workspace.h"

namespace lrc::app {

QWidget* make_run_detail_panel(Workspace& workspace, QWidget* parent) {
  auto* panel = new QWidget(parent);
  panel->setObjectName("runDetailPanel");
  panel->setWindowTitle(QObject::tr("Run detail"));
  auto* layout = make_panel_layout(panel);
  auto* controls = new TitleControls(panel);
  layout->addWidget(controls);
  auto* notice = new Notice(panel);
  notice->say(QObject::tr("Select a run to see how it went."));
  layout->addWidget(notice);
  layout->addStretch(1);
  QObject::connect(&workspace, &Workspace::modelOpened, panel,
                   [controls, &workspace] { controls->setContext(QString::fromStdString(workspace.model()->display_name())); });
  return panel;
}

}  // namespace lrc::app

#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "workspace.h"

namespace lrc::app {

QWidget* make_tradeoff_panel(Workspace& workspace, QWidget* parent) {
  auto* panel = new QWidget(parent);
  panel->setObjectName("tradeoffPanel");
  panel->setWindowTitle(QObject::tr("Trade-off"));
  auto* layout = make_panel_layout(panel);
  auto* controls = new TitleControls(panel);
  layout->addWidget(controls);
  auto* notice = new Notice(panel);
  notice->say(QObject::tr("Runs appear here. F5 starts the first."));
  layout->addWidget(notice);
  layout->addStretch(1);
  QObject::connect(&workspace, &Workspace::modelOpened, panel,
                   [controls, &workspace] { controls->setContext(QString::fromStdString(workspace.model()->display_name())); });
  return panel;
}

}  // namespace lrc::app

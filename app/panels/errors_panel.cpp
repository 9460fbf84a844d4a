#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "workspace.h"

namespace lrc::app {

QWidget* make_errors_panel(Workspace& workspace, QWidget* parent) {
  auto* panel = new QWidget(parent);
  panel->setObjectName("errorsPanel");
  panel->setWindowTitle(QObject::tr("Errors"));
  auto* layout = make_panel_layout(panel);
  auto* controls = new TitleControls(panel);
  layout->addWidget(controls);
  auto* notice = new Notice(panel);
  notice->say(QObject::tr("Open a model and run a recipe to see which layers hurt."));
  layout->addWidget(notice);
  layout->addStretch(1);
  QObject::connect(&workspace, &Workspace::modelOpened, panel,
                   [controls, &workspace] { controls->setContext(QString::fromStdString(workspace.model()->display_name())); });
  return panel;
}

}  // namespace lrc::app

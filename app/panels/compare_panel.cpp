#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "workspace.h"

namespace lrc::app {

QWidget* make_compare_panel(Workspace& workspace, QWidget* parent) {
  auto* panel = new QWidget(parent);
  panel->setObjectName("comparePanel");
  panel->setWindowTitle(QObject::tr("Compare"));
  auto* layout = make_panel_layout(panel);
  auto* controls = new TitleControls(panel);
  layout->addWidget(controls);
  auto* notice = new Notice(panel);
  notice->say(QObject::tr("Choose A and B to compare them."));
  layout->addWidget(notice);
  layout->addStretch(1);
  QObject::connect(&workspace, &Workspace::modelOpened, panel,
                   [controls, &workspace] { controls->setContext(QString::fromStdString(workspace.model()->display_name())); });
  return panel;
}

}  // namespace lrc::app

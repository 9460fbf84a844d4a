#include <QApplication>
#include <QStandardPaths>
#include <QStyleFactory>
#include <filesystem>

#include "main_window.h"
#include "workspace.h"

namespace {

std::filesystem::path runs_folder() {
  if (const QByteArray chosen = qgetenv("LRC_RUNS"); !chosen.isEmpty()) return chosen.toStdString();
  return std::filesystem::path(QStandardPaths::writableLocation(QStandardPaths::AppLocalDataLocation).toStdString()) / "runs";
}

}  // namespace

int main(int argc, char** argv) {
  QApplication application(argc, argv);
  QApplication::setOrganizationName("lrc-workbench");
  QApplication::setApplicationName("lrc-workbench");
  QApplication::setApplicationDisplayName("LRC Workbench");
  QApplication::setApplicationVersion("0.1.0");
  QApplication::setStyle(QStyleFactory::create("Fusion"));
  lrc::app::apply_saved_theme();

  lrc::app::Workspace workspace(runs_folder());
  lrc::app::MainWindow window(workspace);
  window.show();
  const QStringList arguments = QApplication::arguments();
  if (arguments.size() > 1) workspace.drop(arguments[1]);
  return QApplication::exec();
}

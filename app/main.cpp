#include <QApplication>
#include <QCommandLineParser>
#include <QSettings>
#include <QStandardPaths>
#include <QStyleFactory>
#include <QTextStream>
#include <QTimer>
#include <filesystem>

#include "main_window.h"
#include "screenshots.h"
#include "session_recovery.h"
#include "workspace.h"

namespace {

std::filesystem::path runs_folder() {
  if (const QByteArray chosen = qgetenv("LRC_RUNS"); !chosen.isEmpty()) return chosen.toStdString();
  if (const QString chosen = QSettings().value("folders/runs").toString(); !chosen.isEmpty()) return chosen.toStdString();
  return std::filesystem::path(QStandardPaths::writableLocation(QStandardPaths::AppLocalDataLocation).toStdString()) / "runs";
}

int write_pictures(lrc::app::MainWindow& window, lrc::app::Workspace& workspace, const QString& folder, const QString& file) {
  const auto pictures = lrc::app::take_screenshots(window, workspace, folder, file);
  bool all = !pictures.empty();
  QTextStream out(stdout);
  for (const auto& picture : pictures) {
    out << (picture.written ? "" : "not written: ") << picture.file << '\n';
    all &= picture.written;
  }
  if (pictures.empty()) out << "Nothing could be opened, so there is nothing to picture.\n";
  return all ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  QApplication application(argc, argv);
  QApplication::setOrganizationName("lrc-workbench");
  QApplication::setApplicationName("lrc-workbench");
  QApplication::setApplicationDisplayName("LRC Workbench");
  QApplication::setApplicationVersion("0.1.0");
  QApplication::setStyle(QStyleFactory::create("Fusion"));

  QCommandLineParser parser;
  parser.setApplicationDescription("The window of LRC Workbench.");
  parser.addHelpOption();
  parser.addVersionOption();
  const QCommandLineOption screenshots("screenshots",
                                       "Writes pictures of every perspective, in both themes and three sizes, into DIR, and ends.", "DIR");
  parser.addOption(screenshots);
  parser.addPositionalArgument("FILE", "A model (.gguf or folder), a run folder or a session.", "[FILE]");
  parser.process(application);
  const QString file = parser.positionalArguments().value(0);
  lrc::app::apply_saved_theme();

  lrc::app::Workspace workspace(runs_folder());
  lrc::app::MainWindow window(workspace);
  window.show();
  if (parser.isSet(screenshots)) return write_pictures(window, workspace, parser.value(screenshots), file);
  if (!file.isEmpty()) workspace.drop(file);
  lrc::app::offer_recovery(workspace);
  const int code = QApplication::exec();
  lrc::app::forget_recovery();
  return code;
}

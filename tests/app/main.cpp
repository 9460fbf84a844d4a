// The window's tests run on the offscreen platform with settings of their own; nothing of the person's is read or written.
#include <gtest/gtest.h>

#include <QApplication>
#include <QFile>
#include <QSettings>
#include <QStandardPaths>
#include <QStyleFactory>
#include <QTemporaryDir>

#include "main_window.h"

int main(int argc, char** argv) {
  if (qEnvironmentVariableIsEmpty("QT_QPA_PLATFORM")) qputenv("QT_QPA_PLATFORM", "offscreen");
  testing::InitGoogleTest(&argc, argv);
  QTemporaryDir settings;
  QStandardPaths::setTestModeEnabled(true);
  // What was measured for somebody else would answer questions that a test asks for the first time.
  qputenv("XDG_CACHE_HOME", QFile::encodeName(settings.filePath("cache")));
  QSettings::setPath(QSettings::NativeFormat, QSettings::UserScope, settings.path());
  QApplication application(argc, argv);
  QApplication::setOrganizationName("lrc-workbench-test");
  QApplication::setApplicationName("lrc-workbench-test");
  QApplication::setStyle(QStyleFactory::create("Fusion"));
  QApplication::setFont(QFont("DejaVu Sans", 9));
  lrc::app::apply_saved_theme();
  return RUN_ALL_TESTS();
}

#pragma once
// Pictures of the window for people to look at: every perspective, in both themes, at three sizes.
#include <QSize>
#include <QString>
#include <vector>

namespace lrc::app {

class MainWindow;
class Workspace;

struct Screenshot {
  QString file;  ///< "explore-1280x800-light.png"
  bool written = false;
};

/// Opens `file` (a session, model or run), waits until the lanes are quiet, and writes the pictures into `folder`. The theme in
/// force comes back. Empty when nothing could be opened.
std::vector<Screenshot> take_screenshots(MainWindow& window, Workspace& workspace, const QString& folder, const QString& file,
                                         const std::vector<QSize>& sizes = {{1280, 800}, {1440, 900}, {1920, 1080}});

}  // namespace lrc::app

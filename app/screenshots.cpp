#include "screenshots.h"

#include <QApplication>
#include <QDir>
#include <QElapsedTimer>
#include <QEventLoop>
#include <QTimer>

#include "main_window.h"
#include "plot_style.h"
#include "workspace.h"

namespace lrc::app {

namespace {

/// Lets the window work for this long, and on until both lanes that feed it have nothing left (at most `limit_ms`).
void settle(Workspace& workspace, int at_least_ms, int limit_ms) {
  QElapsedTimer clock;
  clock.start();
  QEventLoop loop;
  QTimer poll;
  QObject::connect(&poll, &QTimer::timeout, &loop, [&] {
    const bool busy = workspace.queryLane().busy() || workspace.chatLane().busy();
    if ((clock.elapsed() > at_least_ms && !busy) || clock.elapsed() > limit_ms) loop.quit();
  });
  poll.start(20);
  loop.exec();
}

}  // namespace

std::vector<Screenshot> take_screenshots(MainWindow& window, Workspace& workspace, const QString& folder, const QString& file,
                                         const std::vector<QSize>& sizes) {
  std::vector<Screenshot> taken;
  if (!QDir().mkpath(folder)) return taken;
  if (!file.isEmpty()) {
    bool ended = false;
    QEventLoop loop;
    QObject waiting;
    const auto end = [&] {
      ended = true;
      loop.quit();
    };
    QObject::connect(&workspace, &Workspace::modelOpened, &waiting, end);
    QObject::connect(&workspace, &Workspace::openFailed, &waiting, end);
    QTimer::singleShot(60000, &waiting, end);
    workspace.drop(file);
    if (!ended) loop.exec();
  }
  if (!workspace.hasModel()) return taken;
  const bool dark_before = is_dark();
  const std::pair<Perspective, const char*> perspectives[] = {
      {Perspective::explore, "explore"}, {Perspective::run, "run"}, {Perspective::chat, "chat"}, {Perspective::export_, "export"}};
  settle(workspace, 500, 60000);
  for (const QSize& size : sizes)
    for (const bool dark : {false, true}) {
      set_dark(dark);
      window.resize(size);
      for (const auto& [perspective, name] : perspectives) {
        workspace.setPerspective(perspective);
        settle(workspace, 250, 30000);
        const QString picture =
            QDir(folder).filePath(QString("%1-%2x%3-%4.png").arg(name).arg(size.width()).arg(size.height()).arg(dark ? "dark" : "light"));
        taken.push_back({picture, window.grab().save(picture)});
      }
    }
  set_dark(dark_before);
  return taken;
}

}  // namespace lrc::app

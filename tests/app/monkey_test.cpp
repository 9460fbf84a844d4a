// Random clicks and keys, the same ones for the same seed: nothing may crash, hang or grow. Longer and on another model:
// LRC_MONKEY_SECONDS, LRC_MONKEY_SEED, LRC_MONKEY_MODEL.
#include <unistd.h>
#include <QDesktopServices>
#include <QElapsedTimer>
#include <QMenu>
#include <QRandomGenerator>
#include <QTimer>
#include <QUrl>
#include <fstream>

#include "../run/small_run.h"
#include "window_fixture.h"

namespace lrc::app::test {
namespace {

/// Links and folders go nowhere.
class Nowhere : public QObject {
  Q_OBJECT
 public slots:
  void open(const QUrl&) {}
};

double resident_megabytes() {
  std::ifstream file("/proc/self/statm");
  double pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * double(sysconf(_SC_PAGESIZE)) / 1e6;
}

class Monkey {
 public:
  Monkey(QWidget& window, quint32 seed) : window_(window), random_(seed) {}

  void act() {
    QWidget* target = pick();
    if (!target) return;
    last_ = QString("%1 %2").arg(target->metaObject()->className(), target->objectName());
    const QPoint at(random_.bounded(std::max(1, target->width())), random_.bounded(std::max(1, target->height())));
    switch (random_.bounded(10)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return QTest::mouseClick(target, Qt::LeftButton, modifiers(), at);
      case 4:
        return QTest::mouseDClick(target, Qt::LeftButton, {}, at);
      case 5: {
        QTest::mousePress(target, Qt::LeftButton, {}, at);
        for (int i = 0; i < 5; ++i)
          QTest::mouseMove(target, QPoint(random_.bounded(std::max(1, target->width())), random_.bounded(std::max(1, target->height()))));
        return QTest::mouseRelease(target, Qt::LeftButton, {}, at);
      }
      case 6: {
        QWheelEvent wheel(at, target->mapToGlobal(at), {}, QPoint(0, random_.bounded(2) ? 120 : -120), Qt::NoButton, modifiers(),
                          Qt::NoScrollPhase, false);
        QCoreApplication::sendEvent(target, &wheel);
        return;
      }
      case 7:
        return QTest::keyClicks(target, QStringList{"86", "10%", "role:q", "+5", "errB>1", "/x(/", "?x", "-", "0"}[random_.bounded(9)]);
      default:
        return QTest::keyClick(target, key(), modifiers());
    }
  }
  QString last() const { return last_; }

 private:
  QWidget* pick() {
    if (QWidget* popup = QApplication::activePopupWidget()) return random_.bounded(3) ? popup : (popup->close(), nullptr);
    QList<QWidget*> shown;
    for (QWidget* widget : window_.findChildren<QWidget*>())
      if (widget->isVisible() && widget->isEnabled() && !widget->visibleRegion().isEmpty()) shown << widget;
    return shown.isEmpty() ? &window_ : shown[random_.bounded(int(shown.size()))];
  }
  Qt::Key key() {
    static const Qt::Key keys[] = {Qt::Key_Left, Qt::Key_Right, Qt::Key_Up, Qt::Key_Down, Qt::Key_Tab, Qt::Key_Return,   Qt::Key_Escape,
                                   Qt::Key_1,    Qt::Key_2,     Qt::Key_3,  Qt::Key_4,    Qt::Key_Z,   Qt::Key_R,        Qt::Key_B,
                                   Qt::Key_N,    Qt::Key_A,     Qt::Key_D,  Qt::Key_F,    Qt::Key_K,   Qt::Key_Space,    Qt::Key_Home,
                                   Qt::Key_End,  Qt::Key_F5,    Qt::Key_F6, Qt::Key_M,    Qt::Key_P,   Qt::Key_Backspace};
    return keys[random_.bounded(int(std::size(keys)))];
  }
  Qt::KeyboardModifiers modifiers() {
    static const Qt::KeyboardModifiers all[] = {Qt::NoModifier,      Qt::NoModifier,    Qt::NoModifier,
                                                Qt::ControlModifier, Qt::ShiftModifier, Qt::ControlModifier | Qt::ShiftModifier,
                                                Qt::AltModifier};
    return all[random_.bounded(int(std::size(all)))];
  }
  QWidget& window_;
  QRandomGenerator random_;
  QString last_;
};

TEST_F(WindowTest, MonkeyLeavesNothingBroken) {
  Nowhere nowhere;
  QDesktopServices::setUrlHandler("file", &nowhere, "open");
  // Runs that it throws away end in a trash of the test's own; it may not leave.
  qputenv("XDG_DATA_HOME", QByteArray::fromStdString((folder.path() / "data").string()));
  find<QAction>("quitAction")->setEnabled(false);
  const int seconds = qEnvironmentVariableIntValue("LRC_MONKEY_SECONDS");
  const quint32 seed = qEnvironmentVariableIsSet("LRC_MONKEY_SEED") ? quint32(qEnvironmentVariableIntValue("LRC_MONKEY_SEED")) : 20240u;
  const QString model = qEnvironmentVariable("LRC_MONKEY_MODEL", stories());
  workspace->openModel(model);
  ASSERT_TRUE(QTest::qWaitFor([this] { return workspace->hasModel(); }, 60000));
  std::ofstream(folder.path() / "calibration.txt") << lrc::test::some_text(8000);
  if (model == stories()) workspace->editDraft("small", lrc::test::small_recipe(folder.path() / "calibration.txt"));
  workspace->startRun();
  // What asks for a file or an answer is answered by closing it.
  int steps = 0, seen = -1, waiting = 0;
  QTimer closer;
  QObject::connect(&closer, &QTimer::timeout, [&] {
    waiting = steps == seen ? waiting + 1 : 0;
    seen = steps;
    if (QWidget* modal = QApplication::activeModalWidget()) modal->close();
    // A menu that was opened by a click holds the click until it is closed.
    if (waiting > 5)
      if (QWidget* popup = QApplication::activePopupWidget()) popup->close();
  });
  closer.start(20);
  Monkey monkey(*window, seed);
  QElapsedTimer clock;
  clock.start();
  double after_warming = 0;
  const auto more = [&] { return seconds > 0 ? clock.elapsed() < 1000 * qint64(seconds) : steps < 250; };
  while (more()) {
    monkey.act();
    ++steps;
    QElapsedTimer answer;
    answer.start();
    QCoreApplication::processEvents();
    ASSERT_TRUE(window->isVisible()) << "after step " << steps << ", " << monkey.last().toStdString() << ", seed " << seed;
    // What it opens, runs and talks to is loaded in the first third; from then on nothing may pile up.
    if (after_warming == 0 && clock.elapsed() > 1000 * qint64(seconds) / 3) after_warming = resident_megabytes();
    if (steps % 5000 == 0) {
      printf("step %d, %.0f s, %.0f MB\n", steps, double(clock.elapsed()) / 1000, resident_megabytes());
      fflush(stdout);
    }
  }
  if (seconds > 0 && steps > 4000) {
    printf("%d steps, %.0f MB after warming, %.0f MB at the end\n", steps, after_warming, resident_megabytes());
    EXPECT_LT(resident_megabytes(), after_warming * 1.25 + 200);
  }
  for (const RunEntry& run : workspace->runs()) workspace->stopRun(run.number);
  // Still usable: Esc out of everything, back to Explore, the layers are there.
  while (QWidget* popup = QApplication::activePopupWidget()) popup->close();
  workspace->setPerspective(Perspective::explore);
  QCoreApplication::processEvents();
  EXPECT_TRUE(workspace->hasModel());
  EXPECT_EQ(workspace->draftSchemes().size(), workspace->model()->layers().size());
  QDesktopServices::unsetUrlHandler("file");
}

}  // namespace
}  // namespace lrc::app::test

#include "monkey_test.moc"

// States of the window that come and go: a file that cannot be opened, a run that is evaluated, perspectives in any order.
#include <QClipboard>
#include <QComboBox>
#include <QDockWidget>
#include <QLabel>
#include <QPushButton>
#include <QRandomGenerator>
#include <fstream>
#include <map>
#include <memory>

#include "../run/small_run.h"
#include "models/open_report.h"
#include "panels/panel_widgets.h"
#include "window_fixture.h"

namespace lrc::app::test {
namespace {

TEST_F(WindowTest, ARefusedFileIsAPageWithTheWayOut) {
  const auto damaged = folder.path() / "cut.gguf";
  {
    std::ifstream whole(stories().toStdString(), std::ios::binary);
    std::string bytes(4096, '\0');
    whole.read(bytes.data(), std::streamsize(bytes.size()));
    std::ofstream(damaged, std::ios::binary) << bytes;
  }
  open_stories();
  workspace->setPerspective(Perspective::run);
  auto* page = find<QWidget>("openReport");
  EXPECT_FALSE(page->isVisible());
  workspace->drop(QString::fromStdString(damaged.string()));
  ASSERT_TRUE(QTest::qWaitFor([&] { return page->isVisible(); }, 20000));
  EXPECT_EQ(QApplication::activeModalWidget(), nullptr);
  EXPECT_FALSE(find<QWidget>("runsDock")->isVisible());
  EXPECT_EQ(find<QLabel>("openReportTitle")->text(), "cut.gguf cannot be opened");
  EXPECT_TRUE(find<QLabel>("openReportSentence")->text().contains("cut.gguf"));
  ASSERT_TRUE(QTest::qWaitFor([&] { return !find<QLabel>("openReportCause")->text().isEmpty(); }, 20000));
  EXPECT_TRUE(find<QLabel>("openReportCause")->text().contains("interrupted download"));
  QTest::mouseClick(find<QPushButton>("openReportCopy"), Qt::LeftButton);
  EXPECT_TRUE(QApplication::clipboard()->text().contains("BAD header")) << QApplication::clipboard()->text().toStdString();
  // What was open is still there.
  EXPECT_TRUE(workspace->hasModel());
  QTest::mouseClick(find<QPushButton>("openReportBack"), Qt::LeftButton);
  EXPECT_FALSE(page->isVisible());
  EXPECT_TRUE(find<QWidget>("runsDock")->isVisible());
  // A good file opened from the page takes its place.
  workspace->drop(QString::fromStdString(damaged.string()));
  ASSERT_TRUE(QTest::qWaitFor([&] { return page->isVisible(); }, 20000));
  workspace->openModel(stories());
  ASSERT_TRUE(QTest::qWaitFor([&] { return !page->isVisible(); }, 20000));
  EXPECT_TRUE(find<QWidget>("layersDock")->isVisible());
}

// What a button does often makes the notice say something else: the action that runs must outlive that.
TEST_F(WindowTest, ANoticeMaySpeakAnewWhileItsActionRuns) {
  Notice notice(window.get());
  auto held = std::make_shared<int>(0);
  const std::weak_ptr<int> watched = held;
  bool ran = false;
  notice.say("first", Notice::Tone::plain, "Do", [&notice, &ran, &watched, held = std::move(held)] {
    notice.say("second", Notice::Tone::plain, "Do", [] {});
    ran = !watched.expired();
  });
  QTest::mouseClick(notice.button(), Qt::LeftButton);
  EXPECT_TRUE(ran) << "its captures went while it ran";
  EXPECT_EQ(notice.sentence(), "second");
  EXPECT_TRUE(watched.expired()) << "and nothing keeps them afterwards";
}

TEST(OpenReport, TellsPartsThatAreFineFromTheOneAtFault) {
  const lrc::test::TemporaryFolder folder;
  const QString path = QString::fromStdString(folder.path().string());
  std::ofstream(folder.path() / "config.json") << R"({"model_type":"llama","num_hidden_layers":2,"hidden_size":8})";
  std::ofstream(folder.path() / "model.safetensors") << "no header at all";
  const OpenReport report = report_of(path, "sentence");
  const auto line = [&](const QString& what) {
    for (const OpenReport::Line& each : report.lines)
      if (each.what == what) return each;
    return OpenReport::Line{};
  };
  EXPECT_TRUE(line("config.json").fine);
  EXPECT_EQ(line("config.json").fact, "2 blocks, hidden 8");
  EXPECT_TRUE(line("family").fine);
  EXPECT_FALSE(line("tokenizer.json").fine);
  EXPECT_FALSE(line("model.safetensors").fine);
  EXPECT_FALSE(line("model.safetensors").fact.isEmpty());
  std::ofstream(folder.path() / "config.json") << R"({"model_type":"perceptron"})";
  const OpenReport unknown = report_of(path, "sentence");
  EXPECT_TRUE(std::any_of(unknown.lines.begin(), unknown.lines.end(),
                          [](const OpenReport::Line& each) { return each.what == "family" && !each.fine && each.fact.contains("llama"); }));
  EXPECT_TRUE(report_of(path + "/nowhere.gguf", "sentence").cause.contains("moved"));
}

/// Solved runs stand in the slots' lists while they are evaluated, for the first time or again.
TEST_F(WindowTest, SlotsNameARunThatIsEvaluated) {
  open_stories();
  std::ofstream(folder.path() / "calibration.txt") << lrc::test::some_text(8000);
  workspace->editDraft("small", lrc::test::small_recipe(folder.path() / "calibration.txt"));
  const int number = workspace->startRun();
  auto *a = find<QComboBox>("slotA"), *b = find<QComboBox>("slotB");
  // Every state between the last layer and the end is seen: B never falls back to the original.
  bool evaluating_seen = false;
  QObject watcher;
  QObject::connect(workspace.get(), &Workspace::runsChanged, &watcher, [&] {
    const RunEntry* run = workspace->findRun(number);
    if (!run || !run->usable() || run->state != RunEntry::State::running) return;
    evaluating_seen = true;
    EXPECT_EQ(workspace->slotB(), Slot{number});
    EXPECT_EQ(b->currentData().toInt(), number);
    EXPECT_TRUE(workspace->opened(workspace->slotB())) << "it can be talked to";
  });
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->findRun(number)->state == RunEntry::State::done; }, 120000));
  EXPECT_TRUE(evaluating_seen);
  EXPECT_EQ(b->currentData().toInt(), number);
  EXPECT_EQ(a->currentData().toInt(), 0);
  workspace->setSlotA({number});
  EXPECT_EQ(a->currentData().toInt(), number);
}

/// Whatever the way there, a perspective shows its own docks and no others.
TEST_F(WindowTest, APanelThatFloatsIsPaintedAfterItsPerspectiveCameBack) {
  open_stories();
  auto* dock = find<QDockWidget>("spectrumDock");
  dock->setFloating(true);
  workspace->setPerspective(Perspective::run);
  workspace->setPerspective(Perspective::explore);
  ASSERT_TRUE(dock->isFloating() && dock->isVisible());
  EXPECT_TRUE(dock->updatesEnabled());
  EXPECT_TRUE(dock->widget()->updatesEnabled());
}

TEST_F(WindowTest, PerspectivesNeverMixTheirDocks) {
  open_stories();
  const std::map<Perspective, QStringList> own = {
      {Perspective::explore, {"layersDock", "spectrumDock", "errorsDock", "recipeDock"}},
      {Perspective::run, {"runsDock", "runDetailDock", "tradeoffDock", "compareDock"}},
      {Perspective::chat, {}},
      {Perspective::export_, {}},
  };
  QRandomGenerator random(7);
  QString way;
  for (int step = 0; step < 120; ++step) {
    const int what = random.bounded(10);
    if (what < 6) {
      const int next = random.bounded(4);
      way += QString("→%1 ").arg(next);
      QTest::keyClick(window.get(), Qt::Key(Qt::Key_1 + next), Qt::ControlModifier);
    } else if (what == 6) {
      way += "← ";
      workspace->goBack();
    } else if (what == 7) {
      way += "size ";
      window->resize(1180 + random.bounded(500), 700 + random.bounded(300));
    } else if (what == 8) {
      way += "reset ";
      find<QAction>("resetLayoutAction")->trigger();
    } else {
      way += "theme ";
      find<QAction>("themeAction")->trigger();
    }
    if (random.bounded(2)) QCoreApplication::processEvents();
    const QStringList& shown = own.at(workspace->perspective());
    for (const QDockWidget* dock : window->findChildren<QDockWidget*>())
      ASSERT_EQ(dock->isVisible(), shown.contains(dock->objectName()))
          << dock->objectName().toStdString() << " after " << way.toStdString();
  }
}

}  // namespace
}  // namespace lrc::app::test

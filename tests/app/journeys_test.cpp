// Journeys of a person from the start to the result, by pointer and keys alone; at no step stands a dialog in the way.
#include <QApplication>
#include <QClipboard>
#include <QComboBox>
#include <QDropEvent>
#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QMenu>
#include <QMimeData>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSlider>
#include <QSpinBox>
#include <QTableView>
#include <QToolButton>

#include "base/files.h"
#include "base/json.h"
#include "models/run_facts.h"
#include "models/run_selection.h"
#include "panel_fixture.h"
#include "panels/divergence_strip.h"
#include "panels/panel_widgets.h"
#include "panels/token_text.h"
#include "run/recipe_title.h"
#include "session_recovery.h"
#include "window_fixture.h"

namespace lrc::app::test {
namespace {

class JourneyTest : public WindowTest {
 protected:
  /// `with_runs`: #1 LRC and #2 GPTQ lie finished in the runs folder.
  void begin(bool with_runs) {
    if (with_runs) {
      static const PreparedRuns prepared;
      text_ = prepared.folder.path() / "calibration.txt";
      std::filesystem::copy(prepared.folder.path() / "runs", folder.path() / "runs", std::filesystem::copy_options::recursive);
    } else {
      text_ = folder.path() / "calibration.txt";
      write_file_atomically(text_, lrc::test::some_text(12000));
    }
    no_modal();
  }
  void no_modal() {
    QCoreApplication::processEvents();
    EXPECT_EQ(QApplication::activeModalWidget(), nullptr);
  }
  void click(QWidget* widget) {
    ASSERT_NE(widget, nullptr);
    ASSERT_TRUE(widget->isVisible()) << widget->objectName().toStdString();
    QTest::mouseClick(widget, Qt::LeftButton);
    ++clicks_;
    no_modal();
  }
  void key(Qt::Key key, Qt::KeyboardModifiers modifiers = {}) {
    QTest::keyClick(window.get(), key, modifiers);
    ++clicks_;
    no_modal();
  }
  /// The sample from the start page, and a calibration that takes a moment instead of minutes.
  void open_sample() {
    click(find<QPushButton>("sampleOpenButton_stories260K"));
    ASSERT_TRUE(QTest::qWaitFor([this] { return workspace->hasModel(); }, 20000));
    QTest::qWait(50);
  }
  void calibrate_little() {
    Recipe recipe = workspace->draft();
    recipe.calibration = text_.string();
    recipe.calibration_tokens = 512;
    recipe.calibration_context = 128;
    workspace->editDraft("Little text", recipe);
  }
  bool all_done() {
    return QTest::qWaitFor(
        [this] {
          return std::all_of(workspace->runs().begin(), workspace->runs().end(), [](const RunEntry& run) {
            return run.state == RunEntry::State::done || run.state == RunEntry::State::failed;
          });
        },
        300000);
  }
  std::filesystem::path text_;
  int clicks_ = 0;
};

TEST_F(JourneyTest, J2MakeAndExport) {
  begin(false);
  open_sample();
  auto* preset = find<QComboBox>("recipePreset");
  const int row = preset->findText("LRC 10 %");
  ASSERT_GE(row, 0);
  preset->setCurrentIndex(row);
  emit preset->activated(row);
  clicks_ += 2;
  calibrate_little();
  key(Qt::Key_F5);
  ASSERT_TRUE(all_done());
  ASSERT_EQ(workspace->runs().size(), 1u);
  ASSERT_TRUE(workspace->runs()[0].failure.isEmpty()) << workspace->runs()[0].failure.toStdString();
  EXPECT_EQ(workspace->slotB(), Slot{workspace->runs()[0].number});
  key(Qt::Key_4, Qt::ControlModifier);
  auto* fix = find<QPushButton>("fixAll");
  ASSERT_TRUE(QTest::qWaitFor([&] { return fix->isVisible(); }, 20000)) << "R4 is not for llama.cpp";
  EXPECT_FALSE(find<QPushButton>("exportButton")->isEnabled());
  click(fix);
  ASSERT_TRUE(all_done());
  ASSERT_EQ(workspace->runs().size(), 2u) << "a fix is a run";
  ASSERT_TRUE(workspace->runs()[1].failure.isEmpty()) << workspace->runs()[1].failure.toStdString();
  auto* write = find<QPushButton>("exportButton");
  ASSERT_TRUE(QTest::qWaitFor([&] { return write->isEnabled(); }, 20000)) << find<QLabel>("exportWhyNot")->text().toStdString();
  click(write);
  ASSERT_TRUE(QTest::qWaitFor([this] { return find<QPushButton>("exportOpenFolder")->isVisible(); }, 120000));
  click(find<QPushButton>("loadCommandCopy"));
  EXPECT_TRUE(QApplication::clipboard()->text().contains("--lora")) << QApplication::clipboard()->text().toStdString();
  EXPECT_LE(clicks_, 8);
}

TEST_F(JourneyTest, J3SanityChat) {
  begin(true);
  open_sample();
  ASSERT_TRUE(QTest::qWaitFor([this] { return workspace->slotB().run.has_value(); }, 20000));
  workspace->setSlotB({1});
  clicks_ = 0;
  key(Qt::Key_3, Qt::ControlModifier);
  ASSERT_TRUE(QTest::qWaitFor([this] { return find<QPlainTextEdit>("chatInput")->isEnabled(); }, 20000));
  find<QSpinBox>("samplingMaxNew")->setValue(12);
  static_cast<SegmentSwitch*>(find<QWidget>("chatMode"))->setCurrent(1);
  QPushButton* sample = nullptr;
  for (auto* button : find<QWidget>("samplePrompts")->findChildren<QPushButton*>())
    if (!sample && button->isVisible()) sample = button;
  click(sample);
  const auto idle = [this] { return find<QPushButton>("chatSend")->text().startsWith("Send"); };
  ASSERT_TRUE(QTest::qWaitFor(idle, 60000));
  auto* strip = find<DivergenceStrip>("divergenceStrip");
  ASSERT_GT(strip->count(), 3) << "B followed A";
  // The pointer over a token shows the table of both.
  auto* tokens = find<TokenText>("chatAnswerB1");
  QTest::mouseMove(tokens->viewport(), tokens->rectOf(2).center());
  QTest::mouseMove(tokens->viewport(), tokens->rectOf(2).center() + QPoint(1, 0));
  ASSERT_TRUE(QTest::qWaitFor(
      [this] { return window->findChild<QWidget*>("tokenPopover") && window->findChild<QWidget*>("tokenPopover")->isVisible(); }, 5000));
  no_modal();
  const QString heard = find<QLabel>("divergenceText")->text();
  QTest::keyClick(find<QPlainTextEdit>("chatInput"), Qt::Key_B, Qt::ControlModifier);
  ++clicks_;
  ASSERT_TRUE(QTest::qWaitFor([&] { return idle() && find<QLabel>("divergenceText")->text() != heard; }, 60000)) << "without the branch";
  no_modal();
  auto* all = find<QPushButton>("runAllPrompts");
  all->click();
  ++clicks_;
  ASSERT_TRUE(QTest::qWaitFor([this] { return find<QListWidget>("sampleResults")->count() > 1; }, 120000)) << "worst first, as they come";
  no_modal();
  QTest::keyClick(find<QPlainTextEdit>("chatInput"), Qt::Key_Escape);
  ASSERT_TRUE(QTest::qWaitFor(idle, 60000));
  EXPECT_LE(clicks_, 5);
}

TEST_F(JourneyTest, J4LrcOrLqerAtEqualBytes) {
  begin(true);
  open_sample();
  ASSERT_TRUE(QTest::qWaitFor([this] { return workspace->runs().size() == 2; }, 20000));
  workspace->setSlotB({1});
  clicks_ = 0;
  key(Qt::Key_2, Qt::ControlModifier);
  auto* plot = find<QCustomPlot>("tradeoffPlot");
  plot->replot(QCustomPlot::rpImmediateRefresh);
  const Manifest b = workspace->findRun(1)->manifest;  // the list grows below
  const double size = b.bits_per_weight;
  const QPoint point(int(plot->xAxis->coordToPixel(size)), int(plot->yAxis->coordToPixel(b.evaluation->kl->mean)));
  QContextMenuEvent ask(QContextMenuEvent::Mouse, point, plot->mapToGlobal(point));
  QApplication::sendEvent(plot, &ask);
  ++clicks_;
  QMenu* menu = nullptr;
  ASSERT_TRUE(QTest::qWaitFor([&] { return (menu = window->findChild<QMenu*>("matchBytesMenu")) != nullptr && menu->isVisible(); }, 5000));
  no_modal();
  auto* lqer = menu->findChild<QAction*>("matchBytes_lqer");
  ASSERT_NE(lqer, nullptr);
  lqer->trigger();
  menu->close();
  ++clicks_;
  ASSERT_EQ(workspace->runs().size(), 3u);
  const RunEntry& queued = workspace->runs().back();
  EXPECT_EQ(queued.manifest.recipe.method, "lqer");
  EXPECT_EQ(queued.manifest.recipe.rotation, b.recipe.rotation);
  ASSERT_TRUE(all_done());
  ASSERT_TRUE(workspace->runs().back().failure.isEmpty()) << workspace->runs().back().failure.toStdString();
  const int number = workspace->runs().back().number;
  EXPECT_NEAR(workspace->findRun(number)->manifest.bits_per_weight / size, 1, 0.005);
  // It lands in the band, a click with Shift makes it A, and Compare says what differs.
  EXPECT_EQ(workspace->slotB(), Slot{1}) << "what is matched to B stands beside it";
  ASSERT_TRUE(workspace->findRun(number)->manifest.evaluation);
  QCoreApplication::processEvents();
  plot->replot(QCustomPlot::rpImmediateRefresh);
  const auto& found = *workspace->findRun(number);
  // Runs on another text or other windows are not drawn beside it; then the slot is chosen in the toolbar.
  const QPoint landed(int(plot->xAxis->coordToPixel(found.manifest.bits_per_weight)),
                      int(plot->yAxis->coordToPixel(found.manifest.evaluation->kl->mean)));
  QTest::mouseClick(plot, Qt::LeftButton, Qt::ShiftModifier, landed);
  ++clicks_;
  if (!(workspace->slotA() == Slot{number})) workspace->setSlotA({number});
  no_modal();
  auto* table = find<QTableView>("compareTable");
  QStringList rows;
  for (int row = 0; row < table->model()->rowCount(); ++row) rows << table->model()->index(row, 0).data().toString();
  EXPECT_FALSE(rows.isEmpty());
  EXPECT_LE(clicks_, 5);
}

TEST_F(JourneyTest, J7AfterACrash) {
  begin(false);
  // A run that died: some layers are there, and the manifest still says that it runs.
  const auto run = folder.path() / "runs" / "0004-lrc";
  std::filesystem::create_directories(run.parent_path());
  Recipe recipe = lrc::test::small_recipe(text_);
  std::stop_source stop;
  Progress progress;
  int layers = 0;
  EXPECT_THROW(carry_out(lrc::test::small_request(run, recipe), progress, stop.get_token(),
                         [&](const LayerRecord&) {
                           if (++layers == 9) stop.request_stop();
                         }),
               Error);
  Json manifest = read_json_file(run / "manifest.json");
  manifest["state"] = "running";
  write_file_atomically(run / "manifest.json", manifest.dump());
  const auto solved = lrc::test::layer_bytes(run);

  offer_recovery(*workspace);
  QPushButton* resume = nullptr;
  ASSERT_TRUE(QTest::qWaitFor(
      [&] {
        for (auto* button : find<QWidget>("bannerArea")->findChildren<QPushButton*>())
          if (button->isVisible() && button->text().startsWith("Resume")) resume = button;
        return resume != nullptr;
      },
      20000));
  no_modal();
  clicks_ = 0;
  click(resume);
  EXPECT_EQ(clicks_, 1);
  ASSERT_TRUE(QTest::qWaitFor([this] { return workspace->runs().size() == 1; }, 20000));
  ASSERT_TRUE(all_done());
  const RunEntry& after = workspace->runs()[0];
  ASSERT_TRUE(after.failure.isEmpty()) << after.failure.toStdString();
  EXPECT_EQ(after.manifest.layers.size(), 35u);
  const auto all = lrc::test::layer_bytes(run);
  for (const auto& [name, bytes] : solved) EXPECT_EQ(all.at(name), bytes) << name;
  // As if nothing had happened.
  const auto twin = folder.path() / "twin";
  lrc::test::carry_out(lrc::test::small_request(twin, recipe));
  EXPECT_EQ(all, lrc::test::layer_bytes(twin));
}

TEST_F(JourneyTest, J8TheSameOnAServer) {
  begin(false);
  open_sample();
  calibrate_little();
  clicks_ = 0;
  click(find<QWidget>("copyCommandButton"));
  const QString command = QApplication::clipboard()->text();
  EXPECT_TRUE(command.startsWith("lrc quantize ")) << command.toStdString();
  EXPECT_TRUE(command.contains("--calibration-tokens 512"));
  // What that command makes elsewhere comes back as a folder.
  const auto brought = folder.path() / "brought" / "lrc10";
  std::filesystem::create_directories(brought.parent_path());
  lrc::test::carry_out({stories().toStdString(), workspace->model(), workspace->draft(), brought});
  QMimeData data;
  data.setUrls({QUrl::fromLocalFile(QString::fromStdString(brought.string()))});
  QDragEnterEvent enter(window->rect().center(), Qt::CopyAction, &data, Qt::LeftButton, {});
  QApplication::sendEvent(window.get(), &enter);
  EXPECT_TRUE(enter.isAccepted());
  EXPECT_TRUE(find<QLabel>("dropLine")->isVisible());
  QDropEvent drop(window->rect().center(), Qt::CopyAction, &data, Qt::LeftButton, {});
  QApplication::sendEvent(window.get(), &drop);
  ++clicks_;
  no_modal();
  ASSERT_TRUE(QTest::qWaitFor([this] { return workspace->runs().size() == 1 && workspace->slotB().run.has_value(); }, 20000));
  EXPECT_EQ(workspace->runs()[0].folder, brought);
  EXPECT_TRUE(workspace->runs()[0].usable());
  EXPECT_LE(clicks_, 2);
}

TEST_F(JourneyTest, ASelfContainedSessionOpensElsewhere) {
  begin(true);
  open_sample();
  ASSERT_TRUE(QTest::qWaitFor([this] { return workspace->runs().size() == 2; }, 20000));
  workspace->setSlotA({2});
  workspace->setSlotB({1});
  const auto target = folder.path() / "carried";
  workspace->saveSelfContained(QString::fromStdString(target.string()));
  ASSERT_TRUE(QTest::qWaitFor([&] { return std::filesystem::exists(target / "session.lrcsession"); }, 20000));
  // Another computer: its own runs have other numbers, the carried ones come with the session.
  const auto moved = folder.path() / "moved";
  std::filesystem::rename(target, moved);
  Workspace other(folder.path() / "no-runs");
  other.openSession(QString::fromStdString((moved / "session.lrcsession").string()));
  ASSERT_TRUE(QTest::qWaitFor([&] { return other.runs().size() == 2 && other.slotA().run && other.slotB().run; }, 20000));
  EXPECT_EQ(other.findRun(*other.slotB().run)->manifest.recipe.method, "lrc");
  EXPECT_EQ(other.findRun(*other.slotA().run)->manifest.recipe.method, "gptq");
  EXPECT_TRUE(other.findRun(*other.slotB().run)->folder.string().starts_with(moved.string()));
}

}  // namespace
}  // namespace lrc::app::test

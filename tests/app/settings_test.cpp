// Settings, Devices, and the page before a model that is too large.
#include <QCheckBox>
#include <QClipboard>
#include <QComboBox>
#include <QDialog>
#include <QDoubleSpinBox>
#include <QKeySequenceEdit>
#include <QLabel>
#include <QLineEdit>
#include <QMainWindow>
#include <QPushButton>
#include <QSpinBox>
#include <QTableWidget>
#include <QToolButton>
#include <QTreeWidget>
#include <QWheelEvent>

#include "base/files.h"
#include "base/json.h"
#include "base/parallel.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "run/memory_stages.h"
#include "window_fixture.h"

namespace lrc::app::test {
namespace {

class SettingsTest : public WindowTest {
 protected:
  void TearDown() override {
    set_thread_count(0);
    set_map_palette("viridis");
    WindowTest::TearDown();
  }
  QDialog* ask(const char* action, const char* name) {
    find<QAction>(action)->trigger();
    auto* dialog = window->findChild<QDialog*>(name);
    EXPECT_NE(dialog, nullptr);
    EXPECT_FALSE(dialog->isModal());
    EXPECT_EQ(QApplication::activeModalWidget(), nullptr);
    return dialog;
  }
};

TEST_F(SettingsTest, AppliedAtOnceAndTakenBackFieldByField) {
  QTest::keyClick(window.get(), Qt::Key_Comma, Qt::ControlModifier);
  auto* dialog = window->findChild<QDialog*>("settingsWindow");
  ASSERT_NE(dialog, nullptr);
  auto* threads = dialog->findChild<QDoubleSpinBox*>("setting_devices_threads");
  auto* reset = dialog->findChild<QToolButton*>("reset_devices_threads");
  ASSERT_TRUE(threads && reset);
  EXPECT_FALSE(reset->isVisible());
  threads->setValue(1);
  EXPECT_EQ(thread_count(), 1);
  EXPECT_EQ(QSettings().value("devices/threads").toInt(), 1);
  EXPECT_TRUE(reset->isVisible());
  QTest::mouseClick(reset, Qt::LeftButton);
  EXPECT_GE(thread_count(), 1);
  EXPECT_EQ(QSettings().value("devices/threads").toInt(), 0);
  EXPECT_FALSE(reset->isVisible());

  const QColor before = map_colour(0.0);
  auto* palette = dialog->findChild<QComboBox*>("setting_mapPalette");
  palette->setCurrentIndex(palette->findData("grey"));
  EXPECT_NE(map_colour(0.0), before);
  EXPECT_EQ(map_colour(0.5).red(), map_colour(0.5).green());

  auto* font = dialog->findChild<QDoubleSpinBox*>("setting_fontScale");
  font->setValue(110);
  EXPECT_EQ(QSettings().value("fontScale").toInt(), 110);
  font->setValue(100);
}

TEST_F(SettingsTest, WithoutMotionNothingMovesByItself) {
  auto* dialog = ask("settingsAction", "settingsWindow");
  auto* motion = dialog->findChild<QCheckBox*>("setting_motion");
  ASSERT_NE(motion, nullptr);
  const int flash_ms = QApplication::cursorFlashTime();
  motion->setChecked(false);
  EXPECT_FALSE(static_cast<QMainWindow*>(window.get())->isAnimated());
  EXPECT_FALSE(QApplication::isEffectEnabled(Qt::UI_FadeTooltip));
  EXPECT_EQ(QApplication::cursorFlashTime(), 0);
  motion->setChecked(true);
  EXPECT_TRUE(static_cast<QMainWindow*>(window.get())->isAnimated());
  EXPECT_EQ(QApplication::cursorFlashTime(), flash_ms);
}

TEST_F(SettingsTest, AChatBeginsAsTheSettingsSay) {
  auto* dialog = ask("settingsAction", "settingsWindow");
  auto* mode = dialog->findChild<QComboBox*>("setting_chat_mode");
  mode->setCurrentIndex(mode->findData("2"));
  dialog->findChild<QDoubleSpinBox*>("setting_chat_maxNew")->setValue(17);
  auto* preset = dialog->findChild<QComboBox*>("setting_chat_preset");
  preset->setCurrentIndex(preset->findData("2"));
  open_stories();
  EXPECT_EQ(find<QSpinBox>("samplingMaxNew")->value(), 17);
  EXPECT_EQ(find<QComboBox>("samplingPreset")->currentText(), "Creative");
  EXPECT_EQ(static_cast<SegmentSwitch*>(find<QWidget>("chatMode"))->current(), 2);
}

TEST_F(SettingsTest, TheMemoryLimitHoldsForRuns) {
  open_stories();
  auto* dialog = ask("settingsAction", "settingsWindow");
  EXPECT_FALSE(workspace->commandOfDraft().contains("--memory-limit"));
  dialog->findChild<QDoubleSpinBox*>("setting_devices_memoryLimitGib")->setValue(1.5);
  EXPECT_TRUE(workspace->commandOfDraft().contains("--memory-limit 1610612736")) << workspace->commandOfDraft().toStdString();
}

TEST_F(SettingsTest, TheWheelScrollsAndChangesNothing) {
  auto* dialog = ask("settingsAction", "settingsWindow");
  auto* windows = dialog->findChild<QDoubleSpinBox*>("setting_evaluation_windows");
  const double before = windows->value();
  for (const bool with_control : {false, true}) {
    QWheelEvent wheel({5, 5}, windows->mapToGlobal(QPointF(5, 5)), {}, {0, -120}, Qt::NoButton,
                      with_control ? Qt::ControlModifier : Qt::NoModifier, Qt::NoScrollPhase, false);
    QApplication::sendEvent(windows, &wheel);
    EXPECT_EQ(windows->value() != before, with_control);
  }
}

TEST_F(SettingsTest, ASearchLeavesWhatFits) {
  auto* dialog = ask("settingsAction", "settingsWindow");
  auto* search = dialog->findChild<QLineEdit*>("settingsSearch");
  QTest::keyClicks(search, "memory");
  EXPECT_TRUE(dialog->findChild<QWidget*>("setting_devices_memoryLimitGib")->isVisible());
  EXPECT_FALSE(dialog->findChild<QWidget*>("setting_theme")->isVisible());
  search->clear();
  QTest::keyClicks(search, "font");
  EXPECT_TRUE(dialog->findChild<QWidget*>("setting_fontScale")->isVisible());
  QTest::keyClicks(search, "zzz");
  EXPECT_TRUE(dialog->findChild<QLabel*>("settingsNothing")->isVisible());
  search->clear();
  EXPECT_TRUE(dialog->findChild<QWidget*>("setting_theme")->isVisible());
}

TEST_F(SettingsTest, ShortcutsChangeAndConflictsAreShown) {
  auto* dialog = ask("settingsAction", "settingsWindow");
  const auto type = [&](const QKeySequence& keys) {
    auto* edit = dialog->findChild<QKeySequenceEdit*>("keys_measureAction");
    ASSERT_NE(edit, nullptr);
    edit->setKeySequence(keys);
    emit edit->editingFinished();
    QCoreApplication::processEvents();
  };
  auto* conflict = dialog->findChild<QLabel*>("shortcutConflict");
  const QAction* measure = find<QAction>("measureAction");
  type(QKeySequence("Ctrl+K"));
  EXPECT_TRUE(conflict->isVisible());
  EXPECT_TRUE(conflict->text().contains("Jump to anything")) << conflict->text().toStdString();
  EXPECT_EQ(measure->shortcut(), QKeySequence("Ctrl+M"));
  type(QKeySequence("Ctrl+Alt+M"));
  EXPECT_FALSE(conflict->isVisible());
  EXPECT_EQ(measure->shortcut(), QKeySequence("Ctrl+Alt+M"));
  // The next window has it, too.
  MainWindow second(*workspace);
  EXPECT_EQ(second.findChild<QAction*>("measureAction")->shortcut(), QKeySequence("Ctrl+Alt+M"));
  type(QKeySequence("Ctrl+M"));
  EXPECT_FALSE(QSettings().contains("shortcuts/measureAction"));
}

TEST_F(SettingsTest, DevicesAreTestedAndReported) {
  ASSERT_TRUE(QTest::qWaitFor([this] { return !workspace->devices().empty(); }, 20000));
  auto* status = find<QAbstractButton>("statusDevice");
  QTest::mouseClick(status, Qt::LeftButton);
  auto* dialog = window->findChild<QDialog*>("devicesWindow");
  ASSERT_NE(dialog, nullptr);
  auto* test = dialog->findChild<QPushButton*>("devicesTest");
  QTest::mouseClick(test, Qt::LeftButton);
  EXPECT_FALSE(test->isEnabled());
  ASSERT_TRUE(QTest::qWaitFor([&] { return test->isEnabled(); }, 120000));
  EXPECT_TRUE(dialog->findChild<QLabel*>("devicesSentence")->text().contains("every kernel agrees"))
      << dialog->findChild<QLabel*>("devicesSentence")->text().toStdString();
  QTest::mouseClick(dialog->findChild<QPushButton*>("devicesCopy"), Qt::LeftButton);
  const QString report = QApplication::clipboard()->text();
  EXPECT_TRUE(report.contains("cpu: ") && report.contains("ok attention") && report.contains("GOP/s")) << report.toStdString();
}

TEST_F(SettingsTest, AModelThatIsTooLargeIsAskedAboutFirst) {
  QSettings().setValue("devices/memoryLimitGib", 0.001);
  workspace->openModel(stories());
  auto* page = find<QWidget>("tooLargePage");
  ASSERT_TRUE(QTest::qWaitFor([&] { return page->isVisible(); }, 20000));
  EXPECT_FALSE(workspace->hasModel());
  EXPECT_EQ(QApplication::activeModalWidget(), nullptr);
  EXPECT_TRUE(find<QLabel>("tooLargeTitle")->text().contains("would need"));
  EXPECT_TRUE(find<QWidget>("memoryForecast")->accessibleDescription().contains("solve"));
  const QString before = find<QWidget>("memoryForecast")->accessibleDescription();
  auto* option = find<QCheckBox>("fitOption_0");
  QTest::mouseClick(option, Qt::LeftButton, {}, QPoint(10, option->height() / 2));
  ASSERT_TRUE(option->isChecked());
  EXPECT_NE(find<QWidget>("memoryForecast")->accessibleDescription(), before) << "the numbers follow the choice";
  QTest::mouseClick(find<QPushButton>("openCancelButton"), Qt::LeftButton);
  EXPECT_FALSE(page->isVisible());
  EXPECT_FALSE(workspace->hasModel()) << "nothing is left behind";
  EXPECT_TRUE(find<QWidget>("startPage")->isVisible());

  workspace->openModel(stories());
  ASSERT_TRUE(QTest::qWaitFor([&] { return page->isVisible(); }, 20000));
  QTest::mouseClick(find<QPushButton>("openAnywayButton"), Qt::LeftButton);
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->hasModel(); }, 20000));
  EXPECT_FALSE(page->isVisible());
  EXPECT_TRUE(find<QWidget>("layersDock")->isVisible());
}

TEST_F(SettingsTest, AnUnknownFamilyIsInspectedAsTensors) {
  const auto place = folder.path() / "mystery";
  std::filesystem::copy(lrc::test::data("models/llama-tied/hf"), place, std::filesystem::copy_options::recursive);
  Json config = read_json_file(place / "config.json");
  config["model_type"] = "mystery";
  config["architectures"] = {"MysteryForCausalLM"};
  write_file_atomically(place / "config.json", config.dump());
  workspace->openModel(QString::fromStdString(place.string()));
  ASSERT_TRUE(QTest::qWaitFor([this] { return find<QWidget>("openReport")->isVisible(); }, 20000));
  EXPECT_TRUE(find<QLabel>("openReportSentence")->text().contains("mystery"));
  QTest::mouseClick(find<QPushButton>("openReportTensors"), Qt::LeftButton);
  auto* dialog = window->findChild<QDialog*>("tensorsWindow");
  ASSERT_NE(dialog, nullptr);
  EXPECT_FALSE(dialog->isModal());
  auto* table = dialog->findChild<QTableWidget*>("tensorsTable");
  ASSERT_TRUE(QTest::qWaitFor([&] { return table->rowCount() > 5; }, 20000));
  ASSERT_TRUE(QTest::qWaitFor([&] { return dialog->findChild<QLabel*>("tensorFacts")->text().contains("rms"); }, 20000));
  table->setCurrentCell(table->rowCount() - 1, 0);
  ASSERT_TRUE(QTest::qWaitFor([&] { return dialog->findChild<QLabel*>("tensorFacts")->text().contains("rms"); }, 20000));
  dialog->close();
}

TEST_F(SettingsTest, TheChoiceMadeForMemoryIsTheFirstDraft) {
  QSettings().setValue("devices/memoryLimitGib", 0.001);
  workspace->openModel(stories());
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->tooLarge().has_value(); }, 20000));
  const auto options = memory_options(Recipe{}, *workspace->tooLarge()->model);
  ASSERT_FALSE(options.empty());
  workspace->openAnyway(options.front().recipe);
  ASSERT_TRUE(workspace->hasModel());
  EXPECT_EQ(workspace->draft().calibration_tokens, options.front().recipe.calibration_tokens);
  EXPECT_EQ(workspace->draft().held_out_windows, options.front().recipe.held_out_windows);
}

}  // namespace
}  // namespace lrc::app::test

// The window, driven by real pointer and key events on the offscreen platform.
#include <QAccessible>
#include <QApplication>
#include <QClipboard>
#include <QComboBox>
#include <QDockWidget>
#include <QDoubleSpinBox>
#include <QHeaderView>
#include <QLineEdit>
#include <QListWidget>
#include <QPushButton>
#include <QSlider>
#include <QTableView>
#include <QToolButton>
#include <fstream>

#include "base/files.h"
#include "models/draft_edits.h"
#include "panels/layer_map.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "widgets.h"
#include "window_fixture.h"

namespace lrc::app::test {
namespace {

TEST_F(WindowTest, StartPageFirstThenTheTable) {
  EXPECT_TRUE(find<QWidget>("startPage")->isVisible());
  EXPECT_FALSE(find<QWidget>("layersDock")->isVisible());
  EXPECT_FALSE(find<QWidget>("perspectiveBar")->isEnabled());
  auto* sample = find<QPushButton>("sampleOpenButton_stories260K");
  QTest::mouseClick(sample, Qt::LeftButton);
  ASSERT_TRUE(QTest::qWaitFor([this] { return workspace->hasModel(); }, 20000));
  QCoreApplication::processEvents();
  EXPECT_FALSE(find<QWidget>("startPage")->isVisible());
  for (const char* dock : {"layersDock", "spectrumDock", "errorsDock", "recipeDock"}) EXPECT_TRUE(find<QWidget>(dock)->isVisible()) << dock;
  EXPECT_EQ(find<QTableView>("layersTable")->model()->rowCount(), 35);
  EXPECT_EQ(workspace->selectedLayers(), std::vector<int>{0}) << "a first selection is made";
  EXPECT_TRUE(QTest::qWaitFor([this] { return workspace->measuring() || workspace->isMeasured(); }, 20000))
      << "the sample's curves are asked for without a click, once its file has been read";
}

TEST_F(WindowTest, MapAndTableShowOneSelection) {
  open_stories();
  auto* map = static_cast<LayerMap*>(find<QWidget>("layersMap"));
  auto* table = find<QTableView>("layersTable");
  const auto down = layers_of(Role::down_proj);
  QTest::mouseClick(map, Qt::LeftButton, {}, map->cellOf(down[2]).center());
  EXPECT_EQ(workspace->selectedLayers(), std::vector<int>{down[2]});
  ASSERT_EQ(table->selectionModel()->selectedRows().size(), 1);
  EXPECT_EQ(table->selectionModel()->selectedRows()[0].siblingAtColumn(1).data().toString(), "2.down_proj");

  // A click in the table comes back to the map's side; Shift extends.
  table->scrollTo(table->model()->index(3, 1));
  const auto click = [&](int row, Qt::KeyboardModifiers keys = {}) {
    QTest::mouseClick(table->viewport(), Qt::LeftButton, keys, table->visualRect(table->model()->index(row, 1)).center());
  };
  click(1);
  click(3, Qt::ShiftModifier);
  EXPECT_EQ(workspace->selectedLayers(), (std::vector<int>{1, 2, 3}));

  // A rectangle in the map: blocks 0 and 1 of gate and up.
  const auto gate = layers_of(Role::gate_proj), up = layers_of(Role::up_proj);
  QTest::mousePress(map, Qt::LeftButton, {}, map->cellOf(gate[0]).center());
  QTest::mouseMove(map, map->cellOf(up[1]).center() - QPoint(2, 2));
  QTest::mouseMove(map, map->cellOf(up[1]).center());
  QTest::mouseRelease(map, Qt::LeftButton, {}, map->cellOf(up[1]).center());
  std::vector<int> expected = {gate[0], up[0], gate[1], up[1]};
  EXPECT_EQ(workspace->selectedLayers(), expected);
  EXPECT_EQ(table->selectionModel()->selectedRows().size(), 4);
}

TEST_F(WindowTest, FilterKeepsTheSelectionAndSaysWhereItIsWrong) {
  open_stories();
  auto* filter = find<FilterField>("layersFilter");
  auto* table = find<QTableView>("layersTable");
  QTest::keyClicks(filter, "role:down");
  EXPECT_EQ(table->model()->rowCount(), 5);
  EXPECT_EQ(filter->state(), FilterField::State::valid);
  EXPECT_EQ(workspace->selectedLayers(), std::vector<int>{0}) << "what the filter hides stays selected";
  QTest::keyClicks(filter, " |");
  EXPECT_EQ(filter->state(), FilterField::State::invalid);
  EXPECT_EQ(table->model()->rowCount(), 5) << "the last valid filter stays in force";
  EXPECT_TRUE(find<QWidget>("layersFoot")->accessibleName().startsWith("column "));
  QTest::keyClick(filter, Qt::Key_Escape);
  EXPECT_EQ(table->model()->rowCount(), 35);
}

TEST_F(WindowTest, RankOfManyRowsIsOneUndoStep) {
  open_stories();
  auto* table = find<QTableView>("layersTable");
  QTest::keyClicks(find<QLineEdit>("layersFilter"), "!role:v");
  table->setFocus();
  table->selectAll();
  ASSERT_EQ(workspace->selectedLayers().size(), 30u);
  const Recipe before = workspace->draft();
  QTest::keyClick(table, Qt::Key_R);
  auto* editor = find<QLineEdit>("layersRankEditor");
  ASSERT_NE(editor, nullptr);
  editor->selectAll();
  QTest::keyClicks(editor, "7");
  QTest::keyClick(editor, Qt::Key_Return);
  ASSERT_TRUE(QTest::qWaitFor([this] { return workspace->undoStack().count() > 0; }));
  EXPECT_EQ(workspace->undoStack().count(), 1);
  EXPECT_EQ(workspace->undoStack().undoText(), "Rank of 30 layers → 7");
  for (std::size_t i = 0; i < 35; ++i) {
    const bool is_v = workspace->model()->layers()[i].role == Role::v_proj;
    EXPECT_EQ(workspace->draftSchemes()[i]->rank == 7, !is_v) << i;
  }
  QTest::keyClick(window.get(), Qt::Key_Z, Qt::ControlModifier);
  EXPECT_EQ(workspace->draft(), before);
  EXPECT_EQ(workspace->undoStack().index(), 0);
}

TEST_F(WindowTest, ForecastIsTheEnginesArithmetic) {
  open_stories();
  // The first forecast of a process may have to measure the machine, with one thread at a time: how a run is cut then is not compared.
  ASSERT_TRUE(QTest::qWaitFor([this] { return find<QLabel>("forecastTime")->text().startsWith(QChar(0x2248)); }, 60000));
  auto* rank = find<QLineEdit>("recipeRank");
  rank->setFocus();
  rank->selectAll();
  QTest::keyClicks(rank, "25%");
  QTest::keyClick(rank, Qt::Key_Return);
  ASSERT_EQ(workspace->draft().rank, (RankChoice{true, 25}));
  const Forecast expected = forecast(workspace->draft(), *workspace->model());
  EXPECT_TRUE(QTest::qWaitFor([&] { return find<QLabel>("forecastSize")->text() == format_megabytes(expected.file_bytes); }, 60000))
      << find<QLabel>("forecastSize")->text().toStdString();
  EXPECT_TRUE(find<QWidget>("forecastRuler")->accessibleName().contains(format_bits(expected.bits_per_weight)));
  // Memory and time follow a moment later.
  EXPECT_TRUE(
      QTest::qWaitFor([&] { return find<QLabel>("forecastMemory")->text() == format_gibibytes(expected.peak_memory_bytes); }, 60000))
      << find<QLabel>("forecastMemory")->text().toStdString();
}

TEST_F(WindowTest, OneDragOfTheRankIsOneStep) {
  open_stories();
  auto* slider = find<QSlider>("recipeRankSlider");
  emit slider->sliderPressed();
  for (int value = 21; value < 60; ++value) slider->setValue(value);
  EXPECT_EQ(workspace->undoStack().count(), 1);
  EXPECT_EQ(workspace->draft().rank, (RankChoice{true, 29.5}));
  emit slider->sliderPressed();
  slider->setValue(10);
  EXPECT_EQ(workspace->undoStack().count(), 2);
}

TEST_F(WindowTest, AGroupThatDoesNotDivideIsNotOffered) {
  open_stories();
  auto* group = find<QComboBox>("recipeGroup");
  EXPECT_EQ(group->count(), 1) << "172 is divided by no usual group";
  EXPECT_EQ(find<QWidget>("recipeGroupNote")->accessibleName(), "128 does not divide 64");
  const auto q = layers_of(Role::q_proj);
  workspace->selectLayers(q, q[0]);
  QTest::mouseClick(find<QWidget>("recipeScope")->findChildren<QToolButton*>()[1], Qt::LeftButton);
  ASSERT_EQ(group->count(), 4);
  EXPECT_EQ(group->findData(qulonglong(128)), -1);
  group->setCurrentIndex(group->findData(qulonglong(32)));
  emit group->activated(group->currentIndex());
  for (std::size_t i = 0; i < 35; ++i)
    EXPECT_EQ(workspace->draftSchemes()[i]->weight.group_size == 32, workspace->model()->layers()[i].role == Role::q_proj);
  EXPECT_FALSE(workspace->draftProblem());
}

TEST_F(WindowTest, SmoothingImportedRotationsAndTheSecondTextAreFieldsOfTheRecipe) {
  open_stories();
  auto* smoothing = find<QComboBox>("recipeSmoothing");
  auto* strength = find<QDoubleSpinBox>("recipeSmoothingStrength");
  EXPECT_FALSE(strength->isEnabled());
  smoothing->setCurrentIndex(smoothing->findData(int(Smoothing::smoothquant)));
  emit smoothing->activated(smoothing->currentIndex());
  EXPECT_EQ(workspace->draft().smoothing, Smoothing::smoothquant);
  EXPECT_TRUE(strength->isEnabled());
  strength->setValue(0.8);
  EXPECT_EQ(workspace->draft().smoothing_strength, 0.8);
  workspace->undoStack().undo();
  workspace->undoStack().undo();
  EXPECT_EQ(workspace->draft().smoothing, Smoothing::none);
  EXPECT_EQ(smoothing->currentIndex(), 0);

  Recipe draft = workspace->draft();
  draft.rotation.file = "/somewhere/learned.safetensors";
  draft.calibration_mix = CalibrationMix{"/somewhere/task.txt", 0.25};
  workspace->editDraft("from outside", draft);
  EXPECT_EQ(find<QWidget>("recipeRotationFile")->accessibleName(), "learned.safetensors");
  EXPECT_EQ(find<QWidget>("recipeCalibrationMix")->accessibleName(), "task.txt");
  auto* share = find<QDoubleSpinBox>("recipeCalibrationMixShare");
  EXPECT_EQ(share->value(), 0.25);
  share->setValue(0.4);
  EXPECT_EQ(workspace->draft().calibration_mix->share, 0.4);
  emit find<QToolButton>("recipeRotationFileClear")->clicked();
  emit find<QToolButton>("recipeCalibrationMixClear")->clicked();
  EXPECT_TRUE(workspace->draft().rotation.file.empty());
  EXPECT_FALSE(workspace->draft().calibration_mix);
}

TEST_F(WindowTest, ARankAboveTheMatrixIsSaidAndNotRun) {
  open_stories();
  auto* rank = find<QLineEdit>("recipeRank");
  rank->setFocus();
  rank->selectAll();
  QTest::keyClicks(rank, "5000");
  QTest::keyClick(rank, Qt::Key_Return);
  EXPECT_TRUE(workspace->draftProblem());
  EXPECT_FALSE(find<QPushButton>("runButton")->isEnabled());
  EXPECT_TRUE(find<QLabel>("recipeProblem")->isVisible());
  QTest::keyClick(window.get(), Qt::Key_Z, Qt::ControlModifier);
  EXPECT_TRUE(find<QPushButton>("runButton")->isEnabled());
}

TEST_F(WindowTest, PerspectivesKeepTheirLayouts) {
  open_stories();
  auto* layers = find<QDockWidget>("layersDock");
  find<QDockWidget>("errorsDock")->close();
  QTest::qWait(50);  // the layout settles
  const int width = layers->width();
  QTest::keyClick(window.get(), Qt::Key_2, Qt::ControlModifier);
  EXPECT_EQ(workspace->perspective(), Perspective::run);
  EXPECT_TRUE(find<QWidget>("runsDock")->isVisible());
  EXPECT_TRUE(find<QWidget>("compareDock")->isVisible());
  EXPECT_FALSE(layers->isVisible());
  QTest::keyClick(window.get(), Qt::Key_3, Qt::ControlModifier);
  EXPECT_TRUE(find<QWidget>("chatInput")->isVisible());
  EXPECT_FALSE(find<QWidget>("runsDock")->isVisible());
  QTest::keyClick(window.get(), Qt::Key_1, Qt::ControlModifier);
  QCoreApplication::processEvents();
  EXPECT_TRUE(layers->isVisible());
  EXPECT_FALSE(find<QDockWidget>("errorsDock")->isVisible()) << "what was closed here stays closed here";
  EXPECT_NEAR(layers->width(), width, 2);
  find<QAction>("resetLayoutAction")->trigger();
  EXPECT_TRUE(find<QDockWidget>("errorsDock")->isVisible());
  // Back and forward walk the same way.
  QTest::keyClick(window.get(), Qt::Key_Left, Qt::AltModifier);
  EXPECT_EQ(workspace->perspective(), Perspective::chat);
  QTest::keyClick(window.get(), Qt::Key_Right, Qt::AltModifier);
  EXPECT_EQ(workspace->perspective(), Perspective::explore);
}

TEST_F(WindowTest, LightAndDarkWhileRunning) {
  open_stories();
  const bool before = is_dark();
  const QColor window_colour = QApplication::palette().color(QPalette::Window);
  QTest::keyClick(window.get(), Qt::Key_D, Qt::ControlModifier | Qt::ShiftModifier);
  EXPECT_NE(is_dark(), before);
  EXPECT_NE(QApplication::palette().color(QPalette::Window), window_colour);
  QTest::keyClick(window.get(), Qt::Key_D, Qt::ControlModifier | Qt::ShiftModifier);
  EXPECT_EQ(is_dark(), before);
}

TEST_F(WindowTest, PaletteFindsLayersAndCommands) {
  open_stories();
  auto* field = find<QLineEdit>("jumpField");
  auto* list = find<QListWidget>("commandPaletteList");
  QTest::keyClick(window.get(), Qt::Key_K, Qt::ControlModifier);
  ASSERT_TRUE(find<QWidget>("commandPalette")->isVisible());
  QTest::keyClicks(field, "3.down");
  ASSERT_GE(list->count(), 1);
  QTest::keyClick(field, Qt::Key_Return);
  EXPECT_FALSE(find<QWidget>("commandPalette")->isVisible());
  EXPECT_EQ(workspace->selectedLayers(), std::vector<int>{layers_of(Role::down_proj)[3]});
  QTest::keyClick(window.get(), Qt::Key_K, Qt::ControlModifier);
  QTest::keyClicks(field, ">chat");
  QTest::keyClick(field, Qt::Key_Return);
  EXPECT_EQ(workspace->perspective(), Perspective::chat);
  QTest::keyClick(window.get(), Qt::Key_K, Qt::ControlModifier);
  QTest::keyClick(field, Qt::Key_Escape);
  EXPECT_FALSE(find<QWidget>("commandPalette")->isVisible());
}

TEST_F(WindowTest, DropsAreToldByContent) {
  const auto write = [this](const char* name, const std::string& text) {
    const auto file = folder.path() / name;
    std::ofstream(file) << text;
    return QString::fromStdString(file.string());
  };
  EXPECT_TRUE(workspace->describeDrop(stories()).startsWith("Open model: GGUF, llama, 5 blocks"))
      << workspace->describeDrop(stories()).toStdString();
  EXPECT_TRUE(workspace->describeDrop(write("notes.gguf", "Once upon a time.")).startsWith("Calibration text"));
  EXPECT_TRUE(workspace->describeDrop(write("broken.txt", "GGUF\x01\x02")).contains("broken.txt"));
  EXPECT_TRUE(workspace->describeDrop(write("picture.txt", std::string("\x89PNG\0\x01", 6))).contains("neither"));
  EXPECT_TRUE(workspace->describeDrop(write("recipe.txt", to_text(Recipe{}))).startsWith("Recipe: LRC 10 %"));
  EXPECT_TRUE(workspace->describeDrop(write("list.json", "[\"a\", \"b\"]")).startsWith("Calibration text: list"));
  EXPECT_TRUE(workspace->describeDrop(QString::fromStdString(folder.path().string())).contains("neither a model"));
  EXPECT_TRUE(workspace->describeDrop("/no/such/file").contains("not there"));
}

TEST_F(WindowTest, ABadFileIsOneSentenceAndNothingIsLost) {
  open_stories();
  const auto bad = folder.path() / "cut.gguf";
  const std::string whole = read_file(stories().toStdString());
  std::ofstream(bad, std::ios::binary) << whole.substr(0, whole.size() / 2);
  QSignalSpy failed(workspace.get(), &Workspace::openFailed);
  workspace->openModel(QString::fromStdString(bad.string()));
  ASSERT_TRUE(QTest::qWaitFor([&] { return failed.count() == 1; }, 10000));
  EXPECT_TRUE(failed[0][1].toString().contains("cut.gguf"));
  EXPECT_TRUE(find<QWidget>("openReport")->isVisible());
  EXPECT_TRUE(workspace->hasModel());
  EXPECT_EQ(QApplication::activeModalWidget(), nullptr);
}

TEST_F(WindowTest, RunsToTheEndWithTheEnginesBytes) {
  open_stories();
  Recipe recipe = workspace->draft();
  recipe.calibration_tokens = 1024;
  recipe.calibration_context = 256;
  recipe.held_out_windows = 1;
  workspace->editDraft("Small", recipe);
  QTest::keyClick(window.get(), Qt::Key_F5);
  EXPECT_EQ(workspace->perspective(), Perspective::run) << "Run shows what it started";
  ASSERT_EQ(workspace->runs().size(), 1u);
  ASSERT_TRUE(QTest::qWaitFor(
      [this] { return workspace->runs()[0].state == RunEntry::State::done || !workspace->runs()[0].failure.isEmpty(); }, 300000));
  const RunEntry& run = workspace->runs()[0];
  ASSERT_TRUE(run.failure.isEmpty()) << run.failure.toStdString();
  EXPECT_EQ(workspace->slotB().run, run.number);
  EXPECT_EQ(run.manifest.layers.size(), 35u);
  EXPECT_TRUE(workspace->pendingChanges().isEmpty());

  Progress silent;
  const auto twin = folder.path() / "twin";
  carry_out({workspace->model()->checkpoint().path(), workspace->model(), workspace->draft(), twin}, silent, {});
  for (const LayerRecord& layer : run.manifest.layers)
    EXPECT_EQ(read_file(run.folder / layer.file), read_file(twin / layer.file)) << layer.name;

  // The table shows the manifest's figures; A stands for the same scheme without a branch.
  auto* table = find<QTableView>("layersTable");
  EXPECT_EQ(table->model()->index(0, 8).data().toString(), format_error(run.manifest.layers[0].loss));
  EXPECT_EQ(table->model()->index(0, 7).data().toString(), format_error(run.manifest.layers[0].loss_uncorrected));

  // A changed draft is pending against this run, layer by layer, and Revert takes it back.
  workspace->editDraft("Rank", with_rank(workspace->draft(), *workspace->model(), {4}, 3));
  ASSERT_EQ(workspace->pendingChanges().size(), 1);
  EXPECT_TRUE(workspace->pendingChanges()[0].startsWith("rank of 0.gate_proj")) << workspace->pendingChanges()[0].toStdString();
  workspace->setPerspective(Perspective::explore);
  QTest::mouseClick(find<QPushButton>("pendingRevert"), Qt::LeftButton);
  EXPECT_TRUE(workspace->pendingChanges().isEmpty());

  // The window finds the run again when the model is opened anew.
  Workspace second(folder.path() / "runs");
  second.openModel(stories());
  ASSERT_TRUE(QTest::qWaitFor([&] { return !second.runs().empty(); }, 20000));
  EXPECT_EQ(second.runs()[0].state, RunEntry::State::done);
  EXPECT_EQ(second.slotB().run, run.number);
}

TEST_F(WindowTest, PausedRunsResumeToTheSameBytes) {
  open_stories();
  Recipe recipe = workspace->draft();
  recipe.calibration_tokens = 1024;
  recipe.calibration_context = 256;
  workspace->editDraft("Small", recipe);
  const int number = workspace->startRun();
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->findRun(number)->manifest.layers.size() >= 7; }, 300000));
  QTest::keyClick(window.get(), Qt::Key_P, Qt::ControlModifier);
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->findRun(number)->state != RunEntry::State::running; }, 60000));
  // A tiny model may end before the pause reaches it; then there is nothing to resume.
  if (workspace->findRun(number)->state == RunEntry::State::paused) {
    EXPECT_LT(workspace->findRun(number)->manifest.layers.size(), 35u);
    QTest::keyClick(window.get(), Qt::Key_P, Qt::ControlModifier);
    ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->findRun(number)->state == RunEntry::State::done; }, 300000));
  }
  const RunEntry& run = *workspace->findRun(number);
  ASSERT_EQ(run.manifest.layers.size(), 35u);
  Progress silent;
  const auto twin = folder.path() / "twin";
  carry_out({workspace->model()->checkpoint().path(), workspace->model(), recipe, twin}, silent, {});
  for (const LayerRecord& layer : run.manifest.layers)
    EXPECT_EQ(read_file(run.folder / layer.file), read_file(twin / layer.file)) << layer.name;
}

TEST_F(WindowTest, SessionsComeBack) {
  open_stories();
  const auto down = layers_of(Role::down_proj);
  workspace->selectLayers(down, down[1]);
  workspace->editDraft("Rank", with_rank(workspace->draft(), *workspace->model(), down, 5));
  const Recipe draft = workspace->draft();
  const QString file = QString::fromStdString((folder.path() / "work.lrcsession").string());
  ASSERT_TRUE(workspace->saveSession(file));
  EXPECT_FALSE(workspace->isModified());

  Workspace second(folder.path() / "runs");
  second.openSession(file);
  ASSERT_TRUE(QTest::qWaitFor([&] { return second.hasModel() && second.selectedLayers() == down; }, 20000));
  EXPECT_EQ(second.draft(), draft);
  EXPECT_EQ(second.currentLayer(), down[1]);
  EXPECT_EQ(second.sessionFile(), file);

  // A newer format is refused, not guessed at.
  Json json = read_json_file(file.toStdString());
  json["session_format"] = 99;
  write_file_atomically(file.toStdString(), json.dump());
  Workspace third(folder.path() / "runs");
  QSignalSpy banner(&third, &Workspace::bannerRequested);
  third.openSession(file);
  EXPECT_EQ(banner.count(), 1);
  EXPECT_FALSE(third.hasModel());
}

TEST_F(WindowTest, RowsAreCopiedWithHeadersAndUnits) {
  open_stories();
  auto* table = find<QTableView>("layersTable");
  workspace->selectLayers({0, 6}, 0);
  table->setFocus();
  QTest::keyClick(table, Qt::Key_C, Qt::ControlModifier);
  const QStringList lines = QApplication::clipboard()->text().split('\n', Qt::SkipEmptyParts);
  ASSERT_EQ(lines.size(), 3);
  EXPECT_TRUE(lines[0].contains("Size (b/w)"));
  EXPECT_TRUE(lines[2].startsWith("model.layers.0.mlp.down_proj\t"));
}

TEST_F(WindowTest, NothingForcesTheWindowWiderThanItMayBe) {
  open_stories();
  for (const Perspective perspective : {Perspective::explore, Perspective::run, Perspective::chat, Perspective::export_}) {
    workspace->setPerspective(perspective);
    QCoreApplication::processEvents();
    window->resize(1180, 700);
    QCoreApplication::processEvents();
    EXPECT_LE(window->width(), 1180) << int(perspective);
    EXPECT_LE(window->height(), 700) << int(perspective);
  }
}

TEST_F(WindowTest, EverythingThatTakesFocusHasAName) {
  open_stories();
  for (const Perspective perspective : {Perspective::explore, Perspective::run, Perspective::chat, Perspective::export_}) {
    workspace->setPerspective(perspective);
    QCoreApplication::processEvents();
    for (const QWidget* widget : window->findChildren<QWidget*>()) {
      if (!widget->isVisible() || !(widget->focusPolicy() & Qt::TabFocus)) continue;
      if (widget->objectName().startsWith("qt_")) continue;  // parts of Qt's own widgets
      // As a screen reader asks: own name, buddy label, text of a button.
      QAccessibleInterface* reader = QAccessible::queryAccessibleInterface(const_cast<QWidget*>(widget));
      ASSERT_NE(reader, nullptr);
      EXPECT_FALSE(reader->text(QAccessible::Name).isEmpty())
          << widget->metaObject()->className() << " " << widget->objectName().toStdString() << " in perspective " << int(perspective);
    }
  }
}

}  // namespace
}  // namespace lrc::app::test

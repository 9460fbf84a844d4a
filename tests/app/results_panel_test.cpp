// Errors, Trade-off, Runs, Run detail, Compare: what is said and drawn follows from the runs.
#include <QCheckBox>
#include <QComboBox>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QTabWidget>
#include <QTableView>
#include <condition_variable>
#include <mutex>

#include "base/json.h"
#include "models/compare_rows.h"
#include "models/error_summary.h"
#include "models/run_facts.h"
#include "models/run_filter.h"
#include "models/run_selection.h"
#include "models/run_stages.h"
#include "models/tradeoff_points.h"
#include "panel_fixture.h"
#include "plot_style.h"

namespace lrc::app::test {
namespace {

using ErrorsPanelTest = PanelTest;
using TradeoffPanelTest = PanelTest;
using RunsPanelTest = PanelTest;
using ComparePanelTest = PanelTest;

TEST_F(ErrorsPanelTest, TheSentenceCarriesTheNumbersOfTheBars) {
  open(make_errors_panel);
  open_stories();
  const DataTable table = hooks().dataTable();
  ASSERT_EQ(table.rows.size(), 35u);
  double before = 0, after = 0;
  for (const QVariantList& row : table.rows) {
    before += row[1].toDouble();
    after += row[2].toDouble();
    EXPECT_GE(row[2].toDouble(), 0.0);
  }
  const QString removed = QString::number(100 * (1 - after / before), 'f', 1);
  EXPECT_TRUE(find<QLabel>("errorsSentence")->text().contains(removed + " %")) << find<QLabel>("errorsSentence")->text().toStdString();
  EXPECT_GE(table.rows[0][1].toDouble(), table.rows[1][1].toDouble()) << "by error before";
  find<QComboBox>("errorsOrder")->setCurrentIndex(3);
  EXPECT_EQ(hooks().dataTable().rows[0][0].toString(), "0.q_proj") << "model order";
}

TEST_F(ErrorsPanelTest, AClickSelectsTheLayer) {
  open(make_errors_panel);
  open_stories();
  auto* plot = find<QCustomPlot>("errorsLayersPlot");
  const QString third = hooks().dataTable().rows[2][0].toString();
  QTest::mouseClick(plot, Qt::LeftButton, {}, {hooks().pixelOf(3), plot->axisRect()->center().y()});
  ASSERT_GE(workspace->currentLayer(), 0);
  EXPECT_EQ(short_name(workspace->model()->layers()[std::size_t(workspace->currentLayer())]), third.toStdString());
  const QString text = find<QLabel>("sourcesSentence")->text();
  EXPECT_TRUE(text.contains(third)) << text.toStdString();
}

TEST(ErrorSummary, SaysWhereTheErrorComesFrom) {
  LayerRecord record;
  record.weight_bits = record.activation_bits = 4;
  record.weights_only = 0.01;
  record.activations_only = 0.09;
  record.loss_uncorrected = 0.1;
  record.loss = 0.05;
  record.lower_bound = 0.04;
  record.rank = 57;
  const QString text = describe_sources(record);
  EXPECT_TRUE(text.contains("90.0 %")) << text.toStdString();
  EXPECT_TRUE(text.contains("4-bit activations"));
  EXPECT_TRUE(text.contains("50.0 %")) << "what the branch removes";
  record.activations_only = 0;
  EXPECT_TRUE(describe_sources(record).contains("4-bit weights"));
  EXPECT_FALSE(describe_sources(record).contains("range finder"));
  record.range_finder_missed = 0.0123;
  EXPECT_TRUE(describe_sources(record).contains("range finder missed 1.23 %")) << describe_sources(record).toStdString();
}

TEST_F(TradeoffPanelTest, PointsChooseRuns) {
  open(make_tradeoff_panel);
  open_stories();
  ASSERT_EQ(hooks().dataTable().rows.size(), 2u);
  auto* plot = find<QCustomPlot>("tradeoffPlot");
  const auto where = [&](int run) {
    for (const QVariantList& row : hooks().dataTable().rows)
      if (row[0].toInt() == run)
        return QPoint(int(plot->xAxis->coordToPixel(row[4].toDouble())), int(plot->yAxis->coordToPixel(row[5].toDouble())));
    return QPoint();
  };
  QTest::mouseClick(plot, Qt::LeftButton, {}, where(2));
  EXPECT_EQ(RunSelection::of(*workspace).current(), 2);
  EXPECT_TRUE(hooks().hoverText(where(2)).contains("#2"));
  QTest::mouseDClick(plot, Qt::LeftButton, {}, where(2));
  EXPECT_EQ(workspace->slotB(), Slot{2});
  QTest::mouseClick(plot, Qt::LeftButton, Qt::ShiftModifier, where(1));
  EXPECT_EQ(workspace->slotA(), Slot{1});
}

TEST(TradeoffPoints, AnEstimateStandsBetweenItsNeighbours) {
  const std::vector<TradeoffPoint> measured = {
      {1, "", "lrc", 4, 5.0, 0.4}, {2, "", "lrc", 4, 7.0, 0.1}, {3, "", "gptq", 4, 6.0, 9.0}, {4, "", "lrc", 8, 6.0, 0.01}};
  const auto estimate = [&](const char* method, int bits, double size) {
    ComingPoint point{9, "", method, bits, size, {}, {}};
    estimate_quality(point, measured);
    return point;
  };
  const ComingPoint between = estimate("lrc", 4, 6.0);
  ASSERT_TRUE(between.quality);
  EXPECT_NEAR(*between.quality, 0.2, 1e-12) << "the geometric middle";
  EXPECT_EQ(between.basis, (std::vector<int>{1, 2})) << "other methods and other activations are other games";
  EXPECT_EQ(estimate("lrc", 4, 9.0).quality, 0.1) << "beyond them the nearest one";
  EXPECT_EQ(estimate("lrc", 4, 4.0).basis, std::vector<int>{1});
  EXPECT_EQ(estimate("lrc", 4, 7.0).quality, 0.1);
  EXPECT_EQ(estimate("gptq", 4, 4.4).quality, 9.0);
  EXPECT_FALSE(estimate("rtn", 4, 6.0).quality);
  EXPECT_FALSE(estimate("gptq", 8, 6.0).quality);
}

TEST_F(TradeoffPanelTest, WhatIsComingStandsHollow) {
  open(make_tradeoff_panel);
  open_stories();
  std::atomic<bool> hold = true;
  workspace->setLayerObserver([&](const LayerRecord&) {
    while (hold) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  });
  Recipe recipe = small();
  recipe.name = "bigger";
  recipe.rank.value += recipe.rank.percent ? 10 : 4;
  workspace->editDraft("bigger", recipe);
  const int running = workspace->startRun();
  Recipe plain = small();
  plain.name = "plain";
  plain.method = "rtn";
  plain.rank = {false, 0};
  workspace->editDraft("plain", plain);
  const int queued = workspace->startRun();
  ASSERT_TRUE(QTest::qWaitFor([&] { return hooks().dataTable().rows.size() == 4; }, 20000));
  const auto row = [&](int run) {
    for (const QVariantList& each : hooks().dataTable().rows)
      if (each[0].toInt() == run) return each;
    return QVariantList();
  };
  EXPECT_EQ(row(running)[6].toString(), "predicted");
  EXPECT_NEAR(row(running)[4].toDouble(), forecast(recipe, *workspace->model()).bits_per_weight, 1e-12);
  EXPECT_EQ(row(running)[5].toDouble(), row(1)[5].toDouble()) << "#1 is the one run of this method";
  EXPECT_TRUE(row(queued)[5].isNull()) << "no run of this method is measured";
  auto* plot = find<QCustomPlot>("tradeoffPlot");
  const QPoint place(int(plot->xAxis->coordToPixel(row(running)[4].toDouble())),
                     int(plot->yAxis->coordToPixel(row(running)[5].toDouble())));
  EXPECT_TRUE(hooks().hoverText(place).contains(QStringLiteral("≈"))) << hooks().hoverText(place).toStdString();
  EXPECT_TRUE(hooks().hoverText(place).contains("predicted by size from #1"));
  QTest::mouseClick(plot, Qt::LeftButton, {}, place);
  EXPECT_EQ(RunSelection::of(*workspace).current(), running);
  workspace->stopRun(queued);
  workspace->stopRun(running);
  hold = false;
  ASSERT_TRUE(QTest::qWaitFor([&] { return !workspace->runningRun(); }, 60000));
  ASSERT_TRUE(QTest::qWaitFor([&] { return hooks().dataTable().rows.size() == 2; }, 20000)) << "stopped runs are not drawn";
}

TEST_F(TradeoffPanelTest, OnlyEqualProtocolsStandTogether) {
  Progress progress;
  EvaluationRequest other;
  other.text = test_text;
  other.context = 64;
  other.windows = 3;
  evaluate_run(folder.path() / "runs" / "0002-gptq", other, progress, {});
  open(make_tradeoff_panel);
  open_stories();
  EXPECT_EQ(hooks().dataTable().rows.size(), 1u);
  EXPECT_EQ(tradeoff_of(*workspace, Quality::kl, 0).evaluated_differently, 1);
  EXPECT_EQ(tradeoff_of(*workspace, Quality::kl, 8).points.size(), 0u) << "no run has 8-bit activations";
}

TEST(Tradeoff, FrontierIsWhatNobodyBeats) {
  std::vector<TradeoffPoint> points(4);
  const double sizes[] = {4, 5, 6, 7}, quality[] = {0.4, 0.5, 0.2, 0.2};
  for (std::size_t i = 0; i < 4; ++i) points[i].bits_per_weight = sizes[i], points[i].quality = quality[i];
  EXPECT_EQ(frontier(points), (std::vector<std::size_t>{0, 2}));
}

/// A run that waits after a given number of layers until it is let go.
class Gate {
 public:
  Gate(Workspace& workspace, int layers) : left_(layers) {
    workspace.setLayerObserver([this](const LayerRecord&) {
      std::unique_lock lock(mutex_);
      if (--left_ > 0) return;
      waiting_ = true;
      open_now_.wait(lock, [this] { return open_; });
    });
  }
  ~Gate() { open(); }
  bool waiting() {
    const std::lock_guard lock(mutex_);
    return waiting_;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    open_now_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable open_now_;
  int left_;
  bool waiting_ = false, open_ = false;
};

TEST_F(RunsPanelTest, PauseResumeStop) {
  open(make_runs_panel);
  open_stories();
  workspace->editDraft("mine", small());
  Gate gate(*workspace, 3);
  const int number = workspace->startRun();
  ASSERT_EQ(number, 3);
  RunSelection::of(*workspace).select(number);
  auto *pause = find<QPushButton>("runPause"), *stop = find<QPushButton>("runStop");
  using State = RunEntry::State;
  ASSERT_TRUE(QTest::qWaitFor([&] { return gate.waiting() && workspace->findRun(number)->state == State::running; }, 30000));
  QTest::mouseClick(pause, Qt::LeftButton);
  gate.open();
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->findRun(number)->state != State::running; }, 30000));
  EXPECT_EQ(workspace->findRun(number)->state, State::paused);
  EXPECT_EQ(pause->text(), "Resume");
  const std::size_t solved = workspace->findRun(number)->manifest.layers.size();
  EXPECT_GE(solved, 2u);
  EXPECT_LT(solved, 35u);
  EXPECT_FALSE(workspace->findRun(number)->usable());
  QTest::mouseClick(stop, Qt::LeftButton);
  EXPECT_EQ(workspace->findRun(number)->state, State::stopped);
  QTest::mouseClick(pause, Qt::LeftButton);
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->findRun(number)->state == State::done; }, 60000));
  EXPECT_EQ(workspace->findRun(number)->manifest.layers.size(), 35u);
  EXPECT_EQ(workspace->slotB(), Slot{number}) << "the newest finished run is the candidate";
}

TEST(RunStages, TakeTurnsUntilTheEvaluation) {
  Forecast forecast;
  forecast.by_stage = {{"rotate", 1}, {"calibrate", 4}, {"solve", 5}};
  RunEntry run;
  run.state = RunEntry::State::running;
  const auto report = [&](const char* stage, std::size_t done, std::size_t total) {
    ProgressUpdate update;
    update.stage = stage;
    update.done = done;
    update.total = total;
    run.progress = update;
    std::erase_if(run.stages, [&](const ProgressUpdate& other) { return other.stage == stage; });
    run.stages.push_back(update);
  };
  report("rotate", 1, 30);
  report("calibrate", 1, 30);
  report("solve", 7, 210);
  const auto stages = stages_of(run, forecast);
  ASSERT_EQ(stages.size(), 3u);
  EXPECT_NEAR(stages[1].fraction, 1 / 30.0, 1e-12) << "calibrating goes on after the first layer is solved";
  EXPECT_NEAR(stages[2].fraction, 7 / 210.0, 1e-12);
  EXPECT_FALSE(stages[1].current);
  EXPECT_TRUE(stages[2].current);
  EXPECT_EQ(stages[1].remark, "1 of 30");
  // While it is evaluated, what was solved is over and measured.
  run.manifest.state = RunState::done;
  run.manifest.timings = {{"rotate", 1}, {"calibrate", 3}, {"solve", 6}};
  report("evaluate", 512, 2048);
  const auto evaluating = stages_of(run, forecast);
  ASSERT_EQ(evaluating.size(), 4u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(evaluating[std::size_t(i)].fraction, 1);
  EXPECT_EQ(evaluating[3].name, "Evaluate");
  EXPECT_EQ(evaluating[3].fraction, 0.25);
}

TEST_F(RunsPanelTest, KeysAndFilter) {
  open(make_runs_panel);
  open_stories();
  auto* table = find<QTableView>("runsTable");
  ASSERT_EQ(table->model()->rowCount(), 2);
  RunSelection::of(*workspace).select(2);
  table->setFocus();
  QTest::keyClick(table, 'A');
  EXPECT_EQ(workspace->slotA(), Slot{2});
  QTest::keyClick(table, 'D');
  EXPECT_EQ(workspace->draft().method, "gptq");
  auto* filter = find<QLineEdit>("runsFilter");
  QTest::keyClicks(filter, "method:lrc");
  EXPECT_EQ(table->model()->rowCount(), 1);
  filter->clear();
  QTest::keyClicks(filter, "kl<");
  EXPECT_FALSE(filter->toolTip().isEmpty());
}

TEST(RunFilter, Grammar) {
  RunEntry run;
  run.number = 7;
  run.state = RunEntry::State::done;
  run.manifest.recipe.name = "LRC 10 %";
  run.manifest.bits_per_weight = 6.6;
  const auto accepts = [&](const char* text) {
    const RunFilter filter = parse_run_filter(text);
    EXPECT_TRUE(filter.problem.isEmpty()) << text;
    return filter.accepts(run);
  };
  for (const char* text : {"", "lrc", "#7", "state:done", "bpw<7", "bpw>6 lrc", "!rtn", "run=7"}) EXPECT_TRUE(accepts(text)) << text;
  for (const char* text : {"rtn", "#8", "state:failed", "bpw<6", "kl<9", "!lrc", "lrc bpw>9"}) EXPECT_FALSE(accepts(text)) << text;
  for (const char* text : {"bpw<", "kl<x", "!"}) EXPECT_FALSE(parse_run_filter(text).problem.isEmpty()) << text;
}

TEST_F(RunsPanelTest, DetailShowsTheRunSelected) {
  open(make_run_detail_panel);
  open_stories();
  RunSelection::of(*workspace).select(1);
  const DataTable table = hooks().dataTable();
  ASSERT_EQ(table.rows.size(), 35u);
  EXPECT_EQ(find<QPlainTextEdit>("runLog")->toPlainText().count('\n'), 34);
  EXPECT_EQ(find<QLineEdit>("runCommand")->text(), workspace->commandOf(*workspace->findRun(1)));
  EXPECT_FALSE(find<QPushButton>("runEvaluate")->isVisible()) << "it is evaluated";
}

TEST_F(RunsPanelTest, EvaluateIsOfferedAndDone) {
  // A run whose evaluation is missing.
  const auto file = folder.path() / "runs" / "0002-gptq" / "manifest.json";
  Json json = read_json_file(file);
  json.erase("evaluation");
  json.erase("evaluation_protocol");
  json.erase("results");
  std::ofstream(file) << json.dump(2);
  open(make_run_detail_panel);
  open_stories();
  ASSERT_FALSE(workspace->findRun(2)->manifest.evaluation);
  RunSelection::of(*workspace).select(2);
  auto* evaluate = find<QPushButton>("runEvaluate");
  ASSERT_TRUE(evaluate->isVisible());
  QTest::mouseClick(evaluate, Qt::LeftButton);
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->findRun(2)->manifest.evaluation.has_value(); }, 60000));
  EXPECT_FALSE(evaluate->isVisible());
}

/// Qt walks through all widgets while a theme changes: panels that make widgets anew must wait until it is done.
TEST_F(PanelTest, EveryPanelLivesThroughAChangeOfTheme) {
  open_stories();
  set_dark(false);  // a test before this one may have left it dark
  for (auto make : {make_spectrum_panel, make_errors_panel, make_tradeoff_panel, make_runs_panel, make_run_detail_panel, make_compare_panel,
                    make_chat_panel, make_export_panel}) {
    open(make);
    workspace->selectLayers({1, 2, 3}, 2);
    QTest::qWait(200);
    const QImage light = panel->grab().toImage();
    set_dark(true);
    QTest::qWait(50);
    EXPECT_NE(panel->grab().toImage(), light) << panel->objectName().toStdString();
    set_dark(false);
    QTest::qWait(50);
  }
}

TEST_F(ComparePanelTest, OnlyWhatDiffers) {
  open(make_compare_panel);
  open_stories();
  workspace->setSlotA({2});
  auto* table = find<QTableWidget>("compareTable");
  const int differing = table->rowCount();
  ASSERT_GT(differing, 4);
  find<QCheckBox>("compareOnlyDiff")->setChecked(false);
  EXPECT_GT(table->rowCount(), differing);
  const auto rows = compare_runs(workspace->findRun(2), workspace->findRun(1), *workspace->model());
  const auto row = [&](const QString& name) {
    return *std::find_if(rows.begin(), rows.end(), [&](const CompareRow& each) { return each.name == name; });
  };
  EXPECT_TRUE(row("Method").differs);
  EXPECT_FALSE(row("Weights").differs);
  EXPECT_EQ(row("Mean layer error, %").direction, CompareRow::Direction::better);
  EXPECT_EQ(row("Size, b/w").direction, CompareRow::Direction::worse) << "factors cost bytes";
}

}  // namespace
}  // namespace lrc::app::test

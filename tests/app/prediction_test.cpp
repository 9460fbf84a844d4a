// What a new solve is expected to reach, against what it reaches.
#include <QLabel>
#include <future>

#include "models/prediction.h"
#include "models/run_facts.h"
#include "models/run_predictions.h"
#include "models/run_selection.h"
#include "panel_fixture.h"
#include "panels/plot_tools.h"

namespace lrc::app::test {
namespace {

using PredictionTest = PanelTest;

TEST_F(PredictionTest, HoldsWithinTenPerCentAtTheMedian) {
  open_stories();
  const RunEntry& b = *workspace->findRun(1);
  Recipe other = b.manifest.recipe;
  other.rank = {true, other.rank.percent ? 2 * other.rank.value : 20};
  workspace->editDraft("Rank", other);
  std::vector<double> predicted;
  const auto& layers = workspace->model()->layers();
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto prediction = prediction_of(*workspace, int(i));
    ASSERT_TRUE(prediction) << layers[i].name;
    EXPECT_LE(prediction->low, prediction->factor);
    EXPECT_GE(prediction->high, prediction->factor);
    const LayerSpectrum spectrum = spectrum_of_run(b.folder, layers[i].name);
    const std::size_t rank = workspace->draftSchemes()[i]->rank;
    predicted.push_back(*predicted_at(spectrum, prediction->factor, rank));
    EXPECT_GE(predicted.back(), spectrum.lower_bound_by_rank[rank]);
    EXPECT_LE(predicted.back(), std::max(spectrum.same_codes_by_rank[rank], spectrum.lower_bound_by_rank[rank]));
  }
  const int number = workspace->startRun();
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->findRun(number)->state == RunEntry::State::done; }, 120000));
  std::vector<double> misses;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerRecord* record = record_of(workspace->findRun(number), layers[i].name);
    ASSERT_NE(record, nullptr);
    misses.push_back(std::abs(predicted[i] / record->loss_regularized - 1));
  }
  std::sort(misses.begin(), misses.end());
  EXPECT_LT(misses[misses.size() / 2], 0.10) << "worst " << misses.back();
}

TEST_F(PredictionTest, ARunUnderWayIsDrawnBeforeItIsSolved) {
  open(make_run_detail_panel);
  open_stories();
  Recipe other = workspace->findRun(1)->manifest.recipe;
  other.rank = {true, 20};
  workspace->editDraft("Rank", other);
  // Held at its first layer: what is drawn then are estimates.
  std::promise<void> go;
  std::shared_future<void> held = go.get_future().share();
  workspace->setLayerObserver([held](const LayerRecord&) { held.wait(); });
  const int number = workspace->startRun();
  RunSelection::of(*workspace).select(number);
  auto* plot = find<QCustomPlot>("runLivePlot");
  const auto drawn = [&](int graph) { return plot->graphCount() > graph ? plot->graph(graph)->dataCount() : 0; };
  const bool all = QTest::qWaitFor([&] { return drawn(0) == 35; }, 20000);
  EXPECT_TRUE(all) << drawn(0) << " of 35 layers are predicted";
  EXPECT_LT(drawn(1), 35);
  go.set_value();
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->findRun(number)->state == RunEntry::State::done; }, 120000));
  EXPECT_EQ(drawn(1), 35);
  EXPECT_EQ(drawn(0), 35) << "what was predicted stays beside what came";
  RunPredictions predictions;
  predictions.follow(*workspace, number);
  EXPECT_TRUE(predictions.losses().empty()) << "a finished run is known";
}

TEST_F(PredictionTest, SaysNothingWhereBKnowsNothing) {
  open_stories();
  Recipe other = workspace->findRun(1)->manifest.recipe;
  workspace->editDraft("as it ran", other);
  EXPECT_TRUE(prediction_of(*workspace, 0));
  other.weight.bits = 5;
  workspace->editDraft("other bits", other);
  EXPECT_FALSE(prediction_of(*workspace, 0)) << "a solve with other codes is another problem";
  other = workspace->findRun(1)->manifest.recipe;
  other.rotation.seed = 9;
  workspace->editDraft("other rotation", other);
  EXPECT_FALSE(prediction_of(*workspace, 0));
  workspace->setSlotB({});
  EXPECT_FALSE(prediction_of(*workspace, 0));
  EXPECT_FALSE(prediction_of(*workspace, 100000));
}

TEST_F(PredictionTest, IsMarkedAndStaysInTheWindow) {
  open(make_spectrum_panel);
  open_stories();
  workspace->selectLayers({6}, 6);
  const Recipe ran = workspace->findRun(1)->manifest.recipe;
  workspace->editDraft("as it ran", ran);
  auto* readout = find<QWidget>("spectrumReadout");
  const auto cell = [&](const QString& name) {
    const auto labels = readout->findChildren<QLabel*>();
    for (qsizetype i = 0; i + 1 < labels.size(); ++i)
      if (labels[i]->text() == name) return labels[i + 1];
    return static_cast<QLabel*>(nullptr);
  };
  ASSERT_TRUE(QTest::qWaitFor([&] { return cell("solved") != nullptr; }, 20000)) << "at the rank that ran there is nothing to predict";
  EXPECT_FALSE(cell("solved")->text().startsWith(QStringLiteral("≈")));
  Recipe other = ran;
  other.rank = {false, 20};
  workspace->editDraft("Rank", other);
  const auto is_predicted = [&] {
    const QLabel* label = cell("predicted");
    return label && label->text().startsWith(QStringLiteral("≈"));
  };
  ASSERT_TRUE(QTest::qWaitFor(is_predicted, 20000));
  const QLabel* predicted = cell("predicted");
  EXPECT_TRUE(predicted->font().italic());
  for (const QString& header : hooks().dataTable().headers) EXPECT_FALSE(header.contains("predicted")) << "estimates are not exported";
}

}  // namespace
}  // namespace lrc::app::test

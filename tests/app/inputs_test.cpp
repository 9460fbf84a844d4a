// The tabs about what enters a layer, and what measuring writes for them.
#include <QLabel>
#include <QPushButton>
#include <QTabWidget>
#include <QToolButton>

#include "models/input_summary.h"
#include "panel_fixture.h"
#include "panels/input_tabs.h"
#include "panels/panel_widgets.h"

namespace lrc::app::test {
namespace {

class InputsTest : public PanelTest {
 protected:
  void SetUp() override {
    before_ = qgetenv("XDG_CACHE_HOME");
    qputenv("XDG_CACHE_HOME", QByteArray::fromStdString((cache_.path() / "cache").string()));
    PanelTest::SetUp();
    open(make_errors_panel, {560, 620});
    open_stories();
    Recipe recipe = small();
    recipe.rotation = {true, true, true, 0};
    workspace->editDraft("Small", recipe);
    tabs_ = find<QTabWidget>("errorsTabs");
  }
  void TearDown() override {
    PanelTest::TearDown();
    qputenv("XDG_CACHE_HOME", before_);
  }
  PlotTab* tab(int index) {
    tabs_->setCurrentIndex(index);
    QCoreApplication::processEvents();
    return dynamic_cast<PlotTab*>(tabs_->widget(index));
  }
  int index_of(const QString& title) {
    for (int i = 0; i < tabs_->count(); ++i)
      if (tabs_->tabText(i) == title) return i;
    ADD_FAILURE() << title.toStdString();
    return 0;
  }
  void measure() {
    workspace->measure();
    ASSERT_TRUE(QTest::qWaitFor([this] { return !workspace->sampleFolder().empty(); }, 120000));
  }
  lrc::test::TemporaryFolder cache_;
  QByteArray before_;
  QTabWidget* tabs_ = nullptr;
};

TEST_F(InputsTest, WithoutASampleTheTabSaysSoAndOffersIt) {
  PlotTab* distributions = tab(index_of("Distributions"));
  ASSERT_TRUE(distributions);
  EXPECT_TRUE(distributions->dataTable().rows.empty());
  QPushButton* offered = nullptr;
  for (auto* button : distributions->findChildren<QPushButton*>())
    if (button->isVisible() && button->text().startsWith("Measure")) offered = button;
  ASSERT_TRUE(offered) << "never an empty panel";
  QTest::mouseClick(offered, Qt::LeftButton);
  EXPECT_TRUE(workspace->measuring());
  ASSERT_TRUE(QTest::qWaitFor([this] { return !workspace->sampleFolder().empty(); }, 120000));
  ASSERT_TRUE(QTest::qWaitFor([&] { return !distributions->dataTable().rows.empty(); }, 20000));
}

TEST_F(InputsTest, DistributionsDrawTheGridAndCarryTheEnginesNumbers) {
  measure();
  const int layer = 6;  // 0.down_proj
  workspace->selectLayers({layer}, layer);
  PlotTab* shown = tab(index_of("Distributions"));
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->distributions(layer) != nullptr; }, 20000));
  const auto found = workspace->distributions(layer);
  auto* plot = find<QCustomPlot>("distributionsPlot");
  EXPECT_EQ(plot->graphCount(), 2) << "before and behind the rotation";
  EXPECT_EQ(plot->itemCount(), 16) << "the levels of four bits";
  const QString facts = find<QLabel>("distributionsPlotFacts")->text();
  EXPECT_TRUE(facts.contains("of 16")) << facts.toStdString();
  EXPECT_TRUE(find<QLabel>("distributionsSentence")->text().contains("0.down_proj"));
  double sum = 0;
  for (const QVariantList& row : shown->dataTable().rows)
    if (row[0].toString() == "input") sum += row[3].toDouble();
  EXPECT_NEAR(sum, 1, 1e-9);
  EXPECT_FALSE(shown->hoverText({shown->pixelOf(0), plot->axisRect()->center().y()}).isEmpty());
  // The grid follows the draft; the sample does not have to be taken again.
  Recipe recipe = workspace->draft();
  recipe.activation.bits = 8;
  workspace->editDraft("A8", recipe);
  EXPECT_FALSE(workspace->sampleFolder().empty());
  ASSERT_TRUE(QTest::qWaitFor([&] { return find<QLabel>("distributionsPlotFacts")->text().contains("of 256"); }, 20000));
  // Another rotation is another sample.
  recipe.rotation.r4 = false;
  workspace->editDraft("No R4", recipe);
  EXPECT_TRUE(workspace->sampleFolder().empty());
  EXPECT_TRUE(shown->dataTable().rows.empty());
}

TEST_F(InputsTest, ChannelsTurnWithTheBasisAndAClickInTheMapGoesToTheBlock) {
  measure();
  PlotTab* shown = tab(index_of("Channels"));
  workspace->selectLayers({6}, 6);
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->channels(6) != nullptr && find<QLabel>("channelsSentence")->isVisible(); }, 20000));
  const auto map = workspace->channels(6);
  const DataTable table = shown->dataTable();
  ASSERT_EQ(table.rows.size(), workspace->model()->config().feed_forward);
  EXPECT_EQ(table.rows[5][1].toDouble(), map->profile_before[0][5]);
  EXPECT_EQ(table.rows[5][2].toDouble(), map->profile_after[0][5]);
  auto* plot = find<QCustomPlot>("channelsPlot");
  const QString before = plot->xAxis->label();
  for (auto* button : find<QWidget>("channelsBasis")->findChildren<QToolButton*>())
    if (!button->isChecked()) QTest::mouseClick(button, Qt::LeftButton);
  EXPECT_NE(plot->xAxis->label(), before);
  EXPECT_TRUE(shown->hoverText({shown->pixelOf(3), plot->axisRect()->center().y()}).startsWith("channel 3"));
  auto* cells = find<QCustomPlot>("channelsMap");
  cells->replot(QCustomPlot::rpImmediateRefresh);
  const QPoint third(cells->axisRect()->center().x(), int(cells->yAxis->coordToPixel(3)));
  QTest::mouseClick(cells, Qt::LeftButton, {}, third);
  ASSERT_GE(workspace->currentLayer(), 0);
  EXPECT_EQ(short_name(workspace->model()->layers()[std::size_t(workspace->currentLayer())]), "3.down_proj");
  for (auto* button : find<QWidget>("channelsView")->findChildren<QToolButton*>())
    if (!button->isChecked()) QTest::mouseClick(button, Qt::LeftButton);
  ASSERT_TRUE(QTest::qWaitFor(
      [&] {
        return !shown->dataTable().rows.empty() && shown->dataTable().headers.size() == 3 && find<QWidget>("positionsPlot")->isVisible();
      },
      20000));
  double share = 0;
  for (const QVariantList& row : shown->dataTable().rows) share += row[2].toDouble();
  EXPECT_NEAR(share, 100, 1e-6);
}

TEST_F(InputsTest, TheTableButtonTurnsEveryTab) {
  measure();
  tab(index_of("Distributions"));
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->distributions(0) != nullptr; }, 20000));
  auto* table = find<QTableWidget>("distributionsTable");
  EXPECT_FALSE(table->isVisible());
  QTest::mouseClick(find<QToolButton>("errorsTableButton"), Qt::LeftButton);
  EXPECT_TRUE(table->isVisible());
  EXPECT_GT(table->rowCount(), 100);
}

TEST(InputSummary, SentencesSayWhatTheNumbersSay) {
  LayerDistributions found;
  found.rotates_input = true;
  found.input_before.levels_in_use = 5.2;
  found.input_after.levels_in_use = 14.1;
  found.input_before.levels_of_grid = found.input_after.levels_of_grid = 16;
  found.input_before.max_over_rms = 41;
  found.input_after.max_over_rms = 4.6;
  QString text = describe_distributions(found, SiteKind::mlp_hidden);
  for (const char* part : {"R4 spreads", "5.2 → 14", "of 16", "41 → 4.6"}) EXPECT_TRUE(text.contains(part)) << text.toStdString();
  std::swap(found.input_before, found.input_after);
  EXPECT_TRUE(describe_distributions(found, SiteKind::attention_input).contains("R1 does harm"));
  found.input_after = found.input_before;
  EXPECT_TRUE(describe_distributions(found, SiteKind::attention_output).contains("R2 changes little"));
  found.rotates_input = false;
  EXPECT_TRUE(describe_distributions(found, SiteKind::mlp_input).startsWith("Nothing rotates"));
  found.activation_scheme.bits = 16;
  EXPECT_TRUE(describe_distributions(found, SiteKind::mlp_input).contains("not quantized"));

  found.activation_scheme.bits = 4;
  found.positions = {{0, 0, 0.001, 0.6}, {1, 3, 0.999, 0.4}};
  text = describe_positions(found);
  EXPECT_TRUE(text.contains("60 %") && text.contains("position 0")) << text.toStdString();

  ChannelMap map;
  map.width = 8;
  map.profile_before = {{1, 1, 1, 52, 1, 9, 1, 1}, {1, 1, 1, 7, 1, 1, 1, 1}};
  map.profile_after = {{1, 1}, {1, 1}};
  map.persistent_before = {{3, {0, 1}}};
  text = describe_channels(map, true, 0);
  for (const char* part : {"3 and 5", "block 0", "52", "blocks 0 and 1"}) EXPECT_TRUE(text.contains(part)) << text.toStdString();
  EXPECT_TRUE(describe_channels(map, false, 1).startsWith("No channel of block 1"));
}

}  // namespace
}  // namespace lrc::app::test

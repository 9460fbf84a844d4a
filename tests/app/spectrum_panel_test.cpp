#include <QImage>
#include <QPushButton>
#include <QToolButton>

#include "models/spectrum_curves.h"
#include "panel_fixture.h"
#include "panels/panel_widgets.h"
#include "panels/rank_cursor.h"

namespace lrc::app::test {
namespace {

class SpectrumPanelTest : public PanelTest {
 protected:
  void show_layer(int layer) {
    workspace->selectLayers({layer}, layer);
    ASSERT_TRUE(
        QTest::qWaitFor([&] { return workspace->spectrum(layer, workspace->slotB()) && !hooks().dataTable().rows.empty(); }, 10000));
    QCoreApplication::processEvents();
  }
  std::size_t rank_of(int layer) const {
    return effective_scheme(workspace->draft(), workspace->model()->layers()[std::size_t(layer)]).rank;
  }
};

TEST_F(SpectrumPanelTest, DraggingTheCursorSetsTheRankInOneUndoStep) {
  open(make_spectrum_panel);
  open_stories();
  show_layer(3);
  auto* plot = find<QCustomPlot>("rankPlot");
  const std::size_t before = rank_of(3);
  const int steps = workspace->undoStack().count();
  const int y = plot->axisRect()->center().y();
  QTest::mousePress(plot, Qt::LeftButton, {}, {hooks().pixelOf(12), y});
  for (const int rank : {14, 17, 21}) QTest::mouseMove(plot, {hooks().pixelOf(rank), y});
  QTest::mouseRelease(plot, Qt::LeftButton, {}, {hooks().pixelOf(21), y});
  EXPECT_EQ(rank_of(3), 21u);
  EXPECT_EQ(find<RankCursor>("rankCursor")->rank(), 21);
  EXPECT_EQ(rank_of(4), effective_scheme(Recipe{}, workspace->model()->layers()[4]).rank) << "only the selected layer";
  EXPECT_EQ(workspace->undoStack().count(), steps + 1) << "one drag, one step";
  workspace->undoStack().undo();
  EXPECT_EQ(rank_of(3), before);
  EXPECT_EQ(find<RankCursor>("rankCursor")->rank(), int(before)) << "the cursor follows the draft back";

  // Two drags are two steps.
  for (const int rank : {9, 30}) {
    QTest::mousePress(plot, Qt::LeftButton, {}, {hooks().pixelOf(rank), y});
    QTest::mouseRelease(plot, Qt::LeftButton, {}, {hooks().pixelOf(rank), y});
  }
  EXPECT_EQ(workspace->undoStack().count(), steps + 2);
}

TEST_F(SpectrumPanelTest, KeysOfTheCursor) {
  open(make_spectrum_panel);
  open_stories();
  show_layer(0);
  auto* cursor = find<RankCursor>("rankCursor");
  cursor->setFocus();
  QTest::keyClick(cursor, Qt::Key_Home);
  EXPECT_EQ(rank_of(0), 0u);
  QTest::keyClick(cursor, Qt::Key_Left);
  EXPECT_EQ(rank_of(0), 0u) << "nothing below 0";
  QTest::keyClick(cursor, Qt::Key_Right);
  QTest::keyClick(cursor, Qt::Key_Right, Qt::ShiftModifier);
  EXPECT_EQ(rank_of(0), 9u);
  QTest::keyClick(cursor, Qt::Key_Right, Qt::ControlModifier);
  EXPECT_EQ(rank_of(0), 32u);
  QTest::keyClick(cursor, Qt::Key_Left, Qt::ControlModifier);
  EXPECT_EQ(rank_of(0), 0u);
  QTest::keyClick(cursor, Qt::Key_End);
  EXPECT_EQ(rank_of(0), 64u);
  QTest::keyClick(cursor, '1');
  auto* typed = find<QLineEdit>("rankCursorInput");
  ASSERT_TRUE(typed->isVisible());
  QTest::keyClick(typed, '7');
  QTest::keyClick(typed, Qt::Key_Return);
  EXPECT_EQ(rank_of(0), 17u);
  EXPECT_FALSE(typed->isVisible());
}

TEST_F(SpectrumPanelTest, BoundSameCodesAchievedStandInOrder) {
  open(make_spectrum_panel);
  open_stories();
  for (int layer = 0; layer < int(workspace->model()->layers().size()); ++layer) {
    show_layer(layer);
    const auto spectrum = workspace->spectrum(layer, workspace->slotB());
    ASSERT_TRUE(spectrum);
    EXPECT_FALSE(first_contradiction(*spectrum)) << spectrum->name;
    const LayerRecord* record = workspace->record(workspace->slotB(), layer);
    ASSERT_NE(record, nullptr);
    const DataTable table = hooks().dataTable();
    ASSERT_GT(table.rows.size(), record->rank);
    EXPECT_EQ(table.rows.size(), std::min(record->out_features, record->in_features) + 1);
    const QVariantList at = table.rows[record->rank];
    EXPECT_LE(at[3].toDouble(), at[4].toDouble() * (1 + 1e-6) + 1e-9) << "bound below same codes, " << spectrum->name;
    EXPECT_LE(at[4].toDouble(), 100 * record->loss_regularized * (1 + 1e-3) + 1e-9) << "a refit is not worse than what was stored";
    EXPECT_NEAR(at[3].toDouble(), 100 * record->lower_bound, 1e-6 * at[3].toDouble() + 1e-9);
  }
}

TEST_F(SpectrumPanelTest, ReadoutTellsTheCostOfTheFactors) {
  open(make_spectrum_panel);
  open_stories();
  show_layer(0);  // q_proj, 64 × 64
  auto* cursor = find<RankCursor>("rankCursor");
  cursor->setFocus();
  QTest::keyClick(cursor, Qt::Key_End);
  auto* readout = static_cast<ReadoutRow*>(find<QWidget>("spectrumReadout"));
  EXPECT_EQ(readout->value(0), "64 (100 %)");
  EXPECT_EQ(readout->value(5), "+32.00 b/w") << "16 bits · 64 · (64 + 64) over 64 · 64 weights";
  EXPECT_EQ(readout->value(6), "0.02 MB");
}

TEST_F(SpectrumPanelTest, SaysWhatIsMissing) {
  const lrc::test::TemporaryFolder cache;  // in which nothing is measured
  const QByteArray before = qgetenv("XDG_CACHE_HOME");
  qputenv("XDG_CACHE_HOME", QByteArray::fromStdString(cache.path().string()));
  const auto restore = qScopeGuard([&] { qputenv("XDG_CACHE_HOME", before); });
  open(make_spectrum_panel);
  auto* measure = find<QPushButton>("measureButton");
  EXPECT_FALSE(measure->isVisible()) << "without a model there is nothing to measure";
  open_stories();
  workspace->setSlotB({});
  workspace->selectLayers({2}, 2);
  ASSERT_TRUE(QTest::qWaitFor([&] { return measure->isVisible(); }, 10000));
  // Until then the singular values of the weights stand there.
  const DataTable table = hooks().dataTable();
  ASSERT_GT(table.rows.size(), 2u);
  EXPECT_TRUE(table.rows[1][3].isNull());
  EXPECT_GT(table.rows[1][5].toDouble(), table.rows[2][5].toDouble());
}

TEST_F(SpectrumPanelTest, SeveralLayersHaveARowEach) {
  open(make_spectrum_panel);
  open_stories();
  workspace->selectLayers({1, 4, 6}, 4);
  ASSERT_TRUE(QTest::qWaitFor([&] { return hooks().dataTable().headers.size() == 2 + 3 * 5; }, 10000));
  EXPECT_TRUE(find<QWidget>("spectrumRows")->isVisible());
  auto* cursor = find<RankCursor>("rankCursor");
  cursor->setFocus();
  QTest::keyClick(cursor, Qt::Key_Home);
  QTest::keyClick(cursor, Qt::Key_Right);
  for (const int layer : {1, 4, 6}) EXPECT_EQ(rank_of(layer), 1u);
  EXPECT_NE(rank_of(0), 1u);
}

TEST_F(SpectrumPanelTest, ExportsWhatItDraws) {
  open(make_spectrum_panel);
  open_stories();
  show_layer(5);
  const DataTable table = hooks().dataTable();
  const QStringList lines = to_csv(table).split('\n', Qt::SkipEmptyParts);
  ASSERT_EQ(lines.size(), qsizetype(table.rows.size()) + 1);
  EXPECT_EQ(lines[2].split(',')[3].toDouble(), table.rows[1][3].toDouble()) << "at full precision";
  auto* plot = find<QCustomPlot>("rankPlot");
  const QImage picture = picture_of({plot}, 2, "caption");
  EXPECT_EQ(picture.size(), QSize(plot->width(), plot->height() + 20) * 2);
  EXPECT_FALSE(hooks().hoverText({hooks().pixelOf(3), 10}).isEmpty());
  QTest::mouseClick(find<QToolButton>("spectrumTableButton"), Qt::LeftButton);
  EXPECT_EQ(find<QTableWidget>("spectrumTable")->rowCount(), int(table.rows.size()));
}

TEST(SpectrumCurves, Quantiles) {
  const std::vector<double> a = {1, 5}, b = {3, 6}, c = {2, 7, 9};
  EXPECT_EQ(quantile_curve({&a, &b, &c}, 0.5), (std::vector<double>{2, 6}));
  EXPECT_EQ(quantile_curve({&a, &b}, 0.0), (std::vector<double>{1, 5}));
  EXPECT_EQ(quantile_curve({}, 0.5), std::vector<double>{});
}

}  // namespace
}  // namespace lrc::app::test

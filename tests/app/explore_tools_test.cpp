// Explore beyond looking: layers solved alone, what would help, the allocator, rules, sensitivities. Names follow the design's list.
#include <QCheckBox>
#include <QComboBox>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QPushButton>
#include <QSlider>
#include <QSpinBox>
#include <QTabWidget>
#include <QTableView>
#include <QToolButton>

#include "models/allocator.h"
#include "models/layer_lab.h"
#include "models/layer_table_model.h"
#include "models/recipe_rules.h"
#include "models/sensitivities.h"
#include "panels/allocator_view.h"
#include "panels/layer_map.h"
#include "plot_style.h"
#include "runs_window_fixture.h"
#include "widgets.h"

namespace lrc::app::test {
namespace {

constexpr int minute = 60000;

class ExploreTest : public RunsWindowTest {
 protected:
  int layer_of(Role role, std::size_t block) const {
    const auto& layers = workspace->model()->layers();
    for (std::size_t i = 0; i < layers.size(); ++i)
      if (layers[i].role == role && layers[i].block == block) return int(i);
    return -1;
  }
  QString cell(int layer, int column) {
    auto* table = find<QTableView>("layersTable");
    for (int row = 0; row < table->model()->rowCount(); ++row)
      if (table->model()->index(row, LayerTableModel::layer).data() ==
          QString::fromStdString(short_name(workspace->model()->layers()[std::size_t(layer)])))
        return table->model()->index(row, column).data().toString();
    return {};
  }
  LayerLab& lab() { return LayerLab::of(*workspace); }
};

TEST_F(ExploreTest, solve_selection_now) {
  open_window();
  const int layer = layer_of(Role::down_proj, 2);
  workspace->selectLayers({layer}, layer);
  workspace->editDraft("rank", with_rank(workspace->draft(), *workspace->model(), {layer}, 11));
  ASSERT_TRUE(QTest::qWaitFor([&] { return cell(layer, LayerTableModel::error_b).startsWith(QStringLiteral("≈ ")); }, 10000));
  const auto markers = [&] {
    auto* plot = find<QCustomPlot>("rankPlot");
    int at_rank = 0;
    for (int i = 0; i < plot->graphCount(); ++i)
      at_rank += plot->graph(i)->lineStyle() == QCPGraph::lsNone && plot->graph(i)->dataCount() == 1 &&
                 plot->graph(i)->data()->at(0)->key == 11 && plot->graph(i)->scatterStyle().brush() != colours().base;
    return at_rank;
  };
  QTest::keyClick(panel.get(), Qt::Key_F5, Qt::ShiftModifier);
  ASSERT_TRUE(QTest::qWaitFor([&] { return lab().solved(layer) != nullptr; }, minute));
  QCoreApplication::processEvents();
  const LayerRecord& alone = lab().solved(layer)->record;
  EXPECT_EQ(cell(layer, LayerTableModel::error_b), format_error(alone.loss)) << "without ≈";
  EXPECT_GE(markers(), 1) << "a small filled diamond at its rank";
  EXPECT_EQ(workspace->runs().size(), 2u) << "no run was made";
  // What a run of the same recipe finds.
  const Manifest run = lrc::test::carry_out(lrc::test::small_request(folder.path() / "check", workspace->draft()));
  EXPECT_EQ(run.layers[std::size_t(layer)].loss, alone.loss);
  EXPECT_EQ(run.layers[std::size_t(layer)].loss_regularized, alone.loss_regularized);
  // Another rank is an estimate again; back at this one it is known.
  workspace->editDraft("rank", with_rank(workspace->draft(), *workspace->model(), {layer}, 13));
  EXPECT_EQ(lab().solved(layer), nullptr);
  EXPECT_TRUE(QTest::qWaitFor([&] { return cell(layer, LayerTableModel::error_b).startsWith(QStringLiteral("≈ ")); }, 10000));
  workspace->undoStack().undo();
  EXPECT_NE(lab().solved(layer), nullptr);
}

TEST_F(ExploreTest, what_would_help_writes_an_override) {
  open_window();
  const int layer = layer_of(Role::q_proj, 1);
  workspace->selectLayers({layer}, layer);
  auto* tabs = find<QTabWidget>("errorsTabs");
  tabs->setCurrentIndex(1);
  // The moments are kept by whoever asked first: another test may have walked already.
  ASSERT_TRUE(QTest::qWaitFor([&] { return lab().trials(layer) || find<QPushButton>("helpWalk")->isVisible(); }, minute));
  if (!lab().trials(layer)) QTest::mouseClick(find<QPushButton>("helpWalk"), Qt::LeftButton);
  ASSERT_TRUE(QTest::qWaitFor([&] { return lab().trials(layer) && lab().trying(layer) == LayerLab::Trying::idle; }, minute));
  const std::vector<Suggestion> suggestions = lab().trials(layer)->suggestions;
  ASSERT_GE(suggestions.size(), 5u);
  EXPECT_TRUE(std::ranges::is_sorted(suggestions, {}, &Suggestion::loss)) << "the best first";
  const auto more_bits = std::ranges::find(suggestions, "A6 here", &Suggestion::title);
  ASSERT_NE(more_bits, suggestions.end());
  const auto number = more_bits - suggestions.begin();
  auto* button = find<QPushButton>(("helpTry_" + std::to_string(number)).c_str());
  ASSERT_TRUE(button->isEnabled());
  const int steps = workspace->undoStack().count();
  QTest::mouseClick(button, Qt::LeftButton);
  EXPECT_EQ(workspace->undoStack().count(), steps + 1);
  EXPECT_TRUE(workspace->undoStack().undoText().contains("A6 here")) << workspace->undoStack().undoText().toStdString();
  EXPECT_FALSE(workspace->draftProblem()) << "q, k and v follow together";
  for (const Role role : {Role::q_proj, Role::k_proj, Role::v_proj})
    EXPECT_EQ(workspace->draftSchemes()[std::size_t(layer_of(role, 1))]->activation.bits, 6);
  EXPECT_EQ(workspace->draftSchemes()[std::size_t(layer_of(Role::q_proj, 2))]->activation.bits, 4);
  QCoreApplication::processEvents();
  button = find<QPushButton>(("helpTry_" + std::to_string(number)).c_str());
  EXPECT_EQ(button->text(), "set");
  EXPECT_FALSE(button->isEnabled());
  workspace->undoStack().undo();
  EXPECT_EQ(workspace->draftSchemes()[std::size_t(layer)]->activation.bits, 4);

  // A change of the whole recipe: the table stays, for it says what was tried.
  const auto without = std::ranges::find(suggestions, "leave out position 0", &Suggestion::title);
  ASSERT_NE(without, suggestions.end());
  EXPECT_GT(without->loss, 0);
  const std::string skip_button = "helpTry_" + std::to_string(without - suggestions.begin());
  QCoreApplication::processEvents();
  QTest::mouseClick(find<QPushButton>(skip_button.c_str()), Qt::LeftButton);
  EXPECT_EQ(workspace->draft().skip_first_positions, 1u);
  EXPECT_TRUE(workspace->draft().overrides.empty());
  EXPECT_TRUE(workspace->undoStack().undoText().contains("leave out position 0"));
  EXPECT_EQ(find<QSpinBox>("recipeSkipFirst")->value(), 1);
  QCoreApplication::processEvents();
  ASSERT_NE(lab().trials(layer), nullptr);
  EXPECT_EQ(find<QPushButton>(skip_button.c_str())->text(), "set");
  EXPECT_EQ(lab().solved(layer), nullptr);
  workspace->undoStack().undo();
  EXPECT_EQ(workspace->draft().skip_first_positions, 0u);

  // Plain bits stand in the rank plot, at what they cost.
  const LayerTrials* trials = lab().trials(layer);
  ASSERT_NE(trials, nullptr);
  ASSERT_FALSE(trials->plain.empty());
  auto* plot = find<QCustomPlot>("rankPlot");
  int squares = 0;
  for (int i = 0; i < plot->graphCount(); ++i) squares += plot->graph(i)->scatterStyle().shape() == QCPScatterStyle::ssSquare;
  EXPECT_EQ(squares, int(trials->plain.size()));
}

TEST_F(ExploreTest, allocator_apply) {
  open_window();
  const int own = layer_of(Role::o_proj, 0);
  workspace->editDraft("own", with_rank(workspace->draft(), *workspace->model(), {own}, 3));
  auto* tabs = find<QTabWidget>("errorsTabs");
  QTest::mouseClick(find<QPushButton>("recipeAllocate"), Qt::LeftButton);
  EXPECT_EQ(tabs->tabText(tabs->currentIndex()), "Allocator");
  Allocator& allocator = Allocator::of(*workspace);
  ASSERT_TRUE(QTest::qWaitFor([&] { return allocator.report() != nullptr; }, minute)) << allocator.failure().toStdString();
  EXPECT_GT(allocator.curve().size(), 10u);
  EXPECT_GT(allocator.curve().front().allocated, allocator.curve().back().allocated);
  // The slider is the budget.
  auto* slider = find<QSlider>("recipeBudget");
  const double before = allocator.report()->bits_per_weight;
  slider->setValue(slider->value() - 10);
  ASSERT_TRUE(QTest::qWaitFor([&] { return allocator.report() && allocator.report()->bits_per_weight < before - 0.1; }, minute));
  EXPECT_TRUE(find<QLabel>("allocatorSentence")->text().contains(format_bits(allocator.report()->bits_per_weight)));
  const double budget = allocator.budget();
  const int steps = workspace->undoStack().count();
  QTest::mouseClick(find<QPushButton>("allocatorApply"), Qt::LeftButton);
  EXPECT_EQ(workspace->undoStack().count(), steps + 1) << "one step";
  EXPECT_FALSE(workspace->draftProblem());
  EXPECT_LE(forecast(workspace->draft(), *workspace->model()).bits_per_weight, budget + 1e-9);
  bool moved = false;
  for (std::size_t i = 0; i < workspace->draftSchemes().size(); ++i) {
    const std::size_t rank = workspace->draftSchemes()[i]->rank;
    if (int(i) == own) {
      EXPECT_EQ(rank, 3u) << "an own setting is kept";
    } else {
      EXPECT_EQ(rank % 8, 0u);
      moved = moved || rank != workspace->inheritedSchemes()[i]->rank;
    }
  }
  EXPECT_TRUE(moved);
  // A second budget takes the place of the first.
  slider->setValue(slider->value() + 20);
  ASSERT_TRUE(QTest::qWaitFor([&] { return allocator.report() && allocator.report()->bits_per_weight > budget + 0.1; }, minute));
  QTest::mouseClick(find<QPushButton>("allocatorApply"), Qt::LeftButton);
  EXPECT_GT(forecast(workspace->draft(), *workspace->model()).bits_per_weight, budget);
  EXPECT_EQ(workspace->draftSchemes()[std::size_t(own)]->rank, 3u);
  workspace->undoStack().undo();
  workspace->undoStack().undo();
  EXPECT_EQ(workspace->draftSchemes()[0]->rank, workspace->inheritedSchemes()[0]->rank);
}

TEST_F(ExploreTest, recipe_rules_precedence) {
  open_window();
  auto* text = find<QLineEdit>("recipeRuleText");
  auto* list = find<QListWidget>("recipeRules");
  for (QWidget* parent = list->parentWidget(); parent; parent = parent->parentWidget())
    if (auto* section = qobject_cast<FoldingSection*>(parent)) section->setOpen(true);
  const auto add = [&](const QString& rule) {
    list->setCurrentRow(-1);
    text->clear();
    QTest::keyClicks(text, rule);
    QTest::keyClick(text, Qt::Key_Return);
  };
  add("*.down_proj:rank=9");
  add("*.layers.2.*:rank=5");
  ASSERT_EQ(list->count(), 2);
  EXPECT_TRUE(list->item(0)->text().contains("5 layers")) << list->item(0)->text().toStdString();
  const int layer = layer_of(Role::down_proj, 2), other = layer_of(Role::down_proj, 1);
  const auto rank = [&](int of) { return workspace->draftSchemes()[std::size_t(of)]->rank; };
  EXPECT_EQ(rank(layer), 5u) << "the later rule wins";
  EXPECT_EQ(rank(other), 9u);
  workspace->editDraft("own", with_rank(workspace->draft(), *workspace->model(), {layer}, 3));
  EXPECT_EQ(rank(layer), 3u) << "own settings win over rules";
  EXPECT_EQ(rank_chain(workspace->draft(), workspace->model()->layers()[std::size_t(layer)]),
            QStringLiteral("rank 3: this layer ← rule 2 (5) ← rule 1 (9) ← model (6)"));
  EXPECT_EQ(rank_chain(workspace->draft(), workspace->model()->layers()[std::size_t(layer_of(Role::q_proj, 0))]), QString());
  // Moved behind the other, rule 1 wins in block 2.
  workspace->undoStack().undo();
  list->setCurrentRow(0);
  QTest::mouseClick(find<QToolButton>("recipeRuleDown"), Qt::LeftButton);
  EXPECT_EQ(rank(layer), 9u);
  EXPECT_EQ(rank(layer_of(Role::q_proj, 2)), 5u);
  // A rule that everything behind it sets again has no effect, and says so.
  add("*:rank=4");
  ASSERT_EQ(list->count(), 3);
  EXPECT_TRUE(list->item(0)->text().contains("no effect"));
  EXPECT_TRUE(list->item(1)->text().contains("no effect"));
  EXPECT_FALSE(list->item(2)->text().contains("no effect"));
  // Wrong ones are refused where they are typed.
  const Recipe before = workspace->draft();
  add("*.down_proj:rnak=4");
  EXPECT_EQ(workspace->draft(), before);
  EXPECT_TRUE(find<QWidget>("recipeRuleProblem")->isVisibleTo(find<QWidget>("recipeRuleProblem")->parentWidget()));
  add("model.layers.1.mlp.down_proj:rank=4");
  EXPECT_EQ(workspace->draft(), before) << "a layer's own settings are no rule";
  list->setCurrentRow(2);
  QTest::keyClick(list, Qt::Key_Delete);
  EXPECT_EQ(list->count(), 2);
  EXPECT_EQ(rank(other), 9u);
}

TEST_F(ExploreTest, JourneyWhyDoesOneLayerHurt) {
  open_window();
  QTest::mouseClick(find<QToolButton>("sensitivityButton"), Qt::LeftButton);
  Sensitivities& sensitivities = Sensitivities::of(*workspace);
  ASSERT_TRUE(QTest::qWaitFor([&] { return sensitivities.isMeasured(); }, minute));
  auto* table = find<QTableView>("layersTable");
  table->sortByColumn(LayerTableModel::sensitivity, Qt::DescendingOrder);
  const auto value = [&](int row) {
    return table->model()->index(row, LayerTableModel::sensitivity).data(LayerTableModel::sort_role).toDouble();
  };
  for (int row = 1; row < table->model()->rowCount(); ++row) EXPECT_GE(value(row - 1), value(row));
  EXPECT_GT(value(0), 0);
  EXPECT_TRUE(table->model()->index(0, LayerTableModel::sensitivity).data().toString().startsWith(QStringLiteral("≈ ")))
      << "of a run with a branch it is an estimate";
  {
    // The next window knows it, too.
    Workspace next(workspace->runsFolder());
    next.openModel(QString::fromStdString(workspace->model()->checkpoint().path().string()));
    ASSERT_TRUE(QTest::qWaitFor([&] { return next.hasModel() && next.runs().size() == workspace->runs().size(); }, minute));
    next.setSlotB(workspace->slotB());
    ASSERT_TRUE(QTest::qWaitFor([&] { return Sensitivities::of(next).isMeasured(); }, minute));
    EXPECT_EQ(Sensitivities::of(next).value(0)->nats, sensitivities.value(0)->nats);
  }
  workspace->setSlotB({2});
  QCoreApplication::processEvents();
  EXPECT_FALSE(table->model()->index(0, LayerTableModel::sensitivity).data().toString().startsWith(QStringLiteral("≈")))
      << "of the plain run it is what was measured";
  workspace->setSlotB({1});
  QTest::mouseClick(table->viewport(), Qt::LeftButton, {}, table->visualRect(table->model()->index(0, LayerTableModel::layer)).center());
  const int layer = workspace->currentLayer();
  ASSERT_GE(layer, 0);
  find<QTabWidget>("errorsTabs")->setCurrentIndex(1);
  EXPECT_FALSE(find<QLabel>("sourcesSentence")->text().isEmpty());
  ASSERT_TRUE(QTest::qWaitFor([&] { return lab().trials(layer) || find<QPushButton>("helpWalk")->isVisible(); }, minute));
  if (!lab().trials(layer)) QTest::mouseClick(find<QPushButton>("helpWalk"), Qt::LeftButton);
  ASSERT_TRUE(QTest::qWaitFor([&] { return lab().trials(layer) && lab().trying(layer) == LayerLab::Trying::idle; }, minute));
  QTest::mouseClick(find<QPushButton>("helpTry_0"), Qt::LeftButton);
  QTest::keyClick(panel.get(), Qt::Key_F5, Qt::ShiftModifier);
  ASSERT_TRUE(QTest::qWaitFor([&] { return lab().solved(layer) != nullptr; }, minute));
  EXPECT_LT(lab().solved(layer)->record.loss, workspace->record({1}, layer)->loss) << "it helped";
}

TEST_F(ExploreTest, JourneyExploreTradeOffs) {
  open_window();
  // The cell with the largest error, by a click in the map.
  auto* map = static_cast<LayerMap*>(find<QWidget>("layersMap"));
  int worst = 0;
  for (int i = 0; i < int(workspace->model()->layers().size()); ++i)
    if (workspace->record({1}, i)->loss > workspace->record({1}, worst)->loss) worst = i;
  QTest::mouseClick(map, Qt::LeftButton, {}, map->cellOf(worst).center());
  ASSERT_EQ(workspace->currentLayer(), worst);
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->spectrum(worst, {1}) != nullptr; }, 10000));
  QCoreApplication::processEvents();
  // Drag the cursor; the draft follows.
  auto* plot = find<QCustomPlot>("rankPlot");
  const auto pixel = [&](int rank) { return QPoint(int(plot->xAxis->coordToPixel(rank)), plot->axisRect()->center().y()); };
  QTest::mousePress(plot, Qt::LeftButton, {}, pixel(6));
  for (const int rank : {8, 10, 14}) QTest::mouseMove(plot, pixel(rank));
  QTest::mouseRelease(plot, Qt::LeftButton, {}, pixel(14));
  ASSERT_EQ(workspace->draftSchemes()[std::size_t(worst)]->rank, 14u);
  EXPECT_TRUE(QTest::qWaitFor([&] { return cell(worst, LayerTableModel::error_b).startsWith(QStringLiteral("≈ ")); }, 10000));
  find<QTabWidget>("errorsTabs")->setCurrentIndex(1);
  ASSERT_TRUE(QTest::qWaitFor([&] { return lab().trials(worst) || find<QPushButton>("helpWalk")->isVisible(); }, minute));
  if (!lab().trials(worst)) QTest::mouseClick(find<QPushButton>("helpWalk"), Qt::LeftButton);
  ASSERT_TRUE(QTest::qWaitFor([&] { return lab().trials(worst) && lab().trying(worst) == LayerLab::Trying::idle; }, minute));
  const double before = lab().trials(worst)->now.loss;
  QTest::mouseClick(find<QPushButton>("helpTry_0"), Qt::LeftButton);
  QTest::keyClick(panel.get(), Qt::Key_F5, Qt::ShiftModifier);
  ASSERT_TRUE(QTest::qWaitFor([&] { return lab().solved(worst) != nullptr; }, minute));
  EXPECT_LT(lab().solved(worst)->record.loss, before);
  EXPECT_FALSE(cell(worst, LayerTableModel::error_b).startsWith(QStringLiteral("≈")));
}

TEST_F(ExploreTest, JourneySpendABudget) {
  open_window();
  QTest::mouseClick(find<QPushButton>("recipeAllocate"), Qt::LeftButton);
  Allocator& allocator = Allocator::of(*workspace);
  ASSERT_TRUE(QTest::qWaitFor([&] { return allocator.report() != nullptr; }, minute)) << allocator.failure().toStdString();
  // A drag in the plot is the budget, too.
  auto* plot = find<QCustomPlot>("allocatorPlot");
  const QPoint at(int(plot->xAxis->coordToPixel(0.6 * allocator.least() + 0.4 * allocator.most())), plot->axisRect()->center().y());
  QTest::mouseClick(plot, Qt::LeftButton, {}, at);
  ASSERT_TRUE(QTest::qWaitFor(
      [&] { return allocator.report() && std::abs(allocator.report()->budget_bits_per_weight - allocator.budget()) < 1e-9; }, minute));
  const double promised = allocator.report()->bits_per_weight;
  QTest::mouseClick(find<QPushButton>("allocatorApply"), Qt::LeftButton);
  QTest::keyClick(panel.get(), Qt::Key_F5);
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->findRun(3) && workspace->findRun(3)->state == RunEntry::State::done; }, 3 * minute));
  EXPECT_NEAR(workspace->findRun(3)->manifest.bits_per_weight, promised, 1e-6);
  EXPECT_EQ(workspace->slotB().run, 3) << "it is compared at once";
}

TEST_F(ExploreTest, JourneyTreatManyLayersAlike) {
  open_window();
  auto* filter = find<QLineEdit>("layersFilter");
  filter->setFocus();
  QTest::keyClicks(filter, "role:down");
  QTest::keyClick(filter, Qt::Key_Return);
  auto* table = find<QTableView>("layersTable");
  ASSERT_TRUE(QTest::qWaitFor([&] { return table->hasFocus(); }, 1000)) << "no hand on the pointer";
  QTest::keyClick(table, Qt::Key_A, Qt::ControlModifier);
  ASSERT_EQ(workspace->selectedLayers().size(), 5u);
  const int steps = workspace->undoStack().count();
  QTest::keyClick(table, Qt::Key_R);
  auto* editor = find<QLineEdit>("layersRankEditor");
  editor->selectAll();
  QTest::keyClicks(editor, "21");
  QTest::keyClick(editor, Qt::Key_Return);
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->undoStack().count() == steps + 1; }, 2000));
  EXPECT_TRUE(table->hasFocus()) << "Enter belongs to the number, it does not go to the layer";
  for (std::size_t block = 0; block < 5; ++block)
    EXPECT_EQ(workspace->draftSchemes()[std::size_t(layer_of(Role::down_proj, block))]->rank, 21u);
}

}  // namespace
}  // namespace lrc::app::test

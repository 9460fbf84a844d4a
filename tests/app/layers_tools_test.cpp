// What the layers panel offers beyond the table: groups, copied settings, notes, filters by a cell, one undo step each.
#include <QCheckBox>
#include <QComboBox>
#include <QHeaderView>
#include <QLineEdit>
#include <QMenu>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QRadioButton>
#include <QTableView>

#include "models/draft_edits.h"
#include "models/layer_filter.h"
#include "models/layer_settings.h"
#include "models/layer_table_model.h"
#include "models/notebook.h"
#include "panels/layer_groups.h"
#include "window_fixture.h"

namespace lrc::app::test {
namespace {

TEST_F(WindowTest, GroupsSumTheirLayersAndSelectThem) {
  open_stories();
  auto* group = find<QComboBox>("layersGroup");
  group->setCurrentIndex(1);
  auto* tree = static_cast<LayerGroups*>(find<QWidget>("layersGroups"));
  ASSERT_TRUE(tree->isVisible());
  EXPECT_FALSE(find<QTableView>("layersTable")->isVisible());
  ASSERT_EQ(tree->topLevelItemCount(), 7);
  QTreeWidgetItem* down = nullptr;
  for (int i = 0; i < 7; ++i)
    if (tree->topLevelItem(i)->text(LayerGroups::name) == "down_proj") down = tree->topLevelItem(i);
  ASSERT_NE(down, nullptr);
  EXPECT_EQ(down->childCount(), 5);
  EXPECT_EQ(down->text(LayerGroups::layers), "5");
  double megabytes = 0;
  for (int i = 0; i < 5; ++i) megabytes += down->child(i)->data(LayerGroups::megabytes, Qt::UserRole + 1).toDouble();
  EXPECT_NEAR(down->data(LayerGroups::megabytes, Qt::UserRole + 1).toDouble(), megabytes, 1e-9);
  QTest::mouseClick(tree->viewport(), Qt::LeftButton, {}, tree->visualItemRect(down).center());
  EXPECT_EQ(workspace->selectedLayers(), layers_of(Role::down_proj));
  // The filter holds for groups too; by block the same layers stand otherwise.
  QTest::keyClicks(find<QLineEdit>("layersFilter"), "block:0-1");
  EXPECT_EQ(tree->topLevelItem(0)->childCount(), 2);
  group->setCurrentIndex(2);
  EXPECT_EQ(tree->topLevelItemCount(), 2);
  EXPECT_EQ(tree->topLevelItem(0)->childCount(), 7);
  group->setCurrentIndex(0);
  EXPECT_TRUE(find<QTableView>("layersTable")->isVisible());
}

TEST_F(WindowTest, AClickOnAHeaderPutsTheWorstFirst) {
  open_stories();
  auto* header = find<QTableView>("layersTable")->horizontalHeader();
  for (const int column : {LayerTableModel::error_b, LayerTableModel::size}) {
    QTest::mouseClick(header->viewport(), Qt::LeftButton, {}, {header->sectionViewportPosition(column) + 10, 10});
    EXPECT_EQ(header->sortIndicatorSection(), column);
    EXPECT_EQ(header->sortIndicatorOrder(), Qt::DescendingOrder);
  }
}

TEST_F(WindowTest, ClosingWhileANumberIsTypedHandsItOver) {
  open_stories();
  auto* table = find<QTableView>("layersTable");
  workspace->selectLayers({3}, 3);
  table->setFocus();
  QTest::keyClick(table, Qt::Key_R);
  auto* editor = find<QLineEdit>("layersRankEditor");
  ASSERT_NE(editor, nullptr);
  editor->selectAll();
  QTest::keyClicks(editor, "7");
  window.reset();
  EXPECT_EQ(workspace->draftSchemes()[3]->rank, 7u);
}

TEST_F(WindowTest, SettingsAreGivenToLayersOfTheSameRole) {
  open_stories();
  const auto down = layers_of(Role::down_proj), q = layers_of(Role::q_proj);
  workspace->selectLayers({down[1]}, down[1]);
  workspace->editDraft("Rank", with_rank(workspace->draft(), *workspace->model(), {down[1]}, 13));
  QTest::keyClick(window.get(), Qt::Key_C, Qt::ControlModifier | Qt::ShiftModifier);
  const int steps = workspace->undoStack().count();
  QTest::keyClick(window.get(), Qt::Key_V, Qt::ControlModifier | Qt::ShiftModifier);
  auto* form = QApplication::activePopupWidget();
  ASSERT_NE(form, nullptr);
  ASSERT_EQ(form->objectName(), "pasteSettings");
  for (QCheckBox* box : form->findChildren<QCheckBox*>())
    box->setChecked(box->objectName() == QString("pasteField_%1").arg(int(SettingField::rank)));
  QTest::mouseClick(form->findChild<QRadioButton*>(QString("pasteTarget_%1").arg(int(PasteTarget::same_role))), Qt::LeftButton);
  QTest::mouseClick(form->findChild<QPushButton*>("pasteButton"), Qt::LeftButton);
  EXPECT_EQ(workspace->undoStack().count(), steps + 1) << "one step";
  EXPECT_EQ(workspace->undoStack().undoText(), "Settings of 1.down_proj to 5 layers");
  for (const int layer : down) EXPECT_EQ(workspace->draftSchemes()[std::size_t(layer)]->rank, 13u);
  for (const int layer : q) EXPECT_NE(workspace->draftSchemes()[std::size_t(layer)]->rank, 13u) << "another role";
  const auto own = own_settings(workspace->draft(), workspace->model()->layers()[std::size_t(down[0])].name);
  ASSERT_TRUE(own);
  EXPECT_FALSE(own->weight_bits) << "only the ticked field";
}

TEST(LayerSettings, RanksGoAsAShareWhereTheMatrixIsAnother) {
  const auto model = Model::open(lrc::test::data("stories260K/stories260K-f32.gguf"));
  const auto& layers = model->layers();
  int q = -1, k = -1;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].role == Role::q_proj && q < 0) q = int(i);
    if (layers[i].role == Role::k_proj && k < 0) k = int(i);
  }
  Recipe recipe = fitted_to(load_recipe("LRC 10 %"), *model);
  recipe = with_rank(recipe, *model, {q}, 32);
  const CopiedSettings copied = copy_settings(recipe, *model, q);
  const Recipe pasted = with_settings(recipe, *model, copied, {SettingField::rank}, {k});
  const std::size_t limit = std::min(layers[std::size_t(k)].out_features, layers[std::size_t(k)].in_features);
  EXPECT_EQ(effective_scheme(pasted, layers[std::size_t(k)]).rank, 32 * limit / copied.limit);
  EXPECT_THROW(layers_of_target(PasteTarget::pattern, *model, {}, 0, "role:nothing"), Error);
  EXPECT_THROW(layers_of_target(PasteTarget::pattern, *model, {}, 0, "  "), Error) << "an empty pattern is not everything";
  EXPECT_EQ(layers_of_target(PasteTarget::pattern, *model, {}, 0, "role:k").size(), 5u);
  EXPECT_EQ(layers_of_target(PasteTarget::same_block, *model, {}, q, {}).size(), 7u);
}

TEST_F(WindowTest, NotesAreWrittenFoundAndMarked) {
  open_stories();
  auto* table = find<QTableView>("layersTable");
  workspace->selectLayers({3}, 3);
  table->setFocus();
  QTest::keyClick(table, Qt::Key_N);
  auto* editor = QApplication::activePopupWidget();
  ASSERT_NE(editor, nullptr);
  auto* text = editor->findChild<QPlainTextEdit*>("noteText");
  QTest::keyClicks(text, "look at position 0");
  QTest::keyClick(text, Qt::Key_Return, Qt::ControlModifier);
  const QString name = QString::fromStdString(workspace->model()->layers()[3].name);
  EXPECT_EQ(Notebook::of(*workspace).layerNote(name), "look at position 0");
  EXPECT_TRUE(workspace->isModified()) << "a note is something to save";
  QTest::keyClicks(find<QLineEdit>("layersFilter"), "has:note");
  ASSERT_EQ(table->model()->rowCount(), 1);
  EXPECT_TRUE(table->model()->index(0, 0).data(Qt::ToolTipRole).toString().contains("position 0"));
  // Esc keeps what was there.
  table->setFocus();
  QTest::keyClick(table, Qt::Key_N);
  text = QApplication::activePopupWidget()->findChild<QPlainTextEdit*>("noteText");
  QTest::keyClicks(text, " and more");
  QTest::keyClick(text, Qt::Key_Escape);
  EXPECT_EQ(Notebook::of(*workspace).layerNote(name), "look at position 0");
}

TEST_F(WindowTest, FiltersAreMadeFromACellAndRemembered) {
  open_stories();
  auto* table = find<QTableView>("layersTable");
  auto* filter = find<QLineEdit>("layersFilter");
  const auto menu_at = [&](int row) {
    emit table->customContextMenuRequested(table->visualRect(table->model()->index(row, 1)).center());
    return window->findChild<QMenu*>("layersMenu");
  };
  QMenu* menu = menu_at(1);
  ASSERT_NE(menu, nullptr);
  ASSERT_EQ(menu->actions().front()->text(), "Filter: role = k");
  menu->actions().front()->trigger();
  menu->close();
  EXPECT_EQ(filter->text(), "role:k");
  EXPECT_EQ(table->model()->rowCount(), 5);
  EXPECT_EQ(QSettings().value("layers/filters").toStringList(), QStringList{"role:k"});
}

TEST(LayerFilterGrammar, AsksAllThatTheTableShows) {
  LayerFacts layer;
  layer.name = "model.layers.12.mlp.down_proj";
  layer.short_name = "12.down_proj";
  layer.role = "down_proj";
  layer.block = 12;
  layer.share = 4;
  layer.weights_only = 1;
  layer.activations_only = 7;
  layer.size = 6.4;
  layer.has_note = true;
  for (const char* text :
       {"has:note", "share>3", "weights<2 activations>=7", "bpw<6.5", "size>6", "!has:note | role:down", "block:0-3,12"}) {
    const LayerFilter filter = LayerFilter::parse(text);
    ASSERT_TRUE(filter.valid()) << text << ": " << filter.problem().toStdString();
    EXPECT_TRUE(filter.matches(layer)) << text;
  }
  for (const char* text : {"share>5", "!has:note", "role:up", "bpw>=7"}) EXPECT_FALSE(LayerFilter::parse(text).matches(layer)) << text;
  for (const char* text : {"has:", "has:nothing", "role:nothing", "shares>3", "|", "!"})
    EXPECT_FALSE(LayerFilter::parse(text).valid()) << text;
}

}  // namespace
}  // namespace lrc::app::test

// The recipe's section about the key and value cache, and the rotation that belongs to it.
#include <QCheckBox>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QToolButton>

#include "panel_fixture.h"
#include "panels/recipe_rows.h"

namespace lrc::app::test {
namespace {

class RecipeCache : public PanelTest {
 protected:
  QToolButton* button(NumberBar* bar, int bits) {
    for (auto* candidate : bar->findChildren<QToolButton*>())
      if (candidate->text() == QString::number(bits)) return candidate;
    return nullptr;
  }
};

TEST_F(RecipeCache, BitsBringTheirRotationAndTakeItAway) {
  open(make_recipe_panel);
  open_stories();
  workspace->editDraft("start", small());
  QCoreApplication::processEvents();
  auto* bits = find<NumberBar>("recipeKvBits");
  auto* r3 = find<QCheckBox>("recipeR3");
  EXPECT_FALSE(r3->isChecked());
  EXPECT_FALSE(find<QComboBox>("recipeKvGroup")->isEnabled()) << "a float cache has no groups";
  button(bits, 4)->click();
  EXPECT_EQ(workspace->draft().cache.bits, 4);
  EXPECT_TRUE(workspace->draft().rotation.r3);
  EXPECT_TRUE(r3->isChecked());
  EXPECT_TRUE(find<QComboBox>("recipeKvGroup")->isEnabled());
  r3->click();
  EXPECT_FALSE(workspace->draft().rotation.r3);
  EXPECT_EQ(workspace->draft().cache.bits, 4) << "each can be had without the other";
  r3->click();
  find<QCheckBox>("recipeKvZeros")->click();
  EXPECT_TRUE(workspace->draft().cache.symmetric);
  find<QDoubleSpinBox>("recipeKvClip")->setValue(0.95);
  EXPECT_FLOAT_EQ(workspace->draft().cache.clip, 0.95f);
  button(bits, 16)->click();
  EXPECT_TRUE(workspace->draft().cache.off());
  EXPECT_FALSE(workspace->draft().rotation.r3);
}

}  // namespace
}  // namespace lrc::app::test

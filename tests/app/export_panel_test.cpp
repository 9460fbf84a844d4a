#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QPushButton>

#include "models/export_check.h"
#include "panel_fixture.h"
#include "panels/panel_widgets.h"

namespace lrc::app::test {
namespace {

class ExportPanelTest : public PanelTest {
 protected:
  void SetUp() override {
    PanelTest::SetUp();
    open(make_export_panel, {1180, 700});
  }
  bool checked() {
    return QTest::qWaitFor([&] { return find<QLabel>("exportSize")->text().contains("MB"); }, 20000);
  }
};

TEST_F(ExportPanelTest, WritesAndProvesARunWithoutR4) {
  open_stories();
  ASSERT_TRUE(checked());
  auto* button = find<QPushButton>("exportButton");
  ASSERT_TRUE(button->isEnabled()) << find<QLabel>("exportWhyNot")->text().toStdString();
  // What it will be stands there before: size by part, files, the command.
  const QString before = find<QWidget>("exportParts")->accessibleDescription();
  EXPECT_TRUE(find<QWidget>("exportParts")->isVisible());
  for (const char* part : {"codes", "scales", "factors U, V", "embedding", "-lora.gguf"})
    EXPECT_TRUE(before.contains(part)) << part << " in " << before.toStdString();
  auto* command = find<QLineEdit>("loadCommand");
  EXPECT_TRUE(command->isVisible());
  find<QLineEdit>("exportFolder")->setText(QString::fromStdString((folder.path() / "out").string()));
  QTest::mouseClick(button, Qt::LeftButton);
  ASSERT_TRUE(QTest::qWaitFor([&] { return find<QPushButton>("exportOpenFolder")->isVisible(); }, 60000));
  EXPECT_TRUE(command->text().contains("/out/")) << command->text().toStdString();
  EXPECT_TRUE(command->text().contains("--lora")) << "the adapter is not optional";
  EXPECT_TRUE(find<QLabel>("verifyList")->text().contains(QStringLiteral("✓")));
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path() / "out")) {
    EXPECT_EQ(entry.path().string().find(".unverified"), std::string::npos);
    files += entry.path().extension() == ".gguf" ? 1 : 0;
  }
  EXPECT_EQ(files, 2u);
}

TEST_F(ExportPanelTest, RefusesR4AndOffersToSolveAgain) {
  open_stories();
  Recipe rotated = small();
  rotated.rotation.r4 = true;
  workspace->editDraft("R4", rotated);
  const int number = workspace->startRun();
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->findRun(number)->state == RunEntry::State::done; }, 60000));
  EXPECT_EQ(workspace->slotB(), Slot{number});
  ASSERT_TRUE(checked());
  EXPECT_FALSE(find<QPushButton>("exportButton")->isEnabled());
  EXPECT_TRUE(find<QLabel>("exportWhyNot")->text().contains("1 refusal"));
  auto* fix = find<QPushButton>("fix_online-rotation");
  ASSERT_NE(fix, nullptr);
  QTest::mouseClick(fix, Qt::LeftButton);
  EXPECT_EQ(workspace->runs().back().number, number + 1) << "the fix is a run";
  EXPECT_FALSE(workspace->runs().back().manifest.recipe.rotation.r4);
}

TEST_F(ExportPanelTest, SaysThatTheOriginalIsNotExported) {
  open_stories();
  workspace->setSlotB({});
  EXPECT_FALSE(find<QPushButton>("exportButton")->isVisible());
}

TEST(ExportCheck, Verdict) {
  Preflight preflight;
  preflight.checks = {
      {"a", CheckStatus::ok, "", "", ""}, {"b", CheckStatus::warning, "", "", ""}, {"c", CheckStatus::refused, "", "", "solve-again"}};
  EXPECT_EQ(verdict(preflight), "<b>Not yet.</b> 1 refusal, 1 warning, 1 passed.");
  EXPECT_TRUE(preflight.fixable());
  sort_checks(preflight.checks);
  EXPECT_EQ(preflight.checks.front().name, "c");
  preflight.checks.resize(0);
  EXPECT_EQ(verdict(preflight), "<b>Ready.</b> 0 passed.");
  EXPECT_EQ(check_title("online-rotation"), "Online rotation");
}

}  // namespace
}  // namespace lrc::app::test

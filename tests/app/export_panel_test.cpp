#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QPushButton>

#include "models/export_check.h"
#include "panel_fixture.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"

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
  EXPECT_EQ(button->text(), "Replace 2 files and verify") << "what stands there is not replaced without a word";
}

TEST_F(ExportPanelTest, WhatWasWrittenStandsBesideItsOwnRunOnly) {
  open_stories();
  ASSERT_TRUE(checked());
  const Slot written = workspace->slotB();
  find<QLineEdit>("exportFolder")->setText(QString::fromStdString((folder.path() / "out").string()));
  auto* button = find<QPushButton>("exportButton");
  button->setFocus();
  QTest::keyClick(button, Qt::Key_Space);
  EXPECT_TRUE(find<QPushButton>("exportStop")->hasFocus()) << "the keys stay where the work is";
  auto* open_folder = find<QPushButton>("exportOpenFolder");
  ASSERT_TRUE(QTest::qWaitFor([&] { return open_folder->isVisible(); }, 60000));
  EXPECT_TRUE(find<QLabel>("verifyList")->text().contains(QStringLiteral("✓")));
  int other = 0;
  for (const RunEntry& run : workspace->runs())
    if (Slot{run.number} != written) other = run.number;
  ASSERT_NE(other, 0);
  workspace->setSlotB({other});
  EXPECT_FALSE(open_folder->isVisible());
  EXPECT_FALSE(find<QLabel>("verifyList")->text().contains(QStringLiteral("✓")));
  workspace->setSlotB(written);
  EXPECT_TRUE(open_folder->isVisible());
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

TEST_F(ExportPanelTest, OffersTheBestRunsWhereBIsTheOriginal) {
  open_stories();
  workspace->setSlotB({});
  EXPECT_FALSE(find<QPushButton>("exportButton")->isVisible());
  const std::vector<int> best = best_by_divergence(workspace->runs(), 3);
  ASSERT_EQ(best.size(), 2u);
  const auto kl = [&](int run) { return workspace->findRun(run)->manifest.evaluation->kl->mean; };
  EXPECT_LE(kl(best[0]), kl(best[1]));
  EXPECT_EQ(best_by_divergence(workspace->runs(), 1), std::vector<int>{best[0]});
  auto* choose = find<QPushButton>(qPrintable(QString("exportChoose_%1").arg(best[0])));
  ASSERT_NE(choose, nullptr);
  EXPECT_TRUE(choose->isVisible());
  EXPECT_TRUE(choose->text().contains("KL")) << choose->text().toStdString();
  QTest::mouseClick(choose, Qt::LeftButton);
  EXPECT_EQ(workspace->slotB(), Slot{best[0]});
  EXPECT_TRUE(checked());
  EXPECT_FALSE(find<QWidget>("exportChoices")->isVisible());
}

TEST_F(ExportPanelTest, SaysWhatIsKnownOfTheDivergenceThere) {
  open_stories();
  ASSERT_TRUE(checked());
  const QString table = find<QLabel>("targetComputes")->text();
  const RunEntry* run = workspace->findRun(1);
  EXPECT_TRUE(table.contains("KL to the original")) << table.toStdString();
  EXPECT_TRUE(table.contains(format_kl(run->manifest.evaluation->kl->mean) + " nat/token, measured"));
  EXPECT_TRUE(table.contains("not known before it is measured there")) << "llama.cpp computes with other activations";
}

TEST(ExportCheck, DivergenceRow) {
  Manifest run;
  EXPECT_EQ(divergence_row(run, {{"weights", "x", "x"}}).here, "– (not evaluated)");
  EXPECT_EQ(divergence_row(run, {{"weights", "x", "x"}}).there, "–");
  run.evaluation.emplace();
  run.evaluation->kl.emplace();
  run.evaluation->kl->mean = 0.178;
  EXPECT_EQ(divergence_row(run, {{"weights", "x", "x"}}).here, "0.178 nat/token, measured");
  EXPECT_TRUE(QString::fromStdString(divergence_row(run, {{"weights", "x", "x"}}).there).startsWith(QStringLiteral("≈ 0.178")));
  EXPECT_TRUE(QString::fromStdString(divergence_row(run, {{"weights", "x", "x"}, {"activations", "4", "8"}}).there)
                  .startsWith(QStringLiteral("–")));
}

TEST(ExportCheck, RoomOnTheDisk) {
  EXPECT_FALSE(room_for(100, 100).short_of_room);
  EXPECT_TRUE(room_for(151'200'000, 12'000'000).short_of_room);
  EXPECT_EQ(room_for(151'200'000, 12'000'000).sentence, "151.2 MB are needed, 12.0 MB are free on the disk");
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

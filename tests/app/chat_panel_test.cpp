#include <QComboBox>
#include <QLabel>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSlider>
#include <QSpinBox>

#include "models/conversation.h"
#include "panel_fixture.h"
#include "panels/branch_box.h"
#include "panels/chat_worker.h"
#include "panels/divergence_strip.h"
#include "panels/panel_widgets.h"
#include "panels/token_text.h"
#include "support/failing_backend.h"

namespace lrc::app::test {
namespace {

class ChatPanelTest : public PanelTest {
 protected:
  void SetUp() override {
    PanelTest::SetUp();
    open_chat(24);
    EXPECT_EQ(mode()->current(), int(ChatMode::b_follows_a)) << "tokens are coloured from the start";
    mode()->setCurrent(int(ChatMode::free));
  }
  bool idle() { return find<QPushButton>("chatSend")->text().startsWith("Send"); }
  void say(const QString& text) {
    auto* input = find<QPlainTextEdit>("chatInput");
    QTest::keyClicks(input, text);
    QTest::keyClick(input, Qt::Key_Return);
  }
  bool wait() {
    return QTest::qWaitFor([&] { return idle(); }, 30000);
  }
  QString answer(const char* name) { return find<TokenText>(name)->toPlainText(); }
  SegmentSwitch* mode() { return static_cast<SegmentSwitch*>(find<QWidget>("chatMode")); }
};

TEST_F(ChatPanelTest, BothSidesAnswerOnePrompt) {
  workspace->setSlotB({});
  say("Once upon a time");
  EXPECT_FALSE(idle());
  ASSERT_TRUE(wait());
  EXPECT_FALSE(answer("chatAnswerA1").isEmpty());
  EXPECT_EQ(answer("chatAnswerA1"), answer("chatAnswerB1")) << "equal models, equal seeds, equal answers";
  EXPECT_EQ(find<QWidget>("chatPromptA1")->y(), find<QWidget>("chatPromptB1")->y()) << "turns are aligned";
  say(" and then");
  ASSERT_TRUE(wait());
  EXPECT_FALSE(answer("chatAnswerA2").isEmpty());
}

TEST_F(ChatPanelTest, FollowingItselfDivergesByNothing) {
  workspace->setSlotB({});
  mode()->setCurrent(1);
  say("Lily and Ben");
  ASSERT_TRUE(wait());
  EXPECT_EQ(find<DivergenceStrip>("divergenceStrip")->count(), find<TokenText>("chatAnswerB1")->count());
  EXPECT_GT(find<DivergenceStrip>("divergenceStrip")->count(), 5);
  const QString text = find<QLabel>("divergenceText")->text();
  EXPECT_TRUE(text.contains("100.0 %")) << text.toStdString();
  EXPECT_TRUE(text.contains("max <b>0")) << text.toStdString();
  EXPECT_EQ(answer("chatAnswerA1"), answer("chatAnswerB1"));
}

TEST_F(ChatPanelTest, ARunDivergesAndItsBranchIsHeardLive) {
  mode()->setCurrent(1);
  say("Once upon a time");
  ASSERT_TRUE(wait());
  auto* text = find<QLabel>("divergenceText");
  const QString with_branch = text->text();
  ASSERT_TRUE(with_branch.contains("nat"));
  auto* components = find<QSlider>("branchComponents");
  ASSERT_TRUE(components->isVisible());
  components->setValue(0);
  ASSERT_TRUE(QTest::qWaitFor([&] { return idle() && text->text() != with_branch; }, 30000));
  const QString none = text->text();
  components->setValue(components->maximum());
  ASSERT_TRUE(QTest::qWaitFor([&] { return idle() && text->text() == with_branch; }, 30000)) << "all components are the branch itself";
  static_cast<SegmentSwitch*>(find<QWidget>("branchSwitch"))->setCurrent(1);
  ASSERT_TRUE(QTest::qWaitFor([&] { return idle() && text->text() == none; }, 30000)) << "bypass is no component";
}

TEST_F(ChatPanelTest, AnAnswerSaysWhoseItIsOnceAnotherStandsInTheSlot) {
  mode()->setCurrent(1);
  say("Once upon a time");
  ASSERT_TRUE(wait());
  const QString who = workspace->slotTitle(workspace->slotB());
  const auto says = [&](const QString& words) {
    return std::ranges::any_of(panel->findChildren<QLabel*>(), [&](const QLabel* label) { return label->text().contains(words); });
  };
  EXPECT_FALSE(says("by " + who)) << "it stands above the column";
  workspace->setSlotB({});
  EXPECT_TRUE(says("by " + who));
  EXPECT_TRUE(find<QLabel>("divergenceText")->text().contains("of " + who.toHtmlEscaped()));
  workspace->setSlotB({1});
  EXPECT_FALSE(says("by " + who));
}

TEST(MuteGrid, PaintsAndSolos) {
  MuteGrid grid(nullptr);
  grid.resize(300, 54);
  grid.setBlocks(10);
  grid.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&grid));
  int changes = 0;
  QObject::connect(&grid, &MuteGrid::changed, [&] { ++changes; });
  const auto place = [&](int row, int block) { return QPoint(36 + int((block + 0.5) * (300 - 38) / 10), 18 * row + 8); };
  QTest::mouseClick(&grid, Qt::LeftButton, {}, place(1, 2));
  EXPECT_EQ(grid.mutedCount(), 1);
  EXPECT_TRUE(grid.mlp()[2]);
  // Dragging paints what the first cell becomes; it is one change.
  changes = 0;
  QTest::mousePress(&grid, Qt::LeftButton, {}, place(0, 3));
  for (int block = 4; block <= 6; ++block) QTest::mouseMove(&grid, place(0, block));
  QTest::mouseRelease(&grid, Qt::LeftButton, {}, place(0, 6));
  for (int block = 3; block <= 6; ++block) EXPECT_TRUE(grid.attention()[std::size_t(block)]) << block;
  EXPECT_EQ(grid.mutedCount(), 5);
  EXPECT_EQ(changes, 1);
  QTest::mouseClick(&grid, Qt::LeftButton, Qt::AltModifier, place(1, 8));
  EXPECT_EQ(grid.mutedCount(), 19);
  EXPECT_FALSE(grid.mlp()[8]);
  QTest::mouseClick(&grid, Qt::LeftButton, Qt::AltModifier, place(1, 8));
  EXPECT_EQ(grid.mutedCount(), 0) << "once more: all";
  grid.setFocus();
  QTest::keyClick(&grid, Qt::Key_Left);
  QTest::keyClick(&grid, Qt::Key_S);
  EXPECT_FALSE(grid.mlp()[7]);
  EXPECT_EQ(grid.mutedCount(), 19);
}

TEST_F(ChatPanelTest, AFollowsWhatBSays) {
  mode()->setCurrent(0);
  say("Once upon a time");
  ASSERT_TRUE(wait());
  const QString own = answer("chatAnswerB1");
  mode()->setCurrent(2);
  QTest::mouseClick(find<QPushButton>("chatNew"), Qt::LeftButton);
  say("Once upon a time");
  ASSERT_TRUE(wait());
  EXPECT_EQ(answer("chatAnswerB1"), own) << "B speaks in its own words";
  EXPECT_EQ(answer("chatAnswerA1"), own) << "and A reads them";
  EXPECT_EQ(find<DivergenceStrip>("divergenceStrip")->count(), find<TokenText>("chatAnswerB1")->count());
}

TEST_F(ChatPanelTest, EscStopsWithinAToken) {
  workspace->setSlotB({});
  find<QSpinBox>("samplingMaxNew")->setValue(400);
  say("Once upon a time");
  ASSERT_TRUE(QTest::qWaitFor([&] { return !answer("chatAnswerA1").isEmpty(); }, 30000));
  QTest::keyClick(find<QPlainTextEdit>("chatInput"), Qt::Key_Escape);
  ASSERT_TRUE(wait());
  const QString said = answer("chatAnswerA1");
  QTest::qWait(50);
  EXPECT_EQ(answer("chatAnswerA1"), said) << "nothing is said after the stop";
  EXPECT_TRUE(answer("chatAnswerB1").isEmpty()) << "B does not begin";
}

TEST_F(ChatPanelTest, ALostDeviceFallsBackToTheCpu) {
  auto* worker = panel->findChild<ChatWorker*>();
  ASSERT_NE(worker, nullptr);
  worker->setSessionMaker([](const OpenedModel& opened, const std::string& device, std::size_t context) {
    if (device != "cpu") throw Error(ErrorKind::device_lost, "The device vulkan:9 stopped working.");
    return make_chat(opened, device, context);
  });
  auto* device = find<QComboBox>("chatDeviceB");
  device->addItem("a device that fails", "vulkan:9");
  device->setCurrentIndex(device->count() - 1);
  QSignalSpy banner(workspace.get(), &Workspace::bannerRequested);
  say("One day");
  ASSERT_TRUE(wait());
  ASSERT_EQ(banner.count(), 1);
  EXPECT_TRUE(banner[0][0].toString().contains("vulkan:9 stopped working")) << banner[0][0].toString().toStdString();
  EXPECT_EQ(device->currentData().toString(), "cpu");
  EXPECT_FALSE(answer("chatAnswerA1").isEmpty()) << "the conversation is kept";
  EXPECT_FALSE(answer("chatAnswerB1").isEmpty());
}

TEST_F(ChatPanelTest, ADeviceLostInTheMiddleGoesOnBehindTheLastToken) {
  auto* worker = panel->findChild<ChatWorker*>();
  ASSERT_NE(worker, nullptr);
  worker->setSessionMaker([](const OpenedModel& opened, const std::string& device, std::size_t context) {
    if (device == "cpu") return make_chat(opened, device, context);
    const auto backend = std::make_shared<lrc::test::FailingBackend>(make_cpu_backend());
    const auto transformer = std::make_shared<Transformer>(backend, weights_of(opened));
    backend->arm(1200);
    return std::make_shared<ChatSession>(transformer, opened.model->tokenizer(), context);
  });
  workspace->setSlotB({});
  auto* device = find<QComboBox>("chatDeviceB");
  device->addItem("a device that fails", "vulkan:9");
  device->setCurrentIndex(device->count() - 1);
  QSignalSpy banner(workspace.get(), &Workspace::bannerRequested);
  say("Once upon a time");
  ASSERT_TRUE(wait());
  ASSERT_EQ(banner.count(), 1) << "it failed, and only once";
  EXPECT_EQ(device->currentData().toString(), "cpu");
  EXPECT_FALSE(answer("chatAnswerB1").isEmpty());
  EXPECT_EQ(answer("chatAnswerA1"), answer("chatAnswerB1")) << "nothing is said twice or left out";
  say(" and then");
  ASSERT_TRUE(wait());
  EXPECT_EQ(answer("chatAnswerA2"), answer("chatAnswerB2"));
  EXPECT_EQ(banner.count(), 1);
}

TEST_F(ChatPanelTest, PointingAtATokenShowsBothSides) {
  mode()->setCurrent(1);
  say("Tom had a big");
  ASSERT_TRUE(wait());
  auto* strip = find<DivergenceStrip>("divergenceStrip");
  ASSERT_GT(strip->count(), 3);
  int x = 0;
  while (strip->tokenAt(x) != 2) ++x;
  QTest::mouseClick(strip, Qt::LeftButton, {}, {x + 1, 20});
  auto* popover = static_cast<TokenPopover*>(find<QWidget>("tokenPopover"));
  ASSERT_TRUE(popover->isVisible());
  ASSERT_GE(popover->rows().size(), 5u);
  for (const auto& row : popover->rows()) {
    EXPECT_GE(row.a, 0.0);
    EXPECT_LE(row.b, 1.0);
  }
  EXPECT_EQ(find<TokenText>("chatAnswerB1")->current(), 2);
}

TEST_F(ChatPanelTest, RegeneratingGivesTheSameForTheSameSeed) {
  say("The cat");
  ASSERT_TRUE(wait());
  const QString a = answer("chatAnswerA1"), b = answer("chatAnswerB1");
  QTest::mouseClick(find<QToolButton>("chatRegenerate"), Qt::LeftButton);
  ASSERT_TRUE(wait());
  EXPECT_EQ(answer("chatAnswerA1"), a);
  EXPECT_EQ(answer("chatAnswerB1"), b);
  EXPECT_EQ(panel->findChildren<QToolButton*>("chatRegenerate").size(), 1);
}

TEST(Conversation, Divergence) {
  std::vector<TokenComparison> tokens(4);
  for (std::size_t i = 0; i < 4; ++i) {
    tokens[i].kl = double(i);
    tokens[i].top_first = {{TokenId(i), 0.9}};
    tokens[i].top_second = {{TokenId(i == 3 ? 9 : i), 0.9}};
  }
  const auto summary = summarise(tokens);
  ASSERT_TRUE(summary);
  EXPECT_DOUBLE_EQ(summary->mean, 1.5);
  EXPECT_DOUBLE_EQ(summary->maximum, 3);
  EXPECT_DOUBLE_EQ(summary->p95, 2.85);
  EXPECT_DOUBLE_EQ(summary->same_top, 0.75);
  EXPECT_FALSE(summarise({}));
}

}  // namespace
}  // namespace lrc::app::test

// What a chat keeps when it is asked or answered differently, and a side that goes on in its own words.
#include <QComboBox>
#include <QLabel>
#include <QListWidget>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSpinBox>

#include "models/chat_branches.h"
#include "models/notebook.h"
#include "panel_fixture.h"
#include "panels/divergence_strip.h"
#include "panels/panel_widgets.h"
#include "panels/token_text.h"

namespace lrc::app::test {
namespace {

ChatTurn turn_of(const QString& prompt, const QString& a = "a", const QString& b = "b") {
  ChatTurn turn;
  turn.prompt = prompt;
  turn.answers[0].text = a;
  turn.answers[1].text = b;
  return turn;
}

QString path_of(const std::vector<ChatTurn>& turns) {
  QStringList prompts;
  for (const ChatTurn& turn : turns) prompts << turn.prompt;
  return prompts.join(' ');
}

TEST(ChatBranches, WhatWasSaidComesBackWithWhatFollowedIt) {
  std::vector<ChatTurn> turns = {turn_of("1"), turn_of("2"), turn_of("3")};
  begin_branch(turns, 1, turn_of("2b"));
  EXPECT_EQ(path_of(turns), "1 2b");
  EXPECT_EQ(branch_count(turns, 0), 1u);
  ASSERT_EQ(branch_count(turns, 1), 2u);
  EXPECT_EQ(turns[1].place, 1u) << "the newest stands last";
  turns.push_back(turn_of("4"));
  choose_branch(turns, 1, 0);
  EXPECT_EQ(path_of(turns), "1 2 3");
  EXPECT_EQ(turns[1].place, 0u);
  EXPECT_EQ(branch_count(turns, 1), 2u);
  begin_branch(turns, 1, turn_of("2c"));
  EXPECT_EQ(branch_count(turns, 1), 3u);
  EXPECT_EQ(turns[1].place, 2u);
  choose_branch(turns, 1, 1);
  EXPECT_EQ(path_of(turns), "1 2b 4");
  choose_branch(turns, 1, 0);
  EXPECT_EQ(path_of(turns), "1 2 3");
  choose_branch(turns, 1, 3);
  EXPECT_EQ(path_of(turns), "1 2 3") << "there is no fourth";
  EXPECT_EQ(path_of(without_branches(turns)), "1 2 3");
  EXPECT_TRUE(without_branches(turns)[1].others.empty());
}

TEST(ChatBranches, WithinABranchThereAreBranches) {
  std::vector<ChatTurn> turns = {turn_of("1"), turn_of("2")};
  begin_branch(turns, 1, turn_of("2b"));
  begin_branch(turns, 0, turn_of("1b"));
  EXPECT_EQ(path_of(turns), "1b");
  choose_branch(turns, 0, 0);
  EXPECT_EQ(path_of(turns), "1 2b");
  choose_branch(turns, 1, 0);
  EXPECT_EQ(path_of(turns), "1 2");
  choose_branch(turns, 0, 1);
  choose_branch(turns, 0, 0);
  EXPECT_EQ(path_of(turns), "1 2") << "as it was left";
}

TEST(ChatBranches, AnUnansweredTurnIsReplaced) {
  std::vector<ChatTurn> turns = {turn_of("1"), turn_of("2", {}, {})};
  begin_branch(turns, 1, turn_of("2b", {}, {}));
  EXPECT_EQ(branch_count(turns, 1), 1u);
  begin_branch(turns, 0, turn_of("1b"));
  EXPECT_EQ(branch_count(turns, 0), 2u);
}

TEST(ChatBranches, ASessionKeepsThem) {
  std::vector<ChatTurn> turns = {turn_of("1"), turn_of("2")};
  begin_branch(turns, 1, turn_of("2b"));
  choose_branch(turns, 1, 0);
  std::vector<ChatTurn> back = turns_from_json(Json::parse(to_json(turns).dump()));
  EXPECT_EQ(path_of(back), "1 2");
  EXPECT_EQ(back[1].place, 0u);
  EXPECT_EQ(back[0].answers[1].text, "b");
  choose_branch(back, 1, 1);
  EXPECT_EQ(path_of(back), "1 2b");
  // What people may have written there.
  for (const char* text : {"7", "{}", "[7, null, \"x\"]", "[[]]"}) EXPECT_TRUE(turns_from_json(Json::parse(text)).empty()) << text;
  back = turns_from_json(Json::parse(R"([{"prompt": 7, "a": "x", "others": [[], 3, [{"prompt": "o"}]], "place": 90}])"));
  ASSERT_EQ(back.size(), 1u);
  EXPECT_EQ(branch_count(back, 0), 2u);
  EXPECT_EQ(back[0].place, 1u) << "no place behind the last";
  choose_branch(back, 0, 0);
  EXPECT_EQ(path_of(back), "o");
  std::string deep = "[]";
  for (int i = 0; i < 200; ++i) deep = R"([{"prompt": "d", "others": [)" + deep + "]}]";
  back = turns_from_json(Json::parse(deep));
  EXPECT_EQ(back.size(), 1u);
}

class ChatBranchTest : public PanelTest {
 protected:
  void SetUp() override {
    PanelTest::SetUp();
    open_chat(24);
  }
  SegmentSwitch* mode() { return static_cast<SegmentSwitch*>(find<QWidget>("chatMode")); }
  bool wait() {
    return QTest::qWaitFor([&] { return find<QPushButton>("chatSend")->text().startsWith("Send"); }, 30000);
  }
  void say(const QString& text) {
    auto* input = find<QPlainTextEdit>("chatInput");
    QTest::keyClicks(input, text);
    QTest::keyClick(input, Qt::Key_Return);
    ASSERT_TRUE(wait());
  }
  QString answer(const char* name) { return find<TokenText>(name)->toPlainText(); }
  bool shown(const char* name) {
    auto* widget = panel->findChild<QWidget*>(name);
    return widget && widget->isVisible();
  }
};

TEST_F(ChatBranchTest, AnEditedMessageKeepsWhatWasSaid) {
  say("Lily had a cat");
  say("and then");
  const QString first = answer("chatAnswerA1"), second = answer("chatAnswerA2");
  EXPECT_FALSE(shown("chatBranch1"));
  QTest::mouseClick(find<QToolButton>("chatEdit1"), Qt::LeftButton);
  auto* input = find<QPlainTextEdit>("chatInput");
  EXPECT_EQ(input->toPlainText(), "Lily had a cat");
  EXPECT_TRUE(static_cast<Notice*>(find<QWidget>("chatNotice"))->sentence().contains("Message 1"));
  QTest::keyClick(input, Qt::Key_Escape);
  EXPECT_TRUE(input->toPlainText().isEmpty()) << "Esc leaves it";
  EXPECT_TRUE(shown("chatPromptA2"));

  QTest::mouseClick(find<QToolButton>("chatEdit1"), Qt::LeftButton);
  input->clear();
  say("Tom had a dog");
  EXPECT_EQ(find<QLabel>("chatPromptA1")->text(), "Tom had a dog");
  EXPECT_FALSE(shown("chatPromptA2")) << "what followed belongs to the old message";
  EXPECT_NE(answer("chatAnswerA1"), first);
  ASSERT_TRUE(shown("chatBranch1"));
  EXPECT_EQ(find<QLabel>("chatBranch1")->text(), "2/2");
  EXPECT_FALSE(find<QToolButton>("chatBranchNext1")->isEnabled());
  QTest::mouseClick(find<QToolButton>("chatBranchPrevious1"), Qt::LeftButton);
  EXPECT_EQ(find<QLabel>("chatBranch1")->text(), "1/2");
  EXPECT_EQ(answer("chatAnswerA1"), first);
  EXPECT_EQ(answer("chatAnswerA2"), second);
  EXPECT_EQ(find<QListWidget>("chatHistory")->count(), 1) << "one chat";
  // With the session, too.
  const Json kept = Notebook::of(*workspace).toJson();
  Notebook::of(*workspace).fromJson(kept);
  auto* list = find<QListWidget>("chatHistory");
  ASSERT_EQ(list->count(), 1);
  emit list->itemActivated(list->item(0));
  EXPECT_EQ(answer("chatAnswerA2"), second);
  QTest::mouseClick(find<QToolButton>("chatBranchNext1"), Qt::LeftButton);
  EXPECT_EQ(find<QLabel>("chatPromptB1")->text(), "Tom had a dog");
}

TEST_F(ChatBranchTest, UpEditsTheLastMessage) {
  say("Lily had a cat");
  auto* input = find<QPlainTextEdit>("chatInput");
  QTest::keyClick(input, Qt::Key_Up);
  EXPECT_EQ(input->toPlainText(), "Lily had a cat");
  QTest::keyClicks(input, " and a dog");
  QTest::keyClick(input, Qt::Key_Return);
  ASSERT_TRUE(wait());
  EXPECT_EQ(find<QLabel>("chatPromptA1")->text(), "Lily had a cat and a dog");
  EXPECT_EQ(find<QLabel>("chatBranch1")->text(), "2/2");
}

TEST_F(ChatBranchTest, AnsweringAgainKeepsTheAnswer) {
  find<QComboBox>("samplingPreset")->setCurrentIndex(2);
  say("The cat");
  const QString first = answer("chatAnswerA1");
  find<QSpinBox>("samplingSeed")->setValue(77);
  QTest::keyClick(find<QPlainTextEdit>("chatInput"), Qt::Key_R, Qt::ControlModifier);
  ASSERT_TRUE(wait());
  EXPECT_NE(answer("chatAnswerA1"), first);
  EXPECT_EQ(find<QLabel>("chatBranch1")->text(), "2/2");
  QTest::mouseClick(find<QToolButton>("chatBranchPrevious1"), Qt::LeftButton);
  EXPECT_EQ(answer("chatAnswerA1"), first);
  EXPECT_GT(find<DivergenceStrip>("divergenceStrip")->count(), 0) << "with its colours";
}

TEST_F(ChatBranchTest, BGoesOnFromATokenInItsOwnWords) {
  mode()->setCurrent(1);
  say("Once upon a time");
  auto* text = find<TokenText>("chatAnswerB1");
  const QString forced = text->toPlainText();
  ASSERT_GT(text->count(), 8);
  // By the keys alone.
  text->setFocus();
  for (int i = 0; i < 6; ++i) QTest::keyClick(text, Qt::Key_Right);
  EXPECT_EQ(text->current(), 5);
  QTest::keyClick(text, Qt::Key_Space);
  EXPECT_TRUE(text->isPinned());
  auto* popover = static_cast<TokenPopover*>(find<QWidget>("tokenPopover"));
  EXPECT_TRUE(popover->isVisible());
  EXPECT_TRUE(popover->accessibleDescription().contains("Enter: B goes on"));
  QEvent leave(QEvent::Leave);
  QApplication::sendEvent(text, &leave);
  EXPECT_TRUE(popover->isVisible()) << "pinned";
  EXPECT_EQ(text->current(), 5);
  QTest::keyClick(text, Qt::Key_Return);
  ASSERT_TRUE(wait());

  const QString own = answer("chatAnswerB1");
  EXPECT_EQ(find<QLabel>("chatBranch1")->text(), "2/2");
  EXPECT_EQ(answer("chatAnswerA1"), forced) << "A said what it said";
  const auto tokenizer = workspace->model()->tokenizer();
  QString read;
  const auto b = workspace->opened(Slot{1});
  ASSERT_TRUE(b);
  // The same by hand: five tokens of A's answer, then B's greedy choice.
  ChatTurn turn;
  turn.prompt = "Once upon a time";
  std::vector<TokenId> ids = prompt_tokens(*workspace->model(), PromptForm::none, {turn}, 1);
  const auto a_session = make_chat(*workspace->opened(Slot{}), "cpu", 512), b_session = make_chat(*b, "cpu", 512);
  const std::vector<TokenId> of_a = a_session->generate(ids, 24, {}, {}, {}).ids;
  ids.insert(ids.end(), of_a.begin(), of_a.begin() + 5);
  const std::vector<QString> texts = token_texts(*tokenizer, of_a);
  for (int i = 0; i < 5; ++i) read += texts[std::size_t(i)];
  EXPECT_EQ(own, read + QString::fromStdString(b_session->generate(ids, 24, {}, {}, {}).text));
  // The old answer is a branch.
  QTest::mouseClick(find<QToolButton>("chatBranchPrevious1"), Qt::LeftButton);
  EXPECT_EQ(answer("chatAnswerB1"), forced);
  EXPECT_EQ(find<TokenText>("chatAnswerB1")->count(), 24);
}

TEST_F(ChatBranchTest, AGoesOnWhereItFollows) {
  mode()->setCurrent(2);
  say("Once upon a time");
  const QString own_of_b = answer("chatAnswerB1");
  auto* text = find<TokenText>("chatAnswerA1");
  ASSERT_GT(text->count(), 4) << "its tokens can be walked through";
  text->setFocus();
  QTest::keyClick(text, Qt::Key_Right);
  EXPECT_TRUE(static_cast<TokenPopover*>(find<QWidget>("tokenPopover"))->accessibleDescription().contains("Enter: A goes on"));
  QTest::keyClick(text, Qt::Key_Return);
  ASSERT_TRUE(wait());
  EXPECT_EQ(answer("chatAnswerB1"), own_of_b);
  // From the first token on: what A says by itself.
  QTest::mouseClick(find<QPushButton>("chatNew"), Qt::LeftButton);
  const QString continued = find<QListWidget>("chatHistory")->count() > 0 ? "kept" : "";
  EXPECT_EQ(continued, "kept");
}

TEST_F(ChatBranchTest, FreePathsPart) {
  mode()->setCurrent(0);
  workspace->setSlotB({});
  say("Once upon a time");
  auto* strip = find<DivergenceStrip>("divergenceStrip");
  EXPECT_EQ(strip->count(), 24) << "equal models: all tokens are compared";
  EXPECT_FALSE(find<QWidget>("chatTranscript")->findChildren<QLabel*>().isEmpty());
  const auto says = [&](const QString& part) {
    for (const QLabel* label : find<QWidget>("chatTranscript")->findChildren<QLabel*>())
      if (label->isVisible() && label->text().contains(part)) return true;
    return false;
  };
  EXPECT_FALSE(says("paths part"));
  QTest::mouseClick(find<QPushButton>("chatNew"), Qt::LeftButton);
  // A run, bypassed: it says something else after a while.
  workspace->setSlotB({1});
  static_cast<SegmentSwitch*>(find<QWidget>("branchSwitch"))->setCurrent(1);
  find<QSpinBox>("samplingMaxNew")->setValue(60);
  say("Once upon a time");
  ASSERT_NE(answer("chatAnswerA1"), answer("chatAnswerB1")) << "4 bits without their branch say something else within 60 tokens";
  ASSERT_TRUE(says("paths part"));
  EXPECT_GT(strip->count(), 0);
  EXPECT_LE(strip->count(), 60);
  // Up to there both are the same, letter by letter.
  const auto* a = find<TokenText>("chatAnswerA1");
  const auto* b = find<TokenText>("chatAnswerB1");
  QString common_a = a->toPlainText(), common_b = b->toPlainText();
  int same = 0;
  while (same < std::min(common_a.size(), common_b.size()) && common_a[same] == common_b[same]) ++same;
  EXPECT_LT(same, common_a.size());
  // The second turn follows two different answers: nothing can be compared like with like.
  say(" and then");
  EXPECT_EQ(strip->count(), 0);
}

TEST_F(ChatBranchTest, KeysGoFromTurnToTurn) {
  say("Lily had a cat");
  say("and then");
  auto* input = find<QPlainTextEdit>("chatInput");
  input->setFocus();
  QTest::keyClick(input, Qt::Key_Up, Qt::ControlModifier);
  EXPECT_TRUE(find<TokenText>("chatAnswerB2")->hasFocus());
  QTest::keyClick(find<TokenText>("chatAnswerB2"), Qt::Key_Up, Qt::ControlModifier);
  EXPECT_TRUE(find<TokenText>("chatAnswerB1")->hasFocus());
  QTest::keyClick(find<TokenText>("chatAnswerB1"), Qt::Key_Up, Qt::ControlModifier);
  EXPECT_TRUE(find<TokenText>("chatAnswerB1")->hasFocus());
  QTest::keyClick(find<TokenText>("chatAnswerB1"), Qt::Key_Down, Qt::ControlModifier);
  QTest::keyClick(find<TokenText>("chatAnswerB2"), Qt::Key_Down, Qt::ControlModifier);
  EXPECT_TRUE(input->hasFocus()) << "behind the last turn is the next message";
  // From column to column.
  find<TokenText>("chatAnswerA1")->setFocus();
  QTest::keyClick(find<TokenText>("chatAnswerA1"), Qt::Key_Tab);
  EXPECT_TRUE(find<TokenText>("chatAnswerB1")->hasFocus());
}

}  // namespace
}  // namespace lrc::app::test

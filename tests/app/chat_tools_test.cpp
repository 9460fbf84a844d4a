// What stands beside the conversation: the text as the model reads it, all sample prompts at once, the chats of the session.
#include <QComboBox>
#include <QLabel>
#include <QListWidget>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSpinBox>
#include <QTextEdit>

#include "models/notebook.h"
#include "panel_fixture.h"
#include "panels/sample_batch.h"
#include "panels/token_text.h"

namespace lrc::app::test {
namespace {

class ChatToolsTest : public PanelTest {
 protected:
  void SetUp() override {
    PanelTest::SetUp();
    open_chat(8);
  }
  bool idle() { return find<QPushButton>("chatSend")->text().startsWith("Send"); }
  void say(const QString& text) {
    auto* input = find<QPlainTextEdit>("chatInput");
    QTest::keyClicks(input, text);
    QTest::keyClick(input, Qt::Key_Return);
    ASSERT_TRUE(QTest::qWaitFor([&] { return idle(); }, 30000));
  }
};

TEST_F(ChatToolsTest, ShowsWhatTheModelReads) {
  QTest::keyClicks(find<QPlainTextEdit>("chatInput"), "Once upon a time");
  auto* preview = find<QTextEdit>("templatePreview");
  ASSERT_TRUE(QTest::qWaitFor([&] { return preview->toPlainText().contains("Once upon a time"); }, 10000));
  EXPECT_TRUE(find<QLabel>("templateCount")->text().contains("of 512 tokens")) << find<QLabel>("templateCount")->text().toStdString();
  EXPECT_TRUE(find<QLabel>("templateCount")->text().contains("round trip exact"));
  // Another form is another text.
  const QString before = preview->toPlainText();
  find<QComboBox>("chatTemplate")->setCurrentIndex(1);
  EXPECT_TRUE(QTest::qWaitFor([&] { return preview->toPlainText() != before; }, 10000));
  EXPECT_TRUE(QTest::qWaitFor([&] { return preview->toPlainText().contains("<|im_start|>user"); }, 10000));
}

TEST_F(ChatToolsTest, AllSamplesTheWorstFirst) {
  auto* run = find<QPushButton>("runAllPrompts");
  ASSERT_TRUE(run->isEnabled());
  QTest::mouseClick(run, Qt::LeftButton);
  auto* batch = static_cast<SampleBatch*>(run->parentWidget());
  ASSERT_TRUE(batch->running());
  ASSERT_TRUE(QTest::qWaitFor([&] { return !batch->running() && idle(); }, 120000));
  ASSERT_EQ(batch->results().size(), sample_prompts().size());
  for (std::size_t i = 1; i < batch->results().size(); ++i)
    EXPECT_GE(batch->results()[i - 1].divergence.mean, batch->results()[i].divergence.mean);
  auto* list = find<QListWidget>("sampleResults");
  EXPECT_TRUE(list->item(0)->text().endsWith(batch->results().front().turn.prompt));
  emit list->itemActivated(list->item(0));
  EXPECT_EQ(find<QLabel>("chatPromptA1")->text(), batch->results().front().turn.prompt);
  EXPECT_EQ(find<TokenText>("chatAnswerB1")->count(), int(batch->results().front().turn.answers[1].compared.size()));
}

TEST_F(ChatToolsTest, ChatsOfTheSessionAreKept) {
  say("Lily went to the park");
  QTest::mouseClick(find<QPushButton>("chatNew"), Qt::LeftButton);
  say("Tom had a red ball");
  say("and then");
  auto* list = find<QListWidget>("chatHistory");
  ASSERT_EQ(list->count(), 2) << "the second chat has two turns and is one entry";
  EXPECT_EQ(list->item(0)->text(), "Tom had a red ball");
  QTest::keyClicks(find<QLineEdit>("historySearch"), "lily");
  ASSERT_EQ(list->count(), 1);
  emit list->itemActivated(list->item(0));
  EXPECT_EQ(find<QLabel>("chatPromptA1")->text(), "Lily went to the park");
  EXPECT_FALSE(find<TokenText>("chatAnswerA1")->toPlainText().isEmpty());
  const Json kept = Notebook::of(*workspace).view("chats");
  ASSERT_TRUE(kept.is_array());
  EXPECT_EQ(kept.size(), 2u);
  // A session that is no list of chats changes nothing.
  Notebook::of(*workspace).fromJson(Json{{"views", {{"chats", 7}}}});
  EXPECT_EQ(list->count(), 0);
}

}  // namespace
}  // namespace lrc::app::test

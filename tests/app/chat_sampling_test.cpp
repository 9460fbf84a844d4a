// How both sides answer: every field of the sampling, kept with the session; the text that is dropped; the context that is cut.
#include <QCheckBox>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QDropEvent>
#include <QFile>
#include <QLabel>
#include <QListWidget>
#include <QMimeData>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSpinBox>

#include "models/notebook.h"
#include "models/text_file.h"
#include "panel_fixture.h"
#include "panels/chat_side.h"
#include "panels/chat_worker.h"
#include "panels/panel_widgets.h"
#include "panels/sampling_box.h"
#include "support/failing_backend.h"
#include "widgets.h"

namespace lrc::app::test {
namespace {

TEST(StopStringsOfABox, OneALine) {
  using Strings = std::vector<std::string>;
  EXPECT_EQ(stop_strings_of(""), Strings{});
  EXPECT_EQ(stop_strings_of("\n\n"), Strings{});
  EXPECT_EQ(stop_strings_of("User:\n###"), (Strings{"User:", "###"}));
  EXPECT_EQ(stop_strings_of("\\n\\nUser:"), Strings{"\n\nUser:"});
  EXPECT_EQ(stop_strings_of("a\\tb\\\\n"), Strings{"a\tb\\n"}) << "a backslash before the n";
  EXPECT_EQ(stop_strings_of("\\x \\"), Strings{"\\x \\"}) << "other backslashes are themselves";
  EXPECT_EQ(stop_strings_of(" "), Strings{" "}) << "a space is a text";
}

TEST(SamplingBox, DefaultsChangeNothing) {
  QSettings().clear();
  SamplingBox box(nullptr);
  for (int side = 0; side < 2; ++side) {
    const Sampling sampling = box.sampling(side);
    EXPECT_EQ(sampling.temperature, 0);
    EXPECT_EQ(sampling.top_k, 0u);
    EXPECT_EQ(sampling.top_p, 1);
    EXPECT_EQ(sampling.min_p, 0);
    EXPECT_EQ(sampling.repetition_penalty, 1);
    EXPECT_EQ(sampling.seed, 0u);
    EXPECT_TRUE(sampling.stop.empty());
  }
}

TEST(SamplingBox, PresetsAndWhatIsChangedByHand) {
  SamplingBox box(nullptr);
  const auto real = [&](const char* name) { return box.findChild<QDoubleSpinBox*>(name); };
  auto* preset = box.findChild<QComboBox*>("samplingPreset");
  real("samplingMinP")->setValue(0.1);
  EXPECT_EQ(preset->currentText(), "own");
  EXPECT_FLOAT_EQ(box.sampling(0).min_p, 0.1f);
  preset->setCurrentIndex(1);
  EXPECT_FLOAT_EQ(box.sampling(0).temperature, 0.7f);
  EXPECT_EQ(box.sampling(0).top_k, 40u);
  EXPECT_FLOAT_EQ(box.sampling(0).top_p, 0.95f);
  EXPECT_EQ(box.sampling(0).min_p, 0) << "a preset is all of it";
  real("samplingRepetition")->setValue(1.15);
  EXPECT_EQ(preset->currentText(), "own");
  EXPECT_FLOAT_EQ(box.sampling(1).repetition_penalty, 1.15f);
  preset->setCurrentIndex(0);
  EXPECT_EQ(box.sampling(0).temperature, 0);
  EXPECT_EQ(box.sampling(0).repetition_penalty, 1);
  // A seed of its own for B.
  auto* seed_b = box.findChild<QSpinBox*>("samplingSeedB");
  box.findChild<QSpinBox*>("samplingSeed")->setValue(5);
  EXPECT_EQ(box.sampling(1).seed, 5u);
  EXPECT_TRUE(seed_b->isHidden());
  box.findChild<QCheckBox*>("samplingSameSeed")->setChecked(false);
  EXPECT_FALSE(seed_b->isHidden());
  seed_b->setValue(9);
  EXPECT_EQ(box.sampling(0).seed, 5u);
  EXPECT_EQ(box.sampling(1).seed, 9u);
}

TEST(SamplingBox, TheWheelChangesNothing) {
  WheelGuard guard;
  qApp->installEventFilter(&guard);
  SamplingBox box(nullptr);
  box.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&box));
  const Json before = box.toJson();
  for (const char* name : {"samplingTemperature", "samplingTopK", "samplingPreset", "chatColour"}) {
    auto* field = box.findChild<QWidget*>(name);
    QWheelEvent event({5, 5}, field->mapToGlobal(QPointF(5, 5)), {}, {0, -120}, Qt::NoButton, {}, Qt::NoScrollPhase, false);
    QApplication::sendEvent(field, &event);
  }
  EXPECT_EQ(box.toJson(), before);
}

TEST(SamplingBox, ASessionKeepsEveryField) {
  SamplingBox first(nullptr), second(nullptr);
  int edits = 0;
  QObject::connect(&first, &SamplingBox::edited, [&] { ++edits; });
  first.nextMode();
  first.findChild<QComboBox*>("chatColour")->setCurrentIndex(2);
  first.findChild<QDoubleSpinBox*>("samplingTemperature")->setValue(0.9);
  first.findChild<QDoubleSpinBox*>("samplingTopP")->setValue(0.8);
  first.findChild<QDoubleSpinBox*>("samplingMinP")->setValue(0.05);
  first.findChild<QDoubleSpinBox*>("samplingRepetition")->setValue(1.2);
  first.findChild<QSpinBox*>("samplingTopK")->setValue(12);
  first.findChild<QSpinBox*>("samplingMaxNew")->setValue(33);
  first.findChild<QCheckBox*>("samplingSameSeed")->setChecked(false);
  first.findChild<QSpinBox*>("samplingSeedB")->setValue(3);
  first.findChild<QPlainTextEdit*>("samplingStop")->setPlainText("\\n\\n\nUser:");
  EXPECT_GE(edits, 10);
  EXPECT_EQ(first.colour(), TokenColour::rank);
  second.fromJson(Json::parse(first.toJson().dump()));
  EXPECT_EQ(second.toJson(), first.toJson());
  EXPECT_EQ(second.sampling(1).stop, (std::vector<std::string>{"\n\n", "User:"}));
  // What people may have written there.
  const Json before = second.toJson();
  for (const char* text : {"null", "7", "[]", R"({"mode": "x", "seed": [], "stop": 3, "same_seed": 1})", R"({"colour": 17})"}) {
    second.fromJson(Json::parse(text));
    EXPECT_EQ(second.toJson(), before) << text;
  }
  second.fromJson(Json::parse(R"({"top_k": -5, "seed": 1e300, "temperature": -1, "max_new": 0})"));
  EXPECT_EQ(second.sampling(0).top_k, 0u);
  EXPECT_EQ(second.sampling(0).temperature, 0);
  EXPECT_EQ(second.maxTokens(), 1u);
}

TEST(ChatSide, DevicesByWhatTheyAre) {
  QSettings().clear();
  ChatSide side(1, nullptr);
  const auto device = [](const char* id, const char* name, const char* type, std::uint64_t bytes, bool usable) {
    DeviceInfo info;
    info.id = id;
    info.name = name;
    info.type = type;
    info.memory_bytes = bytes;
    info.usable = usable;
    info.why_not = usable ? "" : "no 8-bit storage";
    return info;
  };
  const std::uint64_t gibibyte = 1ull << 30;
  side.setDevices({device("cpu", "EPYC", "cpu", 0, true), device("vulkan:0", "llvmpipe", "software", 0, true),
                   device("vulkan:1", "Iris", "integrated", 4 * gibibyte, false),
                   device("vulkan:2", "Radeon", "discrete", 12 * gibibyte, true)});
  const auto* box = side.findChild<QComboBox*>("chatDeviceB");
  QStringList texts;
  for (int i = 0; i < box->count(); ++i) texts << box->itemText(i);
  ASSERT_EQ(texts.size(), 4);
  EXPECT_TRUE(texts[0].startsWith("CPU"));
  EXPECT_EQ(texts[1], "Vulkan · Radeon · 12.0 GiB");
  EXPECT_EQ(texts[2], "Vulkan · Iris · 4.0 GiB");
  EXPECT_EQ(texts[3], "Vulkan · llvmpipe");
  EXPECT_EQ(box->itemData(2, Qt::ToolTipRole).toString(), "no 8-bit storage");
  EXPECT_FALSE(box->model()->flags(box->model()->index(2, 0)) & Qt::ItemIsEnabled);
  EXPECT_EQ(side.device(), "cpu");
}

class ChatSamplingTest : public PanelTest {
 protected:
  void SetUp() override {
    PanelTest::SetUp();
    open_chat(40);
  }
  void say(const QString& text) {
    auto* input = find<QPlainTextEdit>("chatInput");
    QTest::keyClicks(input, text);
    QTest::keyClick(input, Qt::Key_Return);
    ASSERT_TRUE(QTest::qWaitFor([&] { return find<QPushButton>("chatSend")->text().startsWith("Send"); }, 30000));
  }
  QString answer(const char* name) { return find<TokenText>(name)->toPlainText(); }
  QString notice() { return static_cast<Notice*>(find<QWidget>("chatNotice"))->sentence(); }
};

TEST_F(ChatSamplingTest, AnswersEndBeforeAStopString) {
  say("Once upon a time");
  const QString free = answer("chatAnswerA1");
  // From the middle of one word to the middle of another.
  const QString stop = free.mid(free.size() / 2, 6);
  ASSERT_FALSE(stop.contains('\n'));
  find<QPlainTextEdit>("samplingStop")->setPlainText(stop);
  QTest::mouseClick(find<QPushButton>("chatNew"), Qt::LeftButton);
  say("Once upon a time");
  EXPECT_EQ(answer("chatAnswerA1"), free.left(free.indexOf(stop)));
  EXPECT_EQ(answer("chatAnswerB1"), answer("chatAnswerA1")) << "B reads as far, and shows the cut token, too";
  bool said = false;
  for (const QLabel* label : find<QWidget>("chatTranscript")->findChildren<QLabel*>()) said |= label->text().contains("stop string");
  EXPECT_TRUE(said) << "why it ended";
}

TEST_F(ChatSamplingTest, TheSessionKeepsTheSampling) {
  find<QDoubleSpinBox>("samplingMinP")->setValue(0.25);
  const Json kept = Notebook::of(*workspace).toJson();
  find<QDoubleSpinBox>("samplingMinP")->setValue(0);
  Notebook::of(*workspace).fromJson(kept);
  EXPECT_EQ(find<QDoubleSpinBox>("samplingMinP")->value(), 0.25);
}

TEST_F(ChatSamplingTest, AChatIsRenamed) {
  say("Once upon a time");
  auto* list = find<QListWidget>("chatHistory");
  ASSERT_EQ(list->count(), 1);
  EXPECT_TRUE(list->item(0)->flags() & Qt::ItemIsEditable);
  list->item(0)->setText("The fairy tale");
  QTest::qWait(20);
  EXPECT_EQ(list->item(0)->text(), "The fairy tale");
  EXPECT_EQ(Notebook::of(*workspace).view("chats")[0]["title"], "The fairy tale");
  say(" and");
  EXPECT_EQ(list->item(0)->text(), "The fairy tale") << "a further turn does not rename it";
  list->item(0)->setText("  ");
  QTest::qWait(20);
  EXPECT_EQ(list->item(0)->text(), "Once upon a time") << "without a name it has its first words";
}

TEST_F(ChatSamplingTest, ATextFileIsDroppedIntoTheBox) {
  auto* input = find<QPlainTextEdit>("chatInput");
  const auto drop = [&](const QString& name, const QByteArray& content) {
    const QString path = QString::fromStdString((folder.path() / name.toStdString()).string());
    QFile file(path);
    EXPECT_TRUE(file.open(QIODevice::WriteOnly));
    file.write(content);
    file.close();
    QMimeData data;
    data.setUrls({QUrl::fromLocalFile(path)});
    QDragEnterEvent enter({5, 5}, Qt::CopyAction, &data, Qt::LeftButton, {});
    QApplication::sendEvent(input->viewport(), &enter);
    EXPECT_TRUE(enter.isAccepted());
    QDropEvent event(QPointF(5, 5), Qt::CopyAction, &data, Qt::LeftButton, {});
    QApplication::sendEvent(input->viewport(), &event);
  };
  drop("story.txt", "Es war einmal ein Bär.\nUnd dann");
  EXPECT_EQ(input->toPlainText(), QString::fromUtf8("Es war einmal ein Bär.\nUnd dann"));
  drop("picture.png", QByteArray("\x89PNG\r\n\x1a\n\0\0", 10));
  EXPECT_TRUE(notice().contains("picture.png is no UTF-8 text")) << notice().toStdString();
  EXPECT_EQ(input->toPlainText(), QString::fromUtf8("Es war einmal ein Bär.\nUnd dann"));
  drop("long.txt", QByteArray(300 * 1024, 'a'));
  EXPECT_TRUE(notice().contains("longer than 256 KiB"));
  EXPECT_FALSE(read_text_file("/nowhere/a.txt").problem.isEmpty());
  EXPECT_FALSE(read_text_file(QString::fromStdString(folder.path().string())).problem.isEmpty()) << "a folder";
}

TEST_F(ChatSamplingTest, WhatDoesNotFitTheContextIsGrey) {
  // 512 tokens in all; an answer may have 40 of them.
  const QString long_text = QString("Lily and Tom went to the park to play with the big red ball. ").repeated(8);
  auto* input = find<QPlainTextEdit>("chatInput");
  for (int i = 0; i < 4; ++i) {
    input->setPlainText(long_text);
    QTest::keyClick(input, Qt::Key_Return);
    ASSERT_TRUE(QTest::qWaitFor([&] { return find<QPushButton>("chatSend")->text().startsWith("Send"); }, 60000));
    EXPECT_FALSE(answer("chatAnswerA1").isEmpty());
  }
  EXPECT_TRUE(notice().contains("grey and not read")) << notice().toStdString();
  EXPECT_FALSE(answer("chatAnswerA4").isEmpty()) << "it goes on";
  const auto shade = [&](const char* name) { return find<QLabel>(name)->palette().color(QPalette::WindowText); };
  EXPECT_NE(shade("chatPromptA1"), shade("chatPromptA4"));
  EXPECT_FALSE(find<QLabel>("chatPromptA1")->toolTip().isEmpty());
}

/// A machine without room for the keys and values of 512 tokens of stories260K.
class FullBackend : public lrc::test::FailingBackend {
 public:
  using FailingBackend::FailingBackend;
  Buffer allocate(std::size_t bytes) override {
    if (bytes >= 512 * 32 * sizeof(float)) throw std::bad_alloc();
    return FailingBackend::allocate(bytes);
  }
};

TEST_F(ChatSamplingTest, AShorterContextIsOfferedWhereMemoryIsFull) {
  EXPECT_EQ(find<QSpinBox>("samplingContext")->value(), 512) << "the model's own";
  panel->findChild<ChatWorker*>()->setSessionMaker([](const OpenedModel& opened, const std::string&, std::size_t context) {
    const auto backend = std::make_shared<FullBackend>(make_cpu_backend());
    return std::make_shared<ChatSession>(std::make_shared<Transformer>(backend, weights_of(opened)), opened.model->tokenizer(), context);
  });
  say("Once upon a time");
  EXPECT_TRUE(answer("chatAnswerA1").isEmpty());
  EXPECT_TRUE(notice().contains("at 512 tokens")) << notice().toStdString();
  QPushButton* offered = static_cast<Notice*>(find<QWidget>("chatNotice"))->button();
  ASSERT_TRUE(offered->isVisible());
  EXPECT_EQ(offered->text(), "Use 256 tokens");
  QTest::mouseClick(offered, Qt::LeftButton);
  ASSERT_TRUE(QTest::qWaitFor([&] { return find<QPushButton>("chatSend")->text().startsWith("Send"); }, 30000));
  EXPECT_EQ(find<QSpinBox>("samplingContext")->value(), 256);
  EXPECT_FALSE(answer("chatAnswerA1").isEmpty()) << notice().toStdString();
  EXPECT_FALSE(answer("chatAnswerB1").isEmpty());
}

TEST_F(ChatSamplingTest, SaysWithWhomItShares) {
  auto* note = find<QLabel>("chatSharingA");
  EXPECT_FALSE(note->isVisible());
  std::atomic<bool> hold = true;
  workspace->setLayerObserver([&](const LayerRecord&) {
    while (hold) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  });
  workspace->editDraft("small", small());
  const int number = workspace->startRun();
  ASSERT_TRUE(QTest::qWaitFor([&] { return note->isVisible(); }, 30000));
  EXPECT_TRUE(note->text().contains(QString("#%1").arg(number))) << note->text().toStdString();
  // What is not solved yet cannot talk; one that can is offered.
  workspace->setSlotB({number});
  say("Once");
  EXPECT_TRUE(notice().contains("cannot talk yet")) << notice().toStdString();
  QPushButton* offered = static_cast<Notice*>(find<QWidget>("chatNotice"))->button();
  ASSERT_TRUE(offered->isVisible());
  EXPECT_TRUE(offered->text().contains("#2")) << offered->text().toStdString();
  QTest::mouseClick(offered, Qt::LeftButton);
  EXPECT_EQ(workspace->slotB(), Slot{2});
  workspace->stopRun(number);
  hold = false;
  ASSERT_TRUE(QTest::qWaitFor([&] { return !workspace->runningRun(); }, 60000));
  EXPECT_FALSE(note->isVisible());
}

}  // namespace
}  // namespace lrc::app::test

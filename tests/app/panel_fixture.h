#pragma once
// One panel on a workspace of its own, with stories260K open and two finished, evaluated runs: #1 LRC, #2 GPTQ. The runs are
// made once by the engine, on a calibration text of a few windows, and copied for each test.
#include <gtest/gtest.h>

#include <QComboBox>
#include <QSettings>
#include <QSpinBox>
#include <QtTest>
#include <fstream>
#include <memory>

#include "../run/small_run.h"
#include "models/conversation.h"
#include "models/draft_edits.h"
#include "panels/panels.h"
#include "panels/plot_tools.h"
#include "support/test_data.h"
#include "workspace.h"

namespace lrc::app::test {

struct PreparedRuns {
  lrc::test::TemporaryFolder folder;
  PreparedRuns() {
    Recipe lrc = lrc::test::small_recipe(folder.path() / "calibration.txt");
    lrc.rotation = {true, true, false, 0};  // without R4, so that it can be exported
    Recipe gptq = lrc;
    gptq.name = "GPTQ";
    gptq.method = "gptq";
    gptq.rank = {false, 0};
    std::ofstream(folder.path() / "test.txt") << lrc::test::some_text(6000);
    int number = 1;
    for (const Recipe& recipe : {lrc, gptq}) {
      const auto run = folder.path() / "runs" / (number == 1 ? "0001-lrc" : "0002-gptq");
      std::filesystem::create_directories(run.parent_path());
      lrc::test::carry_out(lrc::test::small_request(run, recipe));
      Progress progress;
      EvaluationRequest evaluation;
      evaluation.text = folder.path() / "test.txt";
      evaluation.context = 128;
      evaluation.windows = 2;
      evaluate_run(run, evaluation, progress, {});
      ++number;
    }
  }
};

class PanelTest : public testing::Test {
 protected:
  void SetUp() override {
    QSettings().clear();
    QSettings().setValue("evaluation/windows", 1);
    static const PreparedRuns prepared;
    calibration = prepared.folder.path() / "calibration.txt";
    test_text = prepared.folder.path() / "test.txt";
    std::filesystem::copy(prepared.folder.path() / "runs", folder.path() / "runs", std::filesystem::copy_options::recursive);
    workspace = std::make_unique<Workspace>(folder.path() / "runs");
  }
  void TearDown() override {
    if (panel) panel->hide();  // as the window does before it goes: what loses the focus still speaks to its panel
    panel.reset();
    workspace.reset();
  }
  void open(QWidget* (*make)(Workspace&, QWidget*), QSize size = {720, 760}) {
    panel.reset(make(*workspace, nullptr));
    panel->resize(size);
    panel->show();
    ASSERT_TRUE(QTest::qWaitForWindowExposed(panel.get()));
  }
  void open_stories() {
    workspace->openModel(QString::fromStdString(lrc::test::data("stories260K/stories260K-f32.gguf").string()));
    ASSERT_TRUE(QTest::qWaitFor([this] { return workspace->hasModel() && workspace->runs().size() == 2; }, 20000));
    workspace->setSlotB({1});
    QCoreApplication::processEvents();
  }
  /// The chat panel, ready to talk.
  void open_chat(int max_new) {
    open(make_chat_panel, {1180, 700});
    open_stories();
    // The form follows from the model, off the window's thread; stories260K has no template.
    ASSERT_TRUE(QTest::qWaitFor([&] { return find<QComboBox>("chatTemplate")->currentIndex() == int(PromptForm::none); }, 10000));
    find<QSpinBox>("samplingMaxNew")->setValue(max_new);
  }
  template <typename Widget>
  Widget* find(const char* name) {
    auto* found = panel->findChild<Widget*>(name);
    EXPECT_NE(found, nullptr) << name;
    return found;
  }
  PlotHooks& hooks() { return *dynamic_cast<PlotHooks*>(panel.get()); }
  Recipe small() const { return lrc::test::small_recipe(calibration); }

  lrc::test::TemporaryFolder folder;
  std::filesystem::path calibration, test_text;
  std::unique_ptr<Workspace> workspace;
  std::unique_ptr<QWidget> panel;
};

}  // namespace lrc::app::test

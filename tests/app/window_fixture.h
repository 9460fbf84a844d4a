#pragma once
// A window of its own for each test, on a fresh runs folder, with stories260K open where asked.
#include <gtest/gtest.h>

#include <QSettings>
#include <QSignalSpy>
#include <QtTest>
#include <memory>

#include "main_window.h"
#include "support/test_data.h"
#include "workspace.h"

namespace lrc::app::test {

class WindowTest : public testing::Test {
 protected:
  void SetUp() override {
    QSettings().clear();
    QSettings().setValue("evaluation/windows", 1);
    workspace = std::make_unique<Workspace>(folder.path() / "runs");
    window = std::make_unique<MainWindow>(*workspace);
    window->resize(1280, 800);
    window->show();
    ASSERT_TRUE(QTest::qWaitForWindowExposed(window.get()));
  }
  void TearDown() override {
    window.reset();
    workspace.reset();
  }
  static QString stories() { return QString::fromStdString(lrc::test::data("stories260K/stories260K-f32.gguf").string()); }
  void open_stories() {
    workspace->openModel(stories());
    ASSERT_TRUE(QTest::qWaitFor([this] { return workspace->hasModel(); }, 20000));
    QCoreApplication::processEvents();
  }
  template <typename Widget>
  Widget* find(const char* name) {
    auto* found = window->findChild<Widget*>(name);
    EXPECT_NE(found, nullptr) << name;
    return found;
  }
  /// Layers by role, as indices.
  std::vector<int> layers_of(Role role) const {
    std::vector<int> found;
    const auto& layers = workspace->model()->layers();
    for (std::size_t i = 0; i < layers.size(); ++i)
      if (layers[i].role == role) found.push_back(int(i));
    return found;
  }

  lrc::test::TemporaryFolder folder;
  std::unique_ptr<Workspace> workspace;
  std::unique_ptr<MainWindow> window;
};

}  // namespace lrc::app::test

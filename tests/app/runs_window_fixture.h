#pragma once
#include <memory>

#include "main_window.h"
#include "panel_fixture.h"

namespace lrc::app::test {

/// The whole window over two finished runs, the draft being that of the first.
class RunsWindowTest : public PanelTest {
 protected:
  void open_window() {
    auto window = std::make_unique<MainWindow>(*workspace);
    window->resize(1440, 900);
    window->show();
    panel = std::move(window);
    ASSERT_TRUE(QTest::qWaitForWindowExposed(panel.get()));
    open_stories();
    workspace->editDraft("of #1", workspace->findRun(1)->manifest.recipe);
    ASSERT_TRUE(workspace->pendingChanges().isEmpty());
  }
};

}  // namespace lrc::app::test

// Sessions, recovery, run folders from elsewhere, and the box that finds everything.
#include <QAction>
#include <QDialog>
#include <QDir>
#include <QFile>
#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QMenu>
#include <QStandardPaths>
#include <QTextBrowser>
#include <fstream>

#include "../run/small_run.h"
#include "base/files.h"
#include "models/draft_edits.h"
#include "models/notebook.h"
#include "session_recovery.h"
#include "window_fixture.h"

namespace lrc::app::test {
namespace {

class SessionTest : public WindowTest {
 protected:
  QString session() const { return QString::fromStdString((folder.path() / "work.lrcsession").string()); }
  bool opened(Workspace& other) {
    return QTest::qWaitFor([&] { return other.hasModel(); }, 20000);
  }
};

TEST_F(SessionTest, CarriesNotesPinsAndViews) {
  open_stories();
  Notebook& notebook = Notebook::of(*workspace);
  notebook.setLayerNote("model.layers.1.mlp.down_proj", "worst of all");
  notebook.setRunNote(3, "for the paper");
  notebook.setPinned(3, true);
  QTest::keyClicks(find<QLineEdit>("layersFilter"), "role:q");
  EXPECT_TRUE(workspace->isModified());
  ASSERT_TRUE(workspace->saveSession(session()));
  EXPECT_FALSE(workspace->isModified());
  // In another window on another runs folder.
  Workspace second(folder.path() / "other");
  MainWindow other(second);
  second.openSession(session());
  ASSERT_TRUE(opened(second));
  EXPECT_EQ(Notebook::of(second).layerNote("model.layers.1.mlp.down_proj"), "worst of all");
  EXPECT_EQ(Notebook::of(second).runNote(3), "for the paper");
  EXPECT_TRUE(Notebook::of(second).isPinned(3));
  EXPECT_EQ(other.findChild<QLineEdit*>("layersFilter")->text(), "role:q");
  EXPECT_FALSE(second.isModified());
}

TEST_F(SessionTest, OffersToLocateAModelThatMoved) {
  open_stories();
  ASSERT_TRUE(workspace->saveSession(session()));
  Json json = read_json_file(session().toStdString());
  json["model"]["path"] = "/nowhere/stories.gguf";
  json["model"]["relative_path"] = "nowhere.gguf";
  write_file_atomically(session().toStdString(), json.dump());
  Workspace second(folder.path() / "other");
  QString sentence, button;
  QObject::connect(&second, &Workspace::bannerRequested, [&](const QString& text, const QString& offered, std::function<void()>) {
    sentence = text;
    button = offered;
  });
  second.openSession(session());
  EXPECT_TRUE(sentence.contains("/nowhere/stories.gguf")) << sentence.toStdString();
  EXPECT_EQ(button, QString("Locate…"));
  // Beside the session it is found without asking.
  std::filesystem::copy(stories().toStdString(), folder.path() / "nowhere.gguf");
  second.openSession(session());
  EXPECT_TRUE(opened(second));
}

TEST_F(SessionTest, WhatWasEditedBeforeACrashIsOffered) {
  const QDir place(QStandardPaths::writableLocation(QStandardPaths::AppLocalDataLocation));
  place.mkpath(".");
  // A process that cannot be alive any more left its copy.
  const QString left = place.filePath("recovery-2147480000.lrcsession");
  open_stories();
  workspace->editDraft("Passes", [&] {
    Recipe recipe = workspace->draft();
    recipe.iterations = 4;
    return recipe;
  }());
  ASSERT_TRUE(workspace->saveSession(session()));
  QFile::remove(left);
  ASSERT_TRUE(QFile::copy(session(), left));
  Workspace second(folder.path() / "other");
  std::function<void()> restore;
  QObject::connect(&second, &Workspace::bannerRequested,
                   [&](const QString&, const QString&, std::function<void()> action) { restore = action; });
  offer_recovery(second);
  ASSERT_TRUE(QTest::qWaitFor([&] { return bool(restore); }, 20000));
  restore();
  ASSERT_TRUE(opened(second));
  EXPECT_EQ(second.draft().iterations, 4);
  EXPECT_TRUE(second.isModified()) << "what was recovered is not saved yet";
  EXPECT_TRUE(second.sessionFile().isEmpty());
  QFile::remove(left);
}

/// `lrc quantize --out RUNS/foo` and folders from other machines.
TEST_F(SessionTest, RunFoldersOfAnyNameAreListed) {
  std::ofstream(folder.path() / "calibration.txt") << lrc::test::some_text(8000);
  Recipe recipe = lrc::test::small_recipe(folder.path() / "calibration.txt");
  recipe.method = "rtn";
  recipe.rank = {false, 0};
  std::filesystem::create_directories(folder.path() / "runs");
  const auto model = Model::open(stories().toStdString());
  for (const auto& where : {folder.path() / "runs" / "foo", folder.path() / "bar"}) {
    Progress silent;
    carry_out({stories().toStdString(), model, recipe, where}, silent, {});
  }
  open_stories();
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->runs().size() == 1; }, 20000));
  const int number = workspace->runs().front().number;
  EXPECT_GT(number, 0);
  EXPECT_EQ(workspace->runs().front().folder.filename(), "foo");
  EXPECT_EQ(workspace->slotB(), Slot{number});
  workspace->drop(QString::fromStdString((folder.path() / "bar").string()));
  ASSERT_TRUE(QTest::qWaitFor([&] { return workspace->runs().size() == 2; }, 20000));
  EXPECT_NE(workspace->slotB(), Slot{number}) << "what is dropped stands in B";
  workspace->drop(QString::fromStdString((folder.path() / "bar").string()));
  QTest::qWait(300);
  EXPECT_EQ(workspace->runs().size(), 2u) << "not twice";
  // The numbers stay with their folders.
  const auto before = workspace->runs();
  Workspace second(folder.path() / "runs");
  second.openModel(stories());
  ASSERT_TRUE(QTest::qWaitFor([&] { return second.runs().size() == 1; }, 20000));
  EXPECT_EQ(second.runs().front().number, number);
}

TEST_F(SessionTest, ThePaletteFindsRolesNotesTermsAndSettings) {
  open_stories();
  Notebook::of(*workspace).setLayerNote("model.layers.2.mlp.up_proj", "suspicious outliers");
  auto* field = find<QLineEdit>("jumpField");
  auto* list = find<QListWidget>("commandPaletteList");
  const auto choose = [&](const QString& text) {
    QTest::keyClick(window.get(), Qt::Key_K, Qt::ControlModifier);
    field->selectAll();
    QTest::keyClicks(field, text);
    const QString first = list->count() ? list->item(0)->text() : QString();
    QTest::keyClick(field, Qt::Key_Return);
    return first;
  };
  EXPECT_EQ(choose("all down"), "Select all down_proj");
  EXPECT_EQ(workspace->selectedLayers(), layers_of(Role::down_proj));
  EXPECT_EQ(choose("suspicious"), "suspicious outliers");
  EXPECT_EQ(workspace->selectedLayers(), std::vector<int>{layers_of(Role::up_proj)[2]});
  EXPECT_EQ(choose("rank 9"), "Rank of 2.up_proj = 9");
  EXPECT_EQ(workspace->draftSchemes()[std::size_t(layers_of(Role::up_proj)[2])]->rank, 9u);
  choose("?lower bound");
  auto* terms = window->findChild<QDialog*>("glossaryWindow");
  ASSERT_NE(terms, nullptr);
  EXPECT_FALSE(terms->isModal());
  terms->close();
  EXPECT_EQ(choose(":font 110"), "Font 110 %");
  EXPECT_EQ(QSettings().value("fontScale").toInt(), 110);
  choose(":font 100");
  // Every action that has a name and a text can be found by it.
  for (const QAction* action : window->findChildren<QAction*>()) {
    if (action->objectName().isEmpty() || action->text().isEmpty() || !action->isEnabled() || action->menu()) continue;
    QTest::keyClick(window.get(), Qt::Key_K, Qt::ControlModifier);
    // Texts with letters that no test keyboard has.
    field->setText(">" + action->text().remove('&').remove("…"));
    emit field->textEdited(field->text());
    EXPECT_GT(list->count(), 0) << action->text().toStdString();
    QTest::keyClick(field, Qt::Key_Escape);
  }
}

TEST_F(SessionTest, F1ShowsTheKeys) {
  open_stories();
  QTest::keyClick(window.get(), Qt::Key_F1);
  auto* sheet = window->findChild<QDialog*>("shortcutSheet");
  ASSERT_NE(sheet, nullptr);
  EXPECT_TRUE(sheet->isVisible());
  EXPECT_FALSE(sheet->isModal());
  sheet->close();
}

}  // namespace
}  // namespace lrc::app::test

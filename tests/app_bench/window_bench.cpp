// How fast the window answers, as medians and 95th percentiles: MODEL is opened offscreen on a runs folder of its own, every
// action is repeated, and a run is made for the longest block of the window's thread. Settings are of the program's own.
#include <QApplication>
#include <QElapsedTimer>
#include <QLineEdit>
#include <QScrollBar>
#include <QSettings>
#include <QStandardPaths>
#include <QStyleFactory>
#include <QTableView>
#include <QTemporaryDir>
#include <QTextStream>
#include <QTimer>
#include <algorithm>
#include <filesystem>
#include <functional>

#include "main_window.h"
#include "models/draft_edits.h"
#include "support/family_models.h"
#include "workspace.h"

namespace lrc::app {
namespace {

QTextStream out(stdout);

void settle(Workspace& workspace, int at_least_ms = 200) {
  QElapsedTimer clock;
  clock.start();
  while (clock.elapsed() < at_least_ms || workspace.queryLane().busy() || workspace.chatLane().busy())
    QApplication::processEvents(QEventLoop::AllEvents, 20);
}

/// Everything that the action asked for is done and painted: what it made dirty, as on a person's screen, and no more.
void finish() {
  for (int turn = 0; turn < 3; ++turn) {  // plots that wait for the next turn of the loop are drawn in it
    QApplication::sendPostedEvents();
    QApplication::processEvents();
  }
}

void report(const QString& name, std::vector<double> milliseconds) {
  std::sort(milliseconds.begin(), milliseconds.end());
  const auto at = [&](double part) {
    return milliseconds[std::min(milliseconds.size() - 1, std::size_t(part * double(milliseconds.size())))];
  };
  out << name.leftJustified(52) << QString::number(at(0.5), 'f', 1).rightJustified(9) << QString::number(at(0.95), 'f', 1).rightJustified(9)
      << '\n';
  out.flush();
}

void repeat(const QString& name, int times, const std::function<void(int)>& action) {
  std::vector<double> milliseconds;
  for (int i = 0; i < times; ++i) {
    QElapsedTimer clock;
    clock.start();
    action(i);
    finish();
    milliseconds.push_back(double(clock.nsecsElapsed()) / 1e6);
  }
  report(name, std::move(milliseconds));
}

bool wait_for(const std::function<bool()>& condition, int limit_ms) {
  QElapsedTimer clock;
  clock.start();
  while (!condition() && clock.elapsed() < limit_ms) QApplication::processEvents(QEventLoop::AllEvents, 20);
  return condition();
}

/// The time between two turns of the event loop while a run computes on every core.
void longest_block(Workspace& workspace) {
  std::vector<double> gaps;
  QElapsedTimer clock;
  clock.start();
  QTimer tick;
  QObject::connect(&tick, &QTimer::timeout, [&] {
    gaps.push_back(std::max(0.0, double(clock.nsecsElapsed()) / 1e6 - 5));
    clock.restart();
  });
  const int number = workspace.startRun();
  if (number <= 0) return;
  tick.start(5);
  wait_for(
      [&] {
        return workspace.findRun(number)->state != RunEntry::State::queued && workspace.findRun(number)->state != RunEntry::State::running;
      },
      240000);
  tick.stop();
  if (gaps.empty()) return;
  const double longest = *std::max_element(gaps.begin(), gaps.end());
  report("event loop during a run: late by", gaps);
  out << QString("longest block of the window's thread during a run").leftJustified(52)
      << QString::number(longest, 'f', 1).rightJustified(9) << '\n';
}

int measure(const QString& model) {
  QTemporaryDir place;
  Workspace workspace(place.filePath("runs").toStdString());
  QSettings().setValue("evaluation/windows", 1);
  MainWindow window(workspace);
  window.resize(1440, 900);
  window.show();
  QElapsedTimer opening;
  opening.start();
  workspace.openModel(model);
  if (!wait_for([&] { return workspace.hasModel(); }, 60000)) {
    out << "cannot open " << model << '\n';
    return 1;
  }
  finish();
  out << QString("milliseconds").leftJustified(52) << QString("median").rightJustified(9) << QString("p95").rightJustified(9) << '\n';
  report("open: table with shapes", {double(opening.elapsed())});
  settle(workspace, 500);
  const int layers = int(workspace.model()->layers().size());
  out << layers << " layers\n";

  for (int i = 0; i < std::min(layers, 40); ++i) {  // into the cache
    workspace.selectLayers({i}, i);
    wait_for([&] { return workspace.spectrum(i, workspace.slotB()) != nullptr; }, 20000);
  }
  repeat("select a layer, its spectrum cached", 60,
         [&](int i) { workspace.selectLayers({i % std::min(layers, 40)}, i % std::min(layers, 40)); });
  std::vector<int> thirty;
  for (int i = 0; i < std::min(layers, 30); ++i) thirty.push_back(i);
  repeat("select 30 layers", 20, [&](int i) { workspace.selectLayers(i % 2 ? thirty : std::vector<int>{0}, 0); });
  workspace.selectLayers({0}, 0);
  settle(workspace);
  repeat("drag of the rank, all panels drawn", 60,
         [&](int i) { workspace.editDraft("Rank", with_rank(workspace.draft(), *workspace.model(), {0}, std::size_t(2 + i % 20)), 77); });
  repeat("edit of the whole recipe, forecast asked", 30, [&](int i) {
    Recipe recipe = workspace.draft();
    recipe.rank = {true, double(5 + i)};
    workspace.editDraft("Rank", recipe, 78);
  });
  settle(workspace);
  auto* filter = window.findChild<QLineEdit*>("layersFilter");
  const QStringList words = {"role:down", "role:q,k", "block:0-3", "is:override", ""};
  repeat("filter the layers", 40, [&](int i) { filter->setText(words[i % words.size()]); });
  filter->clear();
  auto* table = window.findChild<QTableView*>("layersTable");
  repeat("sort the layers", 40, [&](int i) { table->sortByColumn(1 + i % 6, i % 2 ? Qt::AscendingOrder : Qt::DescendingOrder); });
  repeat("switch the perspective", 24, [&](int i) { workspace.setPerspective(Perspective(i % 4)); });
  workspace.setPerspective(Perspective::explore);
  settle(workspace);
  auto* theme = window.findChild<QAction*>("themeAction");
  repeat("light and dark", 10, [&](int) { theme->trigger(); });
  window.findChild<QAction*>("paletteAction")->trigger();
  auto* field = window.findChild<QLineEdit*>("jumpField");
  const QString typed = "down 1 rank chat";
  repeat("a key in the palette", int(typed.size()), [&](int i) {
    field->setText(typed.left(i + 1));
    emit field->textEdited(field->text());
  });
  Recipe short_run = workspace.draft();
  short_run.calibration_tokens = 4096;
  workspace.editDraft("Tokens", short_run, 79);
  longest_block(workspace);
  return 0;
}

/// Seven thousand layers: a mixture of experts, of small ones. Only what depends on the number of rows.
int measure_many(const QString& model) {
  QTemporaryDir place;
  Workspace workspace(place.filePath("runs").toStdString());
  MainWindow window(workspace);
  window.resize(1440, 900);
  window.show();
  QElapsedTimer opening;
  opening.start();
  workspace.openModel(model);
  if (!wait_for([&] { return workspace.hasModel(); }, 120000)) return 1;
  finish();
  out << workspace.model()->layers().size() << " layers\n";
  report("open: table with shapes", {double(opening.nsecsElapsed()) / 1e6});
  wait_for([] { return false; }, 3000);  // the weights alone are rounded beside what follows
  auto* filter = window.findChild<QLineEdit*>("layersFilter");
  const QStringList words = {"role:down", "block:0-3", "/experts/", "is:override", ""};
  repeat("filter the layers", 20, [&](int i) { filter->setText(words[i % words.size()]); });
  filter->clear();
  auto* table = window.findChild<QTableView*>("layersTable");
  repeat("sort the layers", 20, [&](int i) { table->sortByColumn(1 + i % 5, i % 2 ? Qt::AscendingOrder : Qt::DescendingOrder); });
  repeat("scroll by a page", 60, [&](int i) { table->verticalScrollBar()->setValue(i * 40); });
  repeat("select a layer", 20, [&](int i) { workspace.selectLayers({i * 50}, i * 50); });
  return 0;
}

}  // namespace
}  // namespace lrc::app

int main(int argc, char** argv) {
  if (qEnvironmentVariableIsEmpty("QT_QPA_PLATFORM")) qputenv("QT_QPA_PLATFORM", "offscreen");
  QTemporaryDir settings;
  QStandardPaths::setTestModeEnabled(true);
  QSettings::setPath(QSettings::NativeFormat, QSettings::UserScope, settings.path());
  QApplication application(argc, argv);
  QApplication::setOrganizationName("lrc-workbench-bench");
  QApplication::setApplicationName("lrc-workbench-bench");
  QApplication::setStyle(QStyleFactory::create("Fusion"));
  if (application.arguments().size() < 2) {
    lrc::app::out << "Usage: lrc_window_benchmarks MODEL\n";
    return 2;
  }
  if (const int failed = lrc::app::measure(application.arguments().at(1))) return failed;
  QTemporaryDir many;
  return lrc::app::measure_many(
      QString::fromStdString(lrc::test::with_many_experts(std::filesystem::path(many.path().toStdString()) / "model", 29, 80).string()));
}

#pragma once
// The one place that holds what is open and what is selected. Panels state intents here and follow its signals; no panel knows
// another. Lives on the GUI thread; work goes to the two lanes.
#include <QObject>
#include <QString>
#include <QStringList>
#include <QUndoStack>
#include <memory>
#include <optional>
#include <vector>

#include "jobs/job_queue.h"
#include "run/manifest.h"
#include "run/open_model.h"
#include "run/recipe.h"
#include "run/runner.h"
#include "run/spectra.h"

namespace lrc::app {

enum class Perspective { explore, run, chat, export_ };

/// A run in the list: finished, running, queued, stopped or failed.
struct RunEntry {
  int number = 0;
  std::filesystem::path folder;
  Manifest manifest;       ///< as far as it has come
  enum class State { queued, running, paused, stopped, failed, done } state = State::queued;
  ProgressUpdate progress; ///< while running
  QString failure;
};

/// What slot A or B holds: the original (run absent) or a run by number.
struct Slot {
  std::optional<int> run;
  bool operator==(const Slot&) const = default;
};

enum class LogLevel { info, warning, error };

class Workspace : public QObject {
  Q_OBJECT
 public:
  explicit Workspace(std::filesystem::path runs_folder, QObject* parent = nullptr);
  ~Workspace() override;

  // Model.
  void openModel(const QString& path);  ///< asynchronous; modelOpened or openFailed follows
  const std::shared_ptr<const Model>& model() const { return model_; }
  bool hasModel() const { return model_ != nullptr; }
  QStringList recentFiles() const;
  /// Drops anything: model folder or file, run folder, recipe, text. Decided by content. Returns the line to show while dragging.
  QString describeDrop(const QString& path) const;
  void drop(const QString& path);

  // Selection: indices into model()->layers(). The one holder of "what is selected".
  const std::vector<int>& selectedLayers() const { return selection_; }
  int currentLayer() const { return current_; }  ///< -1: none
  void selectLayers(std::vector<int> layers, int current);

  // The draft recipe: every edit is one named undo step.
  const Recipe& draft() const { return draft_; }
  void editDraft(const QString& undo_name, const Recipe& recipe, int merge_id = -1);  ///< merge_id ≥ 0: joins consecutive edits (a drag)
  QUndoStack& undoStack() { return undo_; }
  std::optional<QString> draftProblem() const;
  /// What differs from the run in slot B (or the newest run), one line each; empty when nothing or no run.
  QStringList pendingChanges() const;
  void revertDraft();

  // Runs.
  const std::vector<RunEntry>& runs() const { return runs_; }
  const RunEntry* findRun(int number) const;
  int startRun();                ///< queues the draft; returns its number
  void pauseRun(int number);
  void stopRun(int number);
  void resumeRun(int number);
  void deleteRun(int number);    ///< to the trash
  const RunEntry* runningRun() const;
  QString commandOf(const RunEntry& run) const;
  QString commandOfDraft() const;

  // Slots.
  Slot slotA() const { return a_; }
  Slot slotB() const { return b_; }
  void setSlotA(Slot slot);
  void setSlotB(Slot slot);
  void swapSlots();
  QString slotTitle(Slot slot) const;                 ///< "Original", "#7 LRC 10 %"
  std::optional<OpenedModel> opened(Slot slot) const; ///< for chat and export

  // Perspectives and history.
  Perspective perspective() const { return perspective_; }
  void setPerspective(Perspective perspective);
  void goBack();
  void goForward();

  // Spectra: cached; the answer arrives by spectrumReady for (layer, run). Newer requests drop older ones.
  std::shared_ptr<const LayerSpectrum> spectrum(int layer, Slot slot);  ///< from the cache, or null and a request is made
  void measure();                                                       ///< the measuring pass for the draft's scheme
  bool isMeasured() const;

  // Devices, measured once.
  const std::vector<DeviceInfo>& devices() const { return devices_; }

  // Session.
  bool saveSession(const QString& file);
  void openSession(const QString& file);

  JobQueue& runLane() { return *run_lane_; }
  JobQueue& queryLane() { return *query_lane_; }
  JobQueue& chatLane() { return *chat_lane_; }
  void log(LogLevel level, const QString& text);
  /// The bar above the docks: one sentence with the way out.
  void banner(const QString& text, const QString& button = {}, std::function<void()> action = {});

 signals:
  void modelOpened();
  void modelClosed();
  void openFailed(const QString& path, const QString& sentence);
  void selectionChanged();
  void draftChanged();
  void runsChanged();             ///< list or states
  void runProgress(int number);   ///< coalesced, at most 10 a second
  void layerFinished(int number, const QString& layer);
  void slotsChanged();
  void perspectiveChanged();
  void spectrumReady(int layer);
  void measuredChanged();
  void logged(lrc::app::LogLevel level, const QString& text);
  void bannerRequested(const QString& text, const QString& button, std::function<void()> action);
  void recentFilesChanged();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
  std::shared_ptr<const Model> model_;
  std::vector<int> selection_;
  int current_ = -1;
  Recipe draft_;
  QUndoStack undo_;
  std::vector<RunEntry> runs_;
  Slot a_, b_;
  Perspective perspective_ = Perspective::explore;
  std::vector<DeviceInfo> devices_;
  std::unique_ptr<JobQueue> run_lane_, query_lane_, chat_lane_;
};

}  // namespace lrc::app

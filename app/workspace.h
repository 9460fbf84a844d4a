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

namespace lrc {
struct ChannelMap;
struct LayerDistributions;
}  // namespace lrc

namespace lrc::app {

enum class Perspective { explore, run, chat, export_ };

/// A run in the list: finished, running, queued, stopped or failed.
struct RunEntry {
  int number = 0;
  std::filesystem::path folder;
  Manifest manifest;  ///< as far as it has come
  enum class State { queued, running, paused, stopped, failed, done } state = State::queued;
  ProgressUpdate progress;             ///< while running: the latest report
  std::vector<ProgressUpdate> stages;  ///< while running: the latest report of each stage; stages take turns, block by block
  QString failure;
  /// Solved to the end, so that it can stand in a slot, be talked to and exported; it may still (or again) be evaluated.
  bool usable() const { return manifest.state == RunState::done; }
};

/// What slot A or B holds: the original (run absent) or a run by number.
struct Slot {
  std::optional<int> run;
  bool operator==(const Slot&) const = default;
};

enum class LogLevel { info, warning, error };
struct LogLine {
  LogLevel level = LogLevel::info;
  QString time, text;
};

class Workspace : public QObject {
  Q_OBJECT
 public:
  explicit Workspace(std::filesystem::path runs_folder, QObject* parent = nullptr);
  ~Workspace() override;

  // Model.
  void openModel(const QString& path);  ///< asynchronous; modelOpened or openFailed follows
  const std::shared_ptr<const Model>& model() const { return model_; }
  bool hasModel() const { return model_ != nullptr; }
  /// A model whose default run needs more memory than is free: read as far as its headers, waiting for a decision.
  struct TooLarge {
    QString path;
    std::shared_ptr<const Model> model;
    quint64 free_bytes = 0;  ///< what a run may take
    bool limited = false;    ///< by the settings; otherwise by what the system has
  };
  const std::optional<TooLarge>& tooLarge() const;
  void openAnyway(const Recipe& draft);  ///< with this as the first draft
  void cancelOpening();
  QStringList recentFiles() const;
  QDateTime recentTime(const QString& path) const;  ///< when it was opened last; invalid where that is not known
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
  /// The shipped recipes, as far as the open model can carry them out.
  const std::vector<Recipe>& presets() const;
  /// What differs from the run in slot B (or the newest run), one line each; empty when nothing or no run.
  QStringList pendingChanges() const;
  void revertDraft();

  // Runs.
  const std::vector<RunEntry>& runs() const { return runs_; }
  const RunEntry* findRun(int number) const;
  int startRun();  ///< queues the draft; returns its number
  /// Another recipe than the draft; 0 and a banner when it cannot be carried out. `compared`: it stands beside B and leaves the slot as it
  /// is when it is done.
  int queueRun(const Recipe& recipe, bool compared = false);
  void pauseRun(int number);
  void stopRun(int number);
  void resumeRun(int number);
  void resumeWhenListed(const std::filesystem::path& folder);  ///< of the model that is opened next
  void deleteRun(int number);                                  ///< to the trash
  const RunEntry* runningRun() const;
  /// Told of each solved layer on the thread that solved it, which waits meanwhile: tests hold a run there.
  void setLayerObserver(LayerCallback observer);
  QString commandOf(const RunEntry& run) const;
  QString commandOfDraft() const;

  // Slots.
  Slot slotA() const { return a_; }
  Slot slotB() const { return b_; }
  void setSlotA(Slot slot);
  void setSlotB(Slot slot);
  void swapSlots();
  QString slotTitle(Slot slot) const;                  ///< "Original", "#7 LRC 10 %"
  std::optional<OpenedModel> opened(Slot slot) const;  ///< for chat and export

  // Perspectives and history.
  Perspective perspective() const { return perspective_; }
  void setPerspective(Perspective perspective);
  void goBack();
  void goForward();
  bool canGoBack() const;
  bool canGoForward() const;

  // Spectra: cached; the answer arrives by spectrumReady for (layer, run). Newer requests drop older ones.
  std::shared_ptr<const LayerSpectrum> spectrum(int layer, Slot slot);  ///< from the cache, or null and a request is made
  void measure();                                                       ///< the measuring pass for the draft's scheme
  bool isMeasured() const;
  std::optional<ProgressUpdate> measuring() const;  ///< how far the pass is, while it runs
  void stopMeasuring();

  // What enters each layer: the activation sample that measuring writes, for the draft's rotation and text (whatever its bits).
  const std::filesystem::path& sampleFolder() const;  ///< empty while there is none
  /// On the grids that the draft gives this layer; from the cache, or null and a request is made: inputsReady follows.
  std::shared_ptr<const LayerDistributions> distributions(int layer);
  /// The channels of this layer's kind of input in every block; the same way.
  std::shared_ptr<const ChannelMap> channels(int layer);

  // Devices, measured once.
  const std::vector<DeviceInfo>& devices() const { return devices_; }

  /// The scheme of each layer under the draft, in the order of model()->layers(); absent where the choice is impossible.
  const std::vector<std::optional<LayerScheme>>& draftSchemes() const;
  /// The same under the draft's model-wide settings alone: what a layer without overrides inherits.
  const std::vector<std::optional<LayerScheme>>& inheritedSchemes() const;
  /// The run that the draft is compared with: slot B's, else the newest; null when there is none.
  const RunEntry* referenceRun() const;
  /// What a run did to a layer; null when it has not finished it.
  const LayerRecord* record(Slot slot, int layer) const;

  // Session.
  bool saveSession(const QString& file);
  /// The session with copies of its finished runs in a folder, so that it opens elsewhere (the model itself is not copied).
  /// Asynchronous; a line in the log follows, or a banner.
  void saveSelfContained(const QString& folder);
  void openSession(const QString& file);
  QString sessionFile() const;  ///< empty: never saved
  bool isModified() const;      ///< since the session was saved
  const std::filesystem::path& runsFolder() const;
  void forgetRecentFile(const QString& path);

  JobQueue& runLane() { return *run_lane_; }
  JobQueue& queryLane() { return *query_lane_; }
  JobQueue& chatLane() { return *chat_lane_; }
  void log(LogLevel level, const QString& text);
  const std::vector<LogLine>& logLines() const;
  /// The bar above the docks: one sentence with the way out.
  /// `dismissed`: what follows when the person closes it instead of pressing its button.
  void banner(const QString& text, const QString& button = {}, std::function<void()> action = {}, std::function<void()> dismissed = {});

 signals:
  void modelOpened();
  void modelClosed();
  void openFailed(const QString& path, const QString& sentence);
  void openFailureDismissed();  ///< the person has read it
  void openedTooLarge();        ///< tooLarge() says what; openAnyway() or cancelOpening() end it
  void openingDecided();
  void selectionChanged();
  void draftChanged();
  void runsChanged();            ///< list or states
  void runProgress(int number);  ///< coalesced, at most 10 a second
  void layerFinished(int number, const QString& layer);
  void slotsChanged();
  void perspectiveChanged();
  void spectrumReady(int layer);
  void inputsReady(int layer);
  void measuredChanged();
  void measureProgress();
  void devicesChanged();
  void logged(lrc::app::LogLevel level, const QString& text);
  void bannerRequested(const QString& text, const QString& button, std::function<void()> action, std::function<void()> dismissed);
  void recentFilesChanged();

 private:
  struct Parts;
  class DraftEdit;
  void applyDraft(const Recipe& recipe);
  void takeModel(std::shared_ptr<const Model> model, const QString& opened_as);
  void scanRuns();
  void takeRuns(std::vector<RunEntry> runs);
  void submitRun(int number);
  void finishRun(int number, const QString& failure, bool stopped);
  void takeAsCandidate(int number);  ///< into slot B, unless a newer run stands there
  RunEntry* entry(int number);
  void remember();
  void restoreStep();
  void noteRecentFile(const QString& path);
  void dropOriginalSpectra();
  void dropInputs();
  void autosave();
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

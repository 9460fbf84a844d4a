#pragma once
// What is found out about single layers outside of a run, on the query lane: layers solved alone under the draft (Shift+F5), and what
// would help a layer. Everything here is of the model that is open and lost with it. One object a workspace, its child.
#include <QObject>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "run/layer_trials.h"
#include "run/solve_alone.h"
#include "workspace.h"

namespace lrc::app {

/// A layer that was solved alone.
struct SolvedAlone {
  LayerScheme scheme;
  std::string basis;  ///< text, windows and rotation that it was solved on
  LayerRecord record;
  std::shared_ptr<const LayerSpectrum> spectrum;
};

class LayerLab : public QObject {
  Q_OBJECT
 public:
  static LayerLab& of(Workspace& workspace);  ///< made at first use

  /// Solves the selected layers under the draft. A newer call replaces an older one; why it cannot be is logged.
  void solveSelection();
  void stopSolving();  ///< layers that are solved stay known
  /// How far that is, while it is under way.
  std::optional<ProgressUpdate> solving() const { return solving_; }
  /// The layer as the draft has it, when it was solved so.
  const SolvedAlone* solved(int layer) const;
  /// All solutions that differ from the draft's scheme in the rank alone.
  std::vector<const SolvedAlone*> solvedAtRanks(int layer) const;

  /// What would help: of the draft, or of the draft before one of the suggestions was taken. Null while it is not known.
  const LayerTrials* trials(int layer) const;
  bool isSet(int layer, const Suggestion& suggestion) const;  ///< the draft has it already
  enum class Trying { idle, working, needs_walk, failed };
  Trying trying(int layer) const;
  QString failure() const { return failure_; }
  /// Asks for trials(layer). Without `walk` nothing is done where that would mean reading the calibration text again.
  void tryVariants(int layer, bool walk);
  void stopTrying();
  /// Writes a suggestion into the draft, one named undo step.
  void take(int layer, const Suggestion& suggestion);

 signals:
  void solvedChanged();
  void progressChanged();
  void trialsChanged(int layer);

 private:
  explicit LayerLab(Workspace& workspace);
  struct Tried {
    Recipe recipe;
    LayerScheme scheme;
    std::string basis;
    LayerTrials trials;
  };
  std::string basis() const;
  std::string basis(std::size_t skip_first_positions) const;  ///< the draft's, with these left out
  const LayerScheme* draftScheme(int layer) const;
  const Tried* tried(int layer) const;
  void tryActivations(int layer, std::shared_ptr<Tried> tried);
  void forget();

  Workspace& workspace_;
  std::map<int, std::vector<SolvedAlone>> solved_;
  std::map<int, std::shared_ptr<Tried>> tried_;
  std::optional<ProgressUpdate> solving_;
  int trying_layer_ = -1;
  LayerScheme trying_scheme_;
  Trying trying_ = Trying::idle;
  QString failure_;
};

}  // namespace lrc::app

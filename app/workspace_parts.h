#pragma once
// What the workspace keeps to itself, shared by its three source files.
#include <QTimer>
#include <map>
#include <set>

#include "run/distributions.h"
#include "workspace.h"

namespace lrc::app {

struct Workspace::Parts {
  std::filesystem::path runs_folder;
  std::vector<std::filesystem::path> runs_elsewhere;  ///< opened or dropped run folders that lie outside of it
  std::filesystem::path wanted_run;                   ///< stands in slot B once it is listed
  std::filesystem::path resumed_run;                  ///< goes on once it is listed

  // History of looking.
  struct Step {
    std::vector<int> selection;
    int current = -1;
    Perspective perspective = Perspective::explore;
    Slot a, b;
    bool operator==(const Step&) const = default;
  };
  std::vector<Step> history;
  std::size_t position = 0;
  bool navigating = false;

  std::vector<Recipe> presets;  ///< the shipped recipes, as far as this model can carry them out

  // What follows from the draft, until the next edit.
  std::optional<std::optional<QString>> problem;
  std::vector<std::optional<LayerScheme>> schemes, inherited;
  bool schemes_known = false, inherited_known = false;

  // Spectra by (layer, run or −1).
  std::map<std::pair<int, int>, std::shared_ptr<const LayerSpectrum>> spectra;
  std::set<std::pair<int, int>> requested;

  // Work under way.
  struct Control {
    std::stop_source stop;
    bool pausing = false;
  };
  std::map<int, std::shared_ptr<Control>> controls;
  LayerCallback layer_observer;
  std::set<int> compared;       ///< runs that leave slot B as it is when they are done
  std::string model_sha256;     ///< empty until the file is read
  bool measure_wanted = false;  ///< before that: the measurement's place is named after it
  std::filesystem::path measurement_folder;
  bool measured = false;

  // The activation sample. What failed once is not asked for again until the sample or the grids change.
  std::filesystem::path sample_place, sample_folder;  ///< where it belongs; the same when it is there, else empty
  std::map<int, std::shared_ptr<const LayerDistributions>> distributions;
  std::map<std::pair<int, std::size_t>, std::shared_ptr<const ChannelMap>> channels;  ///< by kind of site and expert
  std::set<int> distributions_asked;
  std::set<std::pair<int, std::size_t>> channels_asked;
  std::optional<TooLarge> too_large;
  std::optional<Recipe> first_draft;  ///< of a model that is opened in spite of its size
  std::optional<ProgressUpdate> measuring;

  // Session.
  QString session_file;
  std::map<int, std::filesystem::path> copied_runs;   ///< while a self-contained session is written: where its runs went
  std::map<int, std::filesystem::path> session_runs;  ///< of a session that is being opened, by the numbers that they had
  QString located;                                    ///< where the person says that a session's model lies now
  std::string saved_text;                             ///< of the draft, when the session was saved or the model opened
  std::optional<Json> restore;                        ///< a session whose model is being opened
  QTimer autosave;

  std::vector<LogLine> log;
};

/// Where this process keeps what a crash would lose.
QString recovery_file();
/// All that saving a session saves but where one looks: equal texts, nothing to save.
std::string session_content(const Workspace& workspace);

/// Folder names of runs: "0007-lrc-10".
std::filesystem::path run_folder_name(int number, const std::string& recipe_name);
/// 7 for "0007-lrc-10", 0 for anything else.
int number_of_run_folder(const std::filesystem::path& folder);

}  // namespace lrc::app

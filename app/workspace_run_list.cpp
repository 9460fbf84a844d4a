// Which runs there are: found in folders, numbered, listed.
#include <QSettings>
#include <algorithm>
#include <cstdio>
#include <utility>

#include "run/run_folder.h"
#include "workspace.h"
#include "workspace_parts.h"

namespace lrc::app {

namespace {

bool is_same_folder(const std::filesystem::path& a, const std::filesystem::path& b) {
  std::error_code code;
  return a == b || std::filesystem::equivalent(a, b, code);
}

/// A run as it lies in its folder; number 0 where the folder's name has none.
RunEntry entry_of(const std::filesystem::path& path, Manifest manifest) {
  RunEntry run;
  run.number = number_of_run_folder(path);
  run.folder = path;
  run.failure = QString::fromStdString(manifest.failure);
  run.state = manifest.state == RunState::done     ? RunEntry::State::done
              : manifest.state == RunState::failed ? RunEntry::State::failed
              : manifest.state == RunState::paused ? RunEntry::State::paused
                                                   : RunEntry::State::stopped;
  run.manifest = std::move(manifest);
  return run;
}

}  // namespace

std::filesystem::path run_folder_name(int number, const std::string& recipe_name) {
  const std::string slug = folder_name_of(recipe_name);
  char prefix[16];
  std::snprintf(prefix, sizeof(prefix), "%04d", number);
  return std::string(prefix) + (slug.empty() ? "" : "-" + slug.substr(0, 40));
}

int number_of_run_folder(const std::filesystem::path& folder) {
  const std::string name = folder.filename().string();
  int number = 0;
  std::size_t digits = 0;
  while (digits < name.size() && digits < 6 && name[digits] >= '0' && name[digits] <= '9') number = number * 10 + (name[digits++] - '0');
  return digits >= 4 && (digits == name.size() || name[digits] == '-') ? number : 0;
}

// ---- The list ----------------------------------------------------------------------------------------------------------

void Workspace::scanRuns() {
  struct Scan {
    std::string sha256;
    std::vector<RunEntry> runs;
    std::vector<std::string> problems;
  };
  const auto model = model_;
  const auto folder = parts_->runs_folder;
  query_lane_->submit<Scan>(
      "scan", this,
      [model, folder, elsewhere = parts_->runs_elsewhere](Progress&, std::stop_token stop) {
        Scan scan;
        scan.sha256 = model->checkpoint().sha256();
        std::error_code code;
        std::vector<std::filesystem::path> folders;
        for (const auto& item : std::filesystem::directory_iterator(folder, code))
          if (item.is_directory(code)) folders.push_back(item.path());
        std::sort(folders.begin(), folders.end());
        for (const auto& other : elsewhere)
          if (std::none_of(folders.begin(), folders.end(), [&](const auto& known) { return is_same_folder(known, other); }))
            folders.push_back(other);
        for (const auto& path : folders) {
          throw_if_stopped(stop);
          if (!is_run_folder(path)) continue;
          try {
            Manifest manifest = read_manifest(path);
            if (manifest.model_sha256 != scan.sha256) continue;
            scan.runs.push_back(entry_of(path, std::move(manifest)));
          } catch (const Error& error) {
            scan.problems.push_back(error.what());
          }
        }
        return scan;
      },
      [this, model](Scan scan) {
        if (model != model_) return;
        parts_->model_sha256 = scan.sha256;
        for (const auto& problem : scan.problems) log(LogLevel::warning, QString::fromStdString(problem));
        takeRuns(std::move(scan.runs));
        dropOriginalSpectra();
        emit measuredChanged();
        if (std::exchange(parts_->measure_wanted, false)) measure();
      },
      [this](const Error& error) { log(LogLevel::error, QString::fromUtf8(error.what())); });
}

void Workspace::takeRuns(std::vector<RunEntry> runs) {
  // Runs that were started while the folder was read are newer than what was read.
  // Folders that carry no number, or one that another has, get the next free one and keep it; they are not renamed.
  QVariantMap given = QSettings().value("runNumbers").toMap();
  int highest = 0;
  for (const auto* list : {&std::as_const(runs_), &std::as_const(runs)})
    for (const RunEntry& run : *list) highest = std::max(highest, run.number);
  for (const QVariant& number : given) highest = std::max(highest, number.toInt());
  std::stable_sort(runs.begin(), runs.end(), [](const RunEntry& a, const RunEntry& b) { return (a.number > 0) > (b.number > 0); });
  for (RunEntry& run : runs) {
    if (std::any_of(runs_.begin(), runs_.end(), [&](const RunEntry& other) { return is_same_folder(other.folder, run.folder); })) continue;
    const QString key = QString::fromStdString(run.folder.string());
    if (run.number == 0) run.number = given.value(key).toInt();
    if (run.number == 0 || findRun(run.number)) {
      run.number = ++highest;
      given[key] = run.number;
    }
    runs_.push_back(std::move(run));
  }
  QSettings().setValue("runNumbers", given);
  std::sort(runs_.begin(), runs_.end(), [](const RunEntry& a, const RunEntry& b) { return a.number < b.number; });
  emit runsChanged();
  if (!b_.run) {
    const auto newest = std::find_if(runs_.rbegin(), runs_.rend(), [](const RunEntry& run) { return run.usable(); });
    if (newest != runs_.rend()) {
      b_ = {newest->number};
      restoreStep();
    }
  }
  if (!parts_->wanted_run.empty()) {
    const auto wanted =
        std::find_if(runs_.begin(), runs_.end(), [this](const RunEntry& run) { return is_same_folder(run.folder, parts_->wanted_run); });
    if (wanted != runs_.end() && wanted->usable()) b_ = {wanted->number};
    parts_->wanted_run.clear();
  }
  emit slotsChanged();
  emit draftChanged();  // what is pending follows from the runs
  if (parts_->restore) {
    const Json session = std::move(*parts_->restore);
    parts_->restore.reset();
    const auto slot = [&](const char* key) {
      const auto found = session.find(key);
      if (found == session.end() || !found->is_number_integer()) return Slot{};
      // A run that was brought along may have another number here.
      const auto place = parts_->session_runs.find(found->get<int>());
      for (const RunEntry& run : runs_)
        if (place != parts_->session_runs.end() && is_same_folder(run.folder, place->second)) return Slot{run.number};
      return Slot{found->get<int>()};
    };
    setSlotA(slot("a"));
    setSlotB(slot("b"));
    parts_->session_runs.clear();
    const auto hash = session["model"].find("sha256");
    const bool other = hash != session["model"].end() && hash->is_string() && !hash->get<std::string>().empty() &&
                       hash->get<std::string>() != parts_->model_sha256;
    if (other)
      banner(
          tr("This is another file than the session was made with (its hash differs): runs of that file are not listed, notes are kept."));
  }
  const auto interrupted = std::find_if(runs_.rbegin(), runs_.rend(), [](const RunEntry& run) {
    return run.state == RunEntry::State::stopped && run.manifest.state == RunState::running;
  });
  const auto resumed = std::exchange(parts_->resumed_run, {});
  if (interrupted != runs_.rend()) {
    const int number = interrupted->number;
    if (!resumed.empty() && is_same_folder(interrupted->folder, resumed)) return resumeRun(number);
    banner(tr("%1 was interrupted. %2 of %3 layers are saved.")
               .arg(slotTitle({number}))
               .arg(interrupted->manifest.layers.size())
               .arg(interrupted->manifest.layers_total),
           tr("Resume the run"), [this, number] { resumeRun(number); });
  }
}

RunEntry* Workspace::entry(int number) {
  const auto found = std::find_if(runs_.begin(), runs_.end(), [&](const RunEntry& run) { return run.number == number; });
  return found == runs_.end() ? nullptr : &*found;
}

const RunEntry* Workspace::findRun(int number) const { return const_cast<Workspace*>(this)->entry(number); }

void Workspace::setLayerObserver(LayerCallback observer) { parts_->layer_observer = std::move(observer); }

const RunEntry* Workspace::runningRun() const {
  const auto found = std::find_if(runs_.begin(), runs_.end(), [](const RunEntry& run) { return run.state == RunEntry::State::running; });
  return found == runs_.end() ? nullptr : &*found;
}

const std::filesystem::path& Workspace::runsFolder() const { return parts_->runs_folder; }

}  // namespace lrc::app

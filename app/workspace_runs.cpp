// The workspace's runs, measuring pass and spectra: what goes to the lanes and what comes back.
#include <QFile>
#include <QSettings>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>

#include "base/files.h"
#include "base/hash.h"
#include "workspace.h"
#include "workspace_parts.h"

namespace lrc::app {

namespace {

/// Everything that the measuring pass depends on, and nothing else: equal keys share one folder.
std::string measurement_key(const std::string& model_sha256, const Recipe& recipe) {
  Recipe relevant;
  relevant.activation = recipe.activation;
  relevant.weight = recipe.weight;
  relevant.rotation = recipe.rotation;
  relevant.calibration = recipe.calibration;
  relevant.calibration_tokens = recipe.calibration_tokens;
  relevant.calibration_context = recipe.calibration_context;
  relevant.damping = recipe.damping;
  return sha256_of(model_sha256 + "\n" + to_text(relevant)).substr(0, 24);
}

bool is_finished(const Manifest& manifest) { return manifest.state == RunState::done; }

}  // namespace

std::filesystem::path run_folder_name(int number, const std::string& recipe_name) {
  std::string slug;
  for (const char letter : recipe_name) {
    const auto code = static_cast<unsigned char>(letter);
    if ((code >= 'a' && code <= 'z') || (code >= '0' && code <= '9'))
      slug += letter;
    else if (code >= 'A' && code <= 'Z')
      slug += char(code - 'A' + 'a');
    else if (!slug.empty() && slug.back() != '-')
      slug += '-';
  }
  while (!slug.empty() && slug.back() == '-') slug.pop_back();
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
      [model, folder](Progress&, std::stop_token stop) {
        Scan scan;
        scan.sha256 = model->checkpoint().sha256();
        std::error_code code;
        std::vector<std::filesystem::path> folders;
        for (const auto& item : std::filesystem::directory_iterator(folder, code))
          if (item.is_directory(code) && number_of_run_folder(item.path()) > 0) folders.push_back(item.path());
        std::sort(folders.begin(), folders.end());
        for (const auto& path : folders) {
          throw_if_stopped(stop);
          if (!is_run_folder(path)) continue;
          try {
            Manifest manifest = read_manifest(path);
            if (manifest.model_sha256 != scan.sha256) continue;
            RunEntry run;
            run.number = number_of_run_folder(path);
            run.folder = path;
            run.failure = QString::fromStdString(manifest.failure);
            run.state = is_finished(manifest)                ? RunEntry::State::done
                        : manifest.state == RunState::failed ? RunEntry::State::failed
                        : manifest.state == RunState::paused ? RunEntry::State::paused
                                                             : RunEntry::State::stopped;
            run.manifest = std::move(manifest);
            scan.runs.push_back(std::move(run));
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
      },
      [this](const Error& error) { log(LogLevel::error, QString::fromUtf8(error.what())); });
}

void Workspace::takeRuns(std::vector<RunEntry> runs) {
  // Runs that were started while the folder was read are newer than what was read.
  for (RunEntry& run : runs)
    if (!findRun(run.number)) runs_.push_back(std::move(run));
  std::sort(runs_.begin(), runs_.end(), [](const RunEntry& a, const RunEntry& b) { return a.number < b.number; });
  emit runsChanged();
  if (!b_.run) {
    const auto newest = std::find_if(runs_.rbegin(), runs_.rend(), [](const RunEntry& run) { return run.state == RunEntry::State::done; });
    if (newest != runs_.rend()) {
      b_ = {newest->number};
      restoreStep();
    }
  }
  emit slotsChanged();
  emit draftChanged();  // what is pending follows from the runs
  if (parts_->restore) {
    const Json session = std::move(*parts_->restore);
    parts_->restore.reset();
    const auto slot = [&](const char* key) {
      const auto found = session.find(key);
      return found != session.end() && found->is_number_integer() ? Slot{found->get<int>()} : Slot{};
    };
    setSlotA(slot("a"));
    setSlotB(slot("b"));
  }
  const auto interrupted = std::find_if(runs_.rbegin(), runs_.rend(), [](const RunEntry& run) {
    return run.state == RunEntry::State::stopped && run.manifest.state == RunState::running;
  });
  if (interrupted != runs_.rend()) {
    const int number = interrupted->number;
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

const RunEntry* Workspace::runningRun() const {
  const auto found = std::find_if(runs_.begin(), runs_.end(), [](const RunEntry& run) { return run.state == RunEntry::State::running; });
  return found == runs_.end() ? nullptr : &*found;
}

const std::filesystem::path& Workspace::runsFolder() const { return parts_->runs_folder; }

// ---- Carrying out ------------------------------------------------------------------------------------------------------

int Workspace::startRun() {
  if (const auto problem = draftProblem()) {
    log(LogLevel::error, *problem);
    emit bannerRequested(*problem, {}, {});
    return 0;
  }
  autosave();
  RunEntry run;
  run.number = 1;
  for (const RunEntry& other : runs_) run.number = std::max(run.number, other.number + 1);
  // Other models' runs lie in the same folder.
  std::error_code code;
  for (const auto& item : std::filesystem::directory_iterator(parts_->runs_folder, code))
    run.number = std::max(run.number, number_of_run_folder(item.path()) + 1);
  run.folder = parts_->runs_folder / run_folder_name(run.number, draft_.name);
  run.manifest.recipe = draft_;
  run.manifest.model_name = model_->display_name();
  run.manifest.layers_total = model_->layers().size();
  run.state = RunEntry::State::queued;
  const int number = run.number;
  runs_.push_back(std::move(run));
  submitRun(number);
  emit runsChanged();
  emit draftChanged();
  return number;
}

void Workspace::submitRun(int number) {
  RunEntry* run = entry(number);
  auto control = std::make_shared<Parts::Control>();
  parts_->controls[number] = control;
  const RunRequest request{model_->checkpoint().path(), model_, run->manifest.recipe, run->folder};
  const int windows = QSettings().value("evaluation/windows", 6).toInt();
  const bool can_read = !model_->tokenizer_problem();

  // Runs report through their own channel, not the lane's: the stages after solving have a plan of their own.
  const auto report = [this, number](const ProgressUpdate& update) {
    QMetaObject::invokeMethod(
        this,
        [this, number, update] {
          RunEntry* now = entry(number);
          if (!now || now->state != RunEntry::State::running) return;
          now->progress = update;
          emit runProgress(number);
        },
        Qt::QueuedConnection);
  };
  // At most ten a second reach the window, whichever of the engine's threads reports.
  const auto throttled = [report] {
    return [report, last = std::make_shared<std::atomic<std::int64_t>>(0)](const ProgressUpdate& update) {
      const std::int64_t now =
          std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
      std::int64_t before = last->load();
      if (now - before >= 100 && last->compare_exchange_strong(before, now)) report(update);
    };
  };
  struct Outcome {
    Manifest manifest;
    std::string evaluation_problem;
  };
  run_lane_->submit<Outcome>(
      {}, this,
      [this, number, request, control, windows, can_read, throttled](Progress&, std::stop_token lane_stop) {
        const std::stop_callback link(lane_stop, [control] { control->stop.request_stop(); });
        const std::stop_token stop = control->stop.get_token();
        throw_if_stopped(stop);
        QMetaObject::invokeMethod(
            this,
            [this, number] {
              if (RunEntry* now = entry(number)) {
                now->state = RunEntry::State::running;
                now->progress = {};
                log(LogLevel::info, tr("%1 started").arg(slotTitle({number})));
                emit runsChanged();
              }
            },
            Qt::QueuedConnection);
        std::error_code code;
        std::filesystem::create_directories(request.folder.parent_path(), code);
        Progress solving(throttled());
        Outcome outcome;
        outcome.manifest = carry_out(request, solving, stop, [this, number](const LayerRecord& layer) {
          QMetaObject::invokeMethod(
              this,
              [this, number, layer] {
                RunEntry* now = entry(number);
                if (!now) return;
                std::erase_if(now->manifest.layers, [&](const LayerRecord& other) { return other.name == layer.name; });
                now->manifest.layers.push_back(layer);
                emit layerFinished(number, QString::fromStdString(layer.name));
              },
              Qt::QueuedConnection);
        });
        if (windows > 0 && can_read && !outcome.manifest.evaluation) {
          Progress evaluating(throttled());
          EvaluationRequest evaluation;
          evaluation.windows = std::size_t(windows);
          try {
            evaluate_run(request.folder, evaluation, evaluating, stop);
          } catch (const Error& error) {
            // The run itself is done; that it could not be evaluated is said, not hidden.
            if (error.kind() == ErrorKind::stopped)
              outcome.evaluation_problem = "the evaluation was stopped";
            else
              outcome.evaluation_problem = error.what();
          }
        }
        outcome.manifest = read_manifest(request.folder);
        return outcome;
      },
      [this, number](Outcome outcome) {
        RunEntry* now = entry(number);
        if (!now) return;
        now->manifest = std::move(outcome.manifest);
        if (!outcome.evaluation_problem.empty())
          log(LogLevel::warning,
              tr("%1 is done, without an evaluation: %2").arg(slotTitle({number}), QString::fromStdString(outcome.evaluation_problem)));
        finishRun(number, {}, false);
      },
      [this, number](const Error& error) { finishRun(number, QString::fromUtf8(error.what()), error.kind() == ErrorKind::stopped); });
}

void Workspace::finishRun(int number, const QString& failure, bool stopped) {
  RunEntry* run = entry(number);
  if (!run) return;
  const auto control = parts_->controls[number];
  parts_->controls.erase(number);
  if (stopped) {
    run->state = control && control->pausing ? RunEntry::State::paused : RunEntry::State::stopped;
    log(LogLevel::info, tr("%1 %2; %3 layers are saved")
                            .arg(slotTitle({number}), run->state == RunEntry::State::paused ? tr("paused") : tr("stopped"))
                            .arg(run->manifest.layers.size()));
  } else if (!failure.isEmpty()) {
    run->state = RunEntry::State::failed;
    run->failure = failure;
    banner(tr("%1 failed: %2").arg(slotTitle({number}), failure));
  } else {
    run->state = RunEntry::State::done;
    run->failure.clear();
    log(LogLevel::info, tr("%1 done, %2 bits per weight").arg(slotTitle({number})).arg(run->manifest.bits_per_weight, 0, 'f', 2));
    // What was cached of this number belongs to an unfinished run.
    std::erase_if(parts_->spectra, [number](const auto& item) { return item.first.second == number; });
    const RunEntry* b = b_.run ? findRun(*b_.run) : nullptr;
    if (!b || b->number < number) b_ = {number};
  }
  emit runsChanged();
  emit slotsChanged();
  emit draftChanged();
}

void Workspace::pauseRun(int number) {
  const auto found = parts_->controls.find(number);
  if (found == parts_->controls.end()) return;
  found->second->pausing = true;
  found->second->stop.request_stop();
}

void Workspace::stopRun(int number) {
  const auto found = parts_->controls.find(number);
  if (found == parts_->controls.end()) {
    if (RunEntry* run = entry(number); run && run->state == RunEntry::State::paused) {
      run->state = RunEntry::State::stopped;
      emit runsChanged();
    }
    return;
  }
  found->second->pausing = false;
  found->second->stop.request_stop();
}

void Workspace::resumeRun(int number) {
  RunEntry* run = entry(number);
  // A finished run that was not evaluated goes on with that.
  const bool unevaluated = run && run->state == RunEntry::State::done && !run->manifest.evaluation;
  if (!run || (!unevaluated && run->state != RunEntry::State::paused && run->state != RunEntry::State::stopped &&
               run->state != RunEntry::State::failed))
    return;
  run->state = RunEntry::State::queued;
  run->failure.clear();
  submitRun(number);
  emit runsChanged();
}

void Workspace::deleteRun(int number) {
  const RunEntry* run = findRun(number);
  if (!run || run->state == RunEntry::State::running || run->state == RunEntry::State::queued) return;
  const QString folder = QString::fromStdString(run->folder.string());
  if (QFile::exists(folder) && !QFile::moveToTrash(folder)) {
    banner(tr("%1 could not be moved to the trash; its folder is %2.").arg(slotTitle({number}), folder));
    return;
  }
  std::erase_if(runs_, [number](const RunEntry& other) { return other.number == number; });
  std::erase_if(parts_->spectra, [number](const auto& item) { return item.first.second == number; });
  if (a_.run == number) a_ = {};
  if (b_.run == number) b_ = {};
  emit runsChanged();
  emit slotsChanged();
  emit draftChanged();
}

QString Workspace::commandOf(const RunEntry& run) const {
  if (!model_) return {};
  return QString::fromStdString(command_of({model_->checkpoint().path(), model_, run.manifest.recipe, run.folder}));
}

QString Workspace::commandOfDraft() const {
  if (!model_) return {};
  int number = 1;
  for (const RunEntry& run : runs_) number = std::max(number, run.number + 1);
  return QString::fromStdString(
      command_of({model_->checkpoint().path(), model_, draft_, parts_->runs_folder / run_folder_name(number, draft_.name)}));
}

// ---- Spectra and the measuring pass ------------------------------------------------------------------------------------

std::shared_ptr<const LayerSpectrum> Workspace::spectrum(int layer, Slot slot) {
  if (!model_ || layer < 0 || std::size_t(layer) >= model_->layers().size()) return nullptr;
  Parts& parts = *parts_;
  const std::pair<int, int> key(layer, slot.run.value_or(-1));
  if (const auto found = parts.spectra.find(key); found != parts.spectra.end()) return found->second;
  std::filesystem::path folder;
  if (slot.run) {
    if (!record(slot, layer)) return nullptr;  // not solved (yet)
    folder = findRun(*slot.run)->folder;
  } else {
    folder = parts.measurement_folder;
  }
  if (!parts.requested.insert(key).second) return nullptr;
  query_lane_->submit<std::shared_ptr<const LayerSpectrum>>(
      QString("spectrum/%1/%2").arg(key.first).arg(key.second), this,
      [model = model_, layer, folder, of_run = slot.run.has_value(), weight = draft_.weight](
          Progress&, std::stop_token) -> std::shared_ptr<const LayerSpectrum> {
        const LayerInfo& info = model->layers()[std::size_t(layer)];
        if (of_run) return std::make_shared<LayerSpectrum>(spectrum_of_run(folder, info.name));
        if (!folder.empty())
          if (auto measured = measured_spectrum(folder, info.name)) return std::make_shared<LayerSpectrum>(std::move(*measured));
        return std::make_shared<LayerSpectrum>(spectrum_of_weights(*model, info, weight));
      },
      [this, key, model = model_](std::shared_ptr<const LayerSpectrum> answer) {
        parts_->requested.erase(key);
        if (model != model_) return;
        parts_->spectra[key] = std::move(answer);
        emit spectrumReady(key.first);
      },
      [this, key](const Error& error) {
        parts_->requested.erase(key);
        if (error.kind() != ErrorKind::stopped) log(LogLevel::warning, QString::fromUtf8(error.what()));
      });
  return nullptr;
}

void Workspace::dropOriginalSpectra() {
  Parts& parts = *parts_;
  for (auto request = parts.requested.begin(); request != parts.requested.end();) {
    if (request->second != -1) {
      ++request;
      continue;
    }
    query_lane_->cancel(QString("spectrum/%1/-1").arg(request->first));
    request = parts.requested.erase(request);
  }
  std::erase_if(parts.spectra, [](const auto& item) { return item.first.second == -1; });
  parts.measurement_folder.clear();
  if (!parts.model_sha256.empty()) parts.measurement_folder = cache_folder() / "measurements" / measurement_key(parts.model_sha256, draft_);
  const bool before = parts.measured;
  std::error_code code;
  parts.measured = !parts.measurement_folder.empty() && std::filesystem::exists(parts.measurement_folder / "complete", code);
  if (before != parts.measured) emit measuredChanged();
}

bool Workspace::isMeasured() const { return parts_->measured; }
std::optional<ProgressUpdate> Workspace::measuring() const { return parts_->measuring; }

void Workspace::stopMeasuring() {
  run_lane_->cancel("measure");
  if (!parts_->measuring) return;
  parts_->measuring.reset();
  log(LogLevel::info, tr("Measuring stopped; the layers that were measured are kept"));
  emit measureProgress();
}

void Workspace::measure() {
  if (!model_ || parts_->measured || parts_->measuring || parts_->measurement_folder.empty()) return;
  const auto folder = parts_->measurement_folder;
  parts_->measuring = ProgressUpdate{};
  log(LogLevel::info, tr("Measuring for %1-bit activations").arg(draft_.activation.bits));
  emit measureProgress();
  run_lane_->submit<bool>(
      "measure", this,
      [model = model_, recipe = draft_, folder](Progress& progress, std::stop_token stop) {
        std::error_code code;
        std::filesystem::create_directories(folder, code);
        lrc::measure(*model, recipe, folder, progress, stop);
        write_file_atomically(folder / "complete", "");
        return true;
      },
      [this](bool) {
        parts_->measuring.reset();
        log(LogLevel::info, tr("Measured"));
        dropOriginalSpectra();
        emit measureProgress();
        emit measuredChanged();
      },
      [this](const Error& error) {
        parts_->measuring.reset();
        if (error.kind() != ErrorKind::stopped) banner(tr("Measuring failed: %1").arg(QString::fromUtf8(error.what())));
        emit measureProgress();
      },
      [this](const ProgressUpdate& update) {
        if (!parts_->measuring) return;
        parts_->measuring = update;
        emit measureProgress();
      });
}

}  // namespace lrc::app

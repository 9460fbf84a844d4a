// Runs on their way: queued, reported, paused, finished.
#include <QFile>
#include <QSettings>
#include <algorithm>
#include <chrono>
#include <mutex>

#include "base/files.h"
#include "models/memory_limit.h"
#include "workspace.h"
#include "workspace_parts.h"

namespace lrc::app {

// ---- Carrying out ------------------------------------------------------------------------------------------------------

int Workspace::startRun() { return queueRun(draft_); }

int Workspace::queueRun(const Recipe& recipe, bool compared) {
  std::optional<QString> problem;
  if (recipe == draft_ || !model_) {
    problem = draftProblem();
  } else {
    try {
      if (const auto found = problem_of(recipe, *model_)) problem = QString::fromStdString(*found);
    } catch (const Error& error) {
      problem = QString::fromUtf8(error.what());
    }
  }
  if (problem) {
    log(LogLevel::error, *problem);
    emit bannerRequested(*problem, {}, {}, {});
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
  run.folder = parts_->runs_folder / run_folder_name(run.number, recipe.name);
  run.manifest.recipe = recipe;
  run.manifest.model_name = model_->display_name();
  run.manifest.layers_total = model_->layers().size();
  run.state = RunEntry::State::queued;
  const int number = run.number;
  if (compared) parts_->compared.insert(number);
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
  const RunRequest request{model_->checkpoint().path(), model_, run->manifest.recipe, run->folder, memory_limit()};
  const int windows = QSettings().value("evaluation/windows", 6).toInt();
  const bool can_read = !model_->tokenizer_problem();

  // Runs report through their own channel, not the lane's: the stages after solving have a plan of their own.
  // At most ten reports a second reach the window, whichever of the engine's threads reports; each carries where every stage is.
  struct Reports {
    std::mutex mutex;
    std::vector<ProgressUpdate> stages;
    std::chrono::steady_clock::time_point last{};
  };
  const auto throttled = [this, number, reports = std::make_shared<Reports>()](const ProgressUpdate& update) {
    const std::lock_guard lock(reports->mutex);
    const auto same = std::find_if(reports->stages.begin(), reports->stages.end(),
                                   [&](const ProgressUpdate& other) { return other.stage == update.stage; });
    if (same == reports->stages.end())
      reports->stages.push_back(update);
    else
      *same = update;
    const auto now = std::chrono::steady_clock::now();
    if (now - reports->last < std::chrono::milliseconds(100)) return;
    reports->last = now;
    QMetaObject::invokeMethod(
        this,
        [this, number, update, stages = reports->stages] {
          RunEntry* entry_now = entry(number);
          if (!entry_now || entry_now->state != RunEntry::State::running) return;
          entry_now->progress = update;
          entry_now->stages = stages;
          emit runProgress(number);
        },
        Qt::QueuedConnection);
  };
  struct Outcome {
    Manifest manifest;
    std::string evaluation_problem;
  };
  run_lane_->submit<Outcome>(
      {}, this,
      [this, number, request, control, windows, can_read, throttled, observer = parts_->layer_observer](Progress&,
                                                                                                        std::stop_token lane_stop) {
        const std::stop_callback link(lane_stop, [control] { control->stop.request_stop(); });
        const std::stop_token stop = control->stop.get_token();
        throw_if_stopped(stop);
        QMetaObject::invokeMethod(
            this,
            [this, number] {
              if (RunEntry* now = entry(number)) {
                now->state = RunEntry::State::running;
                now->progress = {};
                now->stages.clear();
                log(LogLevel::info, tr("%1 started").arg(slotTitle({number})));
                emit runsChanged();
              }
            },
            Qt::QueuedConnection);
        std::error_code code;
        std::filesystem::create_directories(request.folder.parent_path(), code);
        Progress solving(throttled);
        Outcome outcome;
        outcome.manifest = carry_out(request, solving, stop, [this, number, observer](const LayerRecord& layer) {
          if (observer) observer(layer);
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
          // What is solved can be looked at and talked to while it is evaluated.
          QMetaObject::invokeMethod(
              this,
              [this, number, solved = outcome.manifest] {
                RunEntry* now = entry(number);
                if (!now) return;
                now->manifest = solved;
                takeAsCandidate(number);
                emit runsChanged();
                emit slotsChanged();
                emit draftChanged();
              },
              Qt::QueuedConnection);
          Progress evaluating(throttled);
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
    takeAsCandidate(number);
  }
  emit runsChanged();
  emit slotsChanged();
  emit draftChanged();
}

void Workspace::takeAsCandidate(int number) {
  // What was cached of this number belongs to an unfinished run.
  std::erase_if(parts_->spectra, [number](const auto& item) { return item.first.second == number; });
  const RunEntry* b = b_.run ? findRun(*b_.run) : nullptr;
  if (!parts_->compared.contains(number) && (!b || b->number < number)) b_ = {number};
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

void Workspace::resumeWhenListed(const std::filesystem::path& folder) { parts_->resumed_run = folder; }

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
  return QString::fromStdString(command_of({model_->checkpoint().path(), model_, run.manifest.recipe, run.folder, memory_limit()}));
}

QString Workspace::commandOfDraft() const {
  if (!model_) return {};
  int number = 1;
  for (const RunEntry& run : runs_) number = std::max(number, run.number + 1);
  return QString::fromStdString(command_of(
      {model_->checkpoint().path(), model_, draft_, parts_->runs_folder / run_folder_name(number, draft_.name), memory_limit()}));
}

}  // namespace lrc::app

// Opening a model: headers first, then, where a run of it would need more memory than is free, a decision.
#include <QFile>
#include <algorithm>
#include <limits>

#include "models/draft_edits.h"
#include "models/memory_limit.h"
#include "models/notebook.h"
#include "run/memory.h"
#include "run/memory_stages.h"
#include "workspace.h"
#include "workspace_parts.h"

namespace lrc::app {

namespace {

struct Allowance {
  quint64 bytes = 0;
  bool limited = false;  ///< by the settings
};

/// What this program may still take: what the system has, and at most what the settings allow.
Allowance available_memory() {
  quint64 free = free_memory_bytes();
  if (free == 0) free = std::numeric_limits<quint64>::max();  // the system does not say
  const quint64 limit = memory_limit();
  return limit > 0 && limit < free ? Allowance{limit, true} : Allowance{free, false};
}

}  // namespace

void Workspace::openModel(const QString& path) {
  struct Opened {
    std::shared_ptr<const Model> model;
    QString as;
    std::uint64_t needs = 0;  ///< bytes, by the recipe that a model starts with
  };
  const std::filesystem::path file = path.toStdString();
  log(LogLevel::info, tr("Opening %1").arg(path));
  query_lane_->submit<Opened>(
      "open", this,
      [file](Progress&, std::stop_token) {
        Opened opened;
        opened.as = QString::fromStdString(file.string());
        opened.model = is_run_folder(file) ? open_model(file).model : Model::open(file);
        for (const MemoryStage& stage : memory_by_stage(fitted_to(Recipe{}, *opened.model), *opened.model, available_memory().bytes))
          opened.needs = std::max(opened.needs, stage.total());
        return opened;
      },
      [this](Opened opened) {
        const Allowance allowance = available_memory();
        // A session was decided about when it was made.
        if (opened.needs > allowance.bytes && !parts_->restore && !runningRun()) {
          parts_->too_large = TooLarge{opened.as, std::move(opened.model), allowance.bytes, allowance.limited};
          emit openedTooLarge();
        } else {
          takeModel(std::move(opened.model), opened.as);
        }
      },
      [this, path](const Error& error) {
        parts_->restore.reset();
        const QString sentence = QString::fromUtf8(error.what());
        log(LogLevel::error, sentence);
        emit openFailed(path, sentence);
      });
}

const std::optional<Workspace::TooLarge>& Workspace::tooLarge() const { return parts_->too_large; }

void Workspace::openAnyway(const Recipe& draft) {
  if (!parts_->too_large) return;
  const TooLarge waiting = std::move(*parts_->too_large);
  parts_->too_large.reset();
  parts_->first_draft = draft;
  emit openingDecided();
  takeModel(waiting.model, waiting.path);
  parts_->first_draft.reset();
}

void Workspace::cancelOpening() {
  if (!parts_->too_large) return;
  parts_->too_large.reset();
  emit openingDecided();
}

void Workspace::takeModel(std::shared_ptr<const Model> model, const QString& opened_as) {
  if (runningRun()) {
    banner(
        tr("A run of %1 is under way. Stop it before another model is opened here.").arg(QString::fromStdString(model_->display_name())));
    return;
  }
  if (model_) emit modelClosed();
  model_ = std::move(model);
  Parts& parts = *parts_;
  parts.spectra.clear();
  parts.requested.clear();
  parts.controls.clear();
  parts.model_sha256.clear();
  parts.measure_wanted = false;
  parts.measured = false;
  parts.sample_place.clear();
  parts.sample_folder.clear();
  parts.distributions.clear();
  parts.distributions_asked.clear();
  parts.channels.clear();
  parts.channels_asked.clear();
  parts.session_file.clear();
  runs_.clear();
  a_ = b_ = {};
  selection_.clear();
  current_ = -1;
  perspective_ = Perspective::explore;
  parts.history = {Parts::Step{}};
  parts.position = 0;
  undo_.clear();

  Recipe recipe;
  try {
    recipe = load_recipe(recipe.name);
    // As they can run here: what a width rules out is no difference.
    parts.presets = shipped_recipes();
    for (Recipe& preset : parts.presets) preset = fitted_to(preset, *model_);
  } catch (const Error& error) {
    log(LogLevel::warning, QString::fromUtf8(error.what()));
  }
  // A width without a Hadamard order cannot be rotated; the draft starts with something that can run.
  recipe = fitted_to(recipe, *model_);
  if (parts.first_draft) recipe = *parts.first_draft;
  draft_ = recipe;
  parts.schemes_known = parts.inherited_known = false;
  parts.problem.reset();
  Notebook::of(*this).clear();
  parts.saved_text = session_content(*this);

  noteRecentFile(opened_as);
  if (const auto problem = model_->tokenizer_problem()) log(LogLevel::warning, QString::fromStdString(*problem));
  log(LogLevel::info, tr("%1: %2 linear layers, %3 weights")
                          .arg(QString::fromStdString(model_->display_name()))
                          .arg(model_->layers().size())
                          .arg(model_->linear_parameters()));
  emit modelOpened();
  emit draftChanged();
  emit runsChanged();
  emit slotsChanged();
  emit perspectiveChanged();
  if (!model_->layers().empty()) selectLayers({0}, 0);
  restoreStep();
  scanRuns();
}

}  // namespace lrc::app

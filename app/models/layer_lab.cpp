#include "models/layer_lab.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "models/draft_edits.h"
#include "plot_style.h"

namespace lrc::app {

LayerLab& LayerLab::of(Workspace& workspace) {
  if (auto* found = workspace.findChild<LayerLab*>({}, Qt::FindDirectChildrenOnly)) return *found;
  return *new LayerLab(workspace);
}

LayerLab::LayerLab(Workspace& workspace) : QObject(&workspace), workspace_(workspace) {
  connect(&workspace, &Workspace::modelOpened, this, &LayerLab::forget);
  connect(&workspace, &Workspace::modelClosed, this, &LayerLab::forget);
  // Moments that were missing may be kept by now.
  const auto look_again = [this] {
    if (trying_ == Trying::needs_walk) trying_ = Trying::idle;
  };
  connect(&workspace, &Workspace::measuredChanged, this, look_again);
  connect(this, &LayerLab::solvedChanged, this, look_again);
}

void LayerLab::forget() {
  workspace_.queryLane().cancel("solve alone");
  stopTrying();
  solved_.clear();
  tried_.clear();
  solving_.reset();
  emit solvedChanged();
  emit progressChanged();
}

std::string LayerLab::basis() const { return basis(workspace_.draft().skip_first_positions); }

std::string LayerLab::basis(std::size_t skip_first_positions) const {
  const Recipe& draft = workspace_.draft();
  const RotationChoice& r = draft.rotation;
  return Json({r.file, r.r1, r.r2, r.r3, r.r4, r.seed, draft.calibration, draft.calibration_tokens, draft.calibration_context,
               skip_first_positions})
      .dump();
}

const LayerScheme* LayerLab::draftScheme(int layer) const {
  const auto& schemes = workspace_.draftSchemes();
  if (layer < 0 || std::size_t(layer) >= schemes.size() || !schemes[std::size_t(layer)]) return nullptr;
  return &*schemes[std::size_t(layer)];
}

// ---- Solving alone -----------------------------------------------------------------------------------------------------

const SolvedAlone* LayerLab::solved(int layer) const {
  const LayerScheme* scheme = draftScheme(layer);
  const auto found = solved_.find(layer);
  if (!scheme || found == solved_.end() || problem_of_solving_alone(workspace_.draft())) return nullptr;
  const std::string now = basis();
  for (const SolvedAlone& each : found->second)
    if (each.scheme == *scheme && each.basis == now) return &each;
  return nullptr;
}

std::vector<const SolvedAlone*> LayerLab::solvedAtRanks(int layer) const {
  std::vector<const SolvedAlone*> result;
  const LayerScheme* scheme = draftScheme(layer);
  const auto found = solved_.find(layer);
  if (!scheme || found == solved_.end()) return result;
  const std::string now = basis();
  for (const SolvedAlone& each : found->second) {
    LayerScheme other = each.scheme;
    other.rank = scheme->rank;
    if (other == *scheme && each.basis == now) result.push_back(&each);
  }
  return result;
}

void LayerLab::solveSelection() {
  if (!workspace_.hasModel() || workspace_.selectedLayers().empty()) return;
  const auto refuse = [this](const QString& why) { workspace_.log(LogLevel::warning, why); };
  if (const auto problem = workspace_.draftProblem()) return refuse(*problem);
  if (const auto problem = problem_of_solving_alone(workspace_.draft())) return refuse(QString::fromStdString(*problem));
  std::vector<int> indices;
  for (const int layer : workspace_.selectedLayers())
    if (const LayerScheme* scheme = draftScheme(layer); scheme && !scheme->skipped) indices.push_back(layer);
  if (indices.empty()) return refuse(tr("The selected layers stay in float; there is nothing to solve"));
  const auto model = workspace_.model();
  const QString what = QString::fromStdString(describe_layers(*model, indices));
  solving_ = ProgressUpdate{};
  emit progressChanged();
  const std::string on = basis();
  workspace_.queryLane().submit<double>(
      "solve alone", this,
      [this, model, recipe = workspace_.draft(), indices, on](Progress& progress, std::stop_token stop) {
        std::vector<const LayerInfo*> layers;
        for (const int index : indices) layers.push_back(&model->layers()[std::size_t(index)]);
        double seconds = 0;
        solve_alone(*model, recipe, layers, kept_sites_folder(recipe, *model), progress, stop, [&](AloneSolution alone) {
          seconds += alone.record.seconds;
          const int index = int(alone.layer - model->layers().data());
          SolvedAlone result{effective_scheme(recipe, *alone.layer), on, std::move(alone.record),
                             std::make_shared<LayerSpectrum>(std::move(alone.spectrum))};
          // Each layer is shown as it comes.
          QMetaObject::invokeMethod(
              this,
              [this, model, index, result = std::move(result)] {
                if (workspace_.model() != model) return;
                auto& of_layer = solved_[index];
                std::erase_if(of_layer, [&](const SolvedAlone& old) { return old.scheme == result.scheme && old.basis == result.basis; });
                of_layer.push_back(result);
                emit solvedChanged();
              },
              Qt::QueuedConnection);
        });
        return seconds;
      },
      [this, what, indices](double seconds) {
        solving_.reset();
        const SolvedAlone* only = indices.size() == 1 ? solved(indices.front()) : nullptr;
        workspace_.log(LogLevel::info,
                       only ? tr("%1 solved in %2: %3 %").arg(what, format_duration(seconds), format_error(only->record.loss))
                            : tr("%1 solved").arg(what));
        emit progressChanged();
      },
      [this, what](const Error& error) {
        solving_.reset();
        if (error.kind() != ErrorKind::stopped)
          workspace_.log(LogLevel::warning, tr("%1 could not be solved: %2").arg(what, QString::fromUtf8(error.what())));
        emit progressChanged();
      },
      [this](const ProgressUpdate& update) {
        if (!solving_) return;
        solving_ = update;
        emit progressChanged();
      });
}

void LayerLab::stopSolving() {
  workspace_.queryLane().cancel("solve alone");
  if (!solving_) return;
  solving_.reset();
  workspace_.log(LogLevel::info, tr("Solving stopped; layers that were solved are kept"));
  emit progressChanged();
}

// ---- What would help ---------------------------------------------------------------------------------------------------

const LayerLab::Tried* LayerLab::tried(int layer) const {
  const LayerScheme* scheme = draftScheme(layer);
  const auto found = tried_.find(layer);
  if (!scheme || found == tried_.end()) return nullptr;
  const Tried& tried = *found->second;
  const std::size_t skipped = tried.recipe.skip_first_positions;
  if (tried.basis != basis(skipped)) return nullptr;
  const auto has = [&](const LayerScheme& wanted, std::size_t first) {
    return wanted == *scheme && workspace_.draft().skip_first_positions == first;
  };
  const bool of_draft = has(tried.scheme, skipped) || std::ranges::any_of(tried.trials.suggestions, [&](const Suggestion& each) {
                          return has(each.scheme, each.skip_first_positions.value_or(skipped));
                        });
  return of_draft ? &tried : nullptr;
}

const LayerTrials* LayerLab::trials(int layer) const {
  const Tried* found = tried(layer);
  return found ? &found->trials : nullptr;
}

bool LayerLab::isSet(int layer, const Suggestion& suggestion) const {
  const LayerScheme* scheme = draftScheme(layer);
  if (suggestion.skip_first_positions) return workspace_.draft().skip_first_positions == *suggestion.skip_first_positions;
  return scheme && *scheme == suggestion.scheme;
}

LayerLab::Trying LayerLab::trying(int layer) const { return layer == trying_layer_ ? trying_ : Trying::idle; }

void LayerLab::stopTrying() {
  workspace_.queryLane().cancel("what would help");
  if (trying_ == Trying::working) trying_ = Trying::idle;
}

void LayerLab::tryVariants(int layer, bool walk) {
  const LayerScheme* scheme = draftScheme(layer);
  if (!scheme || tried(layer)) return;
  const bool again = trying_layer_ == layer && trying_scheme_ == *scheme;
  if (again && (trying_ == Trying::working || (trying_ == Trying::needs_walk && !walk))) return;
  trying_layer_ = layer;
  trying_scheme_ = *scheme;
  failure_.clear();
  const auto refuse = [&](const QString& why) {
    trying_ = Trying::failed;
    failure_ = why;
    emit trialsChanged(layer);
  };
  if (scheme->skipped) return refuse(tr("This layer stays in float."));
  if (const auto problem = workspace_.draftProblem()) return refuse(*problem);
  if (const auto problem = problem_of_solving_alone(workspace_.draft())) return refuse(QString::fromStdString(*problem));
  trying_ = Trying::working;
  const auto model = workspace_.model();
  auto tried = std::make_shared<Tried>(Tried{workspace_.draft(), *scheme, basis(), {}});
  workspace_.queryLane().submit<std::optional<LayerTrials>>(
      "what would help", this,
      [model, recipe = workspace_.draft(), layer, walk](Progress& progress, std::stop_token stop) -> std::optional<LayerTrials> {
        const LayerInfo& info = model->layers()[std::size_t(layer)];
        const auto keep = kept_sites_folder(recipe, *model);
        if (!walk && !is_ready_to_solve(*model, recipe, {&info}, keep)) return {};
        return weight_trials(*model, recipe, info, keep, progress, stop);
      },
      [this, model, layer, tried](std::optional<LayerTrials> trials) {
        if (workspace_.model() != model) return;
        if (!trials) {
          trying_ = Trying::needs_walk;
          emit trialsChanged(layer);
          return;
        }
        tried->trials = std::move(*trials);
        std::ranges::sort(tried->trials.suggestions, {}, &Suggestion::loss);
        tried_[layer] = tried;
        tryActivations(layer, tried);
        emit trialsChanged(layer);
      },
      [this, layer](const Error& error) {
        trying_ = Trying::idle;
        if (error.kind() != ErrorKind::stopped) {
          trying_ = Trying::failed;
          failure_ = QString::fromUtf8(error.what());
        }
        emit trialsChanged(layer);
      });
  emit trialsChanged(layer);
}

void LayerLab::tryActivations(int layer, std::shared_ptr<Tried> tried) {
  const auto model = workspace_.model();
  workspace_.queryLane().submit<std::vector<Suggestion>>(
      "what would help", this,
      [model, recipe = tried->recipe, layer, now = tried->trials.now](Progress& progress, std::stop_token stop) {
        const LayerInfo& info = model->layers()[std::size_t(layer)];
        return activation_trials(*model, recipe, info, now, kept_sites_folder(recipe, *model), progress, stop);
      },
      [this, layer, tried](std::vector<Suggestion> more) {
        trying_ = Trying::idle;
        auto& all = tried->trials.suggestions;
        all.insert(all.end(), more.begin(), more.end());
        std::ranges::sort(all, {}, &Suggestion::loss);
        emit trialsChanged(layer);
      },
      [this, layer](const Error& error) {
        trying_ = Trying::idle;
        if (error.kind() != ErrorKind::stopped) workspace_.log(LogLevel::warning, QString::fromUtf8(error.what()));
        emit trialsChanged(layer);
      });
}

void LayerLab::take(int layer, const Suggestion& suggestion) {
  const Model& model = *workspace_.model();
  if (suggestion.skip_first_positions) {
    Recipe changed = workspace_.draft();
    changed.skip_first_positions = *suggestion.skip_first_positions;
    workspace_.editDraft(QString::fromStdString(suggestion.title), changed);
    emit trialsChanged(layer);
    return;
  }
  std::vector<int> layers;
  for (std::size_t i = 0; i < model.layers().size(); ++i)
    if (std::ranges::find(suggestion.layers, model.layers()[i].name) != suggestion.layers.end()) layers.push_back(int(i));
  workspace_.editDraft(tr("%1: %2").arg(QString::fromStdString(describe_layers(model, layers)), QString::fromStdString(suggestion.title)),
                       with_change(workspace_.draft(), model, layers, suggestion.change));
  emit trialsChanged(layer);
}

}  // namespace lrc::app

#include "models/sensitivities.h"

#include <algorithm>

#include "base/error.h"
#include "models/run_facts.h"

namespace lrc::app {

Sensitivities& Sensitivities::of(Workspace& workspace) {
  if (auto* found = workspace.findChild<Sensitivities*>({}, Qt::FindDirectChildrenOnly)) return *found;
  return *new Sensitivities(workspace);
}

Sensitivities::Sensitivities(Workspace& workspace)
    : QObject(&workspace), workspace_(workspace), lane_(std::make_unique<JobQueue>("sensitivity")) {
  connect(&workspace, &Workspace::modelOpened, this, &Sensitivities::forget);
  connect(&workspace, &Workspace::modelClosed, this, &Sensitivities::forget);
  connect(&workspace, &Workspace::slotsChanged, this, [this] {
    if (!measuring_) expect();
    emit changed();
  });
}

Sensitivities::~Sensitivities() = default;

void Sensitivities::forget() {
  stop();
  known_.clear();
  keys_.clear();
  expect();
  emit changed();
}

Recipe Sensitivities::recipe() const {
  const RunEntry* b = run_in(workspace_, workspace_.slotB());
  Recipe plain = without_correction(b ? b->manifest.recipe : workspace_.draft());
  plain.name.clear();
  return plain;
}

const std::string& Sensitivities::key() const {
  // The table asks for each of its rows.
  const RunEntry* b = run_in(workspace_, workspace_.slotB());
  if (!b) return draft_key_ = to_text(recipe());
  auto& key = keys_[b->number];
  if (key.empty()) key = to_text(recipe());
  return key;
}

bool Sensitivities::isMeasured() const { return workspace_.hasModel() && known_.contains(key()); }

void Sensitivities::expect() {
  expected_.reset();
  if (!workspace_.hasModel()) return;
  // The costs of this machine may have to be measured first: not on the GUI thread.
  lane_->submit<std::optional<double>>(
      "expect", this,
      [model = workspace_.model(), plain = recipe()](Progress&, std::stop_token) -> std::optional<double> {
        if (problem_of(plain, *model)) return {};
        double solving = 0, reading = 0;
        for (const auto& [stage, seconds] : forecast(plain, *model).by_stage) {
          if (stage == "rotate" || stage == "calibrate" || stage == "solve") solving += seconds;
          if (stage == "calibrate") reading = seconds;
        }
        // One pass of the exact tokens through the blocks behind each layer: half of them on average.
        const double tokens = double(SensitivityRequest{}.exact_tokens) / double(std::max<std::size_t>(1, plain.calibration_tokens));
        return solving + reading * tokens * double(model->layers().size()) / 2;
      },
      [this](std::optional<double> seconds) {
        expected_ = seconds;
        emit progress();
      });
}

void Sensitivities::stop() {
  lane_->cancel_all();
  if (!measuring_) return;
  measuring_.reset();
  emit progress();
}

void Sensitivities::measure() {
  if (!workspace_.hasModel() || measuring_ || isMeasured()) return;
  SensitivityRequest request;
  request.recipe = recipe();
  request.exact = true;
  measuring_ = ProgressUpdate{};
  emit progress();
  lane_->submit<std::vector<LayerSensitivity>>(
      "sensitivity", this,
      [model = workspace_.model(), request](Progress& progress, std::stop_token stop) {
        return sensitivity(*model, request, progress, stop);
      },
      [this, key = to_text(request.recipe)](std::vector<LayerSensitivity> layers) {
        measuring_.reset();
        auto& of_recipe = known_[key];
        for (auto& layer : layers) of_recipe[layer.name] = std::move(layer);
        workspace_.log(LogLevel::info, tr("The sensitivity of %1 layers is known").arg(layers.size()));
        emit progress();
        emit changed();
      },
      [this](const Error& error) {
        measuring_.reset();
        if (error.kind() != ErrorKind::stopped)
          workspace_.log(LogLevel::warning, tr("Measuring the sensitivity failed: %1").arg(QString::fromUtf8(error.what())));
        emit progress();
      },
      [this](const ProgressUpdate& update) {
        if (!measuring_) return;
        measuring_ = update;
        emit progress();
      });
}

std::optional<Sensitivities::Value> Sensitivities::value(int layer) const {
  if (known_.empty() || !workspace_.hasModel() || layer < 0 || std::size_t(layer) >= workspace_.model()->layers().size()) return {};
  const auto of_recipe = known_.find(key());
  if (of_recipe == known_.end()) return {};
  const auto found = of_recipe->second.find(workspace_.model()->layers()[std::size_t(layer)].name);
  if (found == of_recipe->second.end() || !found->second.kl) return {};
  const LayerRecord* record = workspace_.record(workspace_.slotB(), layer);
  const bool plain = record && record->rank == 0 && (record->method == "gptq" || record->method == "rtn");
  if (!record || plain || !(found->second.both > 0)) return Value{*found->second.kl, false};
  // KL grows with the square of a small perturbation, so with the relative error itself.
  return Value{*found->second.kl * record->loss / found->second.both, true};
}

}  // namespace lrc::app

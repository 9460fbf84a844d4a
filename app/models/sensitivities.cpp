#include "models/sensitivities.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "models/run_facts.h"
#include "run/recipe_parts.h"

namespace lrc::app {

namespace {

constexpr int file_format = 1;

/// Beside the measurements: it takes minutes to know and can be known again.
std::filesystem::path place_of(const Model& model, const Recipe& plain) {
  return cache_folder() / "measurements" / ("sensitivity-" + cache_key(model.checkpoint().sha256(), plain) + ".json");
}

void keep(const std::filesystem::path& file, const std::vector<LayerSensitivity>& layers) {
  Json json = {{"format", file_format}, {"layers", Json::array()}};
  for (const LayerSensitivity& layer : layers)
    if (layer.kl) json["layers"].push_back({{"name", layer.name}, {"both", layer.both}, {"kl", *layer.kl}});
  std::filesystem::create_directories(file.parent_path());
  write_file_atomically(file, json.dump());
}

/// Nothing where it was not kept, or not in this form.
std::vector<LayerSensitivity> read_kept(const std::filesystem::path& file) {
  std::vector<LayerSensitivity> layers;
  std::error_code code;
  if (!std::filesystem::exists(file, code)) return layers;
  try {
    const Json json = read_json_file(file);
    if (json.at("format") != file_format) return {};
    for (const Json& each : json.at("layers")) {
      LayerSensitivity layer;
      layer.name = each.at("name").get<std::string>();
      layer.both = each.at("both").get<double>();
      layer.kl = each.at("kl").get<double>();
      layers.push_back(std::move(layer));
    }
  } catch (const std::exception&) {
    return {};  // a damaged file of a cache is measured again
  }
  return layers;
}

}  // namespace

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
  expect();
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
  struct Expected {
    std::vector<LayerSensitivity> kept;
    std::optional<double> seconds;
  };
  lane_->submit<Expected>(
      "expect", this,
      [model = workspace_.model(), plain = recipe()](Progress&, std::stop_token) -> Expected {
        if (problem_of(plain, *model)) return {};
        if (auto kept = read_kept(place_of(*model, plain)); !kept.empty()) return {std::move(kept), {}};
        double solving = 0, reading = 0;
        for (const auto& [stage, seconds] : forecast(plain, *model).by_stage) {
          if (stage == "rotate" || stage == "calibrate" || stage == "solve") solving += seconds;
          if (stage == "calibrate") reading = seconds;
        }
        // One pass of the exact tokens through the blocks behind each layer: half of them on average.
        const double tokens = double(SensitivityRequest{}.exact_tokens) / double(std::max<std::size_t>(1, plain.calibration_tokens));
        return {{}, solving + reading * tokens * double(model->layers().size()) / 2};
      },
      [this, key = key()](Expected expected) {
        expected_ = expected.seconds;
        if (!expected.kept.empty()) take(key, std::move(expected.kept));
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
        const auto place = place_of(*model, request.recipe);
        if (auto kept = read_kept(place); !kept.empty()) return kept;
        auto layers = sensitivity(*model, request, progress, stop);
        try {
          keep(place, layers);
        } catch (const std::exception&) {
          // A full disk costs the copy, not what was measured.
        }
        return layers;
      },
      [this, key = to_text(request.recipe)](std::vector<LayerSensitivity> layers) {
        measuring_.reset();
        workspace_.log(LogLevel::info, tr("The sensitivity of %1 layers is known").arg(layers.size()));
        take(key, std::move(layers));
        emit progress();
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

void Sensitivities::take(const std::string& key, std::vector<LayerSensitivity> layers) {
  auto& of_recipe = known_[key];
  for (auto& layer : layers) of_recipe[layer.name] = std::move(layer);
  emit changed();
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

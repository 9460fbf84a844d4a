#include "workspace.h"

#include <QTime>
#include <algorithm>

#include "models/draft_edits.h"
#include "models/notebook.h"
#include "run/recipe_fields.h"
#include "run/recipe_parts.h"
#include "run/recipe_title.h"
#include "workspace_parts.h"

namespace lrc::app {

/// One step of the recipe's history: both recipes whole, so that undo is exact whatever the edit was.
class Workspace::DraftEdit : public QUndoCommand {
 public:
  DraftEdit(Workspace& workspace, const QString& name, Recipe before, Recipe after, int merge_id)
      : QUndoCommand(name), workspace_(workspace), before_(std::move(before)), after_(std::move(after)), merge_id_(merge_id) {}
  void undo() override { workspace_.applyDraft(before_); }
  void redo() override { workspace_.applyDraft(after_); }
  int id() const override { return merge_id_; }
  bool mergeWith(const QUndoCommand* other) override {
    const auto* next = static_cast<const DraftEdit*>(other);
    after_ = next->after_;
    setText(next->text());
    setObsolete(before_ == after_);
    return true;
  }

 private:
  Workspace& workspace_;
  Recipe before_, after_;
  int merge_id_;
};

Workspace::Workspace(std::filesystem::path runs_folder, QObject* parent)
    : QObject(parent),
      parts_(std::make_unique<Parts>()),
      run_lane_(std::make_unique<JobQueue>("runs")),
      query_lane_(std::make_unique<JobQueue>("queries")),
      chat_lane_(std::make_unique<JobQueue>("chat")) {
  parts_->runs_folder = std::move(runs_folder);
  undo_.setUndoLimit(200);
  parts_->history.push_back({});
  connect(&parts_->autosave, &QTimer::timeout, this, &Workspace::autosave);
  parts_->autosave.start(30000);
  query_lane_->submit<std::vector<DeviceInfo>>(
      {}, this, [](Progress&, std::stop_token) { return list_devices(); },
      [this](std::vector<DeviceInfo> devices) {
        devices_ = std::move(devices);
        emit devicesChanged();
      },
      [this](const Error& error) { log(LogLevel::warning, QString::fromUtf8(error.what())); });
}

Workspace::~Workspace() {
  for (auto& [number, control] : parts_->controls) control->stop.request_stop();
  // The lanes end first: what they still post must find everything else alive.
  run_lane_.reset();
  query_lane_.reset();
  chat_lane_.reset();
}

// ---- Selection, perspectives, history ----------------------------------------------------------------------------------

void Workspace::selectLayers(std::vector<int> layers, int current) {
  const int count = model_ ? int(model_->layers().size()) : 0;
  std::erase_if(layers, [count](int index) { return index < 0 || index >= count; });
  std::sort(layers.begin(), layers.end());
  layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
  if (std::find(layers.begin(), layers.end(), current) == layers.end()) current = layers.empty() ? -1 : layers.front();
  if (layers == selection_ && current == current_) return;
  // Spectra of layers that nobody looks at any more are not worth computing.
  for (auto request = parts_->requested.begin(); request != parts_->requested.end();) {
    if (std::binary_search(layers.begin(), layers.end(), request->first)) {
      ++request;
    } else {
      query_lane_->cancel(QString("spectrum/%1/%2").arg(request->first).arg(request->second));
      request = parts_->requested.erase(request);
    }
  }
  selection_ = std::move(layers);
  current_ = current;
  remember();
  emit selectionChanged();
}

void Workspace::setPerspective(Perspective perspective) {
  if (perspective == perspective_) return;
  perspective_ = perspective;
  remember();
  emit perspectiveChanged();
}

void Workspace::remember() {
  Parts& parts = *parts_;
  if (parts.navigating) return;
  const Parts::Step step{selection_, current_, perspective_, a_, b_};
  if (parts.history[parts.position] == step) return;
  parts.history.resize(parts.position + 1);
  parts.history.push_back(step);
  if (parts.history.size() > 100) parts.history.erase(parts.history.begin());
  parts.position = parts.history.size() - 1;
}

void Workspace::restoreStep() {
  // The first step of a model's history is what it opened with, not the empty window before it.
  parts_->history = {Parts::Step{selection_, current_, perspective_, a_, b_}};
  parts_->position = 0;
}

bool Workspace::canGoBack() const { return parts_->position > 0; }
bool Workspace::canGoForward() const { return parts_->position + 1 < parts_->history.size(); }

void Workspace::goBack() {
  if (!canGoBack()) return;
  const Parts::Step step = parts_->history[--parts_->position];
  parts_->navigating = true;
  selectLayers(step.selection, step.current);
  setPerspective(step.perspective);
  setSlotA(step.a);
  setSlotB(step.b);
  parts_->navigating = false;
}

void Workspace::goForward() {
  if (!canGoForward()) return;
  ++parts_->position;
  const Parts::Step step = parts_->history[parts_->position];
  parts_->navigating = true;
  selectLayers(step.selection, step.current);
  setPerspective(step.perspective);
  setSlotA(step.a);
  setSlotB(step.b);
  parts_->navigating = false;
}

// ---- Draft -------------------------------------------------------------------------------------------------------------

void Workspace::editDraft(const QString& undo_name, const Recipe& recipe, int merge_id) {
  // The recipe's name says what differs from the preset that it comes from.
  Recipe named = recipe;
  if (recipe.name == draft_.name) named.name = title_of(recipe, parts_->presets, model_.get());
  if (named == draft_) return;
  undo_.push(new DraftEdit(*this, undo_name, draft_, named, merge_id));
}

void Workspace::applyDraft(const Recipe& recipe) {
  const bool measured_otherwise = !(measured_part(recipe) == measured_part(draft_));
  draft_ = recipe;
  parts_->schemes_known = parts_->inherited_known = false;
  parts_->problem.reset();
  if (measured_otherwise) dropOriginalSpectra();
  emit draftChanged();
}

const std::vector<Recipe>& Workspace::presets() const { return parts_->presets; }

std::optional<QString> Workspace::draftProblem() const {
  if (!model_) return tr("No model is open.");
  if (!parts_->problem) {
    try {
      const auto problem = problem_of(draft_, *model_);
      parts_->problem = problem ? std::optional(QString::fromStdString(*problem)) : std::nullopt;
    } catch (const Error& error) {
      parts_->problem = std::optional(QString::fromUtf8(error.what()));
    }
  }
  return *parts_->problem;
}

namespace {

std::vector<std::optional<LayerScheme>> schemes_of(const Recipe& recipe, const Model& model) {
  std::vector<std::optional<LayerScheme>> schemes;
  schemes.reserve(model.layers().size());
  for (const LayerInfo& layer : model.layers()) {
    try {
      schemes.push_back(effective_scheme(recipe, layer));
    } catch (const Error&) {
      schemes.push_back(std::nullopt);  // said by draftProblem()
    }
  }
  return schemes;
}

QString layer_list(const Model& model, const std::vector<int>& layers) {
  if (layers.size() > 3) return QObject::tr("%1 layers").arg(layers.size());
  QStringList names;
  for (const int layer : layers) names << QString::fromStdString(short_name(model.layers()[std::size_t(layer)]));
  return names.join(", ");
}

}  // namespace

const std::vector<std::optional<LayerScheme>>& Workspace::draftSchemes() const {
  if (!parts_->schemes_known) {
    parts_->schemes = model_ ? schemes_of(draft_, *model_) : std::vector<std::optional<LayerScheme>>{};
    parts_->schemes_known = true;
  }
  return parts_->schemes;
}

const std::vector<std::optional<LayerScheme>>& Workspace::inheritedSchemes() const {
  if (!parts_->inherited_known) {
    Recipe bare = draft_;
    bare.overrides.clear();
    parts_->inherited = model_ ? schemes_of(bare, *model_) : std::vector<std::optional<LayerScheme>>{};
    parts_->inherited_known = true;
  }
  return parts_->inherited;
}

const RunEntry* Workspace::referenceRun() const {
  if (b_.run)
    if (const RunEntry* run = findRun(*b_.run)) return run;
  const RunEntry* newest = nullptr;
  for (const RunEntry& run : runs_)
    if (!newest || run.number > newest->number) newest = &run;
  return newest;
}

QStringList Workspace::pendingChanges() const {
  QStringList lines;
  const RunEntry* run = referenceRun();
  if (!model_ || !run) return lines;
  const Recipe& before = run->manifest.recipe;
  const Recipe& now = draft_;
  const auto change = [&lines](const QString& what, const QString& from, const QString& to) {
    if (from != to) lines << QString("%1  %2 → %3").arg(what, from, to);
  };
  const auto text = [](const std::string& value) { return QString::fromStdString(value); };
  const auto group = [](std::size_t size) { return size == 0 ? tr("row") : QString::number(size); };
  const auto rotation = [](const RotationChoice& choice) {
    QStringList parts;
    if (choice.r1) parts << "R1";
    if (choice.r2) parts << "R2";
    if (choice.r3) parts << "R3";
    if (choice.r4) parts << "R4";
    const QString origin = choice.file.empty() ? tr(", seed %1").arg(choice.seed) : ", " + QString::fromStdString(choice.file);
    return parts.isEmpty() ? tr("none") : parts.join(" ") + origin;
  };
  change(tr("method"), text(before.method), text(now.method));
  change(tr("passes"), QString::number(before.iterations), QString::number(now.iterations));
  change(tr("refine"), QString::number(before.refine), QString::number(now.refine));
  change(tr("LSI steps"), QString::number(before.steps), QString::number(now.steps));
  change(tr("learned scales"), before.learn_scales ? tr("on") : tr("off"), now.learn_scales ? tr("on") : tr("off"));
  change(tr("LSI square"), QString::number(before.square), QString::number(now.square));
  change(tr("deflated"), before.deflate ? tr("on") : tr("off"), now.deflate ? tr("on") : tr("off"));
  change(tr("weight bits"), QString::number(before.weight.bits), QString::number(now.weight.bits));
  change(tr("weight group"), group(before.weight.group_size), group(now.weight.group_size));
  const auto words = [&text](std::string_view view) { return text(std::string(view)); };
  change(tr("weight clip"), words(fields::name(before.weight.clip)), words(fields::name(now.weight.clip)));
  change(tr("activation bits"), QString::number(before.activation.bits), QString::number(now.activation.bits));
  change(tr("activation group"), group(before.activation.group_size), group(now.activation.group_size));
  change(tr("activation clip"), QString::number(double(before.activation.clip), 'f', 2),
         QString::number(double(now.activation.clip), 'f', 2));
  change(tr("KV bits"), QString::number(before.cache.bits), QString::number(now.cache.bits));
  change(tr("KV group"), group(before.cache.group_size), group(now.cache.group_size));
  change(tr("KV clip"), QString::number(double(before.cache.clip), 'f', 2), QString::number(double(now.cache.clip), 'f', 2));
  change(tr("KV zero points"), before.cache.symmetric ? tr("off") : tr("on"), now.cache.symmetric ? tr("off") : tr("on"));
  change(tr("rotation"), rotation(before.rotation), rotation(now.rotation));
  change(tr("high precision"), QString::number(100 * before.rotation.high_share) + " %",
         QString::number(100 * now.rotation.high_share) + " %");
  change(tr("high bits"), QString::number(before.high_bits), QString::number(now.high_bits));
  change(tr("smoothing"), words(name(before.smoothing)), words(name(now.smoothing)));
  change(tr("smoothing strength"), QString::number(before.smoothing_strength), QString::number(now.smoothing_strength));
  change(tr("rank"), text(to_string(before.rank)), text(to_string(now.rank)));
  change(tr("range finder"), words(fields::name(before.range_finder)), words(fields::name(now.range_finder)));
  change(tr("rank rule"), before.rank_rule == RankRule::min_dimension ? tr("min(in, out)") : tr("parameters"),
         now.rank_rule == RankRule::min_dimension ? tr("min(in, out)") : tr("parameters"));
  change(tr("calibration text"), text(before.calibration), text(now.calibration));
  const auto mix = [&text](const std::optional<CalibrationMix>& choice) {
    return choice ? QString("%1, %2").arg(text(choice->text)).arg(choice->share) : tr("none");
  };
  change(tr("second calibration text"), mix(before.calibration_mix), mix(now.calibration_mix));
  change(tr("calibration tokens"), QString::number(before.calibration_tokens), QString::number(now.calibration_tokens));
  change(tr("calibration context"), QString::number(before.calibration_context), QString::number(now.calibration_context));
  change(tr("first positions left out"), QString::number(before.skip_first_positions), QString::number(now.skip_first_positions));
  change(tr("damping"), QString::number(before.damping), QString::number(now.damping));
  change(tr("damping toward"), before.damping_toward == DampingToward::original ? tr("the original") : tr("zero"),
         now.damping_toward == DampingToward::original ? tr("the original") : tr("zero"));
  change(tr("GPTQ damping"), QString::number(before.gptq_damping), QString::number(now.gptq_damping));
  change(tr("layers"), text(before.layers), text(now.layers));

  if (!(before.overrides == now.overrides)) {
    // Layers whose own settings differ, field by field: "rank of 0.down_proj, 1.down_proj  57 → 86, 115".
    const auto old_schemes = schemes_of(before, *model_);
    const auto& new_schemes = draftSchemes();
    const auto& inherited = inheritedSchemes();
    const auto compare = [&](const QString& what, auto field) {
      std::vector<int> changed;
      QStringList from, to;
      for (std::size_t i = 0; i < new_schemes.size(); ++i) {
        if (!old_schemes[i] || !new_schemes[i] || !inherited[i]) continue;
        const auto old_value = field(*old_schemes[i]), new_value = field(*new_schemes[i]);
        if (old_value == new_value) continue;
        const bool by_model = field(*inherited[i]) == new_value && !own_settings(before, model_->layers()[i].name);
        if (by_model) continue;
        changed.push_back(int(i));
        if (!from.contains(QString::number(old_value))) from << QString::number(old_value);
        if (!to.contains(QString::number(new_value))) to << QString::number(new_value);
      }
      if (changed.empty()) return;
      lines << tr("%1 of %2  %3 → %4")
                   .arg(what, layer_list(*model_, changed), from.size() > 3 ? from.first() + "…" + from.last() : from.join(", "),
                        to.size() > 3 ? to.first() + "…" + to.last() : to.join(", "));
    };
    const qsizetype had = lines.size();
    compare(tr("rank"), [](const LayerScheme& s) { return int(s.rank); });
    compare(tr("bits"), [](const LayerScheme& s) { return s.weight.bits; });
    compare(tr("group"), [](const LayerScheme& s) { return int(s.weight.group_size); });
    compare(tr("activation bits"), [](const LayerScheme& s) { return s.activation.bits; });
    compare(tr("passes"), [](const LayerScheme& s) { return s.iterations; });
    if (lines.size() == had) lines << tr("overrides");
  }
  return lines;
}

void Workspace::revertDraft() {
  if (const RunEntry* run = referenceRun()) editDraft(tr("Revert to #%1").arg(run->number), run->manifest.recipe);
}

// ---- Slots -------------------------------------------------------------------------------------------------------------

void Workspace::setSlotA(Slot slot) {
  if (slot == a_ || (slot.run && !findRun(*slot.run))) return;
  a_ = slot;
  remember();
  emit slotsChanged();
}

void Workspace::setSlotB(Slot slot) {
  if (slot == b_ || (slot.run && !findRun(*slot.run))) return;
  b_ = slot;
  remember();
  emit slotsChanged();
}

void Workspace::swapSlots() {
  if (a_ == b_) return;
  std::swap(a_, b_);
  remember();
  emit slotsChanged();
}

QString Workspace::slotTitle(Slot slot) const {
  if (!slot.run) return tr("Original");
  const RunEntry* run = findRun(*slot.run);
  return QString("#%1 %2").arg(*slot.run).arg(run ? QString::fromStdString(run->manifest.recipe.name) : QString());
}

std::optional<OpenedModel> Workspace::opened(Slot slot) const {
  if (!model_) return std::nullopt;
  OpenedModel result;
  result.model = model_;
  if (!slot.run) {
    result.path = model_->checkpoint().path();
    result.title = model_->display_name();
    return result;
  }
  const RunEntry* run = findRun(*slot.run);
  if (!run || !run->usable()) return std::nullopt;
  result.run = run->manifest;
  result.path = run->folder;
  result.title = run->manifest.recipe.name;
  return result;
}

const LayerRecord* Workspace::record(Slot slot, int layer) const {
  const RunEntry* run = slot.run ? findRun(*slot.run) : nullptr;
  if (!run || !model_ || layer < 0 || std::size_t(layer) >= model_->layers().size()) return nullptr;
  const std::string& name = model_->layers()[std::size_t(layer)].name;
  const auto& layers = run->manifest.layers;
  // Runs hold their layers in the model's order: the index is nearly always right.
  if (std::size_t(layer) < layers.size() && layers[std::size_t(layer)].name == name) return &layers[std::size_t(layer)];
  const auto found = std::find_if(layers.begin(), layers.end(), [&](const LayerRecord& candidate) { return candidate.name == name; });
  return found == layers.end() ? nullptr : &*found;
}

// ---- Messages ----------------------------------------------------------------------------------------------------------

void Workspace::log(LogLevel level, const QString& text) {
  parts_->log.push_back({level, QTime::currentTime().toString("HH:mm:ss"), text});
  if (parts_->log.size() > 5000) parts_->log.erase(parts_->log.begin(), parts_->log.begin() + 1000);
  emit logged(level, text);
}

const std::vector<LogLine>& Workspace::logLines() const { return parts_->log; }

void Workspace::banner(const QString& text, const QString& button, std::function<void()> action, std::function<void()> dismissed) {
  log(LogLevel::warning, text);
  emit bannerRequested(text, button, action, dismissed);
}

}  // namespace lrc::app

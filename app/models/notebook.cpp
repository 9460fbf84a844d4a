#include "models/notebook.h"

namespace lrc::app {

namespace {
constexpr qsizetype longest_note = 4000;

QString trimmed_note(const QString& text) { return text.trimmed().left(longest_note); }
}  // namespace

Notebook& Notebook::of(QObject& workspace) {
  if (auto* found = workspace.findChild<Notebook*>({}, Qt::FindDirectChildrenOnly)) return *found;
  return *new Notebook(&workspace);
}

void Notebook::setLayerNote(const QString& layer, const QString& text) {
  const QString note = trimmed_note(text);
  if (note == layer_notes_.value(layer)) return;
  if (note.isEmpty())
    layer_notes_.remove(layer);
  else
    layer_notes_[layer] = note;
  emit changed();
}

void Notebook::setRunNote(int number, const QString& text) {
  const QString note = trimmed_note(text);
  if (note == run_notes_.value(number)) return;
  if (note.isEmpty())
    run_notes_.remove(number);
  else
    run_notes_[number] = note;
  emit changed();
}

void Notebook::setPinned(int number, bool pinned) {
  if (pinned == pinned_.contains(number)) return;
  if (pinned)
    pinned_.insert(number);
  else
    pinned_.remove(number);
  emit changed();
}

void Notebook::setView(const std::string& name, Json state) { views_[name] = std::move(state); }

Json Notebook::view(const std::string& name) const {
  const auto found = views_.find(name);
  return found == views_.end() ? Json() : *found;
}

void Notebook::clear() {
  layer_notes_.clear();
  run_notes_.clear();
  pinned_.clear();
  views_ = Json::object();
  emit changed();
}

Json Notebook::toJson() const {
  Json json = {{"layer_notes", Json::object()}, {"run_notes", Json::object()}, {"pinned_runs", Json::array()}, {"views", views_}};
  for (auto note = layer_notes_.begin(); note != layer_notes_.end(); ++note)
    json["layer_notes"][note.key().toStdString()] = note.value().toStdString();
  for (auto note = run_notes_.begin(); note != run_notes_.end(); ++note)
    json["run_notes"][std::to_string(note.key())] = note.value().toStdString();
  QList<int> pinned(pinned_.begin(), pinned_.end());
  std::sort(pinned.begin(), pinned.end());
  for (const int number : pinned) json["pinned_runs"].push_back(number);
  return json;
}

void Notebook::fromJson(const Json& json) {
  layer_notes_.clear();
  run_notes_.clear();
  pinned_.clear();
  views_ = Json::object();
  const auto object = [&](const char* key) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    return found != json.end() && found->is_object() ? *found : Json::object();
  };
  const Json layer_notes = object("layer_notes"), run_notes = object("run_notes");
  for (const auto& [layer, note] : layer_notes.items())
    if (note.is_string()) layer_notes_[QString::fromStdString(layer)] = trimmed_note(QString::fromStdString(note.get<std::string>()));
  for (const auto& [number, note] : run_notes.items())
    if (note.is_string())
      run_notes_[QString::fromStdString(number).toInt()] = trimmed_note(QString::fromStdString(note.get<std::string>()));
  if (const auto pinned = json.is_object() ? json.find("pinned_runs") : json.end(); pinned != json.end() && pinned->is_array())
    for (const Json& number : *pinned)
      if (number.is_number_integer()) pinned_.insert(number.get<int>());
  views_ = object("views");
  emit changed();
  emit viewsRestored();
}

}  // namespace lrc::app

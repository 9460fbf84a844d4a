// Sessions: what is open, chosen and noted, as a file that opens elsewhere.
#include <QApplication>
#include <QDateTime>
#include <QDir>
#include <QFile>
#include <QFileDialog>
#include <QFileInfo>

#include "base/files.h"
#include "models/notebook.h"
#include "workspace.h"
#include "workspace_parts.h"

namespace lrc::app {

namespace {

constexpr int session_format = 1;

const char* perspective_name(Perspective perspective) {
  switch (perspective) {
    case Perspective::explore:
      return "explore";
    case Perspective::run:
      return "run";
    case Perspective::chat:
      return "chat";
    case Perspective::export_:
      return "export";
  }
  return "explore";
}

/// Throws Error with the sentence when the file is no session, or one of a newer program.
Json read_session(const QString& file) {
  const std::string name = file.toStdString();
  Json json = read_json_file(name);
  const auto wrong = [&](const std::string& what) { return Error(ErrorKind::bad_file, name + " is no session: " + what + "."); };
  if (!json.is_object() || !json.contains("session_format") || !json["session_format"].is_number_integer())
    throw wrong("session_format is missing");
  const int format = json["session_format"].get<int>();
  if (format > session_format)
    throw Error(ErrorKind::unsupported, name + " was saved by a newer program (session format " + std::to_string(format) +
                                            "; this one reads " + std::to_string(session_format) + "). Open it with that version.");
  const auto model = json.find("model");
  if (model == json.end() || !model->is_object() || !model->contains("path") || !(*model)["path"].is_string())
    throw wrong("model.path is missing");
  if (!json.contains("draft")) throw wrong("draft is missing");
  recipe_from_json(json["draft"], name);
  return json;
}

/// Where the session's model lies: as saved, or beside the session as it did then; empty when it is at neither place.
QString model_of(const Json& session, const QString& file) {
  const Json& model = session["model"];
  const QString path = QString::fromStdString(model["path"].get<std::string>());
  if (QFileInfo::exists(path)) return path;
  if (!model.contains("relative_path") || !model["relative_path"].is_string()) return {};
  const QString beside = QFileInfo(file).absoluteDir().absoluteFilePath(QString::fromStdString(model["relative_path"].get<std::string>()));
  return QFileInfo::exists(beside) ? beside : QString();
}

}  // namespace

std::string session_content(const Workspace& workspace) {
  Json notes = Notebook::of(const_cast<Workspace&>(workspace)).toJson();
  notes.erase("views");  // looking is no change
  return to_text(workspace.draft()) + notes.dump();
}

QString Workspace::sessionFile() const { return parts_->session_file; }
bool Workspace::isModified() const { return model_ && session_content(*this) != parts_->saved_text; }

bool Workspace::saveSession(const QString& file) {
  if (!model_) return false;
  Json json;
  json["session_format"] = session_format;
  const QDir folder = QFileInfo(file).absoluteDir();
  const QString model_path = QString::fromStdString(std::filesystem::absolute(model_->checkpoint().path()).string());
  json["model"] = {{"path", model_path.toStdString()},
                   {"relative_path", folder.relativeFilePath(model_path).toStdString()},
                   {"sha256", parts_->model_sha256}};
  json["draft"] = to_json(draft_);
  json["a"] = a_.run ? Json(*a_.run) : Json(nullptr);
  json["b"] = b_.run ? Json(*b_.run) : Json(nullptr);
  Json selected = Json::array();
  for (const int layer : selection_) selected.push_back(model_->layers()[std::size_t(layer)].name);
  json["selection"] = selected;
  if (current_ >= 0) json["current"] = model_->layers()[std::size_t(current_)].name;
  json["perspective"] = perspective_name(perspective_);
  json["notebook"] = Notebook::of(*this).toJson();
  Json runs = Json::object();
  for (const RunEntry& run : runs_) {
    const auto copied = parts_->copied_runs.find(run.number);
    const auto& place = copied == parts_->copied_runs.end() ? run.folder : copied->second;
    if (run.state != RunEntry::State::queued)
      runs[std::to_string(run.number)] =
          folder.relativeFilePath(QString::fromStdString(std::filesystem::absolute(place).string())).toStdString();
  }
  json["runs"] = runs;
  try {
    write_file_atomically(file.toStdString(), json.dump(2) + "\n");
  } catch (const Error& error) {
    banner(QString::fromUtf8(error.what()));
    return false;
  }
  if (file != recovery_file()) {
    parts_->session_file = file;
    parts_->saved_text = session_content(*this);
    QFile::remove(recovery_file());
    noteRecentFile(file);
    log(LogLevel::info, tr("Session saved as %1").arg(file));
  }
  return true;
}

void Workspace::saveSelfContained(const QString& folder) {
  if (!model_) return;
  std::vector<std::pair<std::filesystem::path, std::filesystem::path>> copies;
  std::map<int, std::filesystem::path> places;
  const std::filesystem::path target = folder.toStdString();
  for (const RunEntry& run : runs_) {
    if (!run.usable()) continue;
    places[run.number] = target / "runs" / run_folder_name(run.number, run.manifest.recipe.name);
    copies.emplace_back(run.folder, places[run.number]);
  }
  query_lane_->submit<bool>(
      "self-contained", this,
      [target, copies](Progress&, std::stop_token stop) {
        std::error_code code;
        std::filesystem::create_directories(target / "runs", code);
        for (const auto& [from, to] : copies) {
          throw_if_stopped(stop);
          if (!code && std::filesystem::equivalent(from, to, code)) continue;
          code.clear();
          std::filesystem::copy(from, to, std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing,
                                code);
          if (code) break;
        }
        if (code) throw Error(ErrorKind::io, "The session cannot be written to " + target.string() + ": " + code.message() + ".");
        return true;
      },
      [this, folder, places](bool) {
        parts_->copied_runs = places;
        saveSession(QDir(folder).filePath("session.lrcsession"));
        parts_->copied_runs.clear();
      },
      [this](const Error& error) {
        if (error.kind() != ErrorKind::stopped) banner(QString::fromUtf8(error.what()));
      });
}

void Workspace::openSession(const QString& file) {
  Json json;
  QString path;
  try {
    json = read_session(file);
    path = parts_->located.isEmpty() ? model_of(json, file) : parts_->located;
  } catch (const Error& error) {
    banner(QString::fromUtf8(error.what()));
    return;
  }
  parts_->located.clear();
  if (path.isEmpty()) {
    const QString missing = QString::fromStdString(json["model"]["path"].get<std::string>());
    banner(tr("The model of %1 is not at %2.").arg(QFileInfo(file).fileName(), missing), tr("Locate…"), [this, file, missing] {
      const QString found =
          QFileDialog::getOpenFileName(QApplication::activeWindow(), tr("Where is %1 now?").arg(QFileInfo(missing).fileName()), {},
                                       tr("Models (*.gguf *.safetensors config.json);;All files (*)"));
      if (found.isEmpty()) return;
      parts_->located = found.endsWith(".gguf") ? found : QFileInfo(found).path();
      openSession(file);
    });
    return;
  }
  // Its runs may lie elsewhere than this computer's own.
  parts_->session_runs.clear();
  if (const auto runs = json.find("runs"); runs != json.end() && runs->is_object())
    for (const auto& [number, place] : runs->items()) {
      if (!place.is_string()) continue;
      std::error_code code;
      const std::filesystem::path run = std::filesystem::weakly_canonical(
          QFileInfo(file).absoluteDir().absoluteFilePath(QString::fromStdString(place.get<std::string>())).toStdString(), code);
      const int had = QString::fromStdString(number).toInt();
      if (had <= 0 || !is_run_folder(run)) continue;
      parts_->session_runs[had] = run;
      if (std::find(parts_->runs_elsewhere.begin(), parts_->runs_elsewhere.end(), run) == parts_->runs_elsewhere.end())
        parts_->runs_elsewhere.push_back(run);
    }
  parts_->restore = std::move(json);
  auto* once = new QObject(this);
  connect(this, &Workspace::openFailed, once, [once] { once->deleteLater(); });
  connect(this, &Workspace::modelOpened, once, [this, once, file] {
    once->deleteLater();
    if (!parts_->restore) return;
    const Json& session = *parts_->restore;
    draft_ = recipe_from_json(session["draft"], file.toStdString());
    parts_->schemes_known = parts_->inherited_known = false;
    parts_->problem.reset();
    const bool recovered = QFileInfo(file).fileName().startsWith("recovery-");
    Notebook::of(*this).fromJson(session.value("notebook", Json::object()));
    if (!recovered) {
      parts_->saved_text = session_content(*this);
      parts_->session_file = file;
      noteRecentFile(file);
    }
    std::vector<int> selected;
    int current = -1;
    const auto index_of = [this](const Json& name) {
      if (!name.is_string()) return -1;
      const LayerInfo* layer = model_->find_layer(name.get<std::string>());
      return layer ? int(layer - model_->layers().data()) : -1;
    };
    if (const auto names = session.find("selection"); names != session.end() && names->is_array())
      for (const Json& name : *names)
        if (const int index = index_of(name); index >= 0) selected.push_back(index);
    if (const auto name = session.find("current"); name != session.end()) current = index_of(*name);
    const auto perspective = session.find("perspective");
    // After the defaults of a fresh model are set.
    QMetaObject::invokeMethod(
        this,
        [this, selected, current,
         name = perspective != session.end() && perspective->is_string() ? perspective->get<std::string>() : std::string()] {
          if (!selected.empty()) selectLayers(selected, current);
          for (const Perspective candidate : {Perspective::explore, Perspective::run, Perspective::chat, Perspective::export_})
            if (name == perspective_name(candidate)) setPerspective(candidate);
          emit draftChanged();
        },
        Qt::QueuedConnection);
  });
  openModel(path);
}

// ---- Recovery ----------------------------------------------------------------------------------------------------------

void Workspace::autosave() {
  if (!model_ || !isModified()) return;
  QDir().mkpath(QFileInfo(recovery_file()).path());
  saveSession(recovery_file());
}

}  // namespace lrc::app

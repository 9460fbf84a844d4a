// What comes from and goes to files: dropped things, recent files, sessions.
#include <QDir>
#include <QFile>
#include <QFileInfo>
#include <QSettings>
#include <QStandardPaths>
#include <QStringDecoder>

#include "base/files.h"
#include "formats/checkpoint.h"
#include "plot_style.h"
#include "workspace.h"
#include "workspace_parts.h"

namespace lrc::app {

namespace {

constexpr int session_format = 1;

enum class DropKind { model, run, recipe, session, text, unusable };
struct Drop {
  DropKind kind = DropKind::unusable;
  QString line;
  QString open;  ///< what to open: for a shard, its folder
};

Drop model_drop(const QString& path, const QString& what) {
  try {
    const auto checkpoint = open_checkpoint(path.toStdString());
    const Json& config = checkpoint->config();
    const auto text = [&](const char* key) {
      const auto found = config.find(key);
      return found != config.end() && found->is_string() ? QString::fromStdString(found->get<std::string>()) : QString();
    };
    const auto blocks = config.find("num_hidden_layers");
    QString line = QObject::tr("Open model: %1, %2")
                       .arg(what, text("model_type").isEmpty() ? QObject::tr("unnamed architecture") : text("model_type"));
    if (blocks != config.end() && blocks->is_number_integer()) line += QObject::tr(", %1 blocks").arg(blocks->get<std::int64_t>());
    return {DropKind::model, line + ", " + format_megabytes(checkpoint->file_bytes()), path};
  } catch (const Error& error) {
    return {DropKind::unusable, QString::fromUtf8(error.what()), path};
  }
}

Drop json_drop(const QString& path, const QByteArray& head, qint64 size) {
  const QByteArray trimmed = head.trimmed();
  if (trimmed.startsWith('['))
    return {DropKind::text, QObject::tr("Calibration text: list of texts, %1").arg(format_megabytes(quint64(size))), path};
  if (size > (8 << 20))
    return {DropKind::unusable, QObject::tr("%1 is JSON, but far larger than a recipe or a session").arg(QFileInfo(path).fileName()), path};
  try {
    const Json json = read_json_file(path.toStdString());
    if (json.contains("session_format")) return {DropKind::session, QObject::tr("Open session %1").arg(QFileInfo(path).fileName()), path};
    const Recipe recipe = recipe_from_json(json, path.toStdString());
    QString line = QObject::tr("Recipe: %1").arg(QString::fromStdString(recipe.name));
    if (!recipe.overrides.empty()) line += QObject::tr(", %1 overrides").arg(recipe.overrides.size());
    return {DropKind::recipe, line + QObject::tr(": apply to this model"), path};
  } catch (const Error& error) {
    return {DropKind::unusable, QString::fromUtf8(error.what()), path};
  }
}

/// The kind is decided by content, not by name.
Drop classify(const QString& path) {
  const QFileInfo info(path);
  if (!info.exists()) return {DropKind::unusable, QObject::tr("%1 is not there").arg(path), path};
  if (info.isDir()) {
    if (is_run_folder(path.toStdString())) {
      try {
        const Manifest manifest = read_manifest(path.toStdString());
        return {DropKind::run,
                QObject::tr("Run folder: %1 of %2")
                    .arg(QString::fromStdString(manifest.recipe.name), QString::fromStdString(manifest.model_name)),
                path};
      } catch (const Error& error) {
        return {DropKind::unusable, QString::fromUtf8(error.what()), path};
      }
    }
    if (QFileInfo::exists(path + "/config.json")) return model_drop(path, QObject::tr("folder"));
    return {DropKind::unusable,
            QObject::tr("The folder %1 holds neither a model (config.json) nor a run (manifest.json)").arg(info.fileName()), path};
  }
  QFile file(path);
  if (!file.open(QIODevice::ReadOnly))
    return {DropKind::unusable, QObject::tr("%1 cannot be read: %2").arg(info.fileName(), file.errorString()), path};
  const QByteArray head = file.read(65536);
  if (head.startsWith("GGUF")) return model_drop(path, "GGUF");
  if (head.size() > 9 && head[8] == '{' && head.mid(6, 2) == QByteArray(2, '\0')) {
    if (QFileInfo::exists(info.path() + "/config.json")) return model_drop(info.path(), QObject::tr("folder"));
    return {DropKind::unusable,
            QObject::tr("%1 is a safetensors file without a config.json beside it; drop the model's folder").arg(info.fileName()), path};
  }
  if (const QByteArray trimmed = head.trimmed(); trimmed.startsWith('{') || trimmed.startsWith('['))
    return json_drop(path, head, info.size());
  QStringDecoder decoder(QStringDecoder::Utf8);
  const QString decoded = decoder.decode(head);
  if (head.isEmpty() || head.contains('\0') || decoder.hasError() || decoded.isEmpty())
    return {DropKind::unusable, QObject::tr("%1 is neither a model, a run, a recipe, a session nor UTF-8 text").arg(info.fileName()), path};
  return {
      DropKind::text,
      QObject::tr("Calibration text: %1, ≈ %2 tokens").arg(format_megabytes(quint64(info.size())), format_count(quint64(info.size()) / 4)),
      path};
}

QString sidecar() { return QStandardPaths::writableLocation(QStandardPaths::AppLocalDataLocation) + "/autosave.lrcsession"; }

}  // namespace

// ---- Drops -------------------------------------------------------------------------------------------------------------

QString Workspace::describeDrop(const QString& path) const {
  const Drop drop = classify(path);
  if ((drop.kind == DropKind::recipe || drop.kind == DropKind::text) && !model_) return tr("%1 (open a model first)").arg(drop.line);
  return drop.line;
}

void Workspace::drop(const QString& path) {
  const Drop drop = classify(path);
  switch (drop.kind) {
    case DropKind::model:
      openModel(drop.open);
      return;
    case DropKind::run:
      openModel(drop.open);
      return;
    case DropKind::session:
      openSession(path);
      return;
    case DropKind::unusable:
      banner(drop.line);
      return;
    case DropKind::recipe:
    case DropKind::text:
      break;
  }
  if (!model_) {
    banner(tr("%1 (open a model first)").arg(drop.line));
    return;
  }
  if (drop.kind == DropKind::text) {
    Recipe recipe = draft_;
    recipe.calibration = path.toStdString();
    editDraft(tr("Calibration text → %1").arg(QFileInfo(path).fileName()), recipe);
    return;
  }
  try {
    const Recipe recipe = recipe_from_json(read_json_file(path.toStdString()), path.toStdString());
    editDraft(tr("Recipe %1").arg(QString::fromStdString(recipe.name)), recipe);
  } catch (const Error& error) {
    banner(QString::fromUtf8(error.what()));
  }
}

// ---- Recent files ------------------------------------------------------------------------------------------------------

QStringList Workspace::recentFiles() const { return QSettings().value("recent").toStringList(); }

void Workspace::noteRecentFile(const QString& path) {
  QStringList recent = recentFiles();
  const QString full = QFileInfo(path).absoluteFilePath();
  recent.removeAll(full);
  recent.prepend(full);
  while (recent.size() > 12) recent.removeLast();
  QSettings().setValue("recent", recent);
  emit recentFilesChanged();
}

void Workspace::forgetRecentFile(const QString& path) {
  QStringList recent = recentFiles();
  recent.removeAll(path);
  QSettings().setValue("recent", recent);
  emit recentFilesChanged();
}

// ---- Sessions ----------------------------------------------------------------------------------------------------------

QString Workspace::sessionFile() const { return parts_->session_file; }
bool Workspace::isModified() const { return model_ && to_text(draft_) != parts_->saved_text; }

namespace {

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

}  // namespace

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
  try {
    write_file_atomically(file.toStdString(), json.dump(2) + "\n");
  } catch (const Error& error) {
    banner(QString::fromUtf8(error.what()));
    return false;
  }
  if (file != sidecar()) {
    parts_->session_file = file;
    parts_->saved_text = to_text(draft_);
    noteRecentFile(file);
    log(LogLevel::info, tr("Session saved as %1").arg(file));
  }
  return true;
}

void Workspace::openSession(const QString& file) {
  Json json;
  QString path;
  try {
    json = read_json_file(file.toStdString());
    const auto wrong = [&](const std::string& what) {
      return Error(ErrorKind::bad_file, file.toStdString() + " is no session: " + what + ".");
    };
    if (!json.is_object() || !json.contains("session_format") || !json["session_format"].is_number_integer())
      throw wrong("session_format is missing");
    const int format = json["session_format"].get<int>();
    if (format > session_format)
      throw Error(ErrorKind::unsupported, file.toStdString() + " was saved by a newer program (session format " + std::to_string(format) +
                                              "; this one reads " + std::to_string(session_format) + "). Open it with that version.");
    const auto model = json.find("model");
    if (model == json.end() || !model->is_object() || !model->contains("path") || !(*model)["path"].is_string())
      throw wrong("model.path is missing");
    path = QString::fromStdString((*model)["path"].get<std::string>());
    if (!QFileInfo::exists(path) && model->contains("relative_path") && (*model)["relative_path"].is_string())
      path = QFileInfo(file).absoluteDir().absoluteFilePath(QString::fromStdString((*model)["relative_path"].get<std::string>()));
    if (!QFileInfo::exists(path))
      throw Error(ErrorKind::not_found, "The session's model " + path.toStdString() + " is not there. Open it from where it lies now.");
    if (!json.contains("draft")) throw wrong("draft is missing");
    recipe_from_json(json["draft"], file.toStdString());
  } catch (const Error& error) {
    banner(QString::fromUtf8(error.what()));
    return;
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
    parts_->saved_text = to_text(draft_);
    if (file != sidecar()) {
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

void Workspace::autosave() {
  if (!model_ || !isModified()) return;
  QDir().mkpath(QFileInfo(sidecar()).path());
  saveSession(sidecar());
}

}  // namespace lrc::app

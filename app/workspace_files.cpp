// What is dropped on the window, and the recent files.
#include <QDateTime>
#include <QFile>
#include <QFileInfo>
#include <QSettings>
#include <QStringDecoder>
#include <algorithm>

#include "base/files.h"
#include "formats/checkpoint.h"
#include "plot_style.h"
#include "workspace.h"
#include "workspace_parts.h"

namespace lrc::app {

namespace {

enum class DropKind { model, run, recipe, session, text, broken_model, unusable };
struct Drop {
  DropKind kind = DropKind::unusable;
  QString line;
  QString open;                   ///< what to open: for a shard, its folder
  std::string model_sha256 = {};  ///< of a run's model
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
    return {DropKind::broken_model, QString::fromUtf8(error.what()), path};
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
                path, manifest.model_sha256};
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
    case DropKind::run: {
      const std::filesystem::path folder = std::filesystem::weakly_canonical(path.toStdString());
      auto& elsewhere = parts_->runs_elsewhere;
      if (std::find(elsewhere.begin(), elsewhere.end(), folder) == elsewhere.end()) elsewhere.push_back(folder);
      parts_->wanted_run = folder;
      // Of the model that is open: it joins the list. Of another one: that model is opened.
      if (model_ && drop.model_sha256 == parts_->model_sha256)
        scanRuns();
      else
        openModel(drop.open);
      return;
    }
    case DropKind::session:
      openSession(path);
      return;
    case DropKind::broken_model:
      log(LogLevel::error, drop.line);
      emit openFailed(drop.open, drop.line);
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
  QVariantMap times = QSettings().value("recentTimes").toMap(), kept;
  times[full] = QDateTime::currentDateTime();
  for (const QString& each : recent)
    if (times.contains(each)) kept[each] = times[each];
  QSettings().setValue("recentTimes", kept);
  emit recentFilesChanged();
}

QDateTime Workspace::recentTime(const QString& path) const { return QSettings().value("recentTimes").toMap().value(path).toDateTime(); }

void Workspace::forgetRecentFile(const QString& path) {
  QStringList recent = recentFiles();
  recent.removeAll(path);
  QSettings().setValue("recent", recent);
  emit recentFilesChanged();
}

}  // namespace lrc::app

#include "session_recovery.h"

#include <QApplication>
#include <QDateTime>
#include <QDir>
#include <QFile>
#include <QFileInfo>
#include <QStandardPaths>
#include <filesystem>
#include <optional>

#include "base/files.h"
#include "base/json.h"
#include "run/run_folder.h"
#include "workspace.h"
#include "workspace_parts.h"

namespace lrc::app {

namespace {

/// The program that a process runs, also after another version was put in its place; empty where the process is not there, or only
/// waits to be forgotten.
std::string program_of(const std::string& process) {
  std::error_code code;
  std::string name = std::filesystem::read_symlink("/proc/" + process + "/exe", code).filename().string();
  if (const auto end = name.find(" (deleted)"); end != std::string::npos) name.erase(end);
  return name;
}

/// Whether a process of this program has that number.
bool is_alive(qint64 process) { return process > 0 && program_of(std::to_string(process)) == program_of("self"); }

QDir recovery_folder() { return QDir(QStandardPaths::writableLocation(QStandardPaths::AppLocalDataLocation)); }

/// Not offered again, and not lost: the file stays where it can be opened like any session.
void set_aside(Workspace& workspace, const QString& kept) {
  const QFileInfo file(kept);
  const QString aside = file.dir().filePath("kept" + file.fileName().mid(int(qstrlen("recovery"))));
  QFile::remove(aside);
  if (QFile::rename(kept, aside))
    workspace.log(LogLevel::info, QObject::tr("The session that was not restored stays for a week in %1").arg(aside));
}

/// A run that a process left when it died.
struct InterruptedRun {
  std::filesystem::path folder, model;
  std::string recipe;
  std::size_t saved = 0, total = 0;
};

/// The one that was written last.
std::optional<InterruptedRun> newest_interrupted(const std::filesystem::path& runs, std::stop_token stop) {
  std::optional<InterruptedRun> newest;
  std::filesystem::file_time_type written{};
  std::error_code code;
  for (const auto& item : std::filesystem::directory_iterator(runs, code)) {
    throw_if_stopped(stop);
    if (!is_run_folder(item.path())) continue;
    try {
      const Manifest run = read_manifest(item.path());
      const auto time = std::filesystem::last_write_time(item.path() / "manifest.json", code);
      if (run.state != RunState::running || code || (newest && time < written)) continue;
      const RunFolder free(item.path());  // throws where somebody is at it
      newest = {item.path(), run.model_path, run.recipe.name, run.layers.size(), run.layers_total};
      written = time;
    } catch (const Error&) {
      continue;  // unreadable, or at work in another process: the list of runs says what there is to say
    }
  }
  return newest;
}

/// The newest session of a process that lives no more; empty when there is none.
QString kept_session() {
  // One file a process: those of processes that live are theirs.
  for (const QFileInfo& left : recovery_folder().entryInfoList({"recovery-*.lrcsession"}, QDir::Files, QDir::Time)) {
    const qint64 process = left.completeBaseName().section('-', 1).toLongLong();
    if (!is_alive(process)) return left.absoluteFilePath();
  }
  return {};
}

/// Empty where the file cannot be read: opening it says why.
std::filesystem::path model_of_session(const QString& session) {
  try {
    return session.isEmpty() ? std::string() : read_json_file(session.toStdString()).at("model").at("path").get<std::string>();
  } catch (const std::exception&) {
    return {};
  }
}

void offer_session(Workspace& workspace, const QString& kept) {
  if (kept.isEmpty()) return;
  workspace.banner(
      QObject::tr("The program ended without closing its session. What was edited until %1 is kept.")
          .arg(QFileInfo(kept).lastModified().toString("d MMM HH:mm")),
      QObject::tr("Restore"), [&workspace, kept] { workspace.openSession(kept); }, [&workspace, kept] { set_aside(workspace, kept); });
}

}  // namespace

QString recovery_file() { return recovery_folder().filePath(QString("recovery-%1.lrcsession").arg(QApplication::applicationPid())); }

void offer_recovery(Workspace& workspace) {
  const QString kept = kept_session();
  workspace.queryLane().submit<std::optional<InterruptedRun>>(
      "interrupted", &workspace,
      [runs = workspace.runsFolder()](Progress&, std::stop_token stop) { return newest_interrupted(runs, stop); },
      [&workspace, kept](std::optional<InterruptedRun> run) {
        // The runs of a model that is open already are listed, and offered there.
        if (!run || workspace.hasModel()) return offer_session(workspace, kept);
        const QString title = QStringLiteral("#%1 %2").arg(number_of_run_folder(run->folder)).arg(QString::fromStdString(run->recipe));
        workspace.banner(
            QObject::tr("%1 was running when the program ended. %2 of %3 layers are saved.").arg(title).arg(run->saved).arg(run->total),
            QObject::tr("Resume the run"),
            [&workspace, kept, run = *run] {
              workspace.resumeWhenListed(run.folder);
              if (model_of_session(kept) == run.model) return workspace.openSession(kept);
              workspace.openModel(QString::fromStdString(run.model.string()));
              offer_session(workspace, kept);
            },
            [&workspace, kept] { offer_session(workspace, kept); });
      });
}

void forget_recovery() {
  QFile::remove(recovery_file());
  for (const QFileInfo& left : recovery_folder().entryInfoList({"recovery-*.lrcsession", "kept-*.lrcsession"}, QDir::Files)) {
    const qint64 process = left.completeBaseName().section('-', 1).toLongLong();
    const bool old = left.lastModified().daysTo(QDateTime::currentDateTime()) > 7;
    if (old && !is_alive(process)) QFile::remove(left.absoluteFilePath());
  }
}

}  // namespace lrc::app

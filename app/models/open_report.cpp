#include "models/open_report.h"

#include <QDir>
#include <QFileInfo>
#include <QSet>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "model/architecture.h"
#include "plot_style.h"

namespace lrc::app {

namespace {

QString tr(const char* text) { return QObject::tr(text); }

/// Adds one line: what `read` tells of a part, or the reason why it cannot be read. Says whether it could.
template <typename Read>
bool examine(OpenReport& report, const QString& what, Read read) {
  try {
    report.lines.push_back({true, what, read()});
    return true;
  } catch (const Error& error) {
    report.lines.push_back({false, what, QString::fromUtf8(error.what())});
  } catch (const nlohmann::json::exception&) {
    report.lines.push_back({false, what, tr("is not the JSON that is expected here")});
  }
  return false;
}

QString known_families() {
  QStringList names;
  for (const Architecture* architecture : architectures())
    names << QString::fromUtf8(architecture->name.data(), qsizetype(architecture->name.size()));
  return names.join(", ");
}

QString family_fact(const std::string& family) {
  find_architecture(family);
  return QString::fromStdString(family);
}

QString config_fact(const Json& config) {
  QStringList facts;
  if (const auto found = config.find("architectures");
      found != config.end() && found->is_array() && !found->empty() && (*found)[0].is_string())
    facts << QString::fromStdString((*found)[0].get<std::string>());
  for (const auto& [key, phrase] : {std::pair{"num_hidden_layers", "%1 blocks"}, std::pair{"hidden_size", "hidden %1"}})
    if (const auto found = config.find(key); found != config.end() && found->is_number_integer())
      facts << tr(phrase).arg(found->get<std::int64_t>());
  return facts.isEmpty() ? tr("read") : facts.join(", ");
}

QString shard_fact(const std::filesystem::path& file) {
  const SafetensorsFile shard = SafetensorsFile::open(file);
  return tr("%1 tensors, %2 bytes").arg(shard.entries().size()).arg(format_count(std::filesystem::file_size(file)));
}

void examine_folder(OpenReport& report, const QString& path) {
  const QDir folder(path);
  std::string family;
  examine(report, "config.json", [&] {
    const Json config = read_json_file(folder.filePath("config.json").toStdString());
    family = config.value("model_type", std::string());
    return config_fact(config);
  });
  if (!family.empty()) examine(report, tr("family"), [&] { return family_fact(family); });
  const QFileInfo tokenizer(folder.filePath("tokenizer.json"));
  report.lines.push_back(
      {tokenizer.exists(), "tokenizer.json",
       tokenizer.exists() ? format_megabytes(quint64(tokenizer.size())) : tr("is missing; without it nothing can be said to the model")});
  QStringList shards = folder.entryList({"*.safetensors"}, QDir::Files, QDir::Name);
  const QString index = folder.filePath("model.safetensors.index.json");
  if (QFileInfo::exists(index))
    examine(report, "model.safetensors.index.json", [&] {
      const Json json = read_json_file(index.toStdString());
      QSet<QString> named;
      for (const auto& [tensor, file] : json.at("weight_map").items()) named.insert(QString::fromStdString(file.get<std::string>()));
      for (const QString& name : named)
        if (!shards.contains(name)) shards << name;
      shards.sort();
      return tr("names %1 files").arg(named.size());
    });
  if (shards.isEmpty()) report.lines.push_back({false, "*.safetensors", tr("there is no weight file in the folder")});
  for (const QString& shard : shards) examine(report, shard, [&] { return shard_fact(folder.filePath(shard).toStdString()); });
}

void examine_gguf(OpenReport& report, const QString& path) {
  std::string family;
  const bool whole = examine(report, tr("header and directory"), [&] {
    const GgufFile file = GgufFile::open(path.toStdString());
    family = file.text("general.architecture").value_or("");
    return tr("GGUF version %1, %2 tensors").arg(file.version()).arg(file.tensors().size());
  });
  if (!whole) return;
  if (family.empty())
    report.lines.push_back({false, tr("family"), tr("general.architecture is missing")});
  else
    examine(report, tr("family"), [&] { return family_fact(family); });
}

}  // namespace

OpenReport report_of(const QString& path, const QString& sentence) {
  OpenReport report;
  report.path = path;
  report.sentence = sentence;
  const QFileInfo info(path);
  if (!info.exists()) {
    report.lines.push_back({false, info.fileName(), tr("is not at %1").arg(info.path())});
    report.cause = tr("It was moved, renamed or deleted, or its disk is not there. Choose it where it lies now.");
    return report;
  }
  if (info.isDir()) {
    examine_folder(report, path);
  } else {
    QFile file(path);
    const QByteArray head = file.open(QIODevice::ReadOnly) ? file.read(16) : QByteArray();
    report.lines.push_back(
        {info.isReadable() && !head.isEmpty(), info.fileName(),
         info.isReadable() ? format_megabytes(quint64(info.size())) : tr("may not be read: %1").arg(file.errorString())});
    if (head.startsWith("GGUF"))
      examine_gguf(report, path);
    else if (head.size() > 9 && head[8] == '{')
      examine(report, tr("header"), [&] { return shard_fact(path.toStdString()); });
    else if (!head.isEmpty())
      report.lines.push_back({false, tr("kind"), tr("begins neither as GGUF nor as safetensors")});
  }
  bool damaged = false, family_lacks = false;
  for (const OpenReport::Line& line : report.lines) {
    if (line.fine) continue;
    (line.what == tr("family") ? family_lacks : damaged) = true;
  }
  if (damaged)
    report.cause = tr("Most often an interrupted download or copy: fetch the marked file again. What was open before is unchanged.");
  else if (family_lacks)
    report.cause = tr("The file is whole, but of a family that this program cannot compute. It knows: %1.").arg(known_families());
  else
    report.cause = tr("All parts can be read by themselves; they do not fit together. A checkpoint copied from two sources does this.");
  return report;
}

QString OpenReport::text() const {
  QStringList out = {path, sentence, QString()};
  for (const Line& line : lines) out << QString("%1 %2: %3").arg(line.fine ? "ok " : "BAD", line.what, line.fact);
  out << QString() << cause;
  return out.join('\n') + '\n';
}

}  // namespace lrc::app

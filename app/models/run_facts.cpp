#include "models/run_facts.h"

#include <algorithm>

namespace lrc::app {

const LayerRecord* record_of(const RunEntry* run, const std::string& layer) {
  if (run == nullptr) return nullptr;
  const auto& layers = run->manifest.layers;
  const auto found = std::find_if(layers.begin(), layers.end(), [&](const LayerRecord& record) { return record.name == layer; });
  return found == layers.end() ? nullptr : &*found;
}

const RunEntry* run_in(const Workspace& workspace, Slot slot) { return slot.run ? workspace.findRun(*slot.run) : nullptr; }

QString method_title(const std::string& method) {
  for (const SolveMethod& known : methods())
    if (known.name == method) return QString::fromUtf8(known.title.data(), qsizetype(known.title.size()));
  return QString::fromStdString(method);
}

std::optional<double> mean_error(const Manifest& manifest) {
  if (manifest.layers.empty()) return {};
  double sum = 0;
  for (const LayerRecord& record : manifest.layers) sum += record.loss;
  return sum / double(manifest.layers.size());
}

const LayerRecord* worst_layer(const Manifest& manifest) {
  const auto worst = std::max_element(manifest.layers.begin(), manifest.layers.end(),
                                      [](const LayerRecord& a, const LayerRecord& b) { return a.loss < b.loss; });
  return worst == manifest.layers.end() ? nullptr : &*worst;
}

double total_seconds(const Manifest& manifest) {
  double sum = 0;
  for (const auto& [stage, seconds] : manifest.timings) sum += seconds;
  return sum;
}

QString protocol_of(const Manifest& manifest) {
  if (!manifest.evaluation) return {};
  const Evaluation& e = *manifest.evaluation;
  return QString("%1|%2|%3|%4")
      .arg(QString::fromStdString(manifest.evaluation_protocol.value("sha256", std::string())))
      .arg(e.context)
      .arg(e.windows)
      .arg(e.tokens);
}

QString describe_protocol(const Manifest& manifest) {
  if (!manifest.evaluation) return {};
  const std::string text = manifest.evaluation_protocol.value("text", std::string());
  const QString file =
      text.empty() ? QObject::tr("evaluation text") : QString::fromStdString(std::filesystem::path(text).filename().string());
  return QObject::tr("%1, %2 × %3 tokens").arg(file).arg(manifest.evaluation->windows).arg(manifest.evaluation->context);
}

}  // namespace lrc::app

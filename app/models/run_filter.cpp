#include "models/run_filter.h"

#include <QCoreApplication>
#include <QRegularExpression>
#include <vector>

namespace lrc::app {

namespace {

QString tr(const char* text) { return QCoreApplication::translate("run_filter", text); }

std::optional<double> number_of(const RunEntry& run, const QString& field) {
  const auto& evaluation = run.manifest.evaluation;
  if (field == "bpw") return run.manifest.bits_per_weight > 0 ? std::optional(run.manifest.bits_per_weight) : std::nullopt;
  if (field == "mb") return run.manifest.file_bytes > 0 ? std::optional(double(run.manifest.file_bytes) / 1e6) : std::nullopt;
  if (field == "ppl") return evaluation ? std::optional(evaluation->perplexity) : std::nullopt;
  if (field == "kl") return evaluation && evaluation->kl ? std::optional(evaluation->kl->mean) : std::nullopt;
  if (field == "top1") return evaluation && evaluation->top1_agreement ? std::optional(100 * *evaluation->top1_agreement) : std::nullopt;
  if (field == "rank") return run.manifest.recipe.rank.value;
  return double(run.number);
}

}  // namespace

QString state_name(RunEntry::State state) {
  switch (state) {
    case RunEntry::State::queued:
      return "queued";
    case RunEntry::State::running:
      return "running";
    case RunEntry::State::paused:
      return "paused";
    case RunEntry::State::stopped:
      return "stopped";
    case RunEntry::State::failed:
      return "failed";
    case RunEntry::State::done:
      break;
  }
  return "done";
}

RunFilter parse_run_filter(const QString& text) {
  std::vector<std::function<bool(const RunEntry&)>> parts;
  static const QRegularExpression comparison("^(bpw|mb|ppl|kl|top1|rank|run)(<|>|=)([0-9]+\\.?[0-9]*)$");
  static const QRegularExpression broken("^(bpw|mb|ppl|kl|top1|rank|run)(<|>|=)");
  for (QString word : text.simplified().toLower().split(' ', Qt::SkipEmptyParts)) {
    const bool negated = word.startsWith('!');
    if (negated) word.remove(0, 1);
    if (word.isEmpty()) return {{}, tr("After ! a word is missing.")};
    std::function<bool(const RunEntry&)> part;
    if (const auto match = comparison.match(word); match.hasMatch()) {
      const QString field = match.captured(1), sign = match.captured(2);
      const double wanted = match.captured(3).toDouble();
      part = [field, sign, wanted](const RunEntry& run) {
        const auto value = number_of(run, field);
        if (!value) return false;
        return sign == "<" ? *value < wanted : sign == ">" ? *value > wanted : qFuzzyCompare(1 + *value, 1 + wanted);
      };
    } else if (broken.match(word).hasMatch()) {
      return {{}, tr("“%1” needs a number.").arg(word)};
    } else if (word.startsWith("state:")) {
      const QString wanted = word.mid(6);
      part = [wanted](const RunEntry& run) { return state_name(run.state).startsWith(wanted); };
    } else if (word.startsWith("method:")) {
      const QString wanted = word.mid(7);
      part = [wanted](const RunEntry& run) { return QString::fromStdString(run.manifest.recipe.method).startsWith(wanted); };
    } else {
      part = [word](const RunEntry& run) {
        return QString::fromStdString(run.manifest.recipe.name).toLower().contains(word) || QString("#%1").arg(run.number) == word;
      };
    }
    parts.push_back(negated ? [part](const RunEntry& run) { return !part(run); } : part);
  }
  return {[parts](const RunEntry& run) { return std::all_of(parts.begin(), parts.end(), [&](const auto& part) { return part(run); }); },
          {}};
}

}  // namespace lrc::app

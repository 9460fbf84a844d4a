#include "models/compare_rows.h"

#include <QCoreApplication>
#include <algorithm>
#include <cmath>

#include "models/draft_edits.h"
#include "models/run_facts.h"
#include "plot_style.h"

namespace lrc::app {

namespace {

using Direction = CompareRow::Direction;
const QString dash = QStringLiteral("–");

QString tr(const char* text) { return QCoreApplication::translate("compare_rows", text); }
QString group_text(std::size_t group) { return group == 0 ? tr("row") : QString::number(group); }
QString clip_text(WeightClip clip) {
  return clip == WeightClip::search ? tr("searched") : clip == WeightClip::awq ? tr("AWQ") : tr("none");
}
QString smoothing_text(const Recipe& recipe) {
  const auto text = name(recipe.smoothing);
  const QString words = QString::fromUtf8(text.data(), qsizetype(text.size()));
  return recipe.smoothing == Smoothing::smoothquant ? QString("%1, α %2").arg(words).arg(recipe.smoothing_strength) : words;
}
QString rotation_text(const RotationChoice& rotation) {
  QStringList parts;
  const QString origin = rotation.file.empty() ? tr(", seed %1").arg(rotation.seed)
                                               : ", " + QString::fromStdString(std::filesystem::path(rotation.file).filename().string());
  if (rotation.r1) parts << "R1";
  if (rotation.r2) parts << "R2";
  if (rotation.r3) parts << "R3";
  if (rotation.r4) parts << "R4";
  return parts.isEmpty() ? tr("none") : parts.join(QStringLiteral(" · ")) + origin;
}

class Rows {
 public:
  Rows(const RunEntry* a, const RunEntry* b) : a_(a), b_(b) {}
  void section(const QString& name) { section_ = name; }

  template <typename Get>
  void choice(const QString& name, Get get) {
    add(name, a_ ? get(a_->manifest.recipe) : dash, b_ ? get(b_->manifest.recipe) : dash, {}, Direction::none);
  }
  /// `noise`: two standard errors of the difference, where known.
  template <typename Get, typename Write>
  void result(const QString& name, Get get, Write write, bool less_is_better, bool points = false, std::optional<double> noise = {}) {
    const std::optional<double> a = a_ ? get(*a_) : std::nullopt, b = b_ ? get(*b_) : std::nullopt;
    QString change;
    Direction direction = Direction::none;
    if (a && b && *a != *b) {
      change = points   ? QString("%1%2 pt").arg(*b > *a ? "+" : QStringLiteral("−")).arg(std::abs(100 * (*b - *a)), 0, 'f', 1)
               : *a > 0 ? format_change(*b / *a - 1)
                        : QString();
      direction = noise && std::abs(*b - *a) < *noise ? Direction::noise
                  : (*b < *a) == less_is_better       ? Direction::better
                                                      : Direction::worse;
    }
    add(name, a ? write(*a) : dash, b ? write(*b) : dash, change, direction);
  }
  void add(const QString& name, const QString& a, const QString& b, const QString& change, Direction direction) {
    rows.push_back({section_, name, a, b, change, direction, a != b});
    section_.clear();
  }
  std::vector<CompareRow> rows;

 private:
  const RunEntry *a_, *b_;
  QString section_;
};

/// Standard error of the mean NLL over windows: below twice of it a difference says nothing.
std::optional<double> standard_error(const RunEntry* run) {
  if (!run || !run->manifest.evaluation || run->manifest.evaluation->nll_of_each_window.size() < 2) return {};
  const auto& nll = run->manifest.evaluation->nll_of_each_window;
  double mean = 0, variance = 0;
  for (const double value : nll) mean += value;
  mean /= double(nll.size());
  for (const double value : nll) variance += (value - mean) * (value - mean);
  return std::sqrt(variance / double(nll.size() - 1) / double(nll.size()));
}

/// Of the paired difference, when both were scored on the same windows.
std::optional<double> paired_noise(const RunEntry* a, const RunEntry* b) {
  if (!standard_error(a) || !standard_error(b) || protocol_of(a->manifest) != protocol_of(b->manifest)) return {};
  const auto &x = a->manifest.evaluation->nll_of_each_window, &y = b->manifest.evaluation->nll_of_each_window;
  if (x.size() != y.size()) return {};
  double mean = 0, variance = 0;
  for (std::size_t i = 0; i < x.size(); ++i) mean += y[i] - x[i];
  mean /= double(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) variance += std::pow(y[i] - x[i] - mean, 2);
  // Of the perplexity: d exp(nll) = exp(nll) d nll.
  return 2 * std::sqrt(variance / double(x.size() - 1) / double(x.size())) * b->manifest.evaluation->perplexity;
}

}  // namespace

std::vector<CompareRow> compare_runs(const RunEntry* a, const RunEntry* b, const Model& model) {
  Rows rows(a, b);
  rows.section(tr("Recipe"));
  rows.choice(tr("Method"), [](const Recipe& r) { return method_title(r.method); });
  rows.choice(tr("Rank"), [](const Recipe& r) { return QString::fromStdString(to_string(r.rank)); });
  rows.choice(tr("Passes"), [](const Recipe& r) { return QString::number(r.iterations); });
  rows.choice(tr("Refined"), [](const Recipe& r) { return r.refine > 0 ? tr("%1 steps").arg(r.refine) : tr("no"); });
  rows.choice(tr("Deflated"), [](const Recipe& r) { return r.deflate ? tr("yes") : tr("no"); });
  rows.choice(tr("Weights"),
              [](const Recipe& r) { return tr("%1-bit, group %2").arg(r.weight.bits).arg(group_text(r.weight.group_size)); });
  rows.choice(tr("Weight clip"), [](const Recipe& r) { return clip_text(r.weight.clip); });
  rows.choice(tr("Activations"), [](const Recipe& r) {
    return r.activation.off() ? tr("float")
                              : tr("%1-bit, %2")
                                    .arg(r.activation.bits)
                                    .arg(r.activation.group_size == 0 ? tr("per token") : tr("group %1").arg(r.activation.group_size));
  });
  rows.choice(tr("KV cache"), [](const Recipe& r) {
    return r.cache.off()
               ? tr("float")
               : tr("%1-bit %2").arg(r.cache.bits).arg(r.cache.group_size == 0 ? tr("per head") : tr("group %1").arg(r.cache.group_size));
  });
  rows.choice(tr("Activation clip"), [](const Recipe& r) { return QString::number(double(r.activation.clip), 'f', 2); });
  rows.choice(tr("Rotation"), [](const Recipe& r) { return rotation_text(r.rotation); });
  rows.choice(tr("High precision"), [](const Recipe& r) {
    return r.rotation.high_share > 0 ? tr("%1 % in %2 bits").arg(100 * r.rotation.high_share).arg(r.high_bits) : tr("none");
  });
  rows.choice(tr("Smoothing"), [](const Recipe& r) { return smoothing_text(r); });
  rows.choice(tr("Damping"), [](const Recipe& r) { return QString::number(r.damping, 'g', 3); });
  rows.choice(tr("Damped toward"),
              [](const Recipe& r) { return r.damping_toward == DampingToward::original ? tr("the original") : tr("zero"); });
  rows.choice(tr("Calibration tokens"), [](const Recipe& r) { return format_count(r.calibration_tokens); });
  rows.choice(tr("First positions left out"), [](const Recipe& r) { return QString::number(r.skip_first_positions); });
  rows.choice(tr("Calibration text"), [](const Recipe& r) {
    const auto file_name = [](const std::string& path) { return QString::fromStdString(std::filesystem::path(path).filename().string()); };
    const QString text = r.calibration.empty() ? tr("WikiText-2") : file_name(r.calibration);
    const auto& mix = r.calibration_mix;
    return mix ? tr("%1 + %2 % %3").arg(text).arg(100 * mix->share).arg(file_name(mix->text)) : text;
  });
  rows.choice(tr("Overrides"), [](const Recipe& r) { return QString::number(r.overrides.size()); });

  const auto some = [](double value) { return value > 0 ? std::optional(value) : std::nullopt; };
  rows.section(tr("Result"));
  rows.result(
      tr("Size, b/w"), [&](const RunEntry& r) { return some(r.manifest.bits_per_weight); }, format_bits, true);
  rows.result(
      tr("File, MB"), [&](const RunEntry& r) { return some(double(r.manifest.file_bytes)); },
      [](double v) { return QString::number(v / 1e6, 'f', 1); }, true);
  rows.result(
      tr("PPL"), [](const RunEntry& r) { return r.manifest.evaluation ? std::optional(r.manifest.evaluation->perplexity) : std::nullopt; },
      format_perplexity, true, false, paired_noise(a, b));
  rows.result(
      tr("KL, nat/token"),
      [](const RunEntry& r) {
        return r.manifest.evaluation && r.manifest.evaluation->kl ? std::optional(r.manifest.evaluation->kl->mean) : std::nullopt;
      },
      format_kl, true);
  rows.result(
      tr("KL p99, nat"),
      [](const RunEntry& r) {
        return r.manifest.evaluation && r.manifest.evaluation->kl ? std::optional(r.manifest.evaluation->kl->p99) : std::nullopt;
      },
      format_kl, true);
  rows.result(
      tr("Same top token, %"),
      [](const RunEntry& r) { return r.manifest.evaluation ? r.manifest.evaluation->top1_agreement : std::nullopt; },
      [](double v) { return QString::number(100 * v, 'f', 1); }, false, true);
  rows.result(
      tr("Mean layer error, %"), [](const RunEntry& r) { return mean_error(r.manifest); }, format_error, true);
  rows.result(
      tr("Worst layer error, %"),
      [](const RunEntry& r) {
        const auto* worst = worst_layer(r.manifest);
        return worst ? std::optional(worst->loss) : std::nullopt;
      },
      format_error, true);
  rows.result(
      tr("Time"), [&](const RunEntry& r) { return some(total_seconds(r.manifest)); }, format_duration, true);

  if (a && b && a != b) {
    struct Change {
      QString name;
      double a, b;
    };
    std::vector<Change> changes;
    for (const LayerInfo& layer : model.layers()) {
      const LayerRecord *x = record_of(a, layer.name), *y = record_of(b, layer.name);
      if (x && y && x->loss > 0 && x->loss != y->loss) changes.push_back({QString::fromStdString(short_name(layer)), x->loss, y->loss});
    }
    std::stable_sort(changes.begin(), changes.end(),
                     [](const Change& x, const Change& y) { return std::abs(x.b - x.a) > std::abs(y.b - y.a); });
    if (changes.size() > 10) changes.resize(10);
    rows.section(tr("Largest changes of a layer’s error, %"));
    for (const Change& change : changes)
      rows.add(change.name, format_error(change.a), format_error(change.b), format_change(change.b / change.a - 1),
               change.b < change.a ? Direction::better : Direction::worse);
  }
  return rows.rows;
}

QString to_markdown(const std::vector<CompareRow>& rows, const QString& title_a, const QString& title_b, bool only_differing) {
  QString out = QString("| | %1 | %2 | |\n|---|---:|---:|---:|\n").arg(title_a, title_b);
  QString section;
  for (const CompareRow& row : rows) {
    if (!row.section.isEmpty()) section = row.section;
    if (only_differing && !row.differs) continue;
    if (!section.isEmpty()) out += QString("| **%1** | | | |\n").arg(section);
    section.clear();
    out += QString("| %1 | %2 | %3 | %4 |\n").arg(row.name, row.a, row.b, row.change);
  }
  return out;
}

}  // namespace lrc::app

#include "models/tradeoff_points.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "models/run_facts.h"

namespace lrc::app {

Tradeoff tradeoff_of(const Workspace& workspace, Quality quality, int activation_bits) {
  Tradeoff out;
  QString protocol;
  if (const RunEntry* b = run_in(workspace, workspace.slotB())) protocol = protocol_of(b->manifest);
  if (protocol.isEmpty()) {
    std::map<QString, int> votes;
    for (const RunEntry& run : workspace.runs())
      if (run.manifest.evaluation) ++votes[protocol_of(run.manifest)];
    int most = 0;
    for (const auto& [name, count] : votes)
      if (count > most) {
        most = count;
        protocol = name;
      }
  }
  for (const RunEntry& run : workspace.runs()) {
    if (run.state != RunEntry::State::done) continue;
    if (!run.manifest.evaluation) {
      ++out.not_evaluated;
      continue;
    }
    const Evaluation& evaluation = *run.manifest.evaluation;
    if (protocol_of(run.manifest) != protocol) {
      ++out.evaluated_differently;
      continue;
    }
    out.protocol = describe_protocol(run.manifest);
    if (evaluation.reference_perplexity) out.original = evaluation.reference_perplexity;
    const int bits = run.manifest.recipe.activation.bits;
    if (activation_bits != 0 && bits != activation_bits) continue;
    std::optional<double> value;
    if (quality == Quality::kl && evaluation.kl) value = evaluation.kl->mean;
    if (quality == Quality::perplexity) value = evaluation.perplexity;
    if (quality == Quality::disagreement && evaluation.top1_agreement) value = 1 - *evaluation.top1_agreement;
    if (!value || !(*value > 0)) continue;  // a logarithmic axis has no zero
    out.points.push_back({run.number, QString::fromStdString(run.manifest.recipe.name), run.manifest.recipe.method, bits,
                          run.manifest.bits_per_weight, *value});
  }
  std::sort(out.points.begin(), out.points.end(), [](const TradeoffPoint& a, const TradeoffPoint& b) {
    return std::tie(a.bits_per_weight, a.quality, a.run) < std::tie(b.bits_per_weight, b.quality, b.run);
  });
  for (const RunEntry& run : workspace.runs()) {
    if (run.state != RunEntry::State::queued && run.state != RunEntry::State::running) continue;
    const Recipe& recipe = run.manifest.recipe;
    if (!workspace.hasModel() || (activation_bits != 0 && recipe.activation.bits != activation_bits)) continue;
    ComingPoint point{
        run.number, QString::fromStdString(recipe.name), recipe.method, recipe.activation.bits, run.manifest.bits_per_weight, {}, {}};
    if (!(point.bits_per_weight > 0)) point.bits_per_weight = forecast(recipe, *workspace.model()).bits_per_weight;
    estimate_quality(point, out.points);
    out.coming.push_back(std::move(point));
  }
  return out;
}

void estimate_quality(ComingPoint& point, const std::vector<TradeoffPoint>& measured) {
  const TradeoffPoint *below = nullptr, *above = nullptr;  // the nearest in size on either side
  for (const TradeoffPoint& each : measured) {
    if (each.method != point.method || each.activation_bits != point.activation_bits) continue;
    if (each.bits_per_weight <= point.bits_per_weight && (!below || each.bits_per_weight >= below->bits_per_weight)) below = &each;
    if (each.bits_per_weight >= point.bits_per_weight && (!above || each.bits_per_weight < above->bits_per_weight)) above = &each;
  }
  if (!below && !above) return;
  if (!below || !above || below->bits_per_weight == above->bits_per_weight) {
    const TradeoffPoint& nearest = below ? *below : *above;
    point.quality = nearest.quality;
    point.basis = {nearest.run};
    return;
  }
  const double way = (point.bits_per_weight - below->bits_per_weight) / (above->bits_per_weight - below->bits_per_weight);
  point.quality = std::exp((1 - way) * std::log(below->quality) + way * std::log(above->quality));
  point.basis = {below->run, above->run};
}

std::vector<std::size_t> frontier(const std::vector<TradeoffPoint>& points) {
  std::vector<SizeAndQuality> plain;
  for (const auto& point : points) plain.push_back({point.bits_per_weight, point.quality});
  return lrc::frontier(plain);
}

}  // namespace lrc::app

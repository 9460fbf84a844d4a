#include "models/tradeoff_points.h"

#include <algorithm>
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
  return out;
}

std::vector<std::size_t> frontier(const std::vector<TradeoffPoint>& points) {
  std::vector<SizeAndQuality> plain;
  for (const auto& point : points) plain.push_back({point.bits_per_weight, point.quality});
  return lrc::frontier(plain);
}

}  // namespace lrc::app

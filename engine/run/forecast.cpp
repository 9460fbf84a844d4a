// What a recipe costs. Bytes follow from shapes exactly; seconds from operation counts and the machine's measured speed,
// memory from what the runner holds at its highest point.
#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "base/parallel.h"
#include "run/machine_speed.h"
#include "run/recipe.h"
#include "run/sizes.h"

namespace lrc {
namespace {

// Code, thread stacks and the allocator's slack of a process that does nothing yet.
constexpr double program_bytes = 60e6;

/// Floating-point operations of a run, by kind (see MachineSpeed).
struct Work {
  double dense = 0, eigen = 0, gptq = 0, forward = 0, moments = 0, reading = 0;
};

struct Tokens {
  double calibration = 0, all = 0, context = 0;
};

Tokens tokens_of(const Recipe& recipe, const Model& model) {
  const double context = double(std::min(recipe.calibration_context, model.config().context));
  const double windows = std::ceil(double(recipe.calibration_tokens) / context);
  return {windows * context, (windows + double(recipe.held_out_windows)) * context, context};
}

/// The part of the tokens that one expert sees, were they spread evenly.
double expert_share(const ModelConfig& config) { return double(config.experts_per_token) / double(config.experts); }
double share_of_tokens(const ModelConfig& config, const LayerInfo& layer) { return layer.expert == no_expert ? 1.0 : expert_share(config); }

void add_layer(Work& work, const LayerScheme& scheme, double out, double in) {
  const double small = std::min(out, in), large = std::max(out, in), full = out * in * in;
  const auto& method = find_method(scheme.method);
  const bool is_lrc = method.uses_rank && !method.corrects_base;
  const double rounds = is_lrc && scheme.rank > 0 ? scheme.iterations : 1;
  // Losses of the solution, of the uncorrected one and on held-out tokens; the curves' Gram matrices and values.
  work.dense += 18 * full + 2 * small * small * large;
  work.eigen += 2 * 3 * small * small * small;
  if (method.corrects_base && scheme.rank > 0) {
    work.eigen += 9 * small * small * small;
    work.dense += full + small * small * large;
  }
  if (scheme.method == "gptq" || is_lrc || (method.corrects_base && scheme.base == "gptq")) work.gptq += full;
  if (is_lrc) {
    work.gptq += rounds * full;
    work.dense += rounds * 8 * full;
  }
  if (is_lrc && scheme.rank > 0) {
    work.eigen += (1 + rounds) * 9 * small * small * small;
    work.dense += (1 + rounds) * (full + small * small * large + 2 * double(scheme.rank) * (out * in + in * in));
    if (scheme.deflate) work.dense += rounds * 2 * in * in * in;
  }
}

Work work_of(const Recipe& recipe, const Model& model, const Tokens& tokens) {
  const auto& config = model.config();
  Work work;
  std::map<std::pair<std::size_t, std::size_t>, double> sites;  // block and number, with their width
  for (const auto& layer : model.layers()) {
    const double out = double(layer.out_features), in = double(layer.in_features);
    work.reading += 4 * out * in;  // widening, packing and rotating both sides, beside what one rotation costs
    work.forward += 2 * tokens.all * share_of_tokens(config, layer) * out * in;
    const auto scheme = effective_scheme(recipe, layer);
    if (scheme.skipped) continue;
    sites[{layer.block, layer.site().index()}] = in;
    add_layer(work, scheme, out, in);
  }
  for (const auto& [site, n] : sites) {
    const double share = site_at(site.first, site.second).expert == no_expert ? 1.0 : expert_share(config);
    work.moments += tokens.all * share * n * n * (recipe.activation.off() ? 1 : 4);
    work.dense += 4 * n * n * n;
  }
  // Attention reads half of the square, scores and values.
  work.forward += 2 * tokens.all * tokens.context * double(config.heads * config.head_dim * config.blocks);
  return work;
}

double peak_memory(const Recipe& recipe, const Model& model, const Tokens& tokens) {
  const auto& config = model.config();
  const double hidden = double(config.hidden_size);
  std::vector<double> widths(site_count(config));
  double block_weights = 0, largest_solve = 0;
  for (const auto& layer : model.layers()) {
    if (layer.block != 0) continue;
    const double out = double(layer.out_features), in = double(layer.in_features);
    block_weights += 4 * out * in;
    widths[layer.site().index()] = in;
    // Weight, target, Ŵ and products in float64, the Hessian and its factors.
    largest_solve = std::max(largest_solve, 8 * (8 * out * in + 5 * in * in));
  }
  double moments = 0, statistics = 0;
  for (const double n : widths) {
    moments += 8 * 3 * n * n * (recipe.held_out_windows > 0 ? 2 : 1);
    statistics += 8 * 7 * n * n;
  }
  const double streams = 4 * tokens.all * hidden;
  const double scratch =
      4 * tokens.context * (4 * hidden + 3 * double(config.feed_forward)) + 8 * 4 * 4096 * double(config.feed_forward) / 4;
  const double embedding = 4 * 2 * double(config.vocabulary) * hidden;
  const double walking = block_weights * 2 + streams + scratch + moments;
  const double solving = block_weights * 2 + streams + scratch + moments + statistics + largest_solve * std::min(7, thread_count());
  const double mapped = double(model.checkpoint().file_bytes());
  return program_bytes + mapped + std::max({streams + embedding, walking, solving});
}

}  // namespace

Forecast forecast(const Recipe& recipe, const Model& model) {
  const auto sizes = sizes_of(recipe, model);
  Forecast result;
  result.code_bytes = RunSizes::bytes(sizes.code_bits);
  result.scale_bytes = RunSizes::bytes(sizes.scale_bits);
  result.factor_bytes = RunSizes::bytes(sizes.factor_bits);
  result.layer_bytes = sizes.layer_bytes();
  result.file_bytes = sizes.file_bytes();
  result.bits_per_weight = sizes.bits_per_weight();

  const auto tokens = tokens_of(recipe, model);
  const auto work = work_of(recipe, model, tokens);
  const auto speed = machine_speed();
  const double threads = double(thread_count());
  // The seven layers of a block run side by side; the widest of them keeps some threads waiting.
  const double at_layers = std::min(threads, 4.0);
  const double rotate = work.reading / speed.reading / at_layers;
  const double calibrate = (work.forward / speed.forward + work.moments / speed.moments) / threads;
  const double solve = (work.dense / speed.dense + work.eigen / speed.eigen + work.gptq / speed.gptq) / at_layers;
  result.by_stage = {{"rotate", rotate}, {"calibrate", calibrate}, {"solve", solve}};
  result.seconds = rotate + calibrate + solve;
  result.peak_memory_bytes = std::uint64_t(peak_memory(recipe, model, tokens));
  return result;
}

}  // namespace lrc

// What a recipe costs. Bytes follow from shapes exactly; seconds from operation counts and the machine's measured speed,
// memory from what the runner holds at its highest point.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <vector>

#include "base/parallel.h"
#include "correction/range_finder.h"
#include "quantization/cache_rows.h"
#include "run/machine_speed.h"
#include "run/memory_plan.h"
#include "run/recipe.h"
#include "run/sizes.h"

namespace lrc {
namespace {

// Candidates of a searched clip (run/clip_search.cpp).
constexpr double kClips = 5;

/// Seconds of one thread, by how the work spreads over several.
struct Work {
  double products = 0;  ///< solves: cut into blocks of rows
  double serial = 0;    ///< eigenproblems and factorizations: one thread each
  double forward = 0, moments = 0, reading = 0;
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

void add_layer(Work& work, const MachineSpeed& speed, const LayerScheme& scheme, double out, double in) {
  const double small = std::min(out, in), large = std::max(out, in), full = out * in * in;
  const auto& method = find_method(scheme.method);
  const bool is_lrc = method.uses_rank && !method.corrects_base;
  const double rounds = is_lrc && scheme.rank > 0 ? scheme.iterations : 1;
  const double rank = double(scheme.rank), eigenproblem = 9 * small * small * small;
  // Losses of the solution, of the uncorrected one and on held-out tokens; the curves' Gram matrices and values.
  double dense = 18 * full + 2 * small * small * large, gptqs = 0, eigen = 2 * eigenproblem / 3;
  // The range finder: the eigenvalues alone, and five products with the directions that it follows.
  const bool finds = scheme.range_finder == RangeFinder::randomized && range_finder_pays(std::size_t(small), scheme.rank);
  const double pair_problem = finds ? eigenproblem / 3 : eigenproblem, pair_products = finds ? 12 * small * small * rank : 0;
  if (method.corrects_base && scheme.rank > 0) {
    eigen += pair_problem;
    dense += full + small * small * large + pair_products;
  }
  if (method.moves_weights) {
    // In float32, twice as fast: W(I), Ŵ S_y and the way back through the singular vectors, at every step.
    dense += 0.5 * (scheme.steps + 1) * (2 * full + 4 * out * in * small);
    eigen += 12 * small * small * large;
  }
  if (scheme.method == "gptq" || is_lrc || (method.corrects_base && scheme.base == "gptq")) gptqs += 1;
  if (is_lrc) {
    gptqs += rounds;
    dense += rounds * 8 * full;
  }
  if (is_lrc && scheme.rank > 0) {
    eigen += (1 + rounds) * pair_problem;
    dense += (1 + rounds) * (full + small * small * large + pair_products + 2 * rank * (out * in + in * in));
    if (scheme.deflate) dense += rounds * 2 * in * in * in;
  }
  work.products += speed.dense.seconds(dense, small) + speed.gptq.seconds(gptqs * full, in);
  // GPTQ's factor: a Cholesky factor and its inverse.
  work.serial += speed.eigen.seconds(eigen, small) + speed.dense.seconds(gptqs * in * in * in, in);
}

/// The forward pass of one block up to the input of each kind of site, and all of it.
struct BlockForward {
  std::array<double, 4> until{};  // by SiteKind
  double whole = 0;
};

BlockForward forward_of(const Model& model, double tokens, double context) {
  const auto& config = model.config();
  std::array<double, 4> behind{};  // of the layers that read each kind of site
  for (const auto& layer : model.layers())
    if (layer.block == 0)
      behind[std::size_t(layer.site().kind)] += 2 * tokens * share_of_tokens(config, layer) * double(layer.parameters());
  // Attention reads half of the square, scores and values.
  behind[std::size_t(SiteKind::attention_input)] += 2 * tokens * context * double(config.heads * config.head_dim);
  BlockForward forward;
  for (std::size_t kind = 0; kind < behind.size(); ++kind) {
    forward.until[kind] = forward.whole;
    forward.whole += behind[kind];
  }
  return forward;
}

/// What is done on the way through the blocks, and what is done at the door of each block before the stream moves on (clips, the
/// sites of a quantized stream, passes where memory is short).
struct Works {
  Work walk, door;
};

Works work_of(const Recipe& recipe, const Model& model, const Tokens& tokens, const MemoryPlan& plan, const MachineSpeed& speed) {
  const auto& config = model.config();
  const bool drift = recipe.stream != Stream::fp, passes = !drift && !plan.together();
  Works works;
  std::map<std::pair<std::size_t, std::size_t>, double> sites;  // block and number, with their width
  for (const auto& layer : model.layers()) {
    const double out = double(layer.out_features), in = double(layer.in_features), small = std::min(out, in);
    // Widening, packing and rotating both sides, beside what one rotation costs.
    works.walk.reading += speed.reading.seconds(4 * out * in, small);
    const auto scheme = effective_scheme(recipe, layer);
    if (scheme.skipped) continue;
    sites[{layer.block, layer.site().index()}] = in;
    add_layer(works.walk, speed, scheme, out, in);
    if (recipe.smoothing == Smoothing::awq)
      works.door.products += speed.dense.seconds(20 * out * in * in, small);  // each of its exponents: a loss
    if (!recipe.search_clip) continue;
    works.door.products += kClips * speed.dense.seconds(out * in * in + small * small * std::max(out, in), small);
    works.door.serial += kClips * speed.eigen.seconds(3 * small * small * small, small);
  }
  const double products = recipe.activation.off() ? 1 : 4;  // symmetric ones counted as half
  for (const auto& [site, n] : sites) {
    const double share = site_at(site.first, site.second).expert == no_expert ? 1.0 : expert_share(config);
    const double each = share * n * n, factors = speed.dense.seconds(n * n * n, n);
    (drift || passes ? works.door : works.walk).moments +=
        speed.moments.seconds(tokens.all * each * (products + (drift ? products + 1 : 0)), n);
    works.walk.products += (drift ? 7 : 2) * factors;
    works.walk.serial += factors;
    if (!recipe.search_clip) continue;
    works.door.moments += speed.moments.seconds(kClips * tokens.calibration * each * products, n);
    works.door.products += kClips * 2 * factors;
    works.door.serial += kClips * factors;
  }
  const BlockForward forward = forward_of(model, tokens.all, tokens.context);
  const double blocks = double(config.blocks), calibration = tokens.calibration / tokens.all;
  double through_passes = 0;
  for (const auto& pass : plan.passes) {
    double furthest = 0;
    for (const std::size_t s : pass) {
      const Site site = site_at(0, s);
      furthest =
          std::max(furthest, site.expert == no_expert && config.experts == 0 ? forward.until[std::size_t(site.kind)] : forward.whole);
    }
    through_passes += furthest;
  }
  double at_doors = 0;
  // Channel scales are chosen by the float inputs, before these are measured as they are then quantized.
  if (recipe.smoothing == Smoothing::smoothquant) at_doors += calibration * forward.whole;
  if (recipe.smoothing == Smoothing::awq || recipe.smoothing == Smoothing::closed_form) {
    at_doors += calibration * (passes ? through_passes : forward.whole);
    for (const auto& [site, n] : sites) works.door.moments += speed.moments.seconds(tokens.calibration * n * n, n);
  }
  if (recipe.search_clip) at_doors += kClips * calibration * through_passes;
  if (passes) at_doors += through_passes;
  if (drift) {
    for (const double until : forward.until) at_doors += 2 * until;
    if (recipe.stream == Stream::propagated) at_doors += forward.whole;
  }
  works.walk.forward = speed.forward.seconds(blocks * forward.whole, double(config.hidden_size));
  works.door.forward = speed.forward.seconds(blocks * at_doors, double(config.hidden_size));
  return works;
}

/// Seconds of one thread that the walk to the principal bases takes, beside its reading: the forward pass, and the second moments of
/// the two inputs that read the stream (those of the heads are small).
double bases_of(const Model& model, const Tokens& tokens, const MachineSpeed& speed) {
  const auto& config = model.config();
  const double blocks = double(config.blocks), width = double(config.hidden_size);
  return speed.forward.seconds(blocks * forward_of(model, tokens.all, tokens.context).whole, width) +
         speed.moments.seconds(blocks * 2 * tokens.calibration * width * width, width);
}

/// Float32 operations of a refinement: a step derives two pieces of 256 tokens; nine looks at the held-out windows, and two at as
/// many training windows; the prefix is walked beside the float model.
double refinement_of(const Recipe& recipe, const Model& model, const Tokens& tokens) {
  if (recipe.refine == 0) return 0;
  const auto& config = model.config();
  const double looks = (9 + 2) * double(recipe.held_out_windows) * tokens.context, stepped = 2 * 256 * double(recipe.refine);
  const double blocks = double(config.blocks);
  double work = (looks * 2 + stepped * 7) * tokens.context * double(config.heads * config.head_dim) * blocks;
  for (const auto& layer : model.layers()) {
    const auto scheme = effective_scheme(recipe, layer);
    const bool by_weight = find_method(scheme.method).moves_weights || (scheme.weight.group_size != 0 && !scheme.skipped);
    const double pair = double(scheme.rank) * double(layer.in_features + layer.out_features);
    work += (looks + stepped * (by_weight ? 3 : 2)) * 2 * (double(layer.parameters()) + pair);
  }
  if (recipe.stream != Stream::propagated) work += blocks * forward_of(model, tokens.all, tokens.context).whole;
  if (recipe.learn_scales) {
    // Its layers are measured again behind the learned scales: a pass, and the second moments of each input.
    const double widths = 2 * std::pow(double(config.hidden_size), 2) + std::pow(double(config.heads * config.head_dim), 2) +
                          std::pow(double(config.feed_forward), 2);
    work += blocks * (forward_of(model, tokens.all, tokens.context).whole + tokens.all * widths * (recipe.activation.off() ? 1 : 4));
  }
  return work;
}

}  // namespace

Forecast forecast(const Recipe& recipe, const Model& model) { return forecast_within(recipe, model, 0); }

Forecast forecast_within(const Recipe& recipe, const Model& model, std::uint64_t limit_bytes) {
  const auto sizes = sizes_of(recipe, model);
  Forecast result;
  result.code_bytes = RunSizes::bytes(sizes.code_bits);
  result.scale_bytes = RunSizes::bytes(sizes.scale_bits);
  result.factor_bytes = RunSizes::bytes(sizes.factor_bits);
  result.layer_bytes = sizes.layer_bytes();
  result.file_bytes = sizes.file_bytes();
  result.bits_per_weight = sizes.bits_per_weight();

  const auto& config = model.config();
  const std::size_t width = config.kv_heads * config.head_dim;
  const std::size_t row =
      recipe.cache.off() ? width * sizeof(float) : cache_layout(recipe.cache, config.kv_heads, config.head_dim).row_bytes();
  result.cache_bytes_per_token = 2 * row * config.blocks;

  const auto plan = plan_memory({&recipe, 1}, model, limit_bytes);
  const auto speed = machine_speed();
  const auto work = work_of(recipe, model, tokens_of(recipe, model), plan, speed);
  const double threads = double(thread_count());
  // The seven layers of a block run side by side; the widest of them keeps some threads waiting. A layer that is solved alone has
  // all threads for its products.
  const double at_layers = std::min({threads, 4.0, double(plan.layers_at_once)});
  const double at_products = plan.layers_at_once == 1 ? threads : at_layers;
  const auto walking = [&](const Work& w) { return (w.forward + w.moments) / threads; };
  const auto solving = [&](const Work& w) { return w.products / at_products + w.serial / at_layers; };
  double rotate = work.walk.reading / std::min(threads, 4.0);
  if (recipe.rotation.high_share > 0 && recipe.rotation.file.empty())
    rotate += rotate + bases_of(model, tokens_of(recipe, model), speed) / threads;
  const double calibrate = walking(work.walk);
  // As the manifest counts them: what is done at the door of a block is part of solving it.
  const double solve = solving(work.walk) + solving(work.door) + walking(work.door);
  result.by_stage = {{"rotate", rotate}, {"calibrate", calibrate}, {"solve", solve}};
  result.seconds = rotate + calibrate + solve;
  if (recipe.refine > 0) {
    const double refinement = refinement_of(recipe, model, tokens_of(recipe, model));
    result.by_stage.emplace_back("refine", speed.forward.seconds(refinement, double(config.hidden_size)) / threads);
    result.seconds += result.by_stage.back().second;
  }
  result.peak_memory_bytes = plan.peak_bytes;
  return result;
}

}  // namespace lrc

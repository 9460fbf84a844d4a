// What a recipe means for one layer: the one function that table, forecast, runner and manifest ask.
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "base/error.h"
#include "model/imported_rotations.h"
#include "quantization/cache_rows.h"
#include "quantization/column_parts.h"
#include "quantization/quantized_weight.h"
#include "run/recipe.h"

namespace lrc {
namespace {

void check(const LayerScheme& scheme, const LayerInfo& layer) {
  const auto refuse = [&](const std::string& sentence) { throw Error(ErrorKind::bad_input, layer.name + ": " + sentence); };
  const std::string shape = std::to_string(layer.out_features) + " × " + std::to_string(layer.in_features);
  const auto limit = std::min(layer.out_features, layer.in_features);
  if (scheme.rank > limit)
    refuse("rank " + std::to_string(scheme.rank) + " is above what the " + shape + " matrix has; choose at most " + std::to_string(limit) +
           ".");
  const auto& method = find_method(scheme.method);
  if (scheme.weight.high.any() && method.moves_weights)
    refuse(scheme.method + " learns one grid for all columns and does not go with high-precision columns; set high_precision to 0.");
  if (scheme.weight.high.any() && scheme.rank > 0 && scheme.pair_input == PairInput::quantized)
    refuse(
        "a correction on the quantized activation is not part of this version beside high-precision columns; set pair_input to "
        "unquantized, or high_precision to 0.");
  if (scheme.weight.clip == WeightClip::awq && method.uses_rank && !method.corrects_base)
    refuse("the weight clip awq is for the codes of rtn and gptq, not for " + scheme.method + "; choose search or none.");
  check_scheme(scheme.weight, layer.in_features, layer.name);
  check_scheme(scheme.activation, layer.in_features, layer.name);
}

/// Where R1 or R2 is a principal basis, its first directions in more bits. All of them: one grid of that many bits.
void set_high_columns(LayerScheme& scheme, const Recipe& recipe, const LayerInfo& layer) {
  const RotationChoice& rotation = recipe.rotation;
  const SiteKind site = site_of(layer.role);
  const bool of_stream = (site == SiteKind::attention_input || site == SiteKind::mlp_input) && rotation.r1;
  const bool of_heads = site == SiteKind::attention_output && rotation.r2;
  if (!(rotation.high_share > 0) || (!of_stream && !of_heads)) return;
  HighColumns high{.count = high_count(rotation.high_share, layer.in_features, layer.input_period),
                   .period = layer.input_period,
                   .bits = recipe.high_bits};
  const bool all = high.count == (high.period == 0 ? layer.in_features : high.period);
  scheme.weight.high = high;
  if (all) scheme.weight = high_part(scheme.weight);
  if (scheme.activation.off()) return;
  scheme.activation.high = high;
  if (all) scheme.activation = high_part(scheme.activation);
}

/// Blocks of the format's own size where nothing else is said.
void fill_blocks(LayerScheme& scheme) {
  if (scheme.weight.group_size == 0) scheme.weight.group_size = default_block(scheme.weight.format);
  if (scheme.activation.group_size == 0) scheme.activation.group_size = default_block(scheme.activation.format);
}

}  // namespace

bool matches(const std::string& patterns, const std::string& layer) {
  std::istringstream list(patterns);
  for (std::string pattern; std::getline(list, pattern, ',');) {
    while (!pattern.empty() && pattern.front() == ' ') pattern.erase(0, 1);
    while (!pattern.empty() && pattern.back() == ' ') pattern.pop_back();
    if (!pattern.empty() && ::fnmatch(pattern.c_str(), layer.c_str(), 0) == 0) return true;
  }
  return false;
}

LayerScheme effective_scheme(const Recipe& recipe, const LayerInfo& layer) {
  LayerScheme scheme;
  scheme.method = recipe.method;
  scheme.weight = recipe.weight;
  scheme.activation = recipe.activation;
  scheme.iterations = recipe.iterations;
  scheme.deflate = recipe.deflate;
  scheme.damping = recipe.damping;
  scheme.damping_toward = recipe.damping_toward;
  scheme.gptq_damping = recipe.gptq_damping;
  scheme.act_order = recipe.act_order;
  scheme.polish = recipe.polish;
  scheme.base = recipe.base;
  scheme.factors = recipe.factors;
  scheme.drift = recipe.drift;
  scheme.steps = recipe.steps;
  scheme.square = recipe.square;
  scheme.range_finder = recipe.range_finder;
  std::optional<PairInput> pair_input = recipe.pair_input;
  scheme.skipped = !matches(recipe.layers, layer.name);
  RankChoice rank = recipe.rank;
  for (const auto& rule : recipe.overrides) {
    if (!matches(rule.pattern, layer.name)) continue;
    if (rule.method) scheme.method = *rule.method;
    if (rule.weight_bits) scheme.weight.bits = *rule.weight_bits;
    if (rule.group_size) scheme.weight.group_size = *rule.group_size;
    if (rule.activation_bits) scheme.activation.bits = *rule.activation_bits;
    if (rule.clip) scheme.activation.clip = *rule.clip;
    if (rule.rank) rank = *rule.rank;
    if (rule.iterations) scheme.iterations = *rule.iterations;
    if (rule.deflate) scheme.deflate = *rule.deflate;
    if (rule.damping) scheme.damping = *rule.damping;
    if (rule.damping_toward) scheme.damping_toward = *rule.damping_toward;
    if (rule.gptq_damping) scheme.gptq_damping = *rule.gptq_damping;
    if (rule.weight_format) scheme.weight.format = *rule.weight_format;
    if (rule.weight_asymmetric) scheme.weight.symmetric = !*rule.weight_asymmetric;
    if (rule.weight_clip) scheme.weight.clip = *rule.weight_clip;
    if (rule.activation_format) scheme.activation.format = *rule.activation_format;
    if (rule.activation_asymmetric) scheme.activation.symmetric = !*rule.activation_asymmetric;
    if (rule.activation_group_size) scheme.activation.group_size = *rule.activation_group_size;
    if (rule.act_order) scheme.act_order = *rule.act_order;
    if (rule.polish) scheme.polish = *rule.polish;
    if (rule.base) scheme.base = *rule.base;
    if (rule.factors) scheme.factors = *rule.factors;
    if (rule.pair_input) pair_input = *rule.pair_input;
    if (rule.drift) scheme.drift = *rule.drift;
    if (rule.skip) scheme.skipped = *rule.skip;
  }
  const auto& method = find_method(scheme.method);
  scheme.pair_input = pair_input.value_or(method.pair_input);
  fill_blocks(scheme);
  // A router decides by small differences: it always stays as it is.
  if (scheme.weight.bits >= 16 || layer.role == Role::router) scheme.skipped = true;
  if (scheme.skipped) return scheme;
  set_high_columns(scheme, recipe, layer);
  // AWQ leaves the clips of queries and keys alone: what they do to attention is not their output error.
  const bool queries_or_keys = layer.role == Role::q_proj || layer.role == Role::k_proj || layer.role == Role::qkv_proj;
  if (scheme.weight.clip == WeightClip::awq && queries_or_keys) scheme.weight.clip = WeightClip::none;
  if (method.uses_rank)
    scheme.rank = rank.percent ? rank_of_fraction(rank.value / 100.0, recipe.rank_rule, layer.out_features, layer.in_features)
                               : std::size_t(rank.value);
  check(scheme, layer);
  return scheme;
}

std::optional<std::string> problem_of(const Recipe& recipe, const Model& model) {
  try {
    const auto& config = model.config();
    const auto need_order = [&](std::size_t width, const std::string& what) {
      if (!find_hadamard(width))
        throw Error(ErrorKind::unsupported, "There is no Hadamard matrix of order " + std::to_string(width) + " for " + what +
                                                "; take that rotation out of the recipe.");
    };
    const bool imported = !recipe.rotation.file.empty();
    if (imported && (recipe.rotation.r1 || recipe.rotation.r2)) {
      const auto parts = check_rotation_file(recipe.rotation.file, config);
      if ((recipe.rotation.r1 && !parts.r1) || (recipe.rotation.r2 && !parts.r2))
        return recipe.rotation.file + " holds no " + (parts.r1 ? "R2" : "R1") + "; take that rotation out of the recipe.";
    }
    const bool matrices = recipe.rotation.matrices();
    if (recipe.rotation.high_share > 0) {
      const std::string way_out = " set high_precision to 0.";
      if (!recipe.rotation.r1 && !recipe.rotation.r2)
        return "High precision is for the first directions of R1 and R2; turn one of these on, or" + way_out;
      if (recipe.smoothing != Smoothing::none)
        return "Channel scales would bend the principal directions that high precision holds; take smoothing none, or" + way_out;
      if (recipe.refine > 0)
        return "Refinement tunes one grid for all columns, and high-precision columns have their own; set refine to 0, or" + way_out;
    }
    if (recipe.rotation.r1 && !matrices) need_order(config.hidden_size, "the residual stream (r1)");
    if (recipe.rotation.r2 && !matrices) need_order(config.head_dim, "the heads (r2)");
    if (recipe.rotation.r3) need_order(config.head_dim, "queries and keys (r3)");
    if (recipe.rotation.r4) need_order(config.feed_forward, "the input of down_proj (r4)");

    if (recipe.refine > 0 && config.experts > 0)
      return "Refinement is not part of this version for models with experts, whose routing would have to be derived, too; set refine to "
             "0.";
    if (recipe.refine > 0 && !recipe.cache.off())
      return "Refinement derives attention over keys and values in float; with a quantized cache it is not part of this version: set "
             "refine to 0 or "
             "kv_bits to 16.";
    if (recipe.refine > 0 && recipe.held_out_windows == 0)
      return "Refinement keeps the iterate that is best on held-out windows; set held_out_windows to 1 or more, or refine to 0.";
    if (recipe.skip_first_positions > 0 && config.experts > 0)
      return "Leaving out the first positions is not part of this version for models with experts: a token that is routed to one has lost "
             "its position; set skip_first_positions to 0.";
    if (const std::size_t context = std::min(recipe.calibration_context, config.context); recipe.skip_first_positions >= context)
      return "Leaving out the first " + std::to_string(recipe.skip_first_positions) + " positions leaves nothing of windows of " +
             std::to_string(context) + " tokens; set skip_first_positions to " + std::to_string(context - 1) + " or less.";
    if (recipe.stream != Stream::fp && config.experts > 0)
      return "The stream " + std::string(name(recipe.stream)) +
             " is not part of this version for models with experts, whose tokens go other ways behind a quantized prefix; use fp.";
    if (recipe.learn_scales) {
      const std::string way_out = " or learn_scales to off.";
      if (recipe.refine == 0) return "Channel scales are learned on a block's output error (LET); set refine above 0," + way_out;
      if (recipe.smoothing != Smoothing::smoothquant)
        return "Learned channel scales (LET) start from SmoothQuant's; set smoothing to smoothquant," + way_out;
      if (recipe.rotation.r1 || recipe.rotation.r2)
        return "R1 and R2 mix the channels that learned scales (LET) tell apart; take them out of rotate," + way_out;
      if (recipe.stream != Stream::fp)
        return "Learned channel scales (LET) are not part of this version behind a quantized prefix; set stream to fp," + way_out;
    }
    bool any = false;
    std::vector<std::pair<const LayerInfo*, LayerScheme>> schemes;
    for (const auto& layer : model.layers()) {
      schemes.emplace_back(&layer, effective_scheme(recipe, layer));
      any = any || !schemes.back().second.skipped;
      if (recipe.learn_scales && !schemes.back().second.skipped && schemes.back().second.method != "lsi")
        return layer.name + ": channel scales are learned beside the increments of lsi, not of " + schemes.back().second.method +
               "; choose lsi, or set learn_scales to off.";
    }
    if (!recipe.cache.off()) cache_layout(recipe.cache, config.kv_heads, config.head_dim);
    if (!any && recipe.cache.off()) return "The recipe quantizes no layer of this model: no name matches \"" + recipe.layers + "\".";
    // Layers that read one input share its codes.
    for (std::size_t i = 0; i < schemes.size(); ++i)
      for (std::size_t j = i + 1; j < schemes.size() && schemes[j].first->block == schemes[i].first->block; ++j) {
        const auto& [a, scheme_a] = schemes[i];
        const auto& [b, scheme_b] = schemes[j];
        if (scheme_a.skipped || scheme_b.skipped || !(a->site() == b->site()) || scheme_a.activation == scheme_b.activation) continue;
        return a->name + " and " + b->name +
               " read the same input and must quantize it alike; give both the same activation bits and clip.";
      }
  } catch (const Error& e) {
    return e.what();
  }
  return {};
}

}  // namespace lrc

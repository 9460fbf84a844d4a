// The command line that does the same as a request.
#include <algorithm>

#include "run/recipe_fields.h"
#include "run/runner.h"

namespace lrc {
namespace {

/// One word for a POSIX shell.
std::string quoted(const std::string& text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '/' || c == '.' || c == '_' || c == '-' || c == '%' || c == '=' || c == ',' || c == ':' || c == '+';
  });
  if (plain) return text;
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

/// The fields for which lrc quantize has no flag of its own.
bool has_flags_for(const Recipe& recipe, const Recipe& base) {
  // A flag can ask for zero points, not take them away.
  const bool zeros = recipe.weight.symmetric <= base.weight.symmetric && recipe.activation.symmetric <= base.activation.symmetric &&
                     recipe.cache.symmetric >= base.cache.symmetric;
  // A file brings what it holds; that one of its rotations is left out only JSON says.
  const bool rotation = recipe.rotation.file.empty() || (recipe.rotation.r1 && recipe.rotation.r2);
  return rotation && zeros && recipe.held_out_windows == base.held_out_windows &&
         (recipe.rotation.seed == base.rotation.seed || recipe.rotation.seed != 0) && recipe.overrides.size() >= base.overrides.size() &&
         std::equal(base.overrides.begin(), base.overrides.end(), recipe.overrides.begin());
}

/// As --rotate takes it.
std::string rotation_words(const Recipe& recipe) {
  const RotationChoice& r = recipe.rotation;
  if (!r.any()) return "none";
  if (!r.file.empty()) return r.file + (r.r3 ? ",r3" : "") + (r.r4 ? ",r4" : "");
  if (r.r1 && r.r2 && r.r4 && r.r3 == asks_for_r3(recipe)) return "quarot";
  if (r.r1 && r.r2 && !r.r3 && !r.r4) return "folded";
  std::string text;
  const auto add = [&](bool on, const char* name) {
    if (on) text += (text.empty() ? "" : ",") + std::string(name);
  };
  add(r.r1, "r1");
  add(r.r2, "r2");
  add(r.r3, "r3");
  add(r.r4, "r4");
  return text;
}

/// The flags that make `recipe` out of the shipped recipe `base`.
std::string flags_from(const Recipe& recipe, const Recipe& base) {
  std::string text;
  const auto flag = [&](bool differs, const char* name, const std::string& value) {
    if (differs) text += std::string(" --") + name + " " + quoted(value);
  };
  const auto number = [](double value) { return fields::shortest_text(value); };
  flag(recipe.method != base.method, "method", recipe.method);
  flag(recipe.weight.bits != base.weight.bits, "weight-bits", std::to_string(recipe.weight.bits));
  flag(recipe.weight.group_size != base.weight.group_size, "group-size", std::to_string(recipe.weight.group_size));
  flag(recipe.activation.bits != base.activation.bits, "activation-bits", std::to_string(recipe.activation.bits));
  flag(recipe.weight.clip != base.weight.clip, "weight-clip", std::string(fields::name(recipe.weight.clip)));
  flag(recipe.weight.format != base.weight.format, "weight-format", std::string(name(recipe.weight.format)));
  if (recipe.weight.symmetric != base.weight.symmetric) text += " --weight-asymmetric";
  flag(recipe.activation.group_size != base.activation.group_size, "activation-group-size", std::to_string(recipe.activation.group_size));
  flag(recipe.activation.format != base.activation.format, "activation-format", std::string(name(recipe.activation.format)));
  if (recipe.activation.symmetric != base.activation.symmetric) text += " --activation-asymmetric";
  if (recipe.search_clip)
    flag(!base.search_clip, "clip", "search");
  else
    flag(recipe.activation.clip != base.activation.clip || base.search_clip, "clip", number(fields::shortest(recipe.activation.clip)));
  // --method rtn and gptq set the rank to 0 by themselves; saying it again does no harm.
  flag(recipe.rank != base.rank || recipe.method != base.method, "rank", to_string(recipe.rank));
  flag(recipe.rank_rule != base.rank_rule, "rank-rule", recipe.rank_rule == RankRule::min_dimension ? "min" : "parameters");
  flag(recipe.iterations != base.iterations, "iterations", std::to_string(recipe.iterations));
  flag(recipe.deflate != base.deflate, "deflate", recipe.deflate ? "on" : "off");
  const auto yes = [](bool value) { return value ? "on" : "off"; };
  flag(recipe.polish != base.polish, "polish", yes(recipe.polish));
  flag(recipe.act_order != base.act_order, "act-order", yes(recipe.act_order));
  flag(recipe.base != base.base, "base", recipe.base);
  flag(recipe.factors != base.factors, "factors", to_string(recipe.factors));
  flag(recipe.pair_input != base.pair_input, "pair-input", recipe.pair_input ? std::string(fields::name(*recipe.pair_input)) : "method");
  flag(recipe.stream != base.stream, "stream", std::string(name(recipe.stream)));
  flag(recipe.range_finder != base.range_finder, "range-finder", std::string(fields::name(recipe.range_finder)));
  flag(recipe.refine != base.refine, "refine", std::to_string(recipe.refine));
  flag(recipe.steps != base.steps, "steps", std::to_string(recipe.steps));
  flag(recipe.square != base.square, "square", std::to_string(recipe.square));
  flag(recipe.learn_scales != base.learn_scales, "learn-scales", yes(recipe.learn_scales));
  flag(recipe.drift != base.drift, "drift", number(recipe.drift));
  // --method sets its own damping; saying it again does no harm.
  flag(recipe.damping != base.damping || recipe.method != base.method, "damping", number(recipe.damping));
  flag(recipe.damping_toward != base.damping_toward, "damping-toward", std::string(fields::name(recipe.damping_toward)));
  flag(recipe.gptq_damping != base.gptq_damping, "gptq-damping", number(recipe.gptq_damping));
  flag(recipe.cache.bits != base.cache.bits, "kv-bits", std::to_string(recipe.cache.bits));
  flag(recipe.cache.group_size != base.cache.group_size, "kv-group-size", std::to_string(recipe.cache.group_size));
  flag(recipe.cache.clip != base.cache.clip, "kv-clip", number(fields::shortest(recipe.cache.clip)));
  if (recipe.cache.symmetric != base.cache.symmetric) text += " --kv-symmetric";
  const auto& r = recipe.rotation;
  // --kv-bits turns R3 on by itself where the other rotations are QuaRot's.
  Recipe without = recipe;
  without.rotation = base.rotation;
  without.rotation.r3 = base.rotation.r3 || (recipe.cache.bits != base.cache.bits && asks_for_r3(without));
  without.rotation.seed = r.seed;
  without.rotation.high_share = r.high_share;
  flag(!(without.rotation == r), "rotate", rotation_words(recipe));
  flag(r.high_share != base.rotation.high_share, "high-precision", number(r.high_share));
  flag(recipe.high_bits != base.high_bits, "high-bits", std::to_string(recipe.high_bits));
  flag(recipe.smoothing != base.smoothing, "smoothing", std::string(name(recipe.smoothing)));
  flag(recipe.smoothing_strength != base.smoothing_strength, "smoothing-strength", number(recipe.smoothing_strength));
  flag(r.seed != base.rotation.seed, "seed", std::to_string(r.seed));
  flag(recipe.calibration != base.calibration, "calibration", recipe.calibration);
  const auto& mix = recipe.calibration_mix;
  flag(mix != base.calibration_mix, "calibration-mix", mix ? mix->text + ":" + number(mix->share) : "none");
  flag(recipe.calibration_tokens != base.calibration_tokens, "calibration-tokens", std::to_string(recipe.calibration_tokens));
  flag(recipe.calibration_context != base.calibration_context, "calibration-context", std::to_string(recipe.calibration_context));
  flag(recipe.skip_first_positions != base.skip_first_positions, "skip-first-positions", std::to_string(recipe.skip_first_positions));
  flag(recipe.layers != base.layers, "layers", recipe.layers);
  for (std::size_t i = base.overrides.size(); i < recipe.overrides.size(); ++i) flag(true, "set", to_string(recipe.overrides[i]));
  return text;
}

}  // namespace

std::string command_of(const RunRequest& request) {
  const auto& recipe = request.recipe;
  const std::string start = "lrc quantize " + quoted(request.model_path.string()) + " --out " + quoted(request.folder.string());
  const std::string limit = request.memory_limit_bytes == 0 ? "" : " --memory-limit " + std::to_string(request.memory_limit_bytes);
  std::optional<std::string> best;
  for (const auto& base : shipped_recipes()) {
    if (!has_flags_for(recipe, base)) continue;
    const std::string flags = " --recipe " + quoted(base.name) + flags_from(recipe, base);
    if (!best || flags.size() < best->size()) best = flags;
  }
  if (best) return start + *best + limit;
  // What flags cannot say is said as JSON: the fields that differ from the default recipe.
  const Json standard = to_json(Recipe{});
  Json json = to_json(recipe);
  for (const auto& [key, value] : standard.items())
    if (json[key] == value) json.erase(key);
  return start + " --recipe " + quoted(json.dump()) + limit;
}

}  // namespace lrc

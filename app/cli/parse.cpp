#include "cli/parse.h"

#include <charconv>
#include <sstream>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "model/imported_rotations.h"
#include "run/recipe_fields.h"
#include "run/recipe_title.h"

namespace lrc::cli {

std::vector<int> parse_ids(const std::string& text) {
  std::vector<int> ids;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    int value = 0;
    const auto [last, code] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (code != std::errc() || last != part.data() + part.size() || value < 0)
      throw Error(ErrorKind::bad_input, "'" + part + "' in the list of ids is no whole number.");
    ids.push_back(value);
    begin = end + 1;
  }
  return ids;
}

std::vector<FactorScheme> parse_factor_schemes(const std::string& text) {
  std::vector<FactorScheme> schemes;
  std::istringstream list(text);
  for (std::string part; std::getline(list, part, ',');) {
    const auto scheme = factor_scheme(part);
    if (!scheme) throw Error(ErrorKind::bad_input, "'" + part + "' is no factor precision; there are fp16, int8 and mxint2 to mxint8.");
    schemes.push_back(*scheme);
  }
  return schemes;
}

std::uint64_t parse_bytes(const std::string& text) {
  if (text.empty()) return 0;
  double value = 0;
  const char* const end = text.data() + text.size();
  auto [unit, code] = std::from_chars(text.data(), end, value);
  while (code == std::errc() && unit != end && *unit == ' ') ++unit;
  for (const auto& [name, factor] :
       {std::pair{"", 1.0}, {"B", 1.0}, {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}})
    if (code == std::errc() && std::string_view(unit, end) == name && value * factor >= 1 && value * factor < 1e18)
      return std::uint64_t(value * factor);
  throw Error(ErrorKind::bad_input,
              "\"" + text + "\" is not a size; give bytes, or a number with KiB, MiB, GiB, kB, MB or GB, such as 6GiB.");
}

std::optional<CalibrationMix> parse_mix(const std::string& text) {
  if (text == "none") return {};
  CalibrationMix mix{text};
  // A colon may be part of a file's name: it begins a share only in front of a number.
  if (const auto colon = text.rfind(':'); colon != std::string::npos) {
    const Json share = fields::value_of(text.substr(colon + 1));
    if (share.is_number()) {
      mix.text = text.substr(0, colon);
      mix.share = fields::number({"the command line", "calibration_mix.share"}, share, 0.001, 0.999);
    }
  }
  if (mix.text.empty()) throw Error(ErrorKind::bad_input, "--calibration-mix is FILE or FILE:SHARE, for example task.txt:0.5.");
  return mix;
}

Recipe recipe_of(const RecipeOptions& o, std::optional<std::uint64_t> seed) {
  Recipe recipe = o.recipe.empty() ? Recipe{} : load_recipe(o.recipe);
  const Recipe original = recipe;
  if (o.method) {
    recipe.method = *o.method;
    const auto& method = find_method(*o.method);
    if (!method.uses_rank) recipe.rank = {false, 0};
    if (*o.method != original.method) recipe.damping = method.damping;
  }
  if (o.retarget_only) {
    recipe.method = "lrc";
    recipe.rank = {false, 0};
  }
  if (o.rank) recipe.rank = parse_rank(*o.rank);
  if (o.rank_rule) {
    if (*o.rank_rule != "min" && *o.rank_rule != "parameters")
      throw Error(ErrorKind::bad_input, "--rank-rule is min or parameters, not '" + *o.rank_rule + "'.");
    recipe.rank_rule = *o.rank_rule == "min" ? RankRule::min_dimension : RankRule::parameters;
  }
  if (o.weight_bits) recipe.weight.bits = *o.weight_bits;
  if (o.group_size) recipe.weight.group_size = *o.group_size;
  if (o.activation_bits) recipe.activation.bits = *o.activation_bits;
  if (o.activation_group_size) recipe.activation.group_size = *o.activation_group_size;
  if (o.kv_bits) set_field(recipe, "kv_bits", *o.kv_bits, "the command line");
  if (o.kv_group_size) set_field(recipe, "kv_group_size", *o.kv_group_size, "the command line");
  if (o.kv_clip) set_field(recipe, "kv_clip", *o.kv_clip, "the command line");
  if (o.kv_symmetric) recipe.cache.symmetric = true;
  if (o.weight_asymmetric) recipe.weight.symmetric = false;
  if (o.activation_asymmetric) recipe.activation.symmetric = false;
  // The rest is read as a recipe file's field is, with the same words and the same refusals.
  const std::pair<const char*, const std::optional<std::string>*> texts[] = {{"weight_clip", &o.weight_clip},
                                                                             {"weight_format", &o.weight_format},
                                                                             {"activation_format", &o.activation_format},
                                                                             {"clip", &o.clip},
                                                                             {"act_order", &o.act_order},
                                                                             {"polish", &o.polish},
                                                                             {"base", &o.base},
                                                                             {"factors", &o.factors},
                                                                             {"pair_input", &o.pair_input},
                                                                             {"damping_toward", &o.damping_toward},
                                                                             {"range_finder", &o.range_finder},
                                                                             {"stream", &o.stream},
                                                                             {"smoothing", &o.smoothing},
                                                                             {"learn_scales", &o.learn_scales}};
  for (const auto& [field, text] : texts)
    if (*text) set_field(recipe, field, fields::value_of(**text), "the command line");
  if (o.smoothing_strength) set_field(recipe, "smoothing_strength", *o.smoothing_strength, "the command line");
  if (o.high_precision) set_field(recipe, "high_precision", *o.high_precision, "the command line");
  const std::pair<const char*, const std::optional<int>*> counts[] = {
      {"refine", &o.refine}, {"steps", &o.steps}, {"square", &o.square}, {"high_bits", &o.high_bits}};
  for (const auto& [field, count] : counts)
    if (*count) set_field(recipe, field, **count, "the command line");
  if (o.drift) set_field(recipe, "drift", *o.drift, "the command line");
  if (o.iterations) recipe.iterations = *o.iterations;
  if (o.deflate) recipe.deflate = *o.deflate == "on";
  if (o.damping) recipe.damping = *o.damping;
  if (o.gptq_damping) recipe.gptq_damping = *o.gptq_damping;
  if (o.rotate) {
    const auto old_seed = recipe.rotation.seed;
    const double high_share = recipe.rotation.high_share;
    const std::string suffix = ".safetensors";
    if (*o.rotate == "folded") {
      recipe.rotation = {true, true, false, old_seed};
    } else if (const auto file = o.rotate->find(suffix); file != std::string::npos) {
      // The online rotations follow the file's name.
      const std::string online = o.rotate->substr(file + suffix.size());
      if (!online.empty() && online != ",r3" && online != ",r4" && online != ",r3,r4")
        throw Error(ErrorKind::bad_input, "--rotate: behind a file there may be ,r3 or ,r4 or ,r3,r4, not '" + online + "'.");
      const std::string path = o.rotate->substr(0, file + suffix.size());
      const auto parts = rotations_in(path);
      recipe.rotation = {parts.r1, parts.r2, online.ends_with("r4"), old_seed, online.starts_with(",r3"), path};
    } else {
      set_field(recipe, "rotate", *o.rotate, "the command line");
    }
    recipe.rotation.high_share = high_share;
  }
  if (o.rotate ? *o.rotate == "quarot" : o.kv_bits && *o.kv_bits != original.cache.bits)
    recipe.rotation.r3 = recipe.rotation.r3 || asks_for_r3(recipe);
  if (seed) recipe.rotation.seed = *seed;
  if (o.calibration) recipe.calibration = *o.calibration;
  if (o.calibration_mix) recipe.calibration_mix = parse_mix(*o.calibration_mix);
  if (o.calibration_tokens) recipe.calibration_tokens = *o.calibration_tokens;
  if (o.calibration_context) recipe.calibration_context = *o.calibration_context;
  if (o.skip_first_positions) set_field(recipe, "skip_first_positions", *o.skip_first_positions, "the command line");
  if (o.layers) recipe.layers = *o.layers;
  for (const auto& text : o.set) recipe.overrides.push_back(parse_override(text));
  if (!(recipe == original)) {
    if (o.recipe.empty() && recipe.method != original.method) {
      recipe.name = recipe.method;
    } else {
      recipe.name = original.name;
      for (const std::string& words : differences(original, recipe)) recipe.name += ", " + words;
    }
  }
  return recipe;
}

}  // namespace lrc::cli

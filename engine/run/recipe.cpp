#include "run/recipe.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "base/error.h"
#include "run/layer_rotation.h"
#include "run/recipe_fields.h"

namespace lrc {
namespace {

using fields::Place;

RotationChoice rotation_from_words(const Place& place, const std::string& text, std::uint64_t seed) {
  RotationChoice choice{false, false, false, seed};
  if (text == "none") return choice;
  if (text == "quarot") return {true, true, true, seed};
  const char* const allowed = "quarot (r1, r2 and r4, with quantized keys r3 too), none, or a list of r1, r2, r3 and r4";
  std::istringstream list(text);
  bool any = false;
  for (std::string part; std::getline(list, part, ',');) {
    any = true;
    if (part == "r1")
      choice.r1 = true;
    else if (part == "r2")
      choice.r2 = true;
    else if (part == "r3")
      choice.r3 = true;
    else if (part == "r4")
      choice.r4 = true;
    else
      fields::refuse(place, text, allowed);
  }
  if (!any) fields::refuse(place, text, allowed);
  return choice;
}

Stream stream_of(const Place& place, const Json& value) {
  for (const auto stream : {Stream::fp, Stream::propagated, Stream::replay})
    if (value == name(stream)) return stream;
  fields::refuse(place, value, "fp, propagated or replay");
}

std::optional<CalibrationMix> mix_of(const Place& place, const Json& value) {
  if (value.is_null() || value == "none") return {};
  const std::string allowed = "an object with text (a file) and share (above 0 and below 1), or none";
  if (!value.is_object()) fields::refuse(place, value, allowed);
  CalibrationMix mix;
  for (const auto& [key, part] : value.items()) {
    const Place inner{place.origin, place.field + "." + key};
    if (key == "text")
      mix.text = fields::words(inner, part);
    else if (key == "share")
      mix.share = fields::number(inner, part, 0.001, 0.999);
    else
      throw Error(ErrorKind::bad_input, inner.text() + " is not a field of calibration_mix; it has text and share.");
  }
  if (mix.text.empty()) fields::refuse(place, value, allowed);
  return mix;
}

Smoothing smoothing_of(const Place& place, const Json& value) {
  for (const auto smoothing : {Smoothing::none, Smoothing::smoothquant, Smoothing::awq, Smoothing::closed_form})
    if (value == name(smoothing)) return smoothing;
  fields::refuse(place, value, "none, smoothquant, awq or closed-form");
}

std::uint64_t seed_of(const Place& place, const Json& value) {
  if (!value.is_number_integer() || (value.is_number_integer() && !value.is_number_unsigned() && value.get<std::int64_t>() < 0))
    fields::refuse(place, value, "whole numbers from 0");
  return value.get<std::uint64_t>();
}

RotationChoice rotation_from_json(const Place& place, const Json& value, std::uint64_t seed) {
  if (value.is_string()) return rotation_from_words(place, value.get<std::string>(), seed);
  if (!value.is_object()) fields::refuse(place, value, "\"quarot\", \"none\" or an object with r1, r2, r3, r4, seed and file");
  // A file gives both of its rotations where nothing else is said.
  const bool file = value.contains("file") && value["file"] != "";
  RotationChoice choice{file, file, false, seed};
  for (const auto& [key, part] : value.items()) {
    const Place inner{place.origin, place.field + "." + key};
    if (key == "r1")
      choice.r1 = fields::yes_or_no(inner, part);
    else if (key == "r2")
      choice.r2 = fields::yes_or_no(inner, part);
    else if (key == "r3")
      choice.r3 = fields::yes_or_no(inner, part);
    else if (key == "r4")
      choice.r4 = fields::yes_or_no(inner, part);
    else if (key == "seed")
      choice.seed = seed_of(inner, part);
    else if (key == "file")
      choice.file = fields::words(inner, part);
    else
      throw Error(ErrorKind::bad_input, inner.text() + " is not a field of rotate; it has r1, r2, r3, r4, seed and file.");
  }
  return choice;
}

bool set_by_name(Recipe& recipe, const Place& place, const Json& value) {
  const std::string& field = place.field;
  if (field == "name") {
    recipe.name = fields::words(place, value);
  } else if (field == "method") {
    recipe.method = fields::method(place, value);
  } else if (field == "weight_bits") {
    recipe.weight.bits = fields::bits(place, value);
  } else if (field == "group_size") {
    recipe.weight.group_size = std::size_t(fields::whole(place, value, 0, 1 << 20));
  } else if (field == "weight_clip") {
    recipe.weight.clip = fields::weight_clip(place, value);
  } else if (field == "activation_bits") {
    recipe.activation.bits = fields::bits(place, value);
  } else if (field == "activation_group_size") {
    recipe.activation.group_size = std::size_t(fields::whole(place, value, 0, 1 << 20));
  } else if (field == "weight_format") {
    recipe.weight.format = fields::format(place, value);
  } else if (field == "weight_asymmetric") {
    recipe.weight.symmetric = !fields::yes_or_no(place, value);
  } else if (field == "activation_format") {
    recipe.activation.format = fields::format(place, value);
  } else if (field == "activation_asymmetric") {
    recipe.activation.symmetric = !fields::yes_or_no(place, value);
  } else if (field == "clip") {
    recipe.search_clip = value == "search";
    if (!recipe.search_clip && value.is_string()) fields::refuse(place, value, "numbers from 0.05 to 1, or search");
    if (!recipe.search_clip) recipe.activation.clip = float(fields::number(place, value, 0.05, 1.0));
  } else if (field == "act_order") {
    recipe.act_order = fields::yes_or_no(place, value);
  } else if (field == "polish") {
    recipe.polish = fields::yes_or_no(place, value);
  } else if (field == "base") {
    recipe.base = fields::base(place, value);
  } else if (field == "factors") {
    recipe.factors = fields::factors(place, value);
  } else if (field == "pair_input") {
    recipe.pair_input.reset();
    if (value != "method") recipe.pair_input = fields::pair_input(place, value);
  } else if (field == "stream") {
    recipe.stream = stream_of(place, value);
  } else if (field == "range_finder") {
    recipe.range_finder = fields::range_finder(place, value);
  } else if (field == "refine") {
    recipe.refine = int(fields::whole(place, value, 0, 100'000));
  } else if (field == "steps") {
    recipe.steps = int(fields::whole(place, value, 1, 100'000));
  } else if (field == "square") {
    recipe.square = std::size_t(fields::whole(place, value, 0, 1 << 20));
  } else if (field == "learn_scales") {
    recipe.learn_scales = fields::yes_or_no(place, value);
  } else if (field == "drift") {
    recipe.drift = fields::number(place, value, 0.0, 1.0);
  } else if (field == "rank") {
    recipe.rank = fields::rank(place, value);
  } else if (field == "rank_rule") {
    const auto text = fields::words(place, value);
    if (text != "min" && text != "parameters") fields::refuse(place, value, "min or parameters");
    recipe.rank_rule = text == "min" ? RankRule::min_dimension : RankRule::parameters;
  } else if (field == "iterations") {
    recipe.iterations = int(fields::whole(place, value, 1, 100));
  } else if (field == "deflate") {
    recipe.deflate = fields::yes_or_no(place, value);
  } else if (field == "damping") {
    recipe.damping = fields::number(place, value, 0.0, 10.0);
  } else if (field == "damping_toward") {
    recipe.damping_toward = fields::damping_toward(place, value);
  } else if (field == "gptq_damping") {
    recipe.gptq_damping = fields::number(place, value, 0.0, 10.0);
  } else if (field == "rotate") {
    const double high_share = recipe.rotation.high_share;  // a field of its own
    recipe.rotation = rotation_from_json(place, value, recipe.rotation.seed);
    recipe.rotation.high_share = high_share;
  } else if (field == "high_precision") {
    recipe.rotation.high_share = fields::number(place, value, 0.0, 1.0);
  } else if (field == "high_bits") {
    recipe.high_bits = int(fields::whole(place, value, 2, 8));
  } else if (field == "kv_bits") {
    recipe.cache.bits = fields::bits(place, value);
  } else if (field == "kv_group_size") {
    recipe.cache.group_size = std::size_t(fields::whole(place, value, 0, 1 << 20));
  } else if (field == "kv_clip") {
    recipe.cache.clip = float(fields::number(place, value, 0.05, 1.0));
  } else if (field == "kv_asymmetric") {
    recipe.cache.symmetric = !fields::yes_or_no(place, value);
  } else if (field == "smoothing") {
    recipe.smoothing = smoothing_of(place, value);
  } else if (field == "smoothing_strength") {
    recipe.smoothing_strength = fields::number(place, value, 0.0, 1.0);
  } else if (field == "calibration") {
    recipe.calibration = fields::words(place, value);
  } else if (field == "calibration_mix") {
    recipe.calibration_mix = mix_of(place, value);
  } else if (field == "calibration_tokens") {
    recipe.calibration_tokens = std::size_t(fields::whole(place, value, 1, 1 << 30));
  } else if (field == "calibration_context") {
    recipe.calibration_context = std::size_t(fields::whole(place, value, 2, 1 << 20));
  } else if (field == "skip_first_positions") {
    recipe.skip_first_positions = std::size_t(fields::whole(place, value, 0, (1 << 20) - 1));
  } else if (field == "held_out_windows") {
    recipe.held_out_windows = std::size_t(fields::whole(place, value, 0, 10000));
  } else if (field == "layers") {
    recipe.layers = fields::words(place, value);
    if (recipe.layers.empty()) fields::refuse(place, value, "a pattern such as \"*\" or \"*.down_proj\"");
  } else if (field == "set") {
    if (!value.is_array()) fields::refuse(place, value, "a list of rules");
    for (const auto& rule : value) recipe.overrides.push_back(fields::rule_from_json(rule, place.text()));
  } else {
    return false;
  }
  return true;
}

}  // namespace

bool asks_for_r3(const Recipe& recipe) { return !recipe.cache.off() && recipe.rotation.r1 && recipe.rotation.r2 && recipe.rotation.r4; }

std::string_view name(Stream stream) { return stream == Stream::fp ? "fp" : stream == Stream::propagated ? "propagated" : "replay"; }

std::string_view name(Smoothing smoothing) {
  switch (smoothing) {
    case Smoothing::smoothquant:
      return "smoothquant";
    case Smoothing::awq:
      return "awq";
    case Smoothing::closed_form:
      return "closed-form";
    case Smoothing::none:
      break;
  }
  return "none";
}

RankChoice parse_rank(const std::string& text) {
  const auto refuse = [&]() -> RankChoice {
    throw Error(ErrorKind::bad_input, "\"" + text + "\" is not a rank; give a whole number such as 57, or a percentage such as 10%.");
  };
  std::string digits = text;
  const auto trim = [&] {
    while (!digits.empty() && digits.back() == ' ') digits.pop_back();
    while (!digits.empty() && digits.front() == ' ') digits.erase(0, 1);
  };
  trim();
  const bool percent = !digits.empty() && digits.back() == '%';
  if (percent) digits.pop_back();
  trim();
  double value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [p, code] = std::from_chars(digits.data(), end, value);
  if (digits.empty() || code != std::errc() || p != end || !std::isfinite(value) || value < 0) return refuse();
  if (percent ? value > 100 : (value != std::floor(value) || value > 1e6)) return refuse();
  return {percent, value};
}

std::string to_string(const RankChoice& rank) {
  if (!rank.percent) return std::to_string(std::uint64_t(rank.value));
  return fields::shortest_text(rank.value) + "%";
}

Override parse_override(const std::string& text) {
  const auto colon = text.find(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size())
    throw Error(ErrorKind::bad_input, "--set \"" + text + "\" is not PATTERN:field=value,…, for example '*.down_proj:rank=15%'.");
  Override rule;
  rule.pattern = text.substr(0, colon);
  std::istringstream list(text.substr(colon + 1) + ",");
  for (std::string part; std::getline(list, part, ',');) {
    const auto equals = part.find('=');
    if (equals == std::string::npos || equals == 0)
      throw Error(ErrorKind::bad_input, "--set \"" + text + "\": \"" + part + "\" is not field=value.");
    std::string field = part.substr(0, equals);
    std::replace(field.begin(), field.end(), '-', '_');
    Json value = fields::value_of(part.substr(equals + 1));
    if (!fields::set(rule, Place{"--set " + rule.pattern, field}, value))
      throw Error(ErrorKind::bad_input,
                  "--set " + rule.pattern + ": there is no field " + field + "; there are " + fields::rule_fields + ".");
  }
  return rule;
}

std::string to_string(const Override& rule) {
  std::string text = rule.pattern + ":";
  bool first = true;
  const Json json = fields::to_json(rule);
  for (const auto& [key, value] : json.items()) {
    if (key == "pattern") continue;
    if (!first) text += ',';
    first = false;
    text += key + "=" + (value.is_string() ? value.get<std::string>() : value.dump());
  }
  return text;
}

bool same_transforms(const Recipe& a, const Recipe& b) {
  return layer_rotation(a.rotation) == layer_rotation(b.rotation) && a.smoothing == b.smoothing &&
         (a.smoothing != Smoothing::smoothquant || a.smoothing_strength == b.smoothing_strength);
}

Json to_json(const Recipe& recipe) {
  Json json = Json::object();
  json["name"] = recipe.name;
  json["method"] = recipe.method;
  json["weight_bits"] = recipe.weight.bits;
  json["group_size"] = recipe.weight.group_size;
  json["weight_clip"] = fields::name(recipe.weight.clip);
  json["weight_format"] = name(recipe.weight.format);
  json["weight_asymmetric"] = !recipe.weight.symmetric;
  json["activation_bits"] = recipe.activation.bits;
  json["activation_group_size"] = recipe.activation.group_size;
  json["activation_format"] = name(recipe.activation.format);
  json["activation_asymmetric"] = !recipe.activation.symmetric;
  json["clip"] = recipe.search_clip ? Json("search") : Json(fields::shortest(recipe.activation.clip));
  json["rank"] = recipe.rank.percent ? Json(to_string(recipe.rank)) : Json(std::uint64_t(recipe.rank.value));
  json["rank_rule"] = recipe.rank_rule == RankRule::min_dimension ? "min" : "parameters";
  json["iterations"] = recipe.iterations;
  json["deflate"] = recipe.deflate;
  json["damping"] = recipe.damping;
  json["damping_toward"] = fields::name(recipe.damping_toward);
  json["gptq_damping"] = recipe.gptq_damping;
  json["act_order"] = recipe.act_order;
  json["polish"] = recipe.polish;
  json["base"] = recipe.base;
  json["factors"] = to_string(recipe.factors);
  json["pair_input"] = recipe.pair_input ? fields::name(*recipe.pair_input) : "method";
  json["stream"] = name(recipe.stream);
  json["drift"] = recipe.drift;
  // Younger fields are written where they say something: files and fingerprints of older recipes stay as they are.
  const Recipe usual;
  if (recipe.range_finder != usual.range_finder) json["range_finder"] = fields::name(recipe.range_finder);
  if (recipe.refine != usual.refine) json["refine"] = recipe.refine;
  if (recipe.steps != usual.steps) json["steps"] = recipe.steps;
  if (recipe.square != usual.square) json["square"] = recipe.square;
  if (recipe.learn_scales != usual.learn_scales) json["learn_scales"] = recipe.learn_scales;
  json["rotate"] = {{"r1", recipe.rotation.r1}, {"r2", recipe.rotation.r2}, {"r4", recipe.rotation.r4}, {"seed", recipe.rotation.seed}};
  if (recipe.rotation.r3) json["rotate"]["r3"] = true;
  if (recipe.rotation.high_share != usual.rotation.high_share) json["high_precision"] = recipe.rotation.high_share;
  if (recipe.high_bits != usual.high_bits) json["high_bits"] = recipe.high_bits;
  // What stands at its default is left out, so that recipes without a quantized cache read, and hash, as they always did.
  const ActivationScheme none = Recipe{}.cache;
  if (recipe.cache.bits != none.bits) json["kv_bits"] = recipe.cache.bits;
  if (recipe.cache.group_size != none.group_size) json["kv_group_size"] = recipe.cache.group_size;
  if (recipe.cache.clip != none.clip) json["kv_clip"] = fields::shortest(recipe.cache.clip);
  if (recipe.cache.symmetric != none.symmetric) json["kv_asymmetric"] = !recipe.cache.symmetric;
  if (!recipe.rotation.file.empty()) json["rotate"]["file"] = recipe.rotation.file;
  // Younger than most run folders: said only where it is chosen, so that their recipes and fingerprints stay what they were.
  if (recipe.smoothing != Smoothing::none) {
    json["smoothing"] = name(recipe.smoothing);
    if (recipe.smoothing == Smoothing::smoothquant) json["smoothing_strength"] = recipe.smoothing_strength;
  }
  json["calibration"] = recipe.calibration;
  if (const auto& mix = recipe.calibration_mix) json["calibration_mix"] = {{"text", mix->text}, {"share", mix->share}};
  json["calibration_tokens"] = recipe.calibration_tokens;
  json["calibration_context"] = recipe.calibration_context;
  if (recipe.skip_first_positions != usual.skip_first_positions) json["skip_first_positions"] = recipe.skip_first_positions;
  json["held_out_windows"] = recipe.held_out_windows;
  json["layers"] = recipe.layers;
  json["set"] = Json::array();
  for (const auto& rule : recipe.overrides) json["set"].push_back(fields::to_json(rule));
  return json;
}

Recipe recipe_from_json(const Json& json, const std::string& origin) {
  if (!json.is_object())
    throw Error(ErrorKind::bad_input, origin + " is not a recipe: it must be one JSON object with fields such as method and rank.");
  Recipe recipe;
  for (const auto& [key, value] : json.items()) set_field(recipe, key, value, origin);
  if (json.contains("rotate") && json["rotate"] == "quarot") recipe.rotation.r3 = asks_for_r3(recipe);
  return recipe;
}

void set_field(Recipe& recipe, const std::string& field, const Json& value, const std::string& origin) {
  if (!set_by_name(recipe, Place{origin, field}, value))
    throw Error(ErrorKind::bad_input, origin + ": a recipe has no field " + field + "; correct the name or remove it.");
}

std::string to_text(const Recipe& recipe) { return to_json(recipe).dump(2) + "\n"; }

}  // namespace lrc

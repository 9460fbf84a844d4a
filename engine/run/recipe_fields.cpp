#include "run/recipe_fields.h"

#include <charconv>
#include <cmath>

#include "base/error.h"

namespace lrc::fields {
namespace {

std::string shown(const Json& value) { return value.is_string() ? "\"" + value.get<std::string>() + "\"" : value.dump(); }

std::string decimal(double value) {
  char text[40];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}

}  // namespace

void refuse(const Place& place, const Json& value, const std::string& allowed) {
  std::string text = shown(value);
  if (text.size() > 60) text = text.substr(0, 60) + "…";
  throw Error(ErrorKind::bad_input, place.text() + " cannot be " + text + "; allowed: " + allowed + ".");
}

std::int64_t whole(const Place& place, const Json& value, std::int64_t lowest, std::int64_t highest) {
  const std::string allowed = "whole numbers from " + std::to_string(lowest) + " to " + std::to_string(highest);
  if (!value.is_number()) refuse(place, value, allowed);
  const double number = value.get<double>();
  if (!(number >= double(lowest) && number <= double(highest)) || number != std::floor(number)) refuse(place, value, allowed);
  return std::int64_t(number);
}

double number(const Place& place, const Json& value, double lowest, double highest) {
  const std::string allowed = "numbers from " + decimal(lowest) + " to " + decimal(highest);
  if (!value.is_number()) refuse(place, value, allowed);
  const double result = value.get<double>();
  if (!(result >= lowest && result <= highest)) refuse(place, value, allowed);
  return result;
}

bool yes_or_no(const Place& place, const Json& value) {
  if (!value.is_boolean()) refuse(place, value, "true or false (on or off)");
  return value.get<bool>();
}

std::string words(const Place& place, const Json& value) {
  if (!value.is_string()) refuse(place, value, "text");
  return value.get<std::string>();
}

int bits(const Place& place, const Json& value) {
  const std::string allowed = "2 to 8, or 16 (left in float)";
  if (!value.is_number()) refuse(place, value, allowed);
  const double result = value.get<double>();
  if (result != 16 && (!(result >= 2 && result <= 8) || result != std::floor(result))) refuse(place, value, allowed);
  return int(result);
}

RankChoice rank(const Place& place, const Json& value) {
  if (value.is_number()) return {false, double(whole(place, value, 0, 1'000'000))};
  if (!value.is_string()) refuse(place, value, "a whole number, or a percentage such as \"10%\"");
  try {
    return parse_rank(value.get<std::string>());
  } catch (const Error& e) {
    throw Error(e.kind(), place.text() + ": " + e.what());
  }
}

std::string method(const Place& place, const Json& value) {
  std::string name = words(place, value);
  try {
    find_method(name);
  } catch (const Error& e) {
    throw Error(ErrorKind::bad_input, place.text() + ": " + e.what());
  }
  return name;
}

WeightClip weight_clip(const Place& place, const Json& value) {
  const auto text = words(place, value);
  for (const auto clip : {WeightClip::search, WeightClip::none, WeightClip::awq})
    if (text == name(clip)) return clip;
  refuse(place, value, "search, none or awq");
}

NumberFormat format(const Place& place, const Json& value) {
  const auto found = number_format(words(place, value));
  if (!found) refuse(place, value, "int, mxint, mxfp4, mxfp4-rounded or nvfp4");
  return *found;
}

FactorScheme factors(const Place& place, const Json& value) {
  const auto found = factor_scheme(words(place, value));
  if (!found) refuse(place, value, "fp16, int8, or mxint2 to mxint8 with /BLOCK and -across as in mxint8/32 and mxint8/16-across");
  return *found;
}

PairInput pair_input(const Place& place, const Json& value) {
  const auto text = words(place, value);
  if (text != "unquantized" && text != "quantized") refuse(place, value, "unquantized or quantized");
  return text == "quantized" ? PairInput::quantized : PairInput::unquantized;
}

DampingToward damping_toward(const Place& place, const Json& value) {
  const auto text = words(place, value);
  if (text != "zero" && text != "original") refuse(place, value, "zero or original");
  return text == "original" ? DampingToward::original : DampingToward::zero;
}

RangeFinder range_finder(const Place& place, const Json& value) {
  const auto text = words(place, value);
  if (text != "exact" && text != "randomized") refuse(place, value, "exact or randomized");
  return text == "randomized" ? RangeFinder::randomized : RangeFinder::exact;
}

std::string base(const Place& place, const Json& value) {
  auto text = words(place, value);
  if (text != "rtn" && text != "gptq") refuse(place, value, "rtn or gptq");
  return text;
}

const char* const rule_fields =
    "method, weight_bits, weight_format, weight_asymmetric, weight_clip, group_size, activation_bits, activation_format, "
    "activation_asymmetric, activation_group_size, clip, rank, iterations, deflate, polish, act_order, base, factors, pair_input, drift, "
    "damping, damping_toward, gptq_damping and skip";

std::string_view name(WeightClip clip) { return clip == WeightClip::search ? "search" : clip == WeightClip::awq ? "awq" : "none"; }
std::string_view name(DampingToward toward) { return toward == DampingToward::original ? "original" : "zero"; }
std::string_view name(RangeFinder finder) { return finder == RangeFinder::randomized ? "randomized" : "exact"; }
std::string_view name(PairInput input) { return input == PairInput::quantized ? "quantized" : "unquantized"; }

Json value_of(const std::string& text) {
  if (text == "true" || text == "on") return true;
  if (text == "false" || text == "off") return false;
  const char* const end = text.data() + text.size();
  std::uint64_t integer = 0;
  if (const auto [p, code] = std::from_chars(text.data(), end, integer); code == std::errc() && p == end) return integer;
  double real = 0;
  if (const auto [p, code] = std::from_chars(text.data(), end, real); code == std::errc() && p == end && std::isfinite(real)) return real;
  return text;
}

double shortest(float value) {
  char text[40];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  double result = value;
  std::from_chars(text, end, result);
  return result;
}

std::string shortest_text(double value) { return decimal(value); }

bool set(Override& rule, const Place& place, const Json& value) {
  const std::string& field = place.field;
  if (field == "method")
    rule.method = method(place, value);
  else if (field == "weight_bits")
    rule.weight_bits = bits(place, value);
  else if (field == "activation_bits")
    rule.activation_bits = bits(place, value);
  else if (field == "group_size")
    rule.group_size = std::size_t(whole(place, value, 0, 1 << 20));
  else if (field == "clip")
    rule.clip = float(number(place, value, 0.05, 1.0));
  else if (field == "rank")
    rule.rank = rank(place, value);
  else if (field == "iterations")
    rule.iterations = int(whole(place, value, 1, 100));
  else if (field == "deflate")
    rule.deflate = yes_or_no(place, value);
  else if (field == "damping")
    rule.damping = number(place, value, 0.0, 10.0);
  else if (field == "damping_toward")
    rule.damping_toward = damping_toward(place, value);
  else if (field == "gptq_damping")
    rule.gptq_damping = number(place, value, 0.0, 10.0);
  else if (field == "weight_format")
    rule.weight_format = format(place, value);
  else if (field == "weight_asymmetric")
    rule.weight_asymmetric = yes_or_no(place, value);
  else if (field == "weight_clip")
    rule.weight_clip = weight_clip(place, value);
  else if (field == "activation_format")
    rule.activation_format = format(place, value);
  else if (field == "activation_asymmetric")
    rule.activation_asymmetric = yes_or_no(place, value);
  else if (field == "activation_group_size")
    rule.activation_group_size = std::size_t(whole(place, value, 0, 1 << 20));
  else if (field == "act_order")
    rule.act_order = yes_or_no(place, value);
  else if (field == "polish")
    rule.polish = yes_or_no(place, value);
  else if (field == "base")
    rule.base = base(place, value);
  else if (field == "factors")
    rule.factors = factors(place, value);
  else if (field == "pair_input")
    rule.pair_input = pair_input(place, value);
  else if (field == "drift")
    rule.drift = number(place, value, 0.0, 1.0);
  else if (field == "skip")
    rule.skip = yes_or_no(place, value);
  else
    return false;
  return true;
}

Json to_json(const Override& rule) {
  Json json = Json::object();
  json["pattern"] = rule.pattern;
  if (rule.method) json["method"] = *rule.method;
  if (rule.weight_bits) json["weight_bits"] = *rule.weight_bits;
  if (rule.group_size) json["group_size"] = *rule.group_size;
  if (rule.activation_bits) json["activation_bits"] = *rule.activation_bits;
  if (rule.clip) json["clip"] = shortest(*rule.clip);
  if (rule.rank) json["rank"] = rule.rank->percent ? Json(to_string(*rule.rank)) : Json(std::uint64_t(rule.rank->value));
  if (rule.iterations) json["iterations"] = *rule.iterations;
  if (rule.deflate) json["deflate"] = *rule.deflate;
  if (rule.damping) json["damping"] = *rule.damping;
  if (rule.damping_toward) json["damping_toward"] = name(*rule.damping_toward);
  if (rule.gptq_damping) json["gptq_damping"] = *rule.gptq_damping;
  if (rule.weight_format) json["weight_format"] = lrc::name(*rule.weight_format);
  if (rule.weight_asymmetric) json["weight_asymmetric"] = *rule.weight_asymmetric;
  if (rule.weight_clip) json["weight_clip"] = name(*rule.weight_clip);
  if (rule.activation_format) json["activation_format"] = lrc::name(*rule.activation_format);
  if (rule.activation_asymmetric) json["activation_asymmetric"] = *rule.activation_asymmetric;
  if (rule.activation_group_size) json["activation_group_size"] = *rule.activation_group_size;
  if (rule.act_order) json["act_order"] = *rule.act_order;
  if (rule.polish) json["polish"] = *rule.polish;
  if (rule.base) json["base"] = *rule.base;
  if (rule.factors) json["factors"] = to_string(*rule.factors);
  if (rule.pair_input) json["pair_input"] = name(*rule.pair_input);
  if (rule.drift) json["drift"] = *rule.drift;
  if (rule.skip) json["skip"] = *rule.skip;
  return json;
}

Override rule_from_json(const Json& json, const std::string& origin) {
  if (json.is_string()) return parse_override(json.get<std::string>());
  if (!json.is_object())
    throw Error(ErrorKind::bad_input, origin + ": each entry of set is an object with a pattern, or a text as --set takes it.");
  Override rule;
  for (const auto& [key, value] : json.items()) {
    const Place place{origin, key};
    if (key == "pattern")
      rule.pattern = words(place, value);
    else if (!set(rule, place, value))
      throw Error(ErrorKind::bad_input, origin + ": a rule of set has no field " + key + "; it has pattern, " + rule_fields + ".");
  }
  if (rule.pattern.empty()) throw Error(ErrorKind::bad_input, origin + ": a rule of set lacks its pattern.");
  return rule;
}

}  // namespace lrc::fields

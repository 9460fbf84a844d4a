#include "run/scheme_json.h"

#include "run/recipe_fields.h"

namespace lrc {

Json to_json(const LayerScheme& scheme) {
  if (scheme.skipped) return {{"skipped", true}};
  Json json = Json::object();
  json["method"] = scheme.method;
  json["weight_bits"] = scheme.weight.bits;
  json["group_size"] = scheme.weight.group_size;
  json["weight_clip"] = fields::name(scheme.weight.clip);
  json["activation_bits"] = scheme.activation.bits;
  json["activation_group_size"] = scheme.activation.group_size;
  json["clip"] = fields::shortest(scheme.activation.clip);
  json["rank"] = scheme.rank;
  json["iterations"] = scheme.iterations;
  json["deflate"] = scheme.deflate;
  json["damping"] = scheme.damping;
  json["damping_toward"] = fields::name(scheme.damping_toward);
  json["gptq_damping"] = scheme.gptq_damping;
  json["factor_bits"] = scheme.factors.bits;
  json["weight_format"] = name(scheme.weight.format);
  json["weight_asymmetric"] = !scheme.weight.symmetric;
  json["activation_format"] = name(scheme.activation.format);
  json["activation_asymmetric"] = !scheme.activation.symmetric;
  json["act_order"] = scheme.act_order;
  json["polish"] = scheme.polish;
  json["base"] = scheme.base;
  json["factors"] = to_string(scheme.factors);
  json["pair_input"] = fields::name(scheme.pair_input);
  json["drift"] = scheme.drift;
  const LayerScheme usual;
  if (scheme.range_finder != usual.range_finder) json["range_finder"] = fields::name(scheme.range_finder);
  if (scheme.weight.high.any()) {
    json["high_columns"] = scheme.weight.high.count;
    json["high_period"] = scheme.weight.high.period;
    json["high_bits"] = scheme.weight.high.bits;
  }
  if (scheme.steps != usual.steps) json["steps"] = scheme.steps;
  if (scheme.square != usual.square) json["square"] = scheme.square;
  return json;
}

LayerScheme scheme_from_json(const JsonReader& in) {
  LayerScheme scheme;
  if (in.has("skipped")) {
    scheme.skipped = in.flag("skipped");
    if (scheme.skipped) return scheme;
  }
  scheme.method = in.text("method");
  scheme.weight.bits = in.small("weight_bits");
  scheme.weight.group_size = in.count("group_size");
  const auto clip = in.text("weight_clip");
  if (clip != "search" && clip != "none" && clip != "awq") in.fail("weight_clip", "search, none or awq");
  scheme.weight.clip = clip == "none" ? WeightClip::none : clip == "awq" ? WeightClip::awq : WeightClip::search;
  scheme.activation.bits = in.small("activation_bits");
  scheme.activation.group_size = in.count("activation_group_size");
  scheme.activation.clip = float(in.finite("clip"));
  scheme.rank = in.count("rank");
  scheme.iterations = in.small("iterations");
  scheme.deflate = in.flag("deflate");
  scheme.damping = in.finite("damping");
  scheme.gptq_damping = in.finite("gptq_damping");
  const auto format = [&](const char* key, NumberFormat& value) {
    if (!in.has(key)) return;
    const auto found = number_format(in.text(key));
    if (!found) in.fail(key, "a number format that this program knows");
    value = *found;
  };
  const auto flag = [&](const char* key, bool& value) {
    if (in.has(key)) value = in.flag(key);
  };
  format("weight_format", scheme.weight.format);
  format("activation_format", scheme.activation.format);
  bool weight_asymmetric = false, activation_asymmetric = false;
  flag("weight_asymmetric", weight_asymmetric);
  flag("activation_asymmetric", activation_asymmetric);
  scheme.weight.symmetric = !weight_asymmetric;
  scheme.activation.symmetric = !activation_asymmetric;
  flag("act_order", scheme.act_order);
  flag("polish", scheme.polish);
  if (in.has("base")) scheme.base = in.text("base");
  if (in.has("factors")) {
    const auto found = factor_scheme(in.text("factors"));
    if (!found) in.fail("factors", "a factor format that this program knows");
    scheme.factors = *found;
  }
  if (in.has("pair_input")) {
    const auto input = in.text("pair_input");
    if (input != "quantized" && input != "unquantized") in.fail("pair_input", "quantized or unquantized");
    scheme.pair_input = input == "quantized" ? PairInput::quantized : PairInput::unquantized;
  }
  if (in.has("damping_toward")) {
    const auto toward = in.text("damping_toward");
    if (toward != "zero" && toward != "original") in.fail("damping_toward", "zero or original");
    scheme.damping_toward = toward == "original" ? DampingToward::original : DampingToward::zero;
  }
  if (in.has("drift")) scheme.drift = in.finite("drift");
  if (in.has("range_finder")) {
    const auto finder = in.text("range_finder");
    if (finder != "exact" && finder != "randomized") in.fail("range_finder", "exact or randomized");
    scheme.range_finder = finder == "randomized" ? RangeFinder::randomized : RangeFinder::exact;
  }
  if (in.has("high_columns")) {
    scheme.weight.high = {in.count("high_columns"), in.count("high_period"), in.small("high_bits")};
    if (!scheme.activation.off()) scheme.activation.high = scheme.weight.high;
  }
  if (in.has("steps")) scheme.steps = in.small("steps");
  if (in.has("square")) scheme.square = in.count("square");
  return scheme;
}

}  // namespace lrc

#include "run/scheme_json.h"

#include "run/recipe_fields.h"

namespace lrc {

Json to_json(const LayerScheme& scheme) {
  if (scheme.skipped) return {{"skipped", true}};
  Json json = Json::object();
  json["method"] = scheme.method;
  json["weight_bits"] = scheme.weight.bits;
  json["group_size"] = scheme.weight.group_size;
  json["weight_clip"] = scheme.weight.clip == WeightClip::search ? "search" : "none";
  json["activation_bits"] = scheme.activation.bits;
  json["activation_group_size"] = scheme.activation.group_size;
  json["clip"] = fields::shortest(scheme.activation.clip);
  json["rank"] = scheme.rank;
  json["iterations"] = scheme.iterations;
  json["deflate"] = scheme.deflate;
  json["damping"] = scheme.damping;
  json["gptq_damping"] = scheme.gptq_damping;
  json["factor_bits"] = scheme.factor_bits;
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
  if (clip != "search" && clip != "none") in.fail("weight_clip", "search or none");
  scheme.weight.clip = clip == "none" ? WeightClip::none : WeightClip::search;
  scheme.activation.bits = in.small("activation_bits");
  scheme.activation.group_size = in.count("activation_group_size");
  scheme.activation.clip = float(in.finite("clip"));
  scheme.rank = in.count("rank");
  scheme.iterations = in.small("iterations");
  scheme.deflate = in.flag("deflate");
  scheme.damping = in.finite("damping");
  scheme.gptq_damping = in.finite("gptq_damping");
  if (in.has("factor_bits")) scheme.factor_bits = in.small("factor_bits");
  return scheme;
}

}  // namespace lrc

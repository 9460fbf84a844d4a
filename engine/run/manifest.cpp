#include "run/manifest.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/files.h"
#include "run/recipe_fields.h"

namespace lrc {
namespace {

constexpr int newest_format = 1;
constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json optional_number(const std::optional<double>& value) { return value && std::isfinite(*value) ? Json(*value) : Json(nullptr); }

Json effective_to_json(const LayerScheme& scheme) {
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

Json layer_to_json(const LayerRecord& layer) {
  Json json = Json::object();
  json["name"] = layer.name;
  json["method"] = layer.method;
  json["out_features"] = layer.out_features;
  json["in_features"] = layer.in_features;
  json["weight_bits"] = layer.weight_bits;
  json["activation_bits"] = layer.activation_bits;
  json["group_size"] = layer.group_size;
  json["rank"] = layer.rank;
  json["factor_bits"] = layer.factor_bits;
  json["bits_per_weight"] = layer.bits_per_weight;
  json["loss"] = number_or_null(layer.loss);
  json["loss_uncorrected"] = number_or_null(layer.loss_uncorrected);
  json["loss_regularized"] = number_or_null(layer.loss_regularized);
  json["lower_bound"] = number_or_null(layer.lower_bound);
  json["held_out_loss"] = optional_number(layer.held_out_loss);
  json["weights_only"] = number_or_null(layer.weights_only);
  json["activations_only"] = number_or_null(layer.activations_only);
  json["seconds"] = layer.seconds;
  json["file"] = layer.file;
  json["sha256"] = layer.sha256;
  return json;
}

Json evaluation_to_json(const Evaluation& e) {
  Json json = Json::object();
  json["perplexity"] = number_or_null(e.perplexity);
  json["nll"] = number_or_null(e.nll);
  json["tokens"] = e.tokens;
  json["windows"] = e.windows;
  json["context"] = e.context;
  json["seconds"] = e.seconds;
  json["reference_perplexity"] = optional_number(e.reference_perplexity);
  if (e.kl) {
    const auto& k = *e.kl;
    json["kl"] = {{"mean", number_or_null(k.mean)}, {"median", number_or_null(k.median)}, {"p90", number_or_null(k.p90)},
                  {"p95", number_or_null(k.p95)},   {"p99", number_or_null(k.p99)},       {"p999", number_or_null(k.p999)},
                  {"max", number_or_null(k.max)}};
  }
  json["top1_agreement"] = optional_number(e.top1_agreement);
  json["nll_of_each_window"] = Json::array();
  for (const double value : e.nll_of_each_window) json["nll_of_each_window"].push_back(number_or_null(value));
  return json;
}

/// Reads keys of one JSON object; every fault names the file and the key.
class Reader {
 public:
  Reader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json_.is_object()) throw Error(ErrorKind::bad_file, where_ + " is not a JSON object; the manifest is damaged.");
  }
  const Json& at(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) throw Error(ErrorKind::bad_file, where_ + " lacks the key " + key + "; the manifest is damaged.");
    return *found;
  }
  bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }
  std::string text(const char* key) const {
    if (!at(key).is_string()) fail(key, "a text");
    return at(key).get<std::string>();
  }
  double number(const char* key) const {
    if (at(key).is_null()) return unknown;
    if (!at(key).is_number()) fail(key, "a number");
    return at(key).get<double>();
  }
  std::optional<double> maybe_number(const char* key) const { return has(key) ? std::optional(number(key)) : std::nullopt; }
  std::uint64_t count(const char* key) const {
    if (!at(key).is_number_unsigned()) fail(key, "a whole number");
    return at(key).get<std::uint64_t>();
  }
  int small(const char* key) const {
    const auto value = count(key);
    if (value > 1'000'000) fail(key, "a small whole number");
    return int(value);
  }
  bool flag(const char* key) const {
    if (!at(key).is_boolean()) fail(key, "true or false");
    return at(key).get<bool>();
  }
  const Json& list(const char* key) const {
    if (!at(key).is_array()) fail(key, "a list");
    return at(key);
  }
  const Json& object(const char* key) const {
    if (!at(key).is_object()) fail(key, "an object");
    return at(key);
  }
  std::string where(const char* key) const { return where_ + ": " + key; }
  [[noreturn]] void fail(const char* key, const char* expected) const {
    throw Error(ErrorKind::bad_file, where_ + ": " + key + " is not " + expected + "; the manifest is damaged.");
  }

 private:
  const Json& json_;
  std::string where_;
};

LayerScheme effective_from_json(const Json& json, const std::string& where) {
  const Reader in(json, where);
  LayerScheme scheme;
  if (in.has("skipped")) {
    scheme.skipped = in.flag("skipped");
    return scheme;
  }
  scheme.method = in.text("method");
  scheme.weight.bits = in.small("weight_bits");
  scheme.weight.group_size = in.count("group_size");
  scheme.weight.clip = in.text("weight_clip") == "none" ? WeightClip::none : WeightClip::search;
  scheme.activation.bits = in.small("activation_bits");
  scheme.activation.group_size = in.count("activation_group_size");
  scheme.activation.clip = float(in.number("clip"));
  scheme.rank = in.count("rank");
  scheme.iterations = in.small("iterations");
  scheme.deflate = in.flag("deflate");
  scheme.damping = in.number("damping");
  scheme.gptq_damping = in.number("gptq_damping");
  scheme.factor_bits = in.small("factor_bits");
  return scheme;
}

LayerRecord layer_from_json(const Json& json, const std::string& where) {
  const Reader in(json, where);
  LayerRecord layer;
  layer.name = in.text("name");
  layer.method = in.text("method");
  layer.out_features = in.count("out_features");
  layer.in_features = in.count("in_features");
  layer.weight_bits = in.small("weight_bits");
  layer.activation_bits = in.small("activation_bits");
  layer.group_size = in.count("group_size");
  layer.rank = in.count("rank");
  layer.factor_bits = in.small("factor_bits");
  layer.bits_per_weight = in.number("bits_per_weight");
  layer.loss = in.number("loss");
  layer.loss_uncorrected = in.number("loss_uncorrected");
  layer.loss_regularized = in.number("loss_regularized");
  layer.lower_bound = in.number("lower_bound");
  layer.held_out_loss = in.maybe_number("held_out_loss");
  layer.weights_only = in.number("weights_only");
  layer.activations_only = in.number("activations_only");
  layer.seconds = in.number("seconds");
  layer.file = in.text("file");
  layer.sha256 = in.text("sha256");
  // The name becomes a path inside the run folder: nothing may lead out of it.
  if (layer.file != "layers/" + layer.name + ".safetensors" || layer.name.find('/') != std::string::npos)
    throw Error(ErrorKind::bad_file, where + ": file is not layers/" + layer.name + ".safetensors; the manifest is damaged.");
  return layer;
}

Evaluation evaluation_from_json(const Json& json, const std::string& where) {
  const Reader in(json, where);
  Evaluation e;
  e.perplexity = in.number("perplexity");
  e.nll = in.number("nll");
  e.tokens = in.count("tokens");
  e.windows = in.count("windows");
  e.context = in.count("context");
  e.seconds = in.number("seconds");
  e.reference_perplexity = in.maybe_number("reference_perplexity");
  e.top1_agreement = in.maybe_number("top1_agreement");
  if (in.has("kl")) {
    const Reader k(in.object("kl"), in.where("kl"));
    e.kl = Divergence{k.number("mean"), k.number("median"), k.number("p90"), k.number("p95"),
                      k.number("p99"),  k.number("p999"),   k.number("max")};
  }
  for (const auto& value : in.list("nll_of_each_window")) e.nll_of_each_window.push_back(value.is_number() ? value.get<double>() : unknown);
  return e;
}

RunState state_from_text(const std::string& text, const Reader& in) {
  for (const auto state : {RunState::running, RunState::paused, RunState::stopped, RunState::failed, RunState::done})
    if (text == name(state)) return state;
  in.fail("state", "running, paused, stopped, failed or done");
}

}  // namespace

std::string_view program_version() { return LRC_VERSION; }

std::string_view name(RunState state) {
  switch (state) {
    case RunState::running:
      return "running";
    case RunState::paused:
      return "paused";
    case RunState::stopped:
      return "stopped";
    case RunState::failed:
      return "failed";
    case RunState::done:
      return "done";
  }
  return "";
}

Json to_json(const Manifest& m) {
  Json json = Json::object();
  json["format_version"] = m.format_version;
  json["program_version"] = m.program_version;
  json["state"] = name(m.state);
  if (!m.failure.empty()) json["failure"] = m.failure;
  json["model"] = {{"path", m.model_path.string()}, {"sha256", m.model_sha256}, {"name", m.model_name}};
  json["recipe"] = to_json(m.recipe);
  json["fingerprint"] = m.fingerprint;
  json["calibration"] = {{"path", m.calibration_path}, {"sha256", m.calibration_sha256}, {"tokens", m.calibration_tokens}};
  json["seed"] = m.recipe.rotation.seed;
  json["machine"] = m.machine;
  json["timings"] = Json::object();
  for (const auto& [stage, seconds] : m.timings) json["timings"][stage] = seconds;
  json["bits_per_weight"] = m.bits_per_weight;
  json["file_bytes"] = m.file_bytes;
  json["peak_memory_bytes"] = m.peak_memory_bytes;
  if (m.evaluation) {
    json["evaluation"] = evaluation_to_json(*m.evaluation);
    json["evaluation_protocol"] = m.evaluation_protocol;
  }
  json["layers_total"] = m.layers_total;
  json["layers"] = Json::array();
  for (const auto& layer : m.layers) json["layers"].push_back(layer_to_json(layer));
  json["effective"] = Json::object();
  for (const auto& [layer, scheme] : m.effective) json["effective"][layer] = effective_to_json(scheme);
  return json;
}

Manifest read_manifest(const std::filesystem::path& run_folder) {
  const auto file = run_folder / "manifest.json";
  const Json json = read_json_file(file);
  const Reader in(json, file.string());
  Manifest m;
  m.format_version = in.small("format_version");
  m.program_version = in.text("program_version");
  if (m.format_version > newest_format)
    throw Error(ErrorKind::unsupported, file.string() + " has format version " + std::to_string(m.format_version) + "; this program (" +
                                            std::string(program_version()) + ") reads up to " + std::to_string(newest_format) +
                                            ", open it with version " + m.program_version + " or newer.");
  m.state = state_from_text(in.text("state"), in);
  if (in.has("failure")) m.failure = in.text("failure");
  const Reader model(in.object("model"), in.where("model"));
  m.model_path = model.text("path");
  m.model_sha256 = model.text("sha256");
  m.model_name = model.text("name");
  m.recipe = recipe_from_json(in.object("recipe"), in.where("recipe"));
  m.fingerprint = in.text("fingerprint");
  const Reader calibration(in.object("calibration"), in.where("calibration"));
  m.calibration_path = calibration.text("path");
  m.calibration_sha256 = calibration.text("sha256");
  m.calibration_tokens = calibration.count("tokens");
  m.machine = in.object("machine");
  for (const auto& [stage, seconds] : in.object("timings").items())
    m.timings.emplace_back(stage, seconds.is_number() ? seconds.get<double>() : unknown);
  m.bits_per_weight = in.number("bits_per_weight");
  m.file_bytes = in.count("file_bytes");
  m.peak_memory_bytes = in.count("peak_memory_bytes");
  if (in.has("evaluation")) {
    m.evaluation = evaluation_from_json(in.object("evaluation"), in.where("evaluation"));
    m.evaluation_protocol = in.object("evaluation_protocol");
  }
  m.layers_total = in.count("layers_total");
  for (const auto& layer : in.list("layers")) m.layers.push_back(layer_from_json(layer, in.where("layers")));
  for (const auto& [layer, scheme] : in.object("effective").items())
    m.effective.emplace_back(layer, effective_from_json(scheme, in.where("effective") + ": " + layer));
  return m;
}

void write_manifest(const std::filesystem::path& run_folder, const Manifest& manifest) {
  write_file_atomically(run_folder / "manifest.json", to_json(manifest).dump(1) + "\n");
}

bool is_run_folder(const std::filesystem::path& path) {
  std::error_code code;
  return std::filesystem::is_directory(path, code) && std::filesystem::is_regular_file(path / "manifest.json", code);
}

}  // namespace lrc

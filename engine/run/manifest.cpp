#include "run/manifest.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/files.h"
#include "base/json_reader.h"
#include "run/scheme_json.h"

namespace lrc {
namespace {

constexpr int newest_format = 1;
constexpr const char* advice = "the manifest is damaged";
constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json optional_number(const std::optional<double>& value) { return value && std::isfinite(*value) ? Json(*value) : Json(nullptr); }

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
  if (layer.range_finder_missed) json["range_finder_missed"] = number_or_null(*layer.range_finder_missed);
  json["tokens"] = layer.tokens;
  if (!layer.warning.empty()) json["warning"] = layer.warning;
  json["seconds"] = layer.seconds;
  json["file"] = layer.file;
  json["sha256"] = layer.sha256;
  return json;
}

Json refinement_to_json(const RefinementRecord& r) {
  Json json = Json::object();
  json["block"] = r.block;
  json["steps"] = r.steps;
  json["best_step"] = r.best_step;
  json["loss_before"] = number_or_null(r.loss_before);
  json["loss_after"] = number_or_null(r.loss_after);
  json["held_out_before"] = number_or_null(r.held_out_before);
  json["held_out_after"] = number_or_null(r.held_out_after);
  json["seconds"] = r.seconds;
  return json;
}

RefinementRecord refinement_from_json(const JsonReader& in) {
  RefinementRecord r;
  r.block = in.count("block");
  r.steps = in.small("steps");
  r.best_step = in.small("best_step");
  r.loss_before = in.number("loss_before");
  r.loss_after = in.number("loss_after");
  r.held_out_before = in.number("held_out_before");
  r.held_out_after = in.number("held_out_after");
  r.seconds = in.number("seconds");
  return r;
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

LayerRecord layer_from_json(const Json& json, const std::string& where) {
  const JsonReader in(json, where, advice);
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
  if (in.has("range_finder_missed")) layer.range_finder_missed = in.maybe_number("range_finder_missed");
  if (in.has("tokens")) layer.tokens = std::size_t(in.count("tokens"));
  if (in.has("warning")) layer.warning = in.text("warning");
  layer.seconds = in.number("seconds");
  layer.file = in.text("file");
  layer.sha256 = in.text("sha256");
  // The name becomes a path inside the run folder: nothing may lead out of it.
  if (layer.file != "layers/" + layer.name + ".safetensors" || layer.name.find('/') != std::string::npos)
    throw Error(ErrorKind::bad_file, where + ": file is not layers/" + layer.name + ".safetensors; the manifest is damaged.");
  return layer;
}

TransformRecord transform_from_json(const Json& json, const std::string& where) {
  const JsonReader in(json, where, advice);
  TransformRecord transform;
  transform.block = in.count("block");
  transform.file = in.text("file");
  transform.sha256 = in.text("sha256");
  if (transform.file != "transforms/block-" + std::to_string(transform.block) + ".safetensors")
    throw Error(ErrorKind::bad_file,
                where + ": file is not transforms/block-" + std::to_string(transform.block) + ".safetensors; the manifest is damaged.");
  return transform;
}

Evaluation evaluation_from_json(const JsonReader& in) {
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
    const JsonReader k = in.inner("kl");
    e.kl = Divergence{k.number("mean"), k.number("median"), k.number("p90"), k.number("p95"),
                      k.number("p99"),  k.number("p999"),   k.number("max")};
  }
  for (const auto& value : in.list("nll_of_each_window")) e.nll_of_each_window.push_back(value.is_number() ? value.get<double>() : unknown);
  return e;
}

RunState state_from_text(const std::string& text, const JsonReader& in) {
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
  if (!m.calibration_mix_sha256.empty())
    json["calibration"]["mix"] = {{"path", m.calibration_mix_path}, {"sha256", m.calibration_mix_sha256}};
  if (!m.rotation_sha256.empty()) json["rotation"] = {{"file", imported_rotation_file}, {"sha256", m.rotation_sha256}};
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
  if (!m.refinements.empty()) {
    json["refinements"] = Json::array();
    for (const auto& refinement : m.refinements) json["refinements"].push_back(refinement_to_json(refinement));
  }
  json["layers_total"] = m.layers_total;
  json["layers"] = Json::array();
  for (const auto& layer : m.layers) json["layers"].push_back(layer_to_json(layer));
  for (const auto& transform : m.transforms)
    json["transforms"].push_back({{"block", transform.block}, {"file", transform.file}, {"sha256", transform.sha256}});
  json["effective"] = Json::object();
  for (const auto& [layer, scheme] : m.effective) json["effective"][layer] = to_json(scheme);
  return json;
}

Manifest read_manifest(const std::filesystem::path& run_folder) {
  const auto file = run_folder / "manifest.json";
  const Json json = read_json_file(file);
  const JsonReader in(json, file.string(), advice);
  Manifest m;
  m.format_version = in.small("format_version");
  m.program_version = in.text("program_version");
  if (m.format_version > newest_format)
    throw Error(ErrorKind::unsupported, file.string() + " has format version " + std::to_string(m.format_version) + "; this program (" +
                                            std::string(program_version()) + ") reads up to " + std::to_string(newest_format) +
                                            ", open it with version " + m.program_version + " or newer.");
  m.state = state_from_text(in.text("state"), in);
  if (in.has("failure")) m.failure = in.text("failure");
  const JsonReader model = in.inner("model");
  m.model_path = model.text("path");
  m.model_sha256 = model.text("sha256");
  m.model_name = model.text("name");
  m.recipe = recipe_from_json(in.object("recipe"), in.where("recipe"));
  m.fingerprint = in.text("fingerprint");
  const JsonReader calibration = in.inner("calibration");
  m.calibration_path = calibration.text("path");
  m.calibration_sha256 = calibration.text("sha256");
  m.calibration_tokens = calibration.count("tokens");
  if (calibration.has("mix")) {
    const JsonReader mix = calibration.inner("mix");
    m.calibration_mix_path = mix.text("path");
    m.calibration_mix_sha256 = mix.text("sha256");
  }
  if (in.has("rotation")) m.rotation_sha256 = in.inner("rotation").text("sha256");
  m.machine = in.object("machine");
  for (const auto& [stage, seconds] : in.object("timings").items())
    m.timings.emplace_back(stage, seconds.is_number() ? seconds.get<double>() : unknown);
  m.bits_per_weight = in.number("bits_per_weight");
  m.file_bytes = in.count("file_bytes");
  m.peak_memory_bytes = in.count("peak_memory_bytes");
  if (in.has("evaluation")) {
    m.evaluation = evaluation_from_json(in.inner("evaluation"));
    m.evaluation_protocol = in.object("evaluation_protocol");
  }
  m.layers_total = in.count("layers_total");
  for (const auto& layer : in.list("layers")) m.layers.push_back(layer_from_json(layer, in.where("layers")));
  if (in.has("transforms"))
    for (const auto& transform : in.list("transforms")) m.transforms.push_back(transform_from_json(transform, in.where("transforms")));
  if (in.has("refinements"))
    for (const auto& entry : in.list("refinements"))
      m.refinements.push_back(refinement_from_json({entry, in.where("refinements"), advice}));
  for (const auto& [layer, scheme] : in.object("effective").items())
    m.effective.emplace_back(layer, scheme_from_json({scheme, in.where("effective") + ": " + layer, advice}));
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

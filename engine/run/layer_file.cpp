#include "run/layer_file.h"

#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "formats/safetensors.h"
#include "run/layer_tensors.h"
#include "run/runner.h"
#include "run/scheme_json.h"

namespace lrc {
namespace {

// Version 2 has high columns: their codes stand in codes_high, their scales before the others.
constexpr const char *format_version = "1", *high_columns_version = "2";

std::string scheme_to_text(const LayerScheme& scheme, const QuantizedWeight& weight) {
  Json json = to_json(scheme);
  json["out_features"] = weight.out_features;
  json["in_features"] = weight.in_features;
  return json.dump();
}

std::vector<double> read_row(const SafetensorsFile& file, const char* name) {
  const auto* entry = file.find(name);
  if (!entry) return {};
  if (entry->dtype != DType::f64) damaged(file.path(), std::string(name) + " is not F64");
  const MatrixD values = file.read_double(name);
  for (const double value : values.flat())
    if (!std::isfinite(value)) damaged(file.path(), std::string(name) + " holds a value that is no number");
  return {values.flat().begin(), values.flat().end()};
}

LayerFacts facts_of(const SafetensorsFile& file, const std::string& layer) {
  const auto& metadata = file.metadata();
  const auto text = [&](const char* key) -> const std::string& {
    const auto found = metadata.find(key);
    if (found == metadata.end()) damaged(file.path(), std::string("the metadata lacks ") + key);
    return found->second;
  };
  if (text("format_version") != format_version && text("format_version") != high_columns_version)
    throw Error(ErrorKind::unsupported, file.path().string() + " has format version " + text("format_version") +
                                            ", this program reads versions " + format_version + " and " + high_columns_version + ".");
  if (text("layer") != layer) damaged(file.path(), "it holds " + text("layer") + ", not " + layer);
  const Json json = parse_json(text("scheme"), file.path().string() + ": scheme");
  const JsonReader in(json, file.path().string() + ": scheme", layer_advice);
  LayerFacts facts;
  facts.scheme = scheme_from_json(in);
  facts.out_features = in.count("out_features");
  facts.in_features = in.count("in_features");
  const auto losses = read_row(file, "losses");
  if (losses.size() != 7 && losses.size() != 9) damaged(file.path(), "losses does not hold 7 or 9 numbers");
  auto& l = facts.losses;
  l.norm_wx = losses[0];
  l.loss = losses[1];
  l.loss_uncorrected = losses[2];
  l.loss_regularized = losses[3];
  l.lower_bound = losses[4];
  l.weights_only = losses[5];
  l.activations_only = losses[6];
  if (losses.size() == 9) {
    l.held_out = losses[7];
    l.held_out_norm = losses[8];
  }
  l.of_each_round = read_row(file, "rounds");
  if (const auto missed = read_row(file, "range_finder_missed"); !missed.empty()) {
    if (missed.size() != 1) damaged(file.path(), "range_finder_missed is not one number");
    l.range_finder_missed = missed.front();
  }
  const auto& best = text("best_round");
  if (std::from_chars(best.data(), best.data() + best.size(), l.best_round).ec != std::errc())
    damaged(file.path(), "best_round is no number");
  facts.curves.eigenvalues = read_row(file, "eigenvalues");
  facts.curves.lower_bound_by_rank = read_row(file, "lower_bound_by_rank");
  facts.curves.same_codes_by_rank = read_row(file, "same_codes_by_rank");
  facts.curves.weight_error_singular_values = read_row(file, "weight_error_singular_values");
  return facts;
}

}  // namespace

std::filesystem::path layer_path(const std::filesystem::path& run_folder, const std::string& layer) {
  return run_folder / "layers" / (layer + ".safetensors");
}

std::string write_layer(const std::filesystem::path& run_folder, const std::string& layer, const LayerSolution& solution) {
  const auto& weight = solution.weight;
  SafetensorsWriter out;
  write_weight(out, weight);
  write_pair(out, solution.pair);
  const auto& l = solution.losses;
  std::vector<double> losses = {l.norm_wx,     l.loss,         l.loss_uncorrected, l.loss_regularized,
                                l.lower_bound, l.weights_only, l.activations_only};
  if (l.held_out && l.held_out_norm) losses.insert(losses.end(), {*l.held_out, *l.held_out_norm});
  write_row(out, "losses", losses);
  write_row(out, "rounds", l.of_each_round);
  if (l.range_finder_missed) write_row(out, "range_finder_missed", {*l.range_finder_missed});
  write_row(out, "eigenvalues", solution.curves.eigenvalues);
  write_row(out, "lower_bound_by_rank", solution.curves.lower_bound_by_rank);
  write_row(out, "same_codes_by_rank", solution.curves.same_codes_by_rank);
  write_row(out, "weight_error_singular_values", solution.curves.weight_error_singular_values);
  out.set_metadata("format_version", weight.scheme.high.any() ? high_columns_version : format_version);
  out.set_metadata("layer", layer);
  out.set_metadata("scheme", scheme_to_text(solution.scheme, weight));
  out.set_metadata("best_round", std::to_string(l.best_round));
  const auto path = layer_path(run_folder, layer);
  out.write(path);
  return sha256_of_file(path);
}

LayerFacts read_layer_facts(const std::filesystem::path& run_folder, const std::string& layer) {
  return facts_of(SafetensorsFile::open(layer_path(run_folder, layer)), layer);
}

LayerSolution read_layer(const std::filesystem::path& run_folder, const std::string& layer) {
  const auto file = SafetensorsFile::open(layer_path(run_folder, layer));
  auto facts = facts_of(file, layer);
  LayerSolution solution;
  solution.scheme = facts.scheme;
  solution.losses = std::move(facts.losses);
  solution.curves = std::move(facts.curves);
  auto& weight = solution.weight;
  weight.scheme = facts.scheme.weight;
  weight.out_features = facts.out_features;
  weight.in_features = facts.in_features;
  check_scheme(weight.scheme, weight.in_features, layer);
  read_weight(file, weight);
  if (facts.scheme.rank > 0) solution.pair = read_pair(file, facts);
  return solution;
}

}  // namespace lrc

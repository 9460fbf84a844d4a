// The measuring pass: what is known of every layer before any solve. A folder of measure() holds measure.json (what was
// measured), layers/NAME.safetensors (curves of one layer, absolute, F64) and nothing that depends on time.
#include <algorithm>
#include <array>
#include <cstdio>

#include "base/error.h"
#include "base/files.h"
#include "base/parallel.h"
#include "calibration/expert_moments.h"
#include "correction/linalg.h"
#include "correction/low_rank_steps.h"
#include "formats/safetensors.h"
#include "run/activation_sample.h"
#include "run/choose_scales.h"
#include "run/corpus.h"
#include "run/float_stream.h"
#include "run/kept_sites.h"
#include "run/layer_file.h"
#include "run/layer_tensors.h"
#include "run/recipe_parts.h"
#include "run/run_folder.h"
#include "run/runner.h"
#include "run/spectra.h"

namespace lrc {
namespace {

Json read_facts(const std::filesystem::path& folder) {
  const auto file = folder / "measure.json";
  std::error_code code;
  if (!std::filesystem::is_regular_file(file, code))
    throw Error(ErrorKind::bad_input, folder.string() + " holds no measurement (it has no measure.json); lrc measure makes one.");
  Json facts = read_json_file(file);
  if (!facts.is_object() || !facts.contains("fingerprint") || !facts["fingerprint"].is_string() || !facts.contains("layers") ||
      !facts["layers"].is_array())
    throw Error(ErrorKind::bad_file, file.string() + " lacks fingerprint or layers; delete the folder and measure again.");
  return facts;
}

void write_curves(const std::filesystem::path& folder, const LayerSpectrum& spectrum) {
  SafetensorsWriter out;
  out.set_metadata("layer", spectrum.name);
  out.set_metadata("shape", std::to_string(spectrum.out_features) + " " + std::to_string(spectrum.in_features));
  write_row(out, "whitened_error", spectrum.whitened_error);
  write_row(out, "lower_bound_by_rank", spectrum.lower_bound_by_rank);
  write_row(out, "weight", spectrum.weight);
  write_row(out, "weight_error", spectrum.weight_error);
  out.write(layer_path(folder, spectrum.name));
}

LayerSpectrum measured(const MatrixD& weight, const SiteStatistics& site, const LayerInfo& layer, const WeightScheme& scheme) {
  LayerSpectrum spectrum;
  spectrum.name = layer.name;
  spectrum.out_features = layer.out_features;
  spectrum.in_features = layer.in_features;
  const double norm = output_norm(weight, site.moments);
  if (norm > 0) {
    spectrum.whitened_error = init_eigenvalues(weight, site);
    for (auto& value : spectrum.whitened_error) value /= norm;
    const auto& values = spectrum.whitened_error;
    spectrum.lower_bound_by_rank.assign(values.size() + 1, 0.0);
    for (std::size_t k = values.size(); k-- > 0;) spectrum.lower_bound_by_rank[k] = spectrum.lower_bound_by_rank[k + 1] + values[k];
  }
  spectrum.weight = linalg::singular_values(weight);
  if (scheme.bits < 16)
    spectrum.weight_error = linalg::singular_values(linalg::subtract(weight, quantize_rtn(weight, scheme, true).dequantize()));
  return spectrum;
}

}  // namespace

void measure(const Model& model, const Recipe& recipe, const std::filesystem::path& folder, Progress& progress, std::stop_token stop,
             const std::filesystem::path& sample_folder, const std::filesystem::path& keep) {
  throw_if_stopped(stop);
  const Recipe relevant = measured_part(recipe);
  if (relevant.weight.bits < 16)
    if (const auto problem = problem_of(relevant, model)) throw Error(ErrorKind::bad_input, *problem);
  const auto corpus = open_corpus(relevant, model);
  const RunFolder place(folder);
  const std::string wanted = fingerprint(model, relevant, corpus.identity());
  if (std::filesystem::exists(folder / "measure.json")) {
    if (read_facts(folder)["fingerprint"] != wanted)
      throw Error(ErrorKind::bad_input,
                  folder.string() + " holds a measurement of another model, text, activation scheme or rotation; choose another folder.");
  } else if (!place.is_fresh()) {
    throw Error(ErrorKind::bad_input, folder.string() + " holds other files and is no measurement; choose a new or an empty folder.");
  }
  place.remove_left_overs("layers");
  Json facts = {{"format_version", 1}, {"fingerprint", wanted}, {"model", model.display_name()}, {"recipe", to_json(relevant)}};
  for (const auto& layer : model.layers()) facts["layers"].push_back(layer.name);
  write_file_atomically(folder / "measure.json", facts.dump(1) + "\n");
  std::error_code code;
  std::filesystem::create_directories(folder / "layers", code);
  if (code) throw Error(ErrorKind::io, "The folder " + (folder / "layers").string() + " cannot be made: " + code.message() + ".");

  const bool sampling = !sample_folder.empty();
  if (sampling) open_sample(sample_folder, model, relevant, corpus);
  const auto is_missing = [&](const LayerInfo& layer) { return !std::filesystem::exists(layer_path(folder, layer.name)); };
  const auto& layers = model.layers();
  std::size_t blocks = 0, done = 0;
  for (const auto& layer : layers) {
    if (is_missing(layer))
      blocks = std::max(blocks, layer.block + 1);
    else
      ++done;
    if (sampling && SampleGatherer::is_missing(sample_folder, layer.block)) blocks = std::max(blocks, layer.block + 1);
  }
  const auto expected = forecast(relevant, model);
  progress.plan(expected.by_stage, true);
  if (blocks > 0) {
    FloatStream stream(model, relevant.rotation, corpus.windows, corpus.calibration_windows,
                       rotations_of(relevant.rotation, model.config()));
    SampleGatherer gatherer(model, relevant.rotation, corpus);
    const SiteSchemes schemes(site_count(model.config()), relevant.activation);
    // All of them or none: a layer that is ready and its neighbour that is not would be hard to explain.
    const bool keeps = !keep.empty() && can_keep(relevant) && kept_bytes(model, corpus.calibration_tokens()) <= most_kept_bytes(keep);
    for (std::size_t block = 0; block < blocks; ++block) {
      throw_if_stopped(stop);
      stream.load();
      smooth_loaded_block(stream, model, relevant, stop);
      progress.report("rotate", block + 1, blocks);
      std::vector<const LayerInfo*> missing;
      for (const auto& layer : layers)
        if (layer.block == block && is_missing(layer)) missing.push_back(&layer);
      SiteSamples samples;
      if (keeps && !missing.empty()) samples = take_samples(stream, corpus.windows, corpus.calibration_windows, stop);
      const bool sample_here = sampling && SampleGatherer::is_missing(sample_folder, block);
      const WindowObserver listener = sample_here ? gatherer.listener() : WindowObserver();
      auto heard = stream.advance({&schemes, missing.empty() ? 0u : 1u}, stop, listener);
      if (sample_here) gatherer.write(sample_folder, block);
      if (missing.empty()) continue;
      auto moments = std::move(heard.front());
      progress.report("calibrate", block + 1, blocks);
      if (keeps) keep_sites(keep, block, schemes, moments, samples);
      for (const LayerInfo* layer : missing) {
        const Site site = layer->site();
        const SecondMoments* all = site.kind == SiteKind::mlp_input ? &moments.by_site[std::size_t(site.kind)] : nullptr;
        if (site.expert != no_expert) support_expert(moments.by_site[site.index()], layer->in_features, all);
      }
      std::vector<std::optional<SiteStatistics>> sites(schemes.size());
      parallel_for(sites.size(), 1, [&](std::size_t begin, std::size_t end) {
        // The widest site first: it is the last of its kinds.
        for (std::size_t i = begin; i < end; ++i) {
          const std::size_t s = sites.size() - 1 - i;
          if (std::none_of(missing.begin(), missing.end(), [&](const LayerInfo* layer) { return layer->site().index() == s; })) continue;
          sites[s] = prepare_site(std::move(moments.by_site[s]), {relevant.damping, relevant.damping_toward}, relevant.activation,
                                  name(site_at(block, s)));
        }
      });
      parallel_for(missing.size(), 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
          throw_if_stopped(stop);
          const auto& layer = *missing[i];
          const MatrixD weight = convert<double>(stream.block().linear(layer.role, layer.expert).weight);
          write_curves(folder, measured(weight, *sites[layer.site().index()], layer, relevant.weight));
        }
      });
      done += missing.size();
      progress.report("solve", done, layers.size(), missing.back()->name);
    }
  }
  progress.report("solve", layers.size(), layers.size());
}

std::vector<std::string> measured_layers(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  const Json facts = read_facts(folder);
  for (const auto& name : facts["layers"]) {
    if (!name.is_string() || name.get<std::string>().find('/') != std::string::npos)
      throw Error(ErrorKind::bad_file,
                  (folder / "measure.json").string() + ": layers holds something that is no layer name; measure again.");
    if (std::filesystem::exists(layer_path(folder, name.get<std::string>()))) names.push_back(name.get<std::string>());
  }
  return names;
}

std::optional<LayerSpectrum> measured_spectrum(const std::filesystem::path& folder, const std::string& layer) {
  std::error_code code;
  if (!std::filesystem::is_regular_file(layer_path(folder, layer), code)) return {};
  const auto file = SafetensorsFile::open(layer_path(folder, layer));
  const auto read = [&](const char* name) -> std::vector<double> {
    if (!file.find(name)) return {};
    const MatrixD values = file.read_double(name);
    return {values.flat().begin(), values.flat().end()};
  };
  LayerSpectrum spectrum;
  spectrum.name = layer;
  if (const auto shape = file.metadata().find("shape"); shape != file.metadata().end())
    if (std::sscanf(shape->second.c_str(), "%zu %zu", &spectrum.out_features, &spectrum.in_features) != 2)
      throw Error(ErrorKind::bad_file,
                  file.path().string() + ": the shape in its metadata is not two numbers; delete it and measure again.");
  spectrum.whitened_error = read("whitened_error");
  spectrum.lower_bound_by_rank = read("lower_bound_by_rank");
  spectrum.weight = read("weight");
  spectrum.weight_error = read("weight_error");
  return spectrum;
}

}  // namespace lrc

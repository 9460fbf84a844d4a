#include <algorithm>
#include <cmath>
#include <iostream>

#include "base/error.h"
#include "base/files.h"
#include "cli/commands.h"
#include "cli/svg_plot.h"
#include "run/open_model.h"
#include "run/spectra.h"

namespace lrc::cli {
namespace {

/// Relative energy that is left after the best rank-r approximation, r = 0…n.
std::vector<double> energy_left(const std::vector<double>& singular_values) {
  std::vector<double> left(singular_values.size() + 1, 0.0);
  for (std::size_t i = singular_values.size(); i-- > 0;) left[i] = left[i + 1] + singular_values[i] * singular_values[i];
  const double all = left.front();
  if (all > 0)
    for (auto& value : left) value /= all;
  return left;
}

std::string svg_of(const std::vector<LayerSpectrum>& layers, const std::string& of, const std::vector<std::vector<double>>& curves) {
  SvgPlot plot("Spectrum, " + of, "index", of == "whitened-error" ? "eigenvalue" : "singular value");
  for (std::size_t c = 0; c < curves.size(); ++c) {
    SvgPlot::Line line;
    for (std::size_t i = 0; i < curves[c].size(); ++i) line.emplace_back(double(i), curves[c][i]);
    plot.add_line(std::move(line), c);
    if (c < 12) plot.add_legend(layers[c].name, c);
  }
  return plot.text();
}

}  // namespace

void spectrum(const Context& context, const SpectrumOptions& options) {
  std::vector<LayerSpectrum> layers;
  bool is_run = false;
  if (is_run_folder(options.model)) {
    is_run = true;
    const Manifest manifest = read_manifest(options.model);
    // A run keeps the curves of the error; the spectrum of W itself comes from the original.
    const auto original = options.of == "weight" ? open_model(options.model).model : nullptr;
    for (const auto& layer : manifest.layers) {
      if (!matches(options.layer, layer.name)) continue;
      layers.push_back(spectrum_of_run(options.model, layer.name));
      if (original) layers.back().weight = spectrum_of_weights(*original, *original->find_layer(layer.name), WeightScheme{}).weight;
    }
  } else if (std::filesystem::is_directory(options.model) &&
             !std::filesystem::exists(std::filesystem::path(options.model) / "config.json")) {
    for (auto& name : measured_layers(options.model))
      if (matches(options.layer, name))
        if (auto found = measured_spectrum(options.model, name)) layers.push_back(std::move(*found));
  } else {
    const auto opened = open_model(options.model);
    if (options.of == "whitened-error")
      throw Error(ErrorKind::bad_input, "The whitened error needs second moments: name a run, or make the statistics with lrc measure " +
                                            options.model +
                                            " --out FOLDER and name that folder; --of weight and --of error work on a plain model.");
    for (const auto& layer : opened.model->layers())
      if (matches(options.layer, layer.name)) layers.push_back(spectrum_of_weights(*opened.model, layer, WeightScheme{}));
  }
  if (layers.empty()) throw Error(ErrorKind::not_found, "No layer of " + options.model + " matches '" + options.layer + "'.");

  Json list = Json::array();
  std::vector<std::vector<double>> curves;
  for (const auto& layer : layers) {
    const auto& values = options.of == "weight" ? layer.weight : options.of == "error" ? layer.weight_error : layer.whitened_error;
    Json row = {{"name", layer.name}, {"out_features", layer.out_features}, {"in_features", layer.in_features}, {"values", values}};
    if (options.of == "whitened-error")
      row["error_by_rank"] = is_run ? layer.same_codes_by_rank : layer.lower_bound_by_rank;
    else
      row["error_by_rank"] = energy_left(values);
    if (!layer.lower_bound_by_rank.empty()) row["lower_bound_by_rank"] = layer.lower_bound_by_rank;
    if (layer.achieved_rank) {
      row["achieved"] = {{"rank", *layer.achieved_rank}, {"loss", layer.achieved_loss.value_or(0)}};
      if (layer.range_finder_missed) row["achieved"]["range_finder_missed"] = *layer.range_finder_missed;
      if (layer.achieved_loss_regularized) row["achieved"]["loss_regularized"] = *layer.achieved_loss_regularized;
    }
    curves.push_back(values);
    list.push_back(std::move(row));
  }
  if (!options.svg.empty()) write_file_atomically(options.svg, svg_of(layers, options.of, curves));
  if (!options.csv.empty()) {
    std::string text = "layer,index,value,error_by_rank,lower_bound\n";
    char number[64];
    const auto cell = [&](const Json& row, const char* key, std::size_t i) -> std::string {
      if (!row.contains(key) || i >= row[key].size()) return "";
      std::snprintf(number, sizeof number, "%.17g", row[key][i].get<double>());
      return number;
    };
    for (const auto& row : list)
      for (std::size_t i = 0; i < row["error_by_rank"].size(); ++i)
        text += row["name"].get<std::string>() + "," + std::to_string(i) + "," + cell(row, "values", i) + "," +
                cell(row, "error_by_rank", i) + "," + cell(row, "lower_bound_by_rank", i) + "\n";
    write_file_atomically(options.csv, text);
  }
  context.print_json({{"of", options.of}, {"layers", list}});
  if (context.json) return;
  for (const auto& row : list) {
    const auto& error = row["error_by_rank"];
    const auto at = [&](double share) { return error[std::size_t(share * double(error.size() - 1))].get<double>(); };
    std::cout << row["name"].get<std::string>() << ": left at rank 0, 5 %, 10 %, 30 %: " << per_cent(at(0), 3) << "  "
              << per_cent(at(0.05), 3) << "  " << per_cent(at(0.10), 3) << "  " << per_cent(at(0.30), 3);
    if (row.contains("achieved"))
      std::cout << "; achieved at rank " << row["achieved"]["rank"] << ": " << per_cent(row["achieved"]["loss"].get<double>(), 3);
    std::cout << '\n';
  }
}

}  // namespace lrc::cli

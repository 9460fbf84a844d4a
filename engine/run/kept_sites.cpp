#include "run/kept_sites.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/progress.h"
#include "formats/safetensors.h"
#include "run/activation_sample.h"
#include "run/corpus.h"
#include "run/layer_tensors.h"
#include "run/recipe_parts.h"
#include "run/scheme_json.h"
#include "tensor/dtype.h"

namespace lrc {
namespace {

namespace fs = std::filesystem;

constexpr const char* format_version = "2";
constexpr const char* advice = "; delete it, it is made anew.";

fs::path file_of(const fs::path& folder, const Site& site, const ActivationScheme& scheme) {
  LayerScheme carrier;
  carrier.activation = scheme;
  const std::string hash = sha256_of(to_json(carrier).dump()).substr(0, 12);
  return folder / "sites" / (std::to_string(site.block) + "-" + std::to_string(site.index()) + "-" + hash + ".safetensors");
}

std::vector<double> lower_triangle(const MatrixD& matrix) {
  std::vector<double> values;
  values.reserve(matrix.rows() * (matrix.rows() + 1) / 2);
  for (std::size_t row = 0; row < matrix.rows(); ++row) values.insert(values.end(), matrix.row(row), matrix.row(row) + row + 1);
  return values;
}

MatrixD symmetric(std::span<const double> lower, std::size_t width) {
  MatrixD matrix(width, width);
  std::size_t at = 0;
  for (std::size_t row = 0; row < width; ++row)
    for (std::size_t column = 0; column <= row; ++column) matrix(row, column) = matrix(column, row) = lower[at++];
  return matrix;
}

bool is_symmetric(const MatrixD& matrix) {
  for (std::size_t row = 0; row < matrix.rows(); ++row)
    for (std::size_t column = 0; column < row; ++column)
      if (matrix(row, column) != matrix(column, row)) return false;
  return true;
}

/// Tokens of a site's sample: twice its width, at least 1,024 and at most 4,096, and not above what there is.
std::size_t wanted_tokens(std::size_t width, std::size_t calibration_tokens) {
  return std::min(calibration_tokens, std::clamp<std::size_t>(2 * width, 1024, 4096));
}

std::uint64_t file_bytes(std::size_t width, std::size_t sample) {
  return std::uint64_t(width) * width * 16 + std::uint64_t(width) * 32 + std::uint64_t(sample) * width * 2;
}

/// Removes the files that were used longest ago until all of the cache is within the limit.
void trim(const fs::path& cache, std::uint64_t limit) {
  struct File {
    fs::path path;
    fs::file_time_type used;
    std::uint64_t bytes;
  };
  std::vector<File> files;
  std::uint64_t sum = 0;
  std::error_code code;
  for (fs::recursive_directory_iterator entry(cache, code), end; !code && entry != end; entry.increment(code)) {
    if (!entry->is_regular_file(code) || entry->path().extension() != ".safetensors") continue;
    files.push_back({entry->path(), entry->last_write_time(code), entry->file_size(code)});
    sum += files.back().bytes;
  }
  std::ranges::sort(files, {}, &File::used);
  for (const File& file : files) {
    if (sum <= limit) break;
    if (fs::remove(file.path, code)) sum -= file.bytes;
  }
}

}  // namespace

bool can_keep(const Recipe& recipe) { return can_sample(recipe) && !recipe.calibration_mix; }

fs::path kept_sites_folder(const Recipe& recipe, const Model& model) {
  Recipe part = inputs_part(recipe);
  part.skip_first_positions = recipe.skip_first_positions;
  // The text's own hash beside its name: a file may change.
  return cache_folder() / "moments" / cache_key(model.checkpoint().sha256() + sha256_of_file(corpus_file(recipe)), part);
}

std::uint64_t kept_bytes(const Model& model, std::size_t calibration_tokens) {
  std::uint64_t sum = 0;
  std::vector<Site> seen;
  for (const auto& layer : model.layers()) {
    const Site site = layer.site();
    if (std::ranges::find(seen, site) != seen.end()) continue;
    seen.push_back(site);
    sum += file_bytes(layer.in_features, wanted_tokens(layer.in_features, calibration_tokens));
  }
  return sum;
}

std::uint64_t most_kept_bytes(const fs::path& folder) {
  constexpr std::uint64_t most = std::uint64_t(8) << 30;
  fs::path there = folder;
  std::error_code code;
  while (!there.empty() && !fs::exists(there, code) && there != there.parent_path()) there = there.parent_path();
  const auto space = fs::space(there, code);
  return code ? 0 : std::min<std::uint64_t>(most, space.available / 4);
}

void keep_site(const fs::path& folder, const Site& site, const ActivationScheme& scheme, const SecondMoments& moments,
               const InputSample& sample) {
  const auto file = file_of(folder, site, scheme);
  const fs::path cache = folder.parent_path();
  const std::uint64_t limit = most_kept_bytes(cache);
  // Only moments that the lower triangles bring back to the bit.
  if (file_bytes(moments.width(), sample.inputs.rows() + sample.first.rows()) > limit || moments.has_drift() ||
      !is_symmetric(moments.s_y) || !is_symmetric(moments.s_e))
    return;
  std::error_code code;
  fs::create_directories(file.parent_path(), code);
  if (code) throw Error(ErrorKind::io, "The folder " + file.parent_path().string() + " cannot be made: " + code.message() + ".");
  SafetensorsWriter out;
  write_row(out, "s_y", lower_triangle(moments.s_y));
  write_row(out, "s_e", lower_triangle(moments.s_e));
  out.add("s_ey", moments.s_ey);
  write_row(out, "sum_of_magnitudes", moments.channels.sum_of_magnitudes);
  write_row(out, "largest", moments.channels.largest);
  write_row(out, "largest_batch_mean", moments.channels.largest_batch_mean);
  if (!sample.empty()) out.add_half("sample", sample.inputs);
  if (!sample.first.empty()) out.add_half("first", sample.first);
  out.set_metadata("first_tokens", std::to_string(sample.first_tokens));
  out.set_metadata("format_version", format_version);
  out.set_metadata("tokens", std::to_string(moments.tokens));
  out.write(file);
  trim(cache, limit);
}

bool is_kept(const fs::path& folder, const Site& site, const ActivationScheme& scheme) {
  std::error_code code;
  return fs::is_regular_file(file_of(folder, site, scheme), code);
}

std::optional<KeptSite> kept_site(const fs::path& folder, const Site& site, const ActivationScheme& scheme) {
  if (!is_kept(folder, site, scheme)) return {};
  const auto path = file_of(folder, site, scheme);
  const auto file = SafetensorsFile::open(path);
  const auto refuse = [&](const std::string& what) { throw Error(ErrorKind::bad_file, path.string() + ": " + what + advice); };
  const auto& metadata = file.metadata();
  const auto text = [&](const char* key) {
    const auto found = metadata.find(key);
    if (found == metadata.end()) refuse(std::string("the metadata lacks ") + key);
    return found->second;
  };
  if (text("format_version") != format_version) {
    std::error_code code;
    fs::remove(path, code);
    return {};
  }
  KeptSite kept;
  SecondMoments& moments = kept.moments;
  const auto count = [&](const char* key) {
    const std::string digits = text(key);
    std::size_t value = 0;
    if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec != std::errc()) refuse(std::string(key) + " is no number");
    return value;
  };
  moments.tokens = count("tokens");
  kept.sample.first_tokens = count("first_tokens");
  const auto read = [&](const char* name) {
    if (file.get(name).dtype != DType::f64) refuse(std::string(name) + " is not F64");
    MatrixD values = file.read_double(name);
    if (!std::ranges::all_of(values.flat(), [](double value) { return std::isfinite(value); }))
      refuse(std::string(name) + " holds a value that is no number");
    return values;
  };
  moments.s_ey = read("s_ey");
  const std::size_t width = moments.s_ey.rows();
  if (width == 0 || moments.s_ey.columns() != width) refuse("s_ey is not square");
  const auto triangle = [&](const char* name) {
    const MatrixD lower = read(name);
    if (lower.size() != width * (width + 1) / 2) refuse(std::string(name) + " has the wrong size");
    return symmetric(lower.flat(), width);
  };
  moments.s_y = triangle("s_y");
  moments.s_e = triangle("s_e");
  const auto channels = [&](const char* name) -> std::vector<double> {
    if (!file.find(name)) return {};
    const MatrixD values = read(name);
    if (values.size() != width) refuse(std::string(name) + " has the wrong size");
    return {values.flat().begin(), values.flat().end()};
  };
  moments.channels.sum_of_magnitudes = channels("sum_of_magnitudes");
  moments.channels.largest = channels("largest");
  moments.channels.largest_batch_mean = channels("largest_batch_mean");
  const auto rows = [&](const char* name) {
    MatrixF values;
    if (!file.find(name)) return values;
    values = file.read_float(name);
    if (values.columns() != width) refuse(std::string(name) + " has the wrong width");
    return values;
  };
  kept.sample.inputs = rows("sample");
  kept.sample.first = rows("first");
  if (kept.sample.first.empty() != (kept.sample.first_tokens == 0) || kept.sample.first_tokens > moments.tokens)
    refuse("first_tokens does not fit the inputs at position 0");
  std::error_code code;  // a cache that cannot be written is read all the same
  fs::last_write_time(path, fs::file_time_type::clock::now(), code);
  return kept;
}

SecondMoments moments_of(const InputSample& sample, std::size_t tokens, const ActivationScheme& scheme, bool with_first) {
  const auto standing_for = [&](const MatrixF& inputs, std::size_t count) {
    SecondMoments moments;
    accumulate(moments, inputs.data(), inputs.rows(), inputs.columns(), scheme);
    moments.scale(double(count) / double(inputs.rows()));
    return moments;
  };
  SecondMoments moments = standing_for(sample.inputs, tokens - sample.first_tokens);
  if (with_first && !sample.first.empty()) moments.merge(standing_for(sample.first, sample.first_tokens));
  return moments;
}

SiteSamples take_samples(FloatStream& stream, const TokenWindows& windows, std::size_t calibration_windows, std::stop_token stop) {
  struct Taken {
    std::vector<float> rows, first;
    std::size_t width = 0, seen = 0;
  };
  std::map<std::size_t, Taken> taken;
  const std::size_t skipped = windows.skipped_positions, tokens = calibration_windows * windows.measured_positions();
  // Four times the tokens that the widest sample can want.
  const std::size_t listened = std::min(calibration_windows, (4 * wanted_tokens(tokens, tokens) + windows.context - 1) / windows.context);
  for (std::size_t i = 0; i < listened; ++i) {
    throw_if_stopped(stop);
    const std::size_t w = i * calibration_windows / listened;
    listen_to_block(stream.transformer(), 0, stream.hidden().copy(w), windows.context,
                    [&](const Site& site, const float* x, std::size_t count, std::size_t width) {
                      Taken& of_site = taken[site.index()];
                      of_site.width = width;
                      const double share = double(wanted_tokens(width, tokens)) / double(listened * windows.measured_positions());
                      // Tokens of an expert have no position.
                      const bool by_position = site.expert == no_expert;
                      if (by_position && skipped == 0) of_site.first.insert(of_site.first.end(), x, x + width);
                      for (std::size_t t = by_position ? std::max<std::size_t>(1, skipped) : 0; t < count; ++t) {
                        // Multiples of the golden ratio are spread as evenly as numbers can be.
                        const auto place = std::uint32_t(of_site.seen++) * 2654435769u;
                        if (double(place) < share * 4294967296.0)
                          of_site.rows.insert(of_site.rows.end(), x + t * width, x + (t + 1) * width);
                      }
                      return false;
                    });
  }
  SiteSamples samples;
  for (const auto& [index, of_site] : taken) {
    if (of_site.rows.empty()) continue;
    const auto rounded = [width = of_site.width](const std::vector<float>& values) {
      MatrixF rows(values.size() / width, width);
      std::ranges::transform(values, rows.data(), round_to_half);
      return rows;
    };
    InputSample& sample = samples[index];
    sample.inputs = rounded(of_site.rows);
    if (of_site.first.empty()) continue;
    sample.first = rounded(of_site.first);
    sample.first_tokens = calibration_windows;
  }
  return samples;
}

void keep_sites(const fs::path& folder, std::size_t block, const SiteSchemes& schemes, const BlockMoments& moments,
                const SiteSamples& samples) {
  for (std::size_t s = 0; s < moments.by_site.size(); ++s) {
    const auto sample = samples.find(s);
    if (moments.by_site[s].tokens > 0)
      keep_site(folder, site_at(block, s), schemes[s], moments.by_site[s], sample == samples.end() ? InputSample() : sample->second);
  }
}

}  // namespace lrc

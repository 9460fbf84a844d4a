#include "run/activation_sample.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "formats/safetensors.h"
#include "run/rotated_layer.h"
#include "run/run_folder.h"

namespace lrc {
namespace {

constexpr std::size_t windows_for_start = 8;
constexpr float largest_half = 65504.0f;

std::filesystem::path block_path(const std::filesystem::path& folder, std::size_t block) {
  return folder / "blocks" / (std::to_string(block) + ".safetensors");
}

std::string sample_fingerprint(const Model& model, const Recipe& recipe, const RunCorpus& corpus) {
  const auto& r = recipe.rotation;
  const Json facts = {{"model", model.checkpoint().sha256()}, {"rotation", {r.r1, r.r2, r.r4, r.seed}}, {"corpus", corpus.sha256},
                      {"context", corpus.windows.context},    {"windows", corpus.calibration_windows},  {"tokens", sample_tokens}};
  return sha256_of(facts.dump());
}

std::vector<std::byte> bytes_of(const void* data, std::size_t size) {
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  return bytes;
}

/// Float16, or float32 where a value does not fit.
void add_inputs(SafetensorsWriter& out, const std::string& name, const MatrixF& inputs) {
  const auto values = inputs.flat();
  const bool fits = std::all_of(values.begin(), values.end(), [](float value) { return std::fabs(value) <= largest_half; });
  if (fits)
    out.add_half(name, inputs);
  else
    out.add(name, inputs);
}

MatrixF one_row(const std::vector<double>& values) {
  MatrixF row(1, values.size());
  for (std::size_t i = 0; i < values.size(); ++i) row(0, i) = float(values[i]);
  return row;
}

[[noreturn]] void damaged(const SafetensorsFile& file, const std::string& what) {
  throw Error(ErrorKind::bad_file, file.path().string() + ": " + what + "; delete the folder " +
                                       file.path().parent_path().parent_path().string() + " and measure again.");
}

std::optional<SafetensorsFile> open_block(const std::filesystem::path& folder, const Site& site) {
  const auto path = block_path(folder, site.block);
  std::error_code code;
  if (folder.empty() || !std::filesystem::is_regular_file(path, code)) return {};
  auto file = SafetensorsFile::open(path);
  if (!file.find(name(site))) return {};
  return file;
}

}  // namespace

std::vector<double> channel_rms(const MatrixF& inputs, const std::vector<float>& shares) {
  std::vector<double> sums(inputs.columns(), 0.0);
  double all = 0;
  for (std::size_t r = 0; r < inputs.rows(); ++r) {
    const double share = double(shares[r]);
    const float* x = inputs.row(r);
    all += share;
    for (std::size_t c = 0; c < sums.size(); ++c) sums[c] += share * double(x[c]) * double(x[c]);
  }
  for (double& sum : sums) sum = all > 0 ? std::sqrt(sum / all) : 0.0;
  return sums;
}

SamplePlan plan_sample(std::size_t windows, std::size_t context, std::size_t count) {
  SamplePlan plan;
  plan.positions.resize(windows);
  const std::size_t all = windows * context;
  if (all == 0) return plan;
  if (count >= all) {
    for (auto& positions : plan.positions)
      for (std::size_t p = 0; p < context; ++p) positions.push_back(p);
    plan.share_at_start = plan.share_elsewhere = 1;
    return plan;
  }
  const std::size_t at_start = std::min({windows, windows_for_start, count});
  for (std::size_t i = 0; i < at_start; ++i) plan.positions[i * windows / at_start].push_back(0);
  const std::size_t rest = std::min(count - at_start, all - windows);
  for (std::size_t w = 0; w < windows && context > 1; ++w) {
    const std::size_t quota = (w + 1) * rest / windows - w * rest / windows;
    // The golden ratio's multiples leave no two windows with the same positions.
    const double shift = std::fmod(double(w) * 0.6180339887498949, 1.0);
    for (std::size_t i = 0; i < quota; ++i)
      plan.positions[w].push_back(1 + std::size_t((double(i) + shift) * double(context - 1) / double(quota)));
  }
  plan.share_at_start = double(windows) / double(std::max<std::size_t>(at_start, 1));
  plan.share_elsewhere = rest == 0 ? 0 : double(all - windows) / double(rest);
  return plan;
}

SampleGatherer::SampleGatherer(const Model& model, const RotationChoice& rotation, const RunCorpus& corpus)
    : model_(model),
      rotation_(rotation),
      calibration_windows_(corpus.calibration_windows),
      context_(corpus.windows.context),
      plan_(plan_sample(corpus.calibration_windows, corpus.windows.context, sample_tokens)),
      sites_(site_count(model.config())),
      rows_(sites_.size()) {}

bool SampleGatherer::is_missing(const std::filesystem::path& folder, std::size_t block) {
  std::error_code code;
  return !std::filesystem::is_regular_file(block_path(folder, block), code);
}

WindowObserver SampleGatherer::listener() {
  return [this](std::size_t window, const Site& site, const float* x, std::size_t tokens, std::size_t width) {
    if (window < calibration_windows_) take(window, site, x, tokens, width);
  };
}

void SampleGatherer::take(std::size_t window, const Site& site, const float* x, std::size_t tokens, std::size_t width) {
  SiteSample& sample = sites_[site.index()];
  std::vector<float>& rows = rows_[site.index()];
  sample.site = site;
  sample.inputs = MatrixF(0, width);
  const auto& positions = plan_.positions[window];
  if (site.expert == no_expert) {
    for (const std::size_t position : positions) {
      rows.insert(rows.end(), x + position * width, x + (position + 1) * width);
      sample.positions.push_back(std::int32_t(position));
      sample.shares.push_back(float(position == 0 ? plan_.share_at_start : plan_.share_elsewhere));
    }
    return;
  }
  // What a router sent here: as large a part of it as of the window.
  if (tokens == 0) return;
  const std::size_t quota = std::clamp<std::size_t>(positions.size() * tokens / context_, 1, tokens);
  for (std::size_t i = 0; i < quota; ++i) {
    const std::size_t row = i * tokens / quota;
    rows.insert(rows.end(), x + row * width, x + (row + 1) * width);
    sample.positions.push_back(-1);
    sample.shares.push_back(float(double(tokens) / double(quota)));
  }
}

void SampleGatherer::write(const std::filesystem::path& folder, std::size_t block) {
  SafetensorsWriter out;
  out.set_metadata("format_version", "1");
  for (std::size_t s = 0; s < sites_.size(); ++s) {
    SiteSample sample = std::exchange(sites_[s], {});
    const std::vector<float> rows = std::exchange(rows_[s], {});
    if (rows.empty()) continue;
    sample.site = site_at(block, s);
    const std::string key = name(sample.site);
    MatrixF inputs(sample.shares.size(), rows.size() / sample.shares.size());
    std::copy(rows.begin(), rows.end(), inputs.data());
    add_inputs(out, key, inputs);
    out.add(key + ".positions", DType::i32, {sample.positions.size()}, bytes_of(sample.positions.data(), sample.positions.size() * 4));
    out.add(key + ".shares", DType::f32, {sample.shares.size()}, bytes_of(sample.shares.data(), sample.shares.size() * 4));
    out.add(key + ".rms", one_row(channel_rms(inputs, sample.shares)));
    undo_rotation(inputs, model_, rotation_, sample.site);
    out.add(key + ".rms_before", one_row(channel_rms(inputs, sample.shares)));
  }
  out.write(block_path(folder, block));
}

bool can_sample(const Recipe& recipe) { return !recipe.rotation.matrices() && recipe.smoothing == Smoothing::none; }

void open_sample(const std::filesystem::path& folder, const Model& model, const Recipe& recipe, const RunCorpus& corpus) {
  const RunFolder place(folder);
  const std::string wanted = sample_fingerprint(model, recipe, corpus);
  const auto facts_file = folder / "sample.json";
  std::error_code code;
  if (std::filesystem::is_regular_file(facts_file, code)) {
    const Json facts = read_json_file(facts_file);
    if (!facts.is_object() || facts.value("fingerprint", std::string()) != wanted)
      throw Error(ErrorKind::bad_input,
                  folder.string() + " holds the activation sample of another model, text or rotation; choose another folder.");
  } else if (!place.is_fresh()) {
    throw Error(ErrorKind::bad_input, folder.string() + " holds other files and is no activation sample; choose a new or an empty folder.");
  }
  place.remove_left_overs("blocks");
  const Json facts = {{"format_version", 1}, {"fingerprint", wanted}, {"model", model.display_name()}, {"tokens", sample_tokens}};
  write_file_atomically(facts_file, facts.dump(1) + "\n");
  std::filesystem::create_directories(folder / "blocks", code);
  if (code) throw Error(ErrorKind::io, "The folder " + (folder / "blocks").string() + " cannot be made: " + code.message() + ".");
}

std::optional<SiteSample> read_sample(const std::filesystem::path& folder, const Site& site) {
  const auto file = open_block(folder, site);
  if (!file) return {};
  const std::string key = name(site);
  SiteSample sample;
  sample.site = site;
  sample.inputs = file->read_float(key);
  const auto positions = file->raw<std::int32_t>(key + ".positions");
  const auto shares = file->raw<float>(key + ".shares");
  if (positions.size() != sample.inputs.rows() || shares.size() != sample.inputs.rows())
    damaged(*file, key + " has " + std::to_string(sample.inputs.rows()) + " tokens, but " + std::to_string(positions.size()) +
                       " positions and " + std::to_string(shares.size()) + " shares");
  const auto values = sample.inputs.flat();
  if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }) ||
      !std::all_of(shares.begin(), shares.end(), [](float share) { return share >= 0 && std::isfinite(share); }))
    damaged(*file, key + " holds values that are not finite");
  sample.positions.assign(positions.begin(), positions.end());
  sample.shares.assign(shares.begin(), shares.end());
  return sample;
}

std::optional<ChannelSizes> read_channel_sizes(const std::filesystem::path& folder, const Site& site) {
  const auto file = open_block(folder, site);
  if (!file) return {};
  const auto read = [&](const std::string& tensor) {
    const MatrixF values = file->read_float(tensor);
    return std::vector<double>(values.flat().begin(), values.flat().end());
  };
  ChannelSizes scales{read(name(site) + ".rms_before"), read(name(site) + ".rms")};
  if (scales.before.size() != scales.after.size()) damaged(*file, name(site) + " has channels of two numbers");
  return scales;
}

}  // namespace lrc

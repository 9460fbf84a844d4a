#include "run/distributions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/error.h"
#include "correction/linalg.h"
#include "quantization/activation.h"
#include "quantization/quantized_weight.h"
#include "run/activation_sample.h"
#include "run/rotated_layer.h"

namespace lrc {
namespace {

/// Whole numbers between which a group's codes lie, with the numbers that exist there.
struct Numbers {
  int lowest = 0, highest = 0;
  std::vector<int> all;  // ascending; empty for zero points, whose range differs from group to group
};

Numbers numbers_of(NumberFormat format, int bits, bool symmetric) {
  Numbers numbers;
  if (is_e2m1(format)) {
    numbers.all = {-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12};
  } else if (symmetric) {
    const int lowest = format == NumberFormat::mxint ? -highest_code(bits) : lowest_code(bits);
    for (int number = lowest; number <= highest_code(bits); ++number) numbers.all.push_back(number);
  }
  if (!numbers.all.empty()) {
    numbers.lowest = numbers.all.front();
    numbers.highest = numbers.all.back();
  } else {
    numbers.highest = (1 << bits) - 1;
    numbers.lowest = -numbers.highest;
  }
  return numbers;
}

/// Adds groups of values up to a Spread.
class SpreadBuilder {
 public:
  SpreadBuilder(const Numbers& numbers, double levels_of_grid) : numbers_(numbers) {
    spread_.levels_of_grid = levels_of_grid;
    const double reach = double(std::max(-numbers.lowest, numbers.highest)) + 2;
    begin_histogram(reach);
  }
  /// Without a grid: steps are root mean squares.
  SpreadBuilder() : has_grid_(false) { begin_histogram(12); }

  /// One group that shares a scale: values, their whole numbers (null without a grid), the range of numbers it can hold.
  void add(const float* x, const std::int8_t* number, std::size_t count, double scale, int lowest, int highest, double share) {
    double square = 0, largest = 0;
    for (std::size_t i = 0; i < count; ++i) {
      square += double(x[i]) * double(x[i]);
      largest = std::max(largest, double(std::fabs(x[i])));
    }
    const double rms = std::sqrt(square / double(count));
    groups_ += share;
    if (rms > 0) ratios_ += share * largest / rms;
    const double step = has_grid_ ? scale : rms;
    for (std::size_t i = 0; i < count; ++i) {
      const double steps = step > 0 ? double(x[i]) / step : 0.0;
      const double bin = std::floor((steps - spread_.lowest) / spread_.bin_width);
      spread_.shares[std::size_t(std::clamp(bin, 0.0, double(spread_.shares.size() - 1)))] += share;
      if (!has_grid_) continue;
      codes_[number[i]] += share;
      if (steps > double(highest) + 0.5 || steps < double(lowest) - 0.5) spread_.clipped += share;
    }
    values_ += share * double(count);
  }

  Spread finish() {
    if (values_ > 0) {
      for (double& share : spread_.shares) share /= values_;
      spread_.clipped /= values_;
      spread_.max_over_rms = ratios_ / groups_;
      double entropy = 0;
      for (const auto& [number, share] : codes_) {
        const double p = share / values_;
        if (number == 0) spread_.rounded_to_zero = p;
        if (p > 0) entropy -= p * std::log(p);
      }
      if (has_grid_) spread_.levels_in_use = std::exp(entropy);
    }
    if (numbers_.all.empty()) {
      for (const auto& [number, share] : codes_)
        if (share > 0) spread_.levels.push_back(double(number));
    } else {
      spread_.levels.assign(numbers_.all.begin(), numbers_.all.end());
    }
    return std::move(spread_);
  }

 private:
  void begin_histogram(double reach) {
    // Eight bins a step, or as many as a plot can show.
    const double bins_per_step = std::clamp(std::floor(240 / reach / 2), 1.0, 8.0);
    spread_.bin_width = 1 / bins_per_step;
    // Centred on zero, so that a grid point lies in the middle of its bin.
    spread_.lowest = -reach - spread_.bin_width / 2;
    spread_.shares.assign(std::size_t(std::lround(2 * reach * bins_per_step)) + 1, 0.0);
  }
  Spread spread_;
  Numbers numbers_;
  bool has_grid_ = true;
  std::map<int, double> codes_;
  double values_ = 0, groups_ = 0, ratios_ = 0;
};

double levels_of(NumberFormat format, int bits, bool symmetric) {
  const auto numbers = numbers_of(format, bits, symmetric);
  return numbers.all.empty() ? std::pow(2.0, bits) : double(numbers.all.size());
}

}  // namespace

Spread spread_of_activations(const MatrixF& x, const std::vector<float>& shares, const ActivationScheme& scheme) {
  const std::size_t tokens = x.rows(), width = x.columns();
  if (scheme.off()) {
    SpreadBuilder builder;
    for (std::size_t t = 0; t < tokens; ++t) builder.add(x.row(t), nullptr, width, 0, 0, 0, double(shares[t]));
    return builder.finish();
  }
  check_scheme(scheme, width, "the layer's input");
  const std::size_t group = scheme.group_size == 0 ? width : scheme.group_size, groups = width / group;
  std::vector<std::int8_t> codes(tokens * width), zeros(tokens * groups);
  std::vector<float> scales(tokens * groups);
  quantize_activations(x.data(), tokens, width, scheme, codes.data(), scales.data(), zeros.data());
  const Numbers numbers = numbers_of(scheme.format, scheme.bits, scheme.symmetric);
  SpreadBuilder builder(numbers, levels_of(scheme.format, scheme.bits, scheme.symmetric));
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t g = 0; g < groups; ++g) {
      const int zero = zeros[t * groups + g];
      const int lowest = scheme.symmetric ? numbers.lowest : -zero, highest = scheme.symmetric ? numbers.highest : numbers.highest - zero;
      builder.add(x.row(t) + g * group, codes.data() + t * width + g * group, group, double(scales[t * groups + g]), lowest, highest,
                  double(shares[t]));
    }
  return builder.finish();
}

Spread spread_of_weights(const MatrixF& weight, const WeightScheme& scheme) {
  if (scheme.bits >= 16) {
    SpreadBuilder builder;
    for (std::size_t r = 0; r < weight.rows(); ++r) builder.add(weight.row(r), nullptr, weight.columns(), 0, 0, 0, 1);
    return builder.finish();
  }
  check_scheme(scheme, weight.columns(), "the layer");
  const QuantizedWeight quantized = quantize_rtn(convert<double>(weight), scheme, true);
  const std::vector<std::int8_t> integers = quantized.integers();
  const std::size_t group = quantized.group_size(), groups = quantized.groups();
  const Numbers numbers = numbers_of(scheme.format, scheme.bits, scheme.symmetric);
  SpreadBuilder builder(numbers, levels_of(scheme.format, scheme.bits, scheme.symmetric));
  for (std::size_t r = 0; r < weight.rows(); ++r)
    for (std::size_t g = 0; g < groups; ++g) {
      const int zero = quantized.zeros.empty() ? 0 : int(quantized.zeros[r * groups + g]);
      const int lowest = scheme.symmetric ? numbers.lowest : -zero, highest = scheme.symmetric ? numbers.highest : numbers.highest - zero;
      builder.add(weight.row(r) + g * group, integers.data() + r * weight.columns() + g * group, group, quantized.scales(r, g), lowest,
                  highest, 1);
    }
  return builder.finish();
}

std::vector<PositionShare> error_by_position(const MatrixF& weight, const MatrixF& x, const std::vector<std::int32_t>& positions,
                                             const std::vector<float>& shares, const ActivationScheme& scheme) {
  if (scheme.off() || std::any_of(positions.begin(), positions.end(), [](std::int32_t position) { return position < 0; })) return {};
  MatrixF error(x.rows(), x.columns());
  fake_quantize_activations(x.data(), x.rows(), x.columns(), scheme, error.data());
  for (std::size_t i = 0; i < error.size(); ++i) error.data()[i] -= x.data()[i];
  const MatrixD lost = linalg::multiply(convert<double>(error), convert<double>(weight), false, true);  // (tokens, out)
  std::vector<PositionShare> result;
  std::int32_t furthest = -1;
  for (const std::int32_t position : positions) furthest = std::max(furthest, position);
  for (std::size_t first = 0, last = 0; std::int32_t(first) <= furthest; first = last + 1, last = first * 4 - 1)
    result.push_back({first, std::min(last, std::size_t(furthest)), 0, 0});
  double all_tokens = 0, all_error = 0;
  for (std::size_t t = 0; t < lost.rows(); ++t) {
    double square = 0;
    for (std::size_t c = 0; c < lost.columns(); ++c) square += lost(t, c) * lost(t, c);
    const auto range =
        std::find_if(result.begin(), result.end(), [&](const PositionShare& share) { return std::size_t(positions[t]) <= share.last; });
    range->tokens += double(shares[t]);
    range->error += double(shares[t]) * square;
    all_tokens += double(shares[t]);
    all_error += double(shares[t]) * square;
  }
  for (PositionShare& share : result) {
    if (all_tokens > 0) share.tokens /= all_tokens;
    if (all_error > 0) share.error /= all_error;
  }
  return result;
}

std::optional<LayerDistributions> distributions_of(const Model& model, const LayerInfo& layer, const RotationChoice& rotation,
                                                   const WeightScheme& weight_scheme, const ActivationScheme& activation_scheme,
                                                   const std::filesystem::path& sample_folder) {
  if (rotation.matrices()) return {};  // not sampled (can_sample)
  auto sample = read_sample(sample_folder, layer.site());
  if (!sample) return {};
  if (sample->inputs.columns() != layer.in_features)
    throw Error(ErrorKind::bad_file, "The activation sample in " + sample_folder.string() + " is " +
                                         std::to_string(sample->inputs.columns()) + " wide at " + name(layer.site()) + ", where " +
                                         layer.name + " reads " + std::to_string(layer.in_features) +
                                         "; delete the folder and measure again.");
  LayerDistributions result;
  result.layer = layer.name;
  result.weight_scheme = weight_scheme;
  result.activation_scheme = activation_scheme;
  result.sampled_tokens = sample->inputs.rows();
  result.rotates_input = rotates_input(rotation, layer.site().kind);
  result.rotates_weight = rotation.any();
  result.input_after = spread_of_activations(sample->inputs, sample->shares, activation_scheme);
  const MatrixF rotated = rotated_weight(model, layer, rotation);
  result.weight_after = spread_of_weights(rotated, weight_scheme);
  result.positions = error_by_position(rotated, sample->inputs, sample->positions, sample->shares, activation_scheme);
  undo_rotation(sample->inputs, model, rotation, layer.site());
  result.input_before =
      result.rotates_input ? spread_of_activations(sample->inputs, sample->shares, activation_scheme) : result.input_after;
  result.weight_before = result.rotates_weight ? spread_of_weights(model.layer_weight(layer), weight_scheme) : result.weight_after;
  return result;
}

std::vector<double> over_median(const std::vector<double>& rms) {
  if (rms.empty()) return {};
  std::vector<double> sorted = rms;
  const auto middle = sorted.begin() + std::ptrdiff_t(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  double median = *middle;
  if (sorted.size() % 2 == 0) median = (median + *std::max_element(sorted.begin(), middle)) / 2;
  std::vector<double> result(rms.size(), 0.0);
  if (median > 0) std::transform(rms.begin(), rms.end(), result.begin(), [median](double value) { return value / median; });
  return result;
}

std::optional<ChannelMap> channel_map(const Model& model, SiteKind site, std::size_t expert, const std::filesystem::path& sample_folder) {
  ChannelMap map;
  const std::size_t blocks = model.config().blocks;
  map.profile_before.resize(blocks);
  map.profile_after.resize(blocks);
  for (std::size_t b = 0; b < blocks; ++b) {
    const auto scales = read_channel_sizes(sample_folder, {b, site, expert});
    if (!scales) continue;
    if (map.width != 0 && scales->after.size() != map.width)
      throw Error(ErrorKind::bad_file, "The activation sample in " + sample_folder.string() + " has " +
                                           std::to_string(scales->after.size()) + " channels at " + name(Site{b, site, expert}) + " and " +
                                           std::to_string(map.width) + " in other blocks; delete the folder and measure again.");
    map.width = scales->after.size();
    map.profile_before[b] = over_median(scales->before);
    map.profile_after[b] = over_median(scales->after);
  }
  if (map.width == 0) return {};
  map.group = map.width >= 1024 ? 64 : map.width >= 128 ? 16 : 4;
  const std::size_t groups = (map.width + map.group - 1) / map.group;
  const auto fill = [&](const std::vector<std::vector<double>>& profiles, MatrixF& cells, std::vector<ChannelMap::Persistent>& persistent) {
    cells = MatrixF(blocks, groups);
    std::map<std::size_t, std::vector<std::size_t>> blocks_of;
    for (std::size_t b = 0; b < blocks; ++b)
      for (std::size_t c = 0; c < profiles[b].size(); ++c) {
        float& cell = cells(b, c / map.group);
        cell = std::max(cell, float(profiles[b][c]));
        if (profiles[b][c] > outlier_factor) blocks_of[c].push_back(b);
      }
    for (auto& [channel, where] : blocks_of)
      if (where.size() > 1) persistent.push_back({channel, std::move(where)});
    std::stable_sort(persistent.begin(), persistent.end(), [](const auto& a, const auto& b) { return a.blocks.size() > b.blocks.size(); });
  };
  fill(map.profile_before, map.before, map.persistent_before);
  fill(map.profile_after, map.after, map.persistent_after);
  return map;
}

}  // namespace lrc

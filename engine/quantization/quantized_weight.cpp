#include "quantization/quantized_weight.h"

#include "base/error.h"
#include "base/parallel.h"
#include "quantization/activation.h"
#include "quantization/column_parts.h"
#include "quantization/grid.h"

namespace lrc {
namespace {

constexpr std::size_t kRowsPerTask = 16;

void check_group(std::size_t group, std::size_t width, const std::string& layer, const char* what) {
  if (group != 0 && width % group != 0)
    throw Error(ErrorKind::bad_input, layer + ": " + what + " groups of " + std::to_string(group) + " do not divide its " +
                                          std::to_string(width) +
                                          " input features; choose a group size that divides them, or 0 for one scale a row.");
}

/// Whether there are any.
bool check_high(const HighColumns& high, std::size_t width, const std::string& layer) {
  if (!high.any()) return false;
  const std::size_t period = high.period == 0 ? width : high.period;
  if (width == 0 || width % period != 0 || high.count >= period || high.bits < 2 || high.bits > 8)
    throw Error(ErrorKind::bad_input, layer + ": " + std::to_string(high.count) + " of every " + std::to_string(period) + " of its " +
                                          std::to_string(width) + " input features cannot be held in " + std::to_string(high.bits) +
                                          " bits beside the others; choose fewer of them, in 2 to 8 bits.");
  return true;
}

void check_format(NumberFormat format, int bits, bool symmetric, const std::string& layer, const char* what) {
  if (bits < 2 || bits > 8)
    throw Error(ErrorKind::bad_input, layer + ": " + what + " of " + std::to_string(bits) +
                                          " bits cannot be quantized; choose 2 to 8 bits, or leave the layer out.");
  if (!symmetric && format != NumberFormat::integer)
    throw Error(ErrorKind::bad_input, layer + ": " + what + " in the format " + std::string(name(format)) +
                                          " have no zero point; choose a symmetric grid or the format int.");
  if (!symmetric && bits > 7)
    throw Error(ErrorKind::unsupported, layer + ": asymmetric " + what + " of " + std::to_string(bits) +
                                            " bits are not available; a code less its zero point must fit 8 bits, so choose 2 to 7.");
  if (is_e2m1(format) && bits != 4)
    throw Error(ErrorKind::bad_input,
                layer + ": " + what + " in the format " + std::string(name(format)) + " have 4 bits, not " + std::to_string(bits) + ".");
}

}  // namespace

WholeNumbers::WholeNumbers(const WeightScheme& scheme) : e2m1(is_e2m1(scheme.format)) {
  if (scheme.format == NumberFormat::mxint) {
    highest = highest_code(scheme.bits);
    lowest = -highest;
  } else if (scheme.symmetric) {
    lowest = lowest_code(scheme.bits);
    highest = highest_code(scheme.bits);
  } else {
    highest = double((1 << scheme.bits) - 1);
  }
}

ColumnGrid column_grid(const WeightScheme& scheme, std::size_t in_features) {
  ColumnGrid grid;
  const auto fill = [&](const WeightScheme& part, std::size_t width, std::size_t first_group, const auto& place) {
    const std::size_t group = part.group_size == 0 ? width : part.group_size;
    for (std::size_t c = 0; c < width; ++c) {
      grid.group[place(c)] = std::uint32_t(first_group + c / group);
      grid.numbers[place(c)] = WholeNumbers(part);
    }
    return width == 0 ? 0 : width / group;
  };
  grid.group.resize(in_features);
  grid.numbers.resize(in_features, WholeNumbers(scheme));
  if (!scheme.high.any()) {
    fill(scheme, in_features, 0, [](std::size_t c) { return c; });
    return grid;
  }
  const ColumnParts parts = column_parts(scheme.high, in_features);
  const std::size_t of_high = fill(high_part(scheme), parts.high.size(), 0, [&](std::size_t c) { return parts.high[c]; });
  fill(low_part(scheme), parts.low.size(), of_high, [&](std::size_t c) { return parts.low[c]; });
  return grid;
}

std::size_t QuantizedWeight::groups() const {
  const auto of = [&](std::size_t width) { return width == 0 ? 0 : width / (scheme.group_size == 0 ? width : scheme.group_size); };
  const std::size_t high = high_width(scheme.high, in_features);
  return of(high) + of(in_features - high);
}

MatrixD QuantizedWeight::dequantize() const {
  MatrixD result(out_features, in_features);
  const ColumnGrid grid = column_grid(scheme, in_features);
  const std::size_t count = groups();
  for (std::size_t r = 0; r < out_features; ++r)
    for (std::size_t c = 0; c < in_features; ++c) {
      const int zero = zeros.empty() ? 0 : zeros[r * count + grid.group[c]];
      result(r, c) = (codes[r * in_features + c] - zero) * scales(r, grid.group[c]);
    }
  return result;
}

std::vector<std::int8_t> QuantizedWeight::integers() const {
  std::vector<std::int8_t> result = codes;
  if (zeros.empty()) return result;
  const ColumnGrid grid = column_grid(scheme, in_features);
  const std::size_t count = groups();
  for (std::size_t r = 0; r < out_features; ++r)
    for (std::size_t c = 0; c < in_features; ++c)
      result[r * in_features + c] = std::int8_t(result[r * in_features + c] - zeros[r * count + grid.group[c]]);
  return result;
}

void check_scheme(const WeightScheme& scheme, std::size_t in_features, const std::string& layer) {
  check_format(scheme.format, scheme.bits, scheme.symmetric, layer, "weights");
  if (!check_high(scheme.high, in_features, layer)) return check_group(scheme.group_size, in_features, layer, "weight");
  if (scheme.format != NumberFormat::integer || !scheme.symmetric || scheme.clip == WeightClip::awq)
    throw Error(ErrorKind::unsupported, layer +
                                            ": weights with high-precision columns are symmetric integers whose clip is searched for by "
                                            "rounding error or not at all; choose the format int, no zero points and another weight clip.");
  for (const std::size_t width : {high_width(scheme.high, in_features), in_features - high_width(scheme.high, in_features)})
    check_group(scheme.group_size, width, layer, "weight");
}

void check_scheme(const ActivationScheme& scheme, std::size_t width, const std::string& layer) {
  if (scheme.off()) return;
  check_format(scheme.format, scheme.bits, scheme.symmetric, layer, "activations");
  if (!check_high(scheme.high, width, layer)) return check_group(scheme.group_size, width, layer, "activation");
  if (scheme.format != NumberFormat::integer)
    throw Error(ErrorKind::unsupported, layer + ": activations with high-precision columns are integers; choose the format int.");
  for (const std::size_t part : {high_width(scheme.high, width), width - high_width(scheme.high, width)})
    check_group(scheme.group_size, part, layer, "activation");
}

QuantizedWeight empty_on_grid(std::size_t out_features, std::size_t in_features, const WeightScheme& scheme, WeightGrid grid) {
  QuantizedWeight result;
  result.scheme = scheme;
  result.out_features = out_features;
  result.in_features = in_features;
  result.codes.resize(out_features * in_features);
  result.scales = std::move(grid.scales);
  result.zeros = std::move(grid.zeros);
  result.tensor_scale = grid.tensor_scale;
  return result;
}

QuantizedWeight round_to_grid(const MatrixD& weight, const WeightScheme& scheme, WeightGrid grid) {
  QuantizedWeight result = empty_on_grid(weight.rows(), weight.columns(), scheme, std::move(grid));
  const ColumnGrid columns = column_grid(scheme, weight.columns());
  const std::size_t groups = result.groups();
  parallel_for(weight.rows(), kRowsPerTask, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r)
      for (std::size_t c = 0; c < weight.columns(); ++c) {
        const std::size_t group = columns.group[c];
        const double scale = result.scales(r, group);
        const double zero = result.zeros.empty() ? 0 : result.zeros[r * groups + group];
        const double whole = scale == 0 ? 0.0 : columns.numbers[c].nearest(weight(r, c) / scale, zero);
        result.codes[r * weight.columns() + c] = std::int8_t(whole + zero);
      }
  });
  return result;
}

QuantizedWeight quantize_rtn(const MatrixD& weight, const WeightScheme& scheme, bool round_to_half) {
  return round_to_grid(weight, scheme, fit_grid(weight, scheme, round_to_half));
}

}  // namespace lrc

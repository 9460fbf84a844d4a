#include "quantization/column_parts.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

namespace lrc {
namespace {

// Columns that the kernels take at a time.
constexpr std::size_t kWholeColumns = 8;

std::size_t period_of(const HighColumns& high, std::size_t width) { return high.period == 0 ? width : high.period; }

QuantizedWeight take_part(const QuantizedWeight& weight, const WeightScheme& scheme, std::span<const std::uint32_t> columns,
                          std::size_t first_group) {
  QuantizedWeight part;
  part.scheme = scheme;
  part.out_features = weight.out_features;
  part.in_features = columns.size();
  part.codes.resize(weight.out_features * columns.size());
  for (std::size_t r = 0; r < weight.out_features; ++r)
    for (std::size_t c = 0; c < columns.size(); ++c) part.codes[r * columns.size() + c] = weight.codes[r * weight.in_features + columns[c]];
  part.scales = MatrixD(weight.out_features, part.groups());
  for (std::size_t r = 0; r < weight.out_features; ++r) std::copy_n(weight.scales.row(r) + first_group, part.groups(), part.scales.row(r));
  return part;
}

}  // namespace

std::size_t high_width(const HighColumns& high, std::size_t width) {
  return high.any() && width > 0 ? width / period_of(high, width) * high.count : 0;
}

ColumnParts column_parts(const HighColumns& high, std::size_t width) {
  ColumnParts parts;
  const std::size_t period = period_of(high, width);
  for (std::size_t c = 0; c < width; ++c) (c % period < high.count ? parts.high : parts.low).push_back(std::uint32_t(c));
  return parts;
}

std::size_t high_count(double share, std::size_t width, std::size_t period) {
  if (!(share > 0)) return 0;
  if (period == 0) period = width;
  const std::size_t step = kWholeColumns / std::gcd(kWholeColumns, width / period);
  const auto steps = std::size_t(std::max(1.0, std::nearbyint(std::min(share, 1.0) * double(period) / double(step))));
  return share >= 1 ? period : std::min(period, steps * step);
}

WeightScheme high_part(const WeightScheme& scheme) {
  WeightScheme part = scheme;
  part.bits = scheme.high.bits;
  part.high = {};
  return part;
}

WeightScheme low_part(const WeightScheme& scheme) {
  WeightScheme part = scheme;
  part.high = {};
  return part;
}

ActivationScheme high_part(const ActivationScheme& scheme) {
  ActivationScheme part;
  part.bits = scheme.high.bits;
  part.group_size = scheme.group_size;
  part.clip = 1;
  return part;
}

ActivationScheme low_part(const ActivationScheme& scheme) {
  ActivationScheme part = scheme;
  part.high = {};
  return part;
}

WeightParts take_apart(const QuantizedWeight& weight) {
  assert(weight.scheme.high.any());
  const ColumnParts columns = column_parts(weight.scheme.high, weight.in_features);
  WeightParts parts;
  parts.high = take_part(weight, high_part(weight.scheme), columns.high, 0);
  parts.low = take_part(weight, low_part(weight.scheme), columns.low, parts.high.groups());
  return parts;
}

QuantizedWeight put_together(const WeightParts& parts, const WeightScheme& scheme) {
  const std::size_t width = parts.high.in_features + parts.low.in_features;
  QuantizedWeight weight =
      empty_on_grid(parts.low.out_features, width, scheme, join_grids({parts.high.scales, {}, 1}, {parts.low.scales, {}, 1}));
  const ColumnParts columns = column_parts(scheme.high, width);
  const auto put = [&](const QuantizedWeight& part, std::span<const std::uint32_t> places) {
    for (std::size_t r = 0; r < weight.out_features; ++r)
      for (std::size_t c = 0; c < places.size(); ++c) weight.codes[r * width + places[c]] = part.codes[r * places.size() + c];
  };
  put(parts.high, columns.high);
  put(parts.low, columns.low);
  return weight;
}

WeightGrid join_grids(const WeightGrid& high, const WeightGrid& low) {
  const std::size_t of_high = high.scales.columns(), of_low = low.scales.columns();
  WeightGrid grid;
  grid.scales = MatrixD(low.scales.rows(), of_high + of_low);
  for (std::size_t r = 0; r < grid.scales.rows(); ++r) {
    std::copy_n(high.scales.row(r), of_high, grid.scales.row(r));
    std::copy_n(low.scales.row(r), of_low, grid.scales.row(r) + of_high);
  }
  return grid;
}

}  // namespace lrc

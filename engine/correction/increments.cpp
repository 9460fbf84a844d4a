#include "correction/increments.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "correction/linalg.h"
#include "quantization/activation.h"
#include "tensor/dtype.h"

namespace lrc {
namespace {

constexpr double kFirstClip = 4;  // γ of OmniQuant's start: sigmoid(4) = 0.982
constexpr std::size_t kRowsPerTask = 16;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// The grid of one row or group, and what its gradient needs.
struct Grid {
  double scale = 0, lowest = 0, highest = 0;  // of the whole numbers, zero point taken off
  double largest = 0, smallest = 0;           // of the weights: max(w, 0) and min(w, 0); symmetric: ±max|w|
  std::size_t at_largest = 0, at_smallest = 0;
  double keep_high = 0, keep_low = 0;  // sigmoid(γ)
  double numbers = 0;                  // the scale is the clipped range over this
  double whole(double w) const { return std::clamp(std::nearbyint(w / scale), lowest, highest); }
};

Grid grid_of(const IncrementedWeight& weight, const float* w, std::size_t row, std::size_t group, std::size_t count) {
  Grid grid;
  for (std::size_t i = 0; i < count; ++i) {
    const double value = weight.scheme.symmetric ? std::abs(double(w[i])) : double(w[i]);
    if (value > grid.largest) grid.largest = value, grid.at_largest = i;
    if (value < grid.smallest) grid.smallest = value, grid.at_smallest = i;
  }
  const auto stored = [&](double scale) { return weight.round_to_half ? double(round_to_half(float(scale))) : scale; };
  grid.keep_high = sigmoid(double(weight.clip_high(row, group)));
  if (weight.scheme.symmetric) {
    grid.numbers = highest_code(weight.scheme.bits);
    grid.scale = stored(grid.keep_high * grid.largest / grid.numbers);
    grid.lowest = lowest_code(weight.scheme.bits);
    grid.highest = grid.numbers;
    return grid;
  }
  grid.keep_low = sigmoid(double(weight.clip_low(row, group)));
  grid.numbers = double((1 << weight.scheme.bits) - 1);
  const double high = grid.keep_high * grid.largest, low = grid.keep_low * grid.smallest;
  grid.scale = stored((high - low) / grid.numbers);
  if (grid.scale == 0) return grid;
  const double zero = std::clamp(std::nearbyint(-low / grid.scale), 0.0, grid.numbers);
  grid.lowest = -zero;
  grid.highest = grid.numbers - zero;
  return grid;
}

std::size_t group_size(const IncrementedWeight& weight) {
  return weight.scheme.group_size == 0 ? weight.base.columns() : weight.scheme.group_size;
}

/// γ whose sigmoid is `part`, at most the start.
float clip_of(double part) { return float(std::min(kFirstClip, std::log(part / (1 - std::min(part, 0.999))))); }

}  // namespace

IncrementedWeight start_increments(const MatrixD& weight, const WeightScheme& scheme, std::size_t square, bool round_to_half,
                                   const std::string& layer) {
  if (scheme.format != NumberFormat::integer)
    throw Error(ErrorKind::unsupported, layer + ": lsi learns how integer grids are clipped, and " + std::string(name(scheme.format)) +
                                            " has none; choose the format int.");
  const std::size_t n = std::min(weight.rows(), weight.columns());
  if (square > n)
    throw Error(ErrorKind::bad_input, layer + ": a square of " + std::to_string(square) + " is larger than the " + std::to_string(n) +
                                          " singular values of its weight; choose " + std::to_string(n) + " or less.");
  IncrementedWeight result;
  result.scheme = scheme;
  result.round_to_half = round_to_half;
  result.base = convert<float>(weight);
  const auto parts = linalg::singular_decomposition(weight);
  result.left = convert<float>(parts.left);
  result.right = convert<float>(parts.right);
  result.increments.assign(n, 0.0f);
  result.square = MatrixF(square, square);
  const std::size_t group = group_size(result), groups = weight.columns() / group;
  result.clip_high = MatrixF(weight.rows(), groups, float(kFirstClip));
  if (!scheme.symmetric) result.clip_low = result.clip_high;
  if (scheme.clip == WeightClip::none) return result;
  // The searched scale as a part of the unclipped one; both ends of an asymmetric grid were shrunk alike.
  WeightScheme unclipped = scheme;
  unclipped.clip = WeightClip::none;
  const MatrixD searched = fit_scales(weight, scheme, false), whole = fit_scales(weight, unclipped, false);
  for (std::size_t i = 0; i < searched.size(); ++i) {
    if (whole.data()[i] == 0) continue;
    result.clip_high.data()[i] = clip_of(searched.data()[i] / whole.data()[i]);
    if (!scheme.symmetric) result.clip_low.data()[i] = result.clip_high.data()[i];
  }
  return result;
}

MatrixF incremented(const IncrementedWeight& weight) {
  const std::size_t n = weight.increments.size(), side = weight.square.rows();
  const bool moved = std::ranges::any_of(weight.increments, [](float v) { return v != 0; }) ||
                     std::ranges::any_of(weight.square.flat(), [](float v) { return v != 0; });
  MatrixF result = weight.base;
  if (!moved) return result;
  // (diag(I) + M) right, then left times that.
  MatrixF scaled = weight.right;
  for (std::size_t j = 0; j < n; ++j)
    for (std::size_t c = 0; c < scaled.columns(); ++c) scaled(j, c) *= weight.increments[j];
  if (side > 0) {
    MatrixF top(side, scaled.columns());
    std::copy_n(weight.right.data(), top.size(), top.data());
    const MatrixF part = linalg::multiply(weight.square, top);
    for (std::size_t i = 0; i < part.size(); ++i) scaled.data()[i] += part.data()[i];
  }
  const MatrixF change = linalg::multiply(weight.left, scaled);
  for (std::size_t i = 0; i < change.size(); ++i) result.data()[i] += change.data()[i];
  return result;
}

QuantizedWeight round_increments(const IncrementedWeight& weight, const MatrixF& incremented) {
  const std::size_t out = incremented.rows(), in = incremented.columns(), group = group_size(weight), groups = in / group;
  WeightGrid scales{MatrixD(out, groups), {}, 1};
  if (!weight.scheme.symmetric) scales.zeros.resize(out * groups);
  QuantizedWeight result = empty_on_grid(out, in, weight.scheme, std::move(scales));
  parallel_for(out, kRowsPerTask, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r)
      for (std::size_t g = 0; g < groups; ++g) {
        const float* w = incremented.row(r) + g * group;
        const Grid grid = grid_of(weight, w, r, g, group);
        result.scales(r, g) = grid.scale;
        const double zero = weight.scheme.symmetric ? 0 : -grid.lowest;
        if (!weight.scheme.symmetric) result.zeros[r * groups + g] = std::int8_t(zero);
        for (std::size_t i = 0; i < group; ++i)
          result.codes[r * in + g * group + i] = std::int8_t(grid.scale == 0 ? 0.0 : grid.whole(double(w[i])) + zero);
      }
  });
  return result;
}

void project_gradient(const IncrementedWeight& weight, const MatrixF& gradient, IncrementGradient& result) {
  const std::size_t n = weight.increments.size(), side = weight.square.rows();
  const MatrixF part = linalg::multiply(gradient, weight.right, false, true);  // (out, n)
  std::vector<double> sums(n);
  for (std::size_t r = 0; r < part.rows(); ++r)
    for (std::size_t j = 0; j < n; ++j) sums[j] += double(weight.left(r, j)) * double(part(r, j));
  result.increments.assign(sums.begin(), sums.end());
  result.square = MatrixF(side, side);
  if (side == 0) return;
  MatrixF own_left(part.rows(), side), own_part(part.rows(), side);
  for (std::size_t r = 0; r < part.rows(); ++r) {
    std::copy_n(weight.left.row(r), side, own_left.row(r));
    std::copy_n(part.row(r), side, own_part.row(r));
  }
  result.square = linalg::multiply(own_left, own_part, true, false);
}

IncrementGradient increment_gradient(const IncrementedWeight& weight, const MatrixF& incremented, const MatrixF& gradient) {
  IncrementGradient result;
  project_gradient(weight, clip_gradient(weight, incremented, gradient, result), result);
  return result;
}

MatrixF clip_gradient(const IncrementedWeight& weight, const MatrixF& incremented, const MatrixF& gradient, IncrementGradient& result) {
  const std::size_t out = incremented.rows(), in = incremented.columns(), group = group_size(weight), groups = in / group;
  result.clip_high = MatrixF(out, groups);
  if (!weight.scheme.symmetric) result.clip_low = MatrixF(out, groups);
  MatrixF through = gradient;
  parallel_for(out, kRowsPerTask, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r)
      for (std::size_t g = 0; g < groups; ++g) {
        const float* w = incremented.row(r) + g * group;
        float* own = through.row(r) + g * group;
        const Grid grid = grid_of(weight, w, r, g, group);
        if (grid.scale == 0) continue;
        // value = scale · number inside; above it is the clipped top, below it the clipped bottom of the range.
        double of_scale = 0, of_high = 0, of_low = 0;
        for (std::size_t i = 0; i < group; ++i) {
          const double position = double(w[i]) / grid.scale, nearest = std::nearbyint(position);
          const bool above = nearest > grid.highest, below = nearest < grid.lowest;
          if (!above && !below) {
            of_scale += double(own[i]) * (nearest - position);
            continue;
          }
          if (weight.scheme.symmetric)
            of_scale += double(own[i]) * (above ? grid.highest : grid.lowest);
          else
            (above ? of_high : of_low) += double(own[i]);
          own[i] = 0;
        }
        of_high += of_scale / grid.numbers;
        of_low -= of_scale / grid.numbers;
        result.clip_high(r, g) = float(of_high * grid.largest * grid.keep_high * (1 - grid.keep_high));
        const bool negative = weight.scheme.symmetric && w[grid.at_largest] < 0;
        own[grid.at_largest] += float((negative ? -1 : 1) * of_high * grid.keep_high);
        if (weight.scheme.symmetric) continue;
        result.clip_low(r, g) = float(of_low * grid.smallest * grid.keep_low * (1 - grid.keep_low));
        if (grid.smallest < 0) own[grid.at_smallest] += float(of_low * grid.keep_low);
      }
  });
  return through;
}

}  // namespace lrc

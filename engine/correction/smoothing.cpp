#include "correction/smoothing.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <functional>
#include <limits>

#include "base/error.h"
#include "correction/linalg.h"
#include "tensor/dtype.h"

namespace lrc {
namespace {

constexpr int kAwqRatios = 20;
constexpr int kAwqClips = 10;
constexpr double kStep = 0.05;
constexpr double kSmallest = 1e-4;           // of AWQ's scales before they are normalised
constexpr double kSmallestMagnitude = 1e-5;  // of SmoothQuant's maxima and scales
constexpr double kPower = 2;                 // p of the closed form

double larger(double a, double b) { return std::max(a, b); }

/// Channels with the same number become one value: combine() of all of them.
template <typename Combine>
std::vector<double> combined(const std::vector<double>& values, std::span<const std::size_t> shared, const Combine& combine) {
  assert(values.size() == shared.size());
  std::vector<double> of_number(values.size());
  for (std::size_t j = 0; j < values.size(); ++j) of_number[shared[j]] = combine(of_number[shared[j]], values[j]);
  std::vector<double> result;
  for (const std::size_t number : shared) result.push_back(of_number[number]);
  return result;
}

/// Nothing where all scales are 1.
std::vector<float> rounded(const std::vector<double>& scales) {
  std::vector<float> result(scales.begin(), scales.end());
  if (std::ranges::all_of(result, [](float s) { return s == 1.0f; })) result.clear();
  return result;
}

std::vector<double> column_maxima(std::span<const SmoothedLayer> layers, std::size_t width) {
  std::vector<double> largest(width);
  for (const SmoothedLayer& layer : layers)
    for (std::size_t r = 0; r < layer.weight.rows(); ++r)
      for (std::size_t j = 0; j < width; ++j) largest[j] = std::max(largest[j], std::abs(layer.weight(r, j)));
  return largest;
}

/// Σ ‖(W − Q(W diag s) diag(1/s)) X‖².
double output_error(std::span<const SmoothedLayer> layers, const MatrixD& moments, const std::vector<double>& scales) {
  double sum = 0;
  for (const SmoothedLayer& layer : layers) {
    WeightScheme scheme = layer.scheme;
    scheme.clip = WeightClip::none;
    MatrixD scaled = layer.weight;
    for (std::size_t r = 0; r < scaled.rows(); ++r)
      for (std::size_t j = 0; j < scaled.columns(); ++j) scaled(r, j) *= scales[j];
    MatrixD error = linalg::subtract(scaled, quantize_rtn(scaled, scheme, true).dequantize());
    for (std::size_t r = 0; r < error.rows(); ++r)
      for (std::size_t j = 0; j < error.columns(); ++j) error(r, j) /= scales[j];
    sum += linalg::quadratic_trace(error, moments);
  }
  return sum;
}

}  // namespace

std::vector<float> smoothquant_scales(const ChannelStatistics& input, std::span<const SmoothedLayer> layers, double alpha,
                                      std::span<const std::size_t> shared) {
  const auto of_input = combined(input.largest, shared, larger);
  const auto of_weights = combined(column_maxima(layers, shared.size()), shared, larger);
  std::vector<double> scales(shared.size(), 1.0);
  for (std::size_t j = 0; j < scales.size(); ++j)
    if (of_input[j] > 0)
      scales[j] =
          std::max(std::pow(of_input[j], alpha) / std::pow(std::max(of_weights[j], kSmallestMagnitude), 1 - alpha), kSmallestMagnitude);
  return rounded(scales);
}

std::vector<float> awq_scales(const SecondMoments& moments, std::span<const SmoothedLayer> layers, std::span<const std::size_t> shared) {
  const MatrixD s_x = moments.s_x();
  const auto sums = combined(moments.channels.sum_of_magnitudes, shared, std::plus<>());
  const std::vector<double> sharing = combined(std::vector<double>(shared.size(), 1.0), shared, std::plus<>());
  std::vector<double> best;
  double smallest = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kAwqRatios; ++i) {
    std::vector<double> scales;
    for (std::size_t j = 0; j < shared.size(); ++j)
      scales.push_back(std::max(std::pow(sums[j] / sharing[j] / double(moments.tokens), i * kStep), kSmallest));
    const auto [low, high] = std::ranges::minmax(scales);
    for (double& scale : scales) scale /= std::sqrt(low * high);
    if (const double error = output_error(layers, s_x, scales); error < smallest) {
      smallest = error;
      best = std::move(scales);
    }
  }
  return rounded(best);
}

std::vector<float> closed_form_scales(const SecondMoments& moments, std::span<const SmoothedLayer> layers,
                                      std::span<const std::size_t> shared) {
  const MatrixD s_x = moments.s_x();
  std::vector<double> energy(shared.size()), weights(shared.size());
  for (std::size_t j = 0; j < shared.size(); ++j) energy[j] = s_x(j, j);
  for (const SmoothedLayer& layer : layers)
    for (std::size_t r = 0; r < layer.weight.rows(); ++r)
      for (std::size_t j = 0; j < shared.size(); ++j) weights[j] += std::pow(std::abs(layer.weight(r, j)), kPower);
  energy = combined(energy, shared, std::plus<>());
  weights = combined(weights, shared, std::plus<>());
  std::vector<double> logarithms(shared.size());
  double sum = 0;
  std::size_t live = 0;
  for (std::size_t j = 0; j < shared.size(); ++j) {
    // A channel that carries nothing, or that nobody reads, has no best scale.
    if (!(energy[j] > 0 && weights[j] > 0)) continue;
    sum += logarithms[j] = std::log(energy[j] / weights[j]) / (kPower + 2);
    ++live;
  }
  std::vector<double> scales(shared.size(), 1.0);
  for (std::size_t j = 0; j < shared.size(); ++j)
    if (energy[j] > 0 && weights[j] > 0) scales[j] = std::clamp(std::exp(logarithms[j] - sum / double(live)), kSmallest, 1 / kSmallest);
  return rounded(scales);
}

WeightGrid awq_clipped_grid(const MatrixD& weight, const MatrixD& moments, const WeightScheme& scheme, bool to_half) {
  WeightScheme plain = scheme;
  plain.clip = WeightClip::none;
  if (scheme.format != NumberFormat::integer) return fit_grid(weight, plain, to_half);
  const WeightGrid whole = fit_grid(weight, plain, false);
  const std::size_t groups = whole.scales.columns(), group = groups == 0 ? 0 : weight.columns() / groups;
  std::vector<MatrixD> blocks;  // of the moments, one for each group
  for (std::size_t g = 0; g < groups; ++g) {
    blocks.emplace_back(group, group);
    for (std::size_t i = 0; i < group; ++i) std::copy_n(moments.row(g * group + i) + g * group, group, blocks.back().row(i));
  }
  WeightGrid best = whole;
  MatrixD smallest(weight.rows(), groups, std::numeric_limits<double>::infinity());
  for (int step = 0; step < kAwqClips; ++step) {
    WeightGrid grid = whole;
    for (double& scale : grid.scales.flat()) {
      scale *= 1 - step * kStep;
      if (to_half) scale = double(round_to_half(float(scale)));
      if (!std::isfinite(scale))
        throw Error(ErrorKind::numerical, "A weight matrix needs a scale beyond float16; such a layer cannot be stored.");
    }
    const MatrixD error = linalg::subtract(weight, round_to_grid(weight, plain, grid).dequantize());
    for (std::size_t g = 0; g < groups; ++g) {
      MatrixD part(weight.rows(), group);
      for (std::size_t r = 0; r < part.rows(); ++r) std::copy_n(error.row(r) + g * group, group, part.row(r));
      const MatrixD product = linalg::multiply(part, blocks[g]);
      for (std::size_t r = 0; r < part.rows(); ++r) {
        double sum = 0;
        for (std::size_t i = 0; i < group; ++i) sum += part(r, i) * product(r, i);
        if (!(sum < smallest(r, g))) continue;
        smallest(r, g) = sum;
        best.scales(r, g) = grid.scales(r, g);
      }
    }
  }
  return best;
}

}  // namespace lrc

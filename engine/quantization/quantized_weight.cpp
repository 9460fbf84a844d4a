#include "quantization/quantized_weight.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "quantization/activation.h"

namespace lrc {
namespace {

constexpr std::size_t kRowsPerTask = 16;

}  // namespace

MatrixD QuantizedWeight::dequantize() const {
  MatrixD result(out_features, in_features);
  const std::size_t group = group_size();
  for (std::size_t r = 0; r < out_features; ++r)
    for (std::size_t c = 0; c < in_features; ++c) result(r, c) = codes[r * in_features + c] * scales(r, c / group);
  return result;
}

void check_scheme(const WeightScheme& scheme, std::size_t in_features, const std::string& layer) {
  if (scheme.bits < 2 || scheme.bits > 8)
    throw Error(ErrorKind::bad_input, layer + ": weights of " + std::to_string(scheme.bits) +
                                          " bits cannot be quantized; choose 2 to 8 bits, or leave the layer out.");
  if (!scheme.symmetric)
    throw Error(ErrorKind::unsupported, layer + ": asymmetric weight grids are not available in this version; choose a symmetric grid.");
  if (scheme.group_size != 0 && in_features % scheme.group_size != 0)
    throw Error(ErrorKind::bad_input, layer + ": weight groups of " + std::to_string(scheme.group_size) + " do not divide its " +
                                          std::to_string(in_features) +
                                          " input features; choose a group size that divides them, or 0 for one scale a row.");
}

QuantizedWeight round_to_grid(const MatrixD& weight, const WeightScheme& scheme, const MatrixD& scales) {
  QuantizedWeight result;
  result.scheme = scheme;
  result.out_features = weight.rows();
  result.in_features = weight.columns();
  result.codes.resize(weight.size());
  result.scales = scales;
  const double lowest = lowest_code(scheme.bits), highest = highest_code(scheme.bits);
  const std::size_t group = result.group_size();
  parallel_for(weight.rows(), kRowsPerTask, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r)
      for (std::size_t c = 0; c < weight.columns(); ++c) {
        const double scale = scales(r, c / group);
        const double code = scale == 0 ? 0.0 : std::clamp(std::nearbyint(weight(r, c) / scale), lowest, highest);
        result.codes[r * weight.columns() + c] = std::int8_t(code);
      }
  });
  return result;
}

QuantizedWeight quantize_rtn(const MatrixD& weight, const WeightScheme& scheme, bool round_to_half) {
  return round_to_grid(weight, scheme, fit_scales(weight, scheme, round_to_half));
}

}  // namespace lrc

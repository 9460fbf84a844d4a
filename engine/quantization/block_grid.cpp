#include "quantization/block_grid.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lrc {
namespace {

constexpr double kLargestE4m3 = 448, kLargestE2m1 = 6;

// floor(log2 value) and the fraction in [1, 2) beside it.
std::pair<int, double> split(double value) {
  int exponent = 0;
  const double half = std::frexp(value, &exponent);  // in [1/2, 1)
  return {exponent - 1, 2 * half};
}

}  // namespace

int block_exponent(NumberFormat format, double largest) {
  const auto [floor, fraction] = split(largest);
  if (format == NumberFormat::mxint) return std::clamp(fraction == 1 ? floor : floor + 1, -127, 128);
  const int rounded = format == NumberFormat::mxfp4_rounded && fraction >= 1.75 ? floor + 1 : floor;
  return std::clamp(rounded - 2, -127, 127);
}

double block_scale(NumberFormat format, int exponent, int bits) {
  return std::ldexp(1.0, format == NumberFormat::mxint ? exponent - (bits - 1) : exponent - 1);
}

std::uint8_t encode_e4m3(double value) {
  const std::uint8_t sign = std::signbit(value) ? 0x80 : 0;
  double magnitude = std::min(std::abs(value), kLargestE4m3);
  if (magnitude == 0) return sign;
  const int exponent = std::max(split(magnitude).first, -6);
  const double step = std::ldexp(1.0, exponent - 3);
  magnitude = std::nearbyint(magnitude / step) * step;
  if (magnitude == 0) return sign;
  const auto [rounded_exponent, fraction] = split(magnitude);
  if (rounded_exponent < -6) return std::uint8_t(sign | int(magnitude * 512));  // subnormal: multiples of 2⁻⁹
  return std::uint8_t(sign | ((rounded_exponent + 7) << 3) | int((fraction - 1) * 8));
}

double decode_e4m3(std::uint8_t bits) {
  const int exponent = (bits >> 3) & 15, mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<double>::quiet_NaN();
  const double value = exponent == 0 ? mantissa / 512.0 : std::ldexp(1 + mantissa / 8.0, exponent - 7);
  return bits & 0x80 ? -value : value;
}

float nvfp4_tensor_scale(double largest) {
  const float scale = largest > 0 ? float(kLargestE4m3 * kLargestE2m1 / largest) : 1.0f;
  return std::isfinite(scale) ? scale : std::numeric_limits<float>::max();
}

WeightGrid fit_block_grid(const MatrixD& weight, const WeightScheme& scheme, double nothing) {
  const std::size_t group = scheme.group_size == 0 ? weight.columns() : scheme.group_size, groups = weight.columns() / group;
  WeightGrid grid;
  grid.scales = MatrixD(weight.rows(), groups);
  MatrixD largest(weight.rows(), groups);
  double of_all = 0, smallest = 0;
  for (std::size_t r = 0; r < weight.rows(); ++r)
    for (std::size_t g = 0; g < groups; ++g) {
      double& own = largest(r, g);
      for (std::size_t i = g * group; i < (g + 1) * group; ++i) own = std::max(own, std::abs(weight(r, i)));
      if (own <= nothing) own = 0;
      of_all = std::max(of_all, own);
      if (own > 0) smallest = smallest == 0 ? own : std::min(smallest, own);
    }
  if (of_all == 0) return grid;
  if (scheme.format == NumberFormat::nvfp4) {
    grid.tensor_scale = double(nvfp4_tensor_scale(of_all));
    for (std::size_t i = 0; i < largest.size(); ++i)
      grid.scales.data()[i] = decode_e4m3(encode_e4m3(grid.tensor_scale * largest.data()[i] / kLargestE2m1)) / grid.tensor_scale / 2;
    return grid;
  }
  for (std::size_t i = 0; i < largest.size(); ++i) {
    const double own = largest.data()[i];
    grid.scales.data()[i] = block_scale(scheme.format, block_exponent(scheme.format, own > 0 ? own : smallest), scheme.bits);
  }
  return grid;
}

}  // namespace lrc

#include "quantization/activation.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include "base/error.h"

namespace lrc {
namespace {

// Adding and subtracting 1.5 · 2²³ rounds a float32 of magnitude below 2²² to the nearest integer, ties to even, and unlike
// std::nearbyint it is one vector instruction each on any x86-64.
constexpr float kRounder = 12582912.0f;

/// The definition of activation.h, without branches. The quotient is the first guess and off by at most one; limiting it
/// first keeps the rounding trick valid and cannot hide a code inside the limits.
inline float code_by_comparison(float x, float scale, float lowest, float highest) {
  const float quotient = std::min(std::max(x / scale, lowest), highest);
  const float guess = (quotient + kRounder) - kRounder;
  const float above = (guess + 0.5f) * scale;
  const float below = (guess - 0.5f) * scale;
  const float half = guess * 0.5f;
  const bool odd = (half + kRounder) - kRounder != half;
  const float up = (x > above) | ((x == above) & odd) ? 1.0f : 0.0f;
  const float down = (x < below) | ((x == below) & odd) ? 1.0f : 0.0f;
  return std::min(std::max(guess + up - down, lowest), highest);
}

/// max|x|; a NaN or an infinity anywhere makes the result infinite or NaN. Integer compares order magnitudes as floats do.
float largest_magnitude(const float* x, std::size_t count) {
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t bits;
    __builtin_memcpy(&bits, x + i, sizeof bits);
    largest = std::max(largest, bits & 0x7fffffffu);
  }
  float value;
  __builtin_memcpy(&value, &largest, sizeof value);
  return value;
}

struct Grid {
  std::size_t group = 0;
  float factor = 0, lowest = 0, highest = 0;
};

Grid grid_of(std::size_t width, const ActivationScheme& scheme) {
  Grid grid;
  grid.group = scheme.group_size == 0 ? width : scheme.group_size;
  if (grid.group == 0 || width % grid.group != 0)
    throw Error(ErrorKind::bad_input, "Activation groups of " + std::to_string(scheme.group_size) + " do not divide the width " +
                                          std::to_string(width) + "; choose a group size that divides it, or 0 for one scale a token.");
  grid.factor = activation_scale_factor(scheme);
  grid.lowest = float(lowest_code(scheme.bits));
  grid.highest = float(highest_code(scheme.bits));
  return grid;
}

float scale_of(const float* x, const Grid& grid) {
  const float largest = largest_magnitude(x, grid.group);
  const float scale = largest * grid.factor;
  if (!std::isfinite(largest) || !std::isfinite(scale))
    throw Error(ErrorKind::numerical, "An activation is not a finite number, so it cannot be quantized; check the model's weights.");
  return scale;
}

}  // namespace

int highest_code(int bits) { return (1 << (bits - 1)) - 1; }
int lowest_code(int bits) { return -(1 << (bits - 1)); }

float activation_scale_factor(const ActivationScheme& scheme) {
  if (scheme.bits < 2 || scheme.bits > 8)
    throw Error(ErrorKind::bad_input,
                "Activations of " + std::to_string(scheme.bits) + " bits cannot be quantized; choose 2 to 8 bits, or 16 for none.");
  if (!(scheme.clip > 0.0f) || !std::isfinite(scheme.clip))
    throw Error(ErrorKind::bad_input, "The activation clip ratio must be above 0 and finite, not " + std::to_string(scheme.clip) + ".");
  return float(double(scheme.clip) / double(highest_code(scheme.bits)));
}

int activation_code(float x, float scale, int lowest, int highest) {
  if (scale == 0.0f) return 0;
  return int(code_by_comparison(x, scale, float(lowest), float(highest)));
}

void quantize_activations(const float* x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme, std::int8_t* codes,
                          float* scales) {
  const Grid grid = grid_of(width, scheme);
  for (std::size_t begin = 0; begin < tokens * width; begin += grid.group) {
    const float scale = scale_of(x + begin, grid);
    *scales++ = scale;
    if (scale == 0.0f) {
      std::fill_n(codes + begin, grid.group, std::int8_t{0});
      continue;
    }
    for (std::size_t i = begin; i < begin + grid.group; ++i)
      codes[i] = std::int8_t(int(code_by_comparison(x[i], scale, grid.lowest, grid.highest)));
  }
}

void fake_quantize_activations(const float* x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme, float* y) {
  if (scheme.off()) {
    if (y != x) std::copy_n(x, tokens * width, y);
    return;
  }
  const Grid grid = grid_of(width, scheme);
  for (std::size_t begin = 0; begin < tokens * width; begin += grid.group) {
    const float scale = scale_of(x + begin, grid);
    if (scale == 0.0f) {
      std::fill_n(y + begin, grid.group, 0.0f);
      continue;
    }
    for (std::size_t i = begin; i < begin + grid.group; ++i) y[i] = code_by_comparison(x[i], scale, grid.lowest, grid.highest) * scale;
  }
}

}  // namespace lrc

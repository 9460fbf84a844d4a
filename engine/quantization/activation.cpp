#include "quantization/activation.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "quantization/block_grid.h"
#include "quantization/column_parts.h"
#include "quantization/vector_level.h"

namespace lrc {
namespace {

// Adding and subtracting 1.5 · 2²³ rounds a float32 of magnitude below 2²² to the nearest integer, ties to even, and unlike
// std::nearbyint it is one vector instruction each on any x86-64.
constexpr float kRounder = 12582912.0f;

/// The definition of activation.h, without branches. The quotient is the first guess and off by at most one; limiting it
/// first keeps the rounding trick valid and cannot hide a code inside the limits.
[[gnu::always_inline]] inline float code_by_comparison(float x, float scale, float lowest, float highest) {
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

// The two loops over every activation of a calibration, in each instruction set.

/// Integer compares order magnitudes as floats do.
[[gnu::always_inline]] inline float largest_here(const float* x, std::size_t count) {
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

/// What a group's whole numbers are made with.
struct Range {
  float scale = 0, lowest = 0, highest = 0;
};

/// number · scale of all values of a group whose numbers are no E2M1.
[[gnu::always_inline]] inline void values_here(const float* x, std::size_t count, const Range& range, float* y) {
  const float scale = range.scale, lowest = range.lowest, highest = range.highest;
  for (std::size_t i = 0; i < count; ++i) y[i] = code_by_comparison(x[i], scale, lowest, highest) * scale;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) float largest_avx2(const float* x, std::size_t count) { return largest_here(x, count); }
__attribute__((target("avx512f"))) float largest_avx512(const float* x, std::size_t count) { return largest_here(x, count); }
__attribute__((target("avx2"))) void values_avx2(const float* x, std::size_t count, const Range& range, float* y) {
  values_here(x, count, range, y);
}
__attribute__((target("avx512f"))) void values_avx512(const float* x, std::size_t count, const Range& range, float* y) {
  values_here(x, count, range, y);
}
#endif

void values_of(const float* x, std::size_t count, const Range& range, float* y) {
#if defined(__x86_64__)
  if (vector_level() == VectorLevel::avx512) return values_avx512(x, count, range, y);
  if (vector_level() == VectorLevel::avx2) return values_avx2(x, count, range, y);
#endif
  values_here(x, count, range, y);
}

struct Grid {
  ActivationScheme scheme;
  std::size_t group = 0, groups = 0;
  float factor = 0, lowest = 0, highest = 0;
};

Grid grid_of(std::size_t width, const ActivationScheme& scheme) {
  Grid grid;
  grid.scheme = scheme;
  grid.group = scheme.group_size == 0 ? width : scheme.group_size;
  if (grid.group == 0 || width % grid.group != 0)
    throw Error(ErrorKind::bad_input, "Activation groups of " + std::to_string(scheme.group_size) + " do not divide the width " +
                                          std::to_string(width) + "; choose a group size that divides it, or 0 for one scale a token.");
  grid.groups = width / grid.group;
  grid.factor = activation_scale_factor(scheme);
  grid.lowest = float(lowest_code(scheme.bits));
  grid.highest = float(highest_code(scheme.bits));
  if (scheme.format == NumberFormat::mxint) grid.lowest = -grid.highest;
  if (!scheme.symmetric) grid.highest = float((1 << scheme.bits) - 1);
  return grid;
}

void refuse_infinite() {
  throw Error(ErrorKind::numerical, "An activation is not a finite number, so it cannot be quantized; check the model's weights.");
}

/// `tensor_scale` is that of nvfp4 alone. An all-zero group gets scale 0: what a block of zeros borrows has no effect on values.
Range range_of(const float* x, const Grid& grid, float tensor_scale) {
  const float largest = largest_magnitude(x, grid.group);
  if (!std::isfinite(largest)) refuse_infinite();
  Range range{0, grid.lowest, grid.highest};
  if (largest == 0.0f) return range;
  switch (grid.scheme.format) {
    case NumberFormat::integer: {
      if (grid.scheme.symmetric) {
        range.scale = largest * grid.factor;
        break;
      }
      float smallest = 0, greatest = 0;
      for (std::size_t i = 0; i < grid.group; ++i) {
        smallest = std::min(smallest, x[i]);
        greatest = std::max(greatest, x[i]);
      }
      range.scale = (greatest - smallest) * grid.factor;
      if (range.scale == 0.0f || !std::isfinite(range.scale)) break;
      const float zero = code_by_comparison(-smallest * grid.scheme.clip, range.scale, 0.0f, grid.highest);
      range.lowest = -zero;
      range.highest = grid.highest - zero;
      break;
    }
    case NumberFormat::nvfp4:
      range.scale = float(decode_e4m3(encode_e4m3(double(tensor_scale) * double(largest) / 6)) / double(tensor_scale) / 2);
      break;
    default:
      range.scale = float(block_scale(grid.scheme.format, block_exponent(grid.scheme.format, double(largest)), grid.scheme.bits));
  }
  if (!std::isfinite(range.scale)) refuse_infinite();
  return range;
}

/// The whole number of one value. The midpoints of E2M1 are few bits wide, so that their products with a scale are rounded once.
inline float number_of(float x, const Range& range, bool e2m1) {
  if (!e2m1) return code_by_comparison(x, range.scale, range.lowest, range.highest);
  const float p = std::fabs(x), s = range.scale;
  const float n = p <= 0.5f * s    ? 0.0f
                  : p < 1.5f * s   ? 1.0f
                  : p <= 2.5f * s  ? 2.0f
                  : p < 3.5f * s   ? 3.0f
                  : p <= 5.0f * s  ? 4.0f
                  : p < 7.0f * s   ? 6.0f
                  : p <= 10.0f * s ? 8.0f
                                   : 12.0f;
  return x < 0 ? -n : n;
}

/// Calls of_group(first index, index of the group, its range) for every group.
template <typename Group>
void for_groups(const float* x, std::size_t tokens, std::size_t width, const Grid& grid, const Group& of_group) {
  for (std::size_t t = 0; t < tokens; ++t) {
    float tensor_scale = 1;
    if (grid.scheme.format == NumberFormat::nvfp4) tensor_scale = nvfp4_tensor_scale(double(largest_magnitude(x + t * width, width)));
    for (std::size_t g = 0; g < grid.groups; ++g) {
      const std::size_t begin = t * width + g * grid.group;
      of_group(begin, t * grid.groups + g, range_of(x + begin, grid, tensor_scale));
    }
  }
}

/// Calls store(index, number) for every value of a group.
template <typename Store>
void for_numbers(const float* x, std::size_t begin, const Grid& grid, const Range range, const Store& store) {
  const bool e2m1 = is_e2m1(grid.scheme.format);
  const std::size_t end = begin + grid.group;
  if (range.scale == 0.0f)
    for (std::size_t i = begin; i < end; ++i) store(i, 0.0f);
  else
    for (std::size_t i = begin; i < end; ++i) store(i, number_of(x[i], range, e2m1));
}

/// Calls quantize(x of the part, tokens, its scheme, its columns, its first group) for the high columns, then for the others. All values
/// of x are read before the second call, so that results may be put over them.
template <typename Quantize>
void for_parts(const float* x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme, const Quantize& quantize) {
  const ColumnParts columns = column_parts(scheme.high, width);
  const auto gather = [&](const std::vector<std::uint32_t>& places) {
    MatrixF part(tokens, places.size());
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t c = 0; c < places.size(); ++c) part(t, c) = x[t * width + places[c]];
    return part;
  };
  const MatrixF high = gather(columns.high), low = gather(columns.low);
  const ActivationScheme of_high = high_part(scheme);
  quantize(high, of_high, columns.high, std::size_t(0));
  quantize(low, low_part(scheme), columns.low, activation_groups(of_high, columns.high.size()));
}

void quantize_parts(const float* x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme, std::int8_t* codes,
                    float* scales, std::int8_t* zeros) {
  const std::size_t all_groups = activation_groups(scheme, width);
  for_parts(x, tokens, width, scheme,
            [&](const MatrixF& part, const ActivationScheme& own, const std::vector<std::uint32_t>& places, std::size_t first_group) {
              const std::size_t groups = activation_groups(own, part.columns());
              std::vector<std::int8_t> numbers(part.size()), zero_points(tokens * groups);
              MatrixF steps(tokens, groups);
              quantize_activations(part.data(), tokens, part.columns(), own, numbers.data(), steps.data(), zero_points.data());
              for (std::size_t t = 0; t < tokens; ++t) {
                for (std::size_t c = 0; c < places.size(); ++c) codes[t * width + places[c]] = numbers[t * places.size() + c];
                std::copy_n(steps.row(t), groups, scales + t * all_groups + first_group);
                if (zeros) std::copy_n(zero_points.data() + t * groups, groups, zeros + t * all_groups + first_group);
              }
            });
}

}  // namespace

std::size_t activation_groups(const ActivationScheme& scheme, std::size_t width) {
  const auto of = [&](std::size_t columns) { return columns == 0 ? 0 : columns / (scheme.group_size == 0 ? columns : scheme.group_size); };
  const std::size_t high = high_width(scheme.high, width);
  return of(high) + of(width - high);
}

int highest_code(int bits) { return (1 << (bits - 1)) - 1; }
int lowest_code(int bits) { return -(1 << (bits - 1)); }

float activation_scale_factor(const ActivationScheme& scheme) {
  if (scheme.bits < 2 || scheme.bits > 8)
    throw Error(ErrorKind::bad_input,
                "Activations of " + std::to_string(scheme.bits) + " bits cannot be quantized; choose 2 to 8 bits, or 16 for none.");
  if (!(scheme.clip > 0.0f) || !std::isfinite(scheme.clip))
    throw Error(ErrorKind::bad_input, "The activation clip ratio must be above 0 and finite, not " + std::to_string(scheme.clip) + ".");
  return float(double(scheme.clip) / double(scheme.symmetric ? highest_code(scheme.bits) : (1 << scheme.bits) - 1));
}

float largest_magnitude(const float* x, std::size_t count) {
#if defined(__x86_64__)
  if (vector_level() == VectorLevel::avx512) return largest_avx512(x, count);
  if (vector_level() == VectorLevel::avx2) return largest_avx2(x, count);
#endif
  return largest_here(x, count);
}

bool has_plain_codes(const ActivationScheme& scheme) {
  return scheme.symmetric && scheme.format == NumberFormat::integer && !scheme.high.any();
}

int activation_code(float x, float scale, int lowest, int highest) {
  if (scale == 0.0f) return 0;
  return int(code_by_comparison(x, scale, float(lowest), float(highest)));
}

void quantize_activations(const float* x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme, std::int8_t* codes,
                          float* scales, std::int8_t* zeros) {
  if (scheme.high.any()) return quantize_parts(x, tokens, width, scheme, codes, scales, zeros);
  const Grid grid = grid_of(width, scheme);
  for_groups(x, tokens, width, grid, [&](std::size_t begin, std::size_t group, const Range& range) {
    for_numbers(x, begin, grid, range, [&](std::size_t i, float number) { codes[i] = std::int8_t(int(number)); });
    scales[group] = range.scale;
    if (zeros) zeros[group] = std::int8_t(scheme.symmetric ? 0 : int(-range.lowest));
  });
}

void quantize_unsigned(const float* x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme, std::uint8_t* codes,
                       float* scales, std::uint8_t* zeros) {
  assert(!scheme.high.any());
  const Grid grid = grid_of(width, scheme);
  for_groups(x, tokens, width, grid, [&](std::size_t begin, std::size_t group, const Range& range) {
    for_numbers(x, begin, grid, range, [&](std::size_t i, float number) { codes[i] = std::uint8_t(int(number - range.lowest)); });
    scales[group] = range.scale;
    zeros[group] = std::uint8_t(int(-range.lowest));
  });
}

void fake_quantize_activations(const float* x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme, float* y) {
  if (scheme.off()) {
    if (y != x) std::copy_n(x, tokens * width, y);
    return;
  }
  if (scheme.high.any())
    return for_parts(x, tokens, width, scheme,
                     [&](MatrixF part, const ActivationScheme& own, const std::vector<std::uint32_t>& places, std::size_t) {
                       fake_quantize_activations(part.data(), tokens, part.columns(), own, part.data());
                       for (std::size_t t = 0; t < tokens; ++t)
                         for (std::size_t c = 0; c < places.size(); ++c) y[t * width + places[c]] = part(t, c);
                     });
  const Grid grid = grid_of(width, scheme);
  const bool e2m1 = is_e2m1(scheme.format);
  for_groups(x, tokens, width, grid, [&](std::size_t begin, std::size_t, const Range& range) {
    if (range.scale != 0.0f && !e2m1) return values_of(x + begin, grid.group, range, y + begin);
    for_numbers(x, begin, grid, range, [&](std::size_t i, float number) { y[i] = number * range.scale; });
  });
}

}  // namespace lrc

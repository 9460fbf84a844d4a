// The clip search (methods.md 4.1): of 80 shrunken scales the first that minimises Σ |Q(w) − w|^2.4 over a row or group.
// Two passes, because the power is expensive: all 80 sums in float32, eight or sixteen numbers at a time, then float64 for
// those that float32 cannot tell from the smallest. The answer is that of the float64 search.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/parallel.h"
#include "quantization/activation.h"
#include "quantization/block_grid.h"
#include "quantization/column_parts.h"
#include "quantization/quantized_weight.h"
#include "quantization/vector_level.h"
#include "tensor/dtype.h"

namespace lrc {
namespace {

constexpr int kSteps = 80;
constexpr double kNorm = 2.4;
// A group this much smaller than the largest weight is what float64 arithmetic left of zeros (a zero row of W minus its part of
// the correction): it becomes zeros, not codes of noise.
constexpr double kNothing = 1e-14;
constexpr std::size_t kLanes = 16;
constexpr std::size_t kRowsPerTask = 8;
// Vectors between two looks at whether a scale is already worse than the best.
constexpr std::size_t kVectorsPerLook = 8;

double shrink(int step) { return 1.0 - step / 100.0; }

// GCC's vector types: one source for every instruction set, and the same result on each, since every operation is
// IEEE float32 on its own lane and the lanes are added in one order.
using Floats = float __attribute__((vector_size(kLanes * sizeof(float))));
using Ints = std::int32_t __attribute__((vector_size(kLanes * sizeof(std::int32_t))));

// What depends on the bits alone. Values are taken over `unit_code` times the unshrunken scale: over max|w| on a symmetric grid.
struct Steps {
  std::array<float, kSteps> inverse;  // 1 / (scale / that value)
  std::array<float, kSteps> unit;     // (scale / that value)^2.4
  double unit_code = 0;

  explicit Steps(int bits) : unit_code(highest_code(bits)) {
    for (int step = 0; step < kSteps; ++step) {
      inverse[std::size_t(step)] = float(unit_code / shrink(step));
      unit[std::size_t(step)] = float(std::pow(shrink(step) / unit_code, kNorm));
    }
  }
};

struct Coarse {
  const Steps& steps;
  double lowest, highest;  // of the whole numbers of this group
  const float* values;     // w over the largest value on the grid, padded by zeros to whole vectors
  std::size_t count, vectors;
  std::array<float, kSteps>& sums;  // Σ |error / max|w||^2.4, or a part of it that is already far above the smallest
};

// |t|^2.4 = a · a^(1/5) with a = t², the fifth root as a · (a^(−1/5))⁴ by Newton's iteration y ← y (6 − a y⁵) / 5, which
// needs no division and no table. The first guess comes from the exponent bits, three steps leave float32 rounding (8e-7).
[[gnu::always_inline]] inline void add_power(const Floats& t, Floats& total) {
  const Floats a = t * t;
  Ints bits;
  std::memcpy(&bits, &a, sizeof bits);
  bits = __builtin_convertvector(1277970875.0f - 0.2f * __builtin_convertvector(bits, Floats), Ints);
  Floats y;
  std::memcpy(&y, &bits, sizeof y);
  for (int i = 0; i < 3; ++i) {
    const Floats square = y * y;
    y = y * (1.2f - 0.2f * (a * y * (square * square)));
  }
  const Floats square = y * y;
  total += a * (a * (square * square));
}

[[gnu::always_inline]] inline void coarse_search(const Coarse& job) {
  constexpr float kRounder = 12582912.0f;  // adding and subtracting 1.5 · 2²³ rounds to nearest, ties to even
  float best = std::numeric_limits<float>::infinity();
  const float lowest = float(job.lowest), highest = float(job.highest);
  for (std::size_t step = 0; step < kSteps; ++step) {
    const float inverse = job.steps.inverse[step];
    Floats total = {};
    float sum = 0;
    for (std::size_t v = 0; v < job.vectors;) {
      const std::size_t look = std::min(job.vectors, v + kVectorsPerLook);
      for (; v < look; ++v) {
        Floats x;
        std::memcpy(&x, job.values + v * kLanes, sizeof x);
        const Floats position = x * inverse;
        Floats code = (position + kRounder) - kRounder;
        code = code < lowest ? lowest - Floats{} : code;
        code = code > highest ? highest - Floats{} : code;
        add_power(position - code, total);
      }
      sum = 0;
      for (std::size_t lane = 0; lane < kLanes; ++lane) sum += total[lane];
      sum *= job.steps.unit[step];
      if (sum > 1.01f * best + 5e-12f * float(job.count)) break;  // beyond every slack of search_scale
    }
    job.sums[step] = sum;
    best = std::min(best, sum);
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) void coarse_search_avx2(const Coarse& job) { coarse_search(job); }
__attribute__((target("avx512f"))) void coarse_search_avx512(const Coarse& job) { coarse_search(job); }
#endif

void run_coarse_search(const Coarse& job) {
#if defined(__x86_64__)
  if (vector_level() == VectorLevel::avx512) return coarse_search_avx512(job);
  if (vector_level() == VectorLevel::avx2) return coarse_search_avx2(job);
#endif
  coarse_search(job);
}

double exact_sum(const double* w, std::size_t count, double scale, double lowest, double highest) {
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double code = std::clamp(std::nearbyint(w[i] / scale), lowest, highest);
    sum += std::pow(std::abs(code * scale - w[i]), kNorm);
  }
  return sum;
}

// One row or group: its range on the grid and the scale without shrinking. A shrunken range keeps its zero point, since
// round(−min / scale) does not change when both shrink alike; so `lowest` and `highest` hold for all steps.
struct Range {
  double extent = 0, codes = 0;  // their quotient is the scale
  double lowest = 0, highest = 0;
  double scale(double shrunk = 1) const { return shrunk * extent / codes; }
};

// The best scale of one row or group. `buffer` is scratch space.
double search_scale(const double* w, std::size_t count, const Range& range, const Steps& steps, std::vector<float>& buffer) {
  const double highest = range.highest, lowest = range.lowest, largest = range.scale() * steps.unit_code;
  const std::size_t vectors = (count + kLanes - 1) / kLanes;
  buffer.assign(vectors * kLanes, 0.0f);
  for (std::size_t i = 0; i < count; ++i) buffer[i] = float(w[i] / largest);
  std::array<float, kSteps> sums;
  run_coarse_search({steps, lowest, highest, buffer.data(), count, vectors, sums});

  // What float32 may be wrong by: each error by about 2.5e-7 of the largest value (an asymmetric range may be twice that), hence its power
  // by 2.4 error^1.4 times that (summed by Hölder's inequality), and the roundings of the power and of the sum.
  const double smallest = *std::min_element(sums.begin(), sums.end());
  const double error_of_error = 2.5e-7 * std::max(1.0, std::max(-lowest - 1, highest) / steps.unit_code);
  const double of_errors = 2 * kNorm * error_of_error * std::pow(smallest / double(count), (kNorm - 1) / kNorm);
  const double slack = (1e-5 + 1.2e-7 * double(vectors)) * smallest + double(count) * (of_errors + 2 * std::pow(error_of_error, kNorm));
  std::array<int, kSteps> candidates{};
  int found = 0;
  for (int step = 0; step < kSteps; ++step)
    if (sums[std::size_t(step)] <= smallest + slack) candidates[std::size_t(found++)] = step;
  const auto scale_at = [&](int step) { return range.scale(shrink(step)); };
  if (found == 1) return scale_at(candidates[0]);
  double best = std::numeric_limits<double>::infinity(), scale = 0;
  for (int i = 0; i < found; ++i) {
    const double candidate = scale_at(candidates[std::size_t(i)]);
    const double sum = exact_sum(w, count, candidate, lowest, highest);
    if (sum < best) {
      best = sum;
      scale = candidate;
    }
  }
  return scale;
}

Range range_of(double smallest, double largest, const WeightScheme& scheme) {
  if (scheme.symmetric) {
    const double highest = highest_code(scheme.bits);
    return {std::max(-smallest, largest), highest, double(lowest_code(scheme.bits)), highest};
  }
  const double codes = double((1 << scheme.bits) - 1), scale = (largest - smallest) / codes;
  const double zero = std::clamp(std::nearbyint(-smallest / scale), 0.0, codes);
  return {largest - smallest, codes, -zero, codes - zero};
}

}  // namespace

WeightGrid fit_grid(const MatrixD& weight, const WeightScheme& scheme, bool round_to_half) {
  check_scheme(scheme, weight.columns(), "A weight");
  if (scheme.high.any()) {
    const ColumnParts parts = column_parts(scheme.high, weight.columns());
    return join_grids(fit_grid(take_columns(weight, parts.high), high_part(scheme), round_to_half),
                      fit_grid(take_columns(weight, parts.low), low_part(scheme), round_to_half));
  }
  const std::size_t group = scheme.group_size == 0 ? weight.columns() : scheme.group_size;
  const std::size_t groups = group == 0 ? 0 : weight.columns() / group;
  for (std::size_t i = 0; i < weight.size(); ++i)
    if (!std::isfinite(weight.data()[i]))
      throw Error(ErrorKind::numerical, "A weight matrix holds NaN or infinity in row " + std::to_string(i / weight.columns()) +
                                            ", column " + std::to_string(i % weight.columns()) + "; it cannot be quantized.");
  double nothing = 0;
  for (const double w : weight.flat()) nothing = std::max(nothing, kNothing * std::abs(w));
  if (scheme.format != NumberFormat::integer) return fit_block_grid(weight, scheme, nothing);
  WeightGrid grid;
  grid.scales = MatrixD(weight.rows(), groups);
  if (!scheme.symmetric) grid.zeros.assign(weight.rows() * groups, 0);
  const Steps steps(scheme.bits);
  parallel_for(weight.rows(), kRowsPerTask, [&](std::size_t begin, std::size_t end) {
    std::vector<float> buffer;
    for (std::size_t r = begin; r < end; ++r)
      for (std::size_t g = 0; g < groups; ++g) {
        const double* w = weight.row(r) + g * group;
        double smallest = 0, largest = 0;
        for (std::size_t i = 0; i < group; ++i) {
          smallest = std::min(smallest, w[i]);
          largest = std::max(largest, w[i]);
        }
        if (std::max(-smallest, largest) <= nothing) continue;  // scale 0, codes 0
        const Range range = range_of(smallest, largest, scheme);
        double scale = scheme.clip == WeightClip::search ? search_scale(w, group, range, steps, buffer) : range.scale();
        if (round_to_half) {
          scale = double(lrc::round_to_half(float(scale)));
          if (!std::isfinite(scale))
            throw Error(ErrorKind::numerical, "A weight of magnitude " + std::to_string(std::max(-smallest, largest)) + " in row " +
                                                  std::to_string(r) + " needs a scale beyond float16; such a layer cannot be stored.");
        }
        grid.scales(r, g) = scale;
        if (!scheme.symmetric) grid.zeros[r * groups + g] = std::int8_t(-range.lowest);
      }
  });
  return grid;
}

MatrixD fit_scales(const MatrixD& weight, const WeightScheme& scheme, bool round_to_half) {
  return fit_grid(weight, scheme, round_to_half).scales;
}

}  // namespace lrc

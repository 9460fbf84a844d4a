// The definition of every kernel: float32, one rounding an operation, in the order written here.
#include <algorithm>
#include <cmath>

#include "backend/cpu/kernels.h"
#include "quantization/activation.h"
#include "tensor/dtype.h"

namespace lrc::cpu {
namespace {

constexpr std::size_t kLanes = 8;

float sum_of_lanes(const float* lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/// Dot products are kept as eight partial sums, element i in sum i mod 8, then added as a tree.
template <typename A, typename ToFloat>
float dot(const A* a, const float* x, std::size_t count, ToFloat to_float_of) {
  float lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += to_float_of(a[i + lane]) * x[i + lane];
  for (; i < count; ++i) lanes[i % kLanes] += to_float_of(a[i]) * x[i];
  return sum_of_lanes(lanes);
}

float same(float value) { return value; }

void dot_rows_f32(const float* w, std::size_t rows, std::size_t columns, const float* x, std::size_t x_stride, std::size_t tokens, float* y,
                  std::size_t y_stride) {
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t r = 0; r < rows; ++r) y[t * y_stride + r] = dot(w + r * columns, x + t * x_stride, columns, same);
}

void dot_rows_f16(const std::uint16_t* w, std::size_t rows, std::size_t columns, const float* x, std::size_t x_stride, std::size_t tokens,
                  float* y, std::size_t y_stride) {
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t r = 0; r < rows; ++r) y[t * y_stride + r] = dot(w + r * columns, x + t * x_stride, columns, half_to_float);
}

void add_pair_panel(const std::uint16_t* panel, std::size_t components, std::size_t columns, const float* s, std::size_t s_stride,
                    std::size_t tokens, float* y, std::size_t y_stride) {
  for (std::size_t t = 0; t < tokens; ++t) {
    float sums[kPairPanel] = {};
    for (std::size_t k = 0; k < components; ++k)
      for (std::size_t c = 0; c < columns; ++c) sums[c] += s[t * s_stride + k] * half_to_float(panel[k * kPairPanel + c]);
    for (std::size_t c = 0; c < columns; ++c) y[t * y_stride + c] += sums[c];
  }
}

void widen(const std::uint16_t* half, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = half_to_float(half[i]);
}

bool quantize_group(const float* x, std::size_t count, float factor, float lowest, float highest, std::int8_t* codes, float* scale) {
  float largest = 0;
  bool finite = true;
  for (std::size_t i = 0; i < count; ++i) {
    finite = finite && std::isfinite(x[i]);
    largest = std::max(largest, std::fabs(x[i]));
  }
  *scale = largest * factor;
  for (std::size_t i = 0; i < count; ++i) codes[i] = std::int8_t(activation_code(x[i], *scale, int(lowest), int(highest)));
  return finite && std::isfinite(*scale);
}

const float* scales_of(const CodesTile& tile, std::size_t row, std::size_t group) {
  return tile.weight_scales + ((row / kPanelRows) * tile.weight_groups + group) * kPanelRows + row % kPanelRows;
}

void multiply_codes(const CodesTile& tile) {
  for (std::size_t r = tile.first_row; r < tile.last_row; ++r) {
    const std::int8_t* w = tile.plain_codes + r * tile.columns;
    for (std::size_t t = 0; t < tile.tokens; ++t) {
      const std::int8_t* x = tile.plain_activations + t * tile.columns;
      float total = 0, inner = 0;
      for (std::size_t i = 0; i < tile.segment_count; ++i) {
        const Segment& segment = tile.segments[i];
        std::int32_t sum = 0;
        for (std::size_t c = segment.first_column; c < segment.first_column + segment.columns; ++c) sum += int(w[c]) * int(x[c]);
        inner += float(sum) * *scales_of(tile, r, segment.weight_group);
        if (i + 1 == tile.segment_count || tile.segments[i + 1].activation_group != segment.activation_group) {
          total += inner * tile.activation_scales[segment.activation_group * tile.tokens + t];
          inner = 0;
        }
      }
      tile.y[t * tile.y_stride + r] = total;
    }
  }
}

void multiply_codes_float(const CodesTile& tile, const float* x, std::size_t x_stride) {
  const auto as_float = [](std::int8_t code) { return float(code); };
  for (std::size_t r = tile.first_row; r < tile.last_row; ++r)
    for (std::size_t t = 0; t < tile.tokens; ++t) {
      float total = 0;
      for (std::size_t i = 0; i < tile.segment_count; ++i) {
        const Segment& segment = tile.segments[i];
        const float sum = dot(tile.plain_codes + r * tile.columns + segment.first_column, x + t * x_stride + segment.first_column,
                              segment.columns, as_float);
        total += sum * *scales_of(tile, r, segment.weight_group);
      }
      tile.y[t * tile.y_stride + r] = total;
    }
}

void widen_codes(const CodesTile& tile, float* out, std::size_t stride) {
  for (std::size_t r = tile.first_row; r < tile.last_row; ++r)
    for (std::size_t i = 0; i < tile.segment_count; ++i) {
      const Segment& segment = tile.segments[i];
      for (std::size_t c = segment.first_column; c < segment.first_column + segment.columns; ++c)
        out[c * stride + r - tile.first_row] = float(tile.plain_codes[r * tile.columns + c]) * *scales_of(tile, r, segment.weight_group);
    }
}

void rms_norm(const float* x, const float* gain, float epsilon, std::size_t width, float* out) {
  const float mean = dot(x, x, width, same) / float(width);
  const float factor = 1.0f / std::sqrt(mean + epsilon);
  for (std::size_t i = 0; i < width; ++i) out[i] = x[i] * factor * gain[i];
}

void add(float* x, const float* y, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) x[i] += y[i];
}

void layer_norm(const float* x, const float* gain, const float* bias, float epsilon, std::size_t width, float* out) {
  const auto one = [](float) { return 1.0f; };
  const float mean = dot(x, x, width, one) / float(width);
  for (std::size_t i = 0; i < width; ++i) out[i] = x[i] - mean;
  const float factor = 1.0f / std::sqrt(dot(out, out, width, same) / float(width) + epsilon);
  for (std::size_t i = 0; i < width; ++i) out[i] = out[i] * factor * gain[i] + bias[i];
}

void add_scaled(float* x, const float* y, float factor, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) x[i] += factor * y[i];
}

void relu(float* x, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) x[i] = x[i] < 0 ? 0 : x[i];  // not a number stays visible
}

void silu_multiply(const float* gate, const float* up, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

void rope(float* x, const float* cosines, const float* sines, std::size_t half) {
  for (std::size_t i = 0; i < half; ++i) {
    const float a = x[i], b = x[i + half];
    x[i] = a * cosines[i] - b * sines[i];
    x[i + half] = b * cosines[i] + a * sines[i];
  }
}

void hadamard(float* x, std::size_t base, std::size_t power_of_two, const float* base_matrix, float scale, float* scratch) {
  for (float* row = x; row != x + base * power_of_two; row += power_of_two)
    for (std::size_t step = 1; step < power_of_two; step *= 2)
      for (std::size_t block = 0; block < power_of_two; block += 2 * step)
        for (std::size_t i = block; i < block + step; ++i) {
          const float a = row[i], b = row[i + step];
          row[i] = a + b;
          row[i + step] = a - b;
        }
  if (base == 1) {
    for (std::size_t i = 0; i < power_of_two; ++i) x[i] *= scale;
    return;
  }
  std::copy_n(x, base * power_of_two, scratch);
  for (std::size_t b = 0; b < base; ++b)
    for (std::size_t i = 0; i < power_of_two; ++i) {
      float sum = 0;
      for (std::size_t a = 0; a < base; ++a) sum += base_matrix[a * base + b] * scratch[a * power_of_two + i];
      x[b * power_of_two + i] = sum * scale;
    }
}

float softmax_step(float* scores, std::size_t count, float scale, float* maximum, float* sum) {
  float largest = *maximum;
  for (std::size_t i = 0; i < count; ++i) largest = std::max(largest, scores[i] * scale);
  const float factor = std::exp(*maximum - largest);  // 0 the first time, when *maximum is −infinity
  float total = 0;
  for (std::size_t i = 0; i < count; ++i) {
    scores[i] = std::exp(scores[i] * scale - largest);
    total += scores[i];
  }
  *sum = *sum * factor + total;
  *maximum = largest;
  return factor;
}

void attend(const float* q, const float* k, const float* v, std::size_t kv_stride, std::size_t keys, std::size_t head_dim, float scale,
            float* scores, float* out) {
  for (std::size_t i = 0; i < keys; ++i) scores[i] = dot(q, k + i * kv_stride, head_dim, same);
  float maximum = -INFINITY, sum = 0;
  softmax_step(scores, keys, scale, &maximum, &sum);
  std::fill_n(out, head_dim, 0.0f);
  for (std::size_t i = 0; i < keys; ++i)
    for (std::size_t d = 0; d < head_dim; ++d) out[d] += scores[i] * v[i * kv_stride + d];
  for (std::size_t d = 0; d < head_dim; ++d) out[d] /= sum;
}

void widen_cache(const CacheTile& tile, float* out) {
  for (std::size_t r = 0; r < tile.rows; ++r)
    for (std::size_t i = 0; i < tile.groups * tile.group; ++i) {
      const std::size_t group = r * tile.group_stride + i / tile.group;
      const std::uint8_t byte = tile.codes[r * tile.code_stride + (tile.nibbles ? i / 2 : i)];
      const int code = !tile.nibbles ? byte : i % 2 == 0 ? byte & 15 : byte >> 4;
      *out++ = float(code - int(tile.zeros[group])) * tile.scales[group];
    }
}

}  // namespace

const Kernels& scalar_kernels() {
  static const Kernels kernels{.name = "scalar",
                               .packed = false,
                               .tile_tokens = 8,
                               .dot_rows_f32 = dot_rows_f32,
                               .dot_rows_f16 = dot_rows_f16,
                               .add_pair_panel = add_pair_panel,
                               .widen = widen,
                               .quantize_group = quantize_group,
                               .multiply_codes = multiply_codes,
                               .multiply_codes_float = multiply_codes_float,
                               .widen_codes = widen_codes,
                               .rms_norm = rms_norm,
                               .layer_norm = layer_norm,
                               .add = add,
                               .add_scaled = add_scaled,
                               .relu = relu,
                               .silu_multiply = silu_multiply,
                               .rope = rope,
                               .hadamard = hadamard,
                               .attend = attend,
                               .widen_cache = widen_cache,
                               .softmax_step = softmax_step};
  return kernels;
}

}  // namespace lrc::cpu

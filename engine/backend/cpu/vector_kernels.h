#pragma once
// The kernels whose shape is the same on every instruction set, written once over a trait V of float vectors: how many lanes,
// how to load and store some of them, and the few operations that + − · / on vectors are not. Each kernel file defines its V
// in its unnamed namespace, so that what is compiled here for one instruction set has no name outside of that file (kernels.h
// says why).
//   V::Floats, V::lanes                     a vector of floats (of the compiler: + − · / work on it)
//   all(x), load(p), load_some(p, n)        p float or float16; the first n ≥ 1 lanes, zero behind, all of them for n ≥ lanes
//   load_bytes(p), load_nibbles(p)          `lanes` unsigned bytes, or nibbles (the low one of a byte first), as floats
//   store(p, v), store_some(p, v, n)
//   multiply_add(a, b, c) = a b + c, multiply_subtract = a b − c, negative_multiply_add = c − a b; one rounding
//   smaller(a, b), larger(a, b)             the second where they do not compare
//   first(n, v, other)                      the first n lanes of v, of `other` behind
//   round(v), scale_by_power(v, n) = v 2ⁿ, highest_exponent
//   sum(v), largest(v)
//   butterflies(v)                          the Hadamard stages within a vector
//   dot_some<rows, tokens>(…), rows_at_once(tokens)
#include <cstdint>
#include <utility>

#include "backend/cpu/kernels.h"

namespace lrc::cpu {

/// Calls work with `tokens` (1 to 4, at least 4 counts as 4) as a constant.
template <typename Work>
inline void with_tokens(std::size_t tokens, const Work& work) {
  switch (tokens) {
    case 1:
      return work(std::integral_constant<int, 1>{});
    case 2:
      return work(std::integral_constant<int, 2>{});
    case 3:
      return work(std::integral_constant<int, 3>{});
    default:
      return work(std::integral_constant<int, 4>{});
  }
}

template <typename V>
struct VectorKernels {
  using Floats = typename V::Floats;
  static constexpr std::size_t lanes = V::lanes;

  /// e^x: x = n ln 2 + r, |r| ≤ ln 2 / 2, Taylor's series to r⁷ (remainder below 6e-9). Limited to the normal numbers.
  static Floats exponential(Floats x) {
    x = V::smaller(V::larger(x, V::all(-87.3f)), V::all(V::highest_exponent));
    const Floats n = V::round(x * V::all(1.44269504f));
    // ln 2 in two parts: the first has few enough bits that n times it is exact.
    Floats r = V::negative_multiply_add(n, V::all(0.693145752f), x);
    r = V::negative_multiply_add(n, V::all(1.42860677e-6f), r);
    Floats p = V::all(1.0f / 5040);
    p = V::multiply_add(p, r, V::all(1.0f / 720));
    p = V::multiply_add(p, r, V::all(1.0f / 120));
    p = V::multiply_add(p, r, V::all(1.0f / 24));
    p = V::multiply_add(p, r, V::all(1.0f / 6));
    p = V::multiply_add(p, r, V::all(0.5f));
    p = V::multiply_add(p, r, V::all(1.0f));
    p = V::multiply_add(p, r, V::all(1.0f));
    return V::scale_by_power(p, n);
  }

  static void widen(const std::uint16_t* half, std::size_t count, float* out) {
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) V::store(out + i, V::load(half + i));
    if (i < count) V::store_some(out + i, V::load_some(half + i, count - i), count - i);
  }

  // ---- elementwise -------------------------------------------------------------------------------------------------------

  static void rms_norm(const float* x, const float* gain, float epsilon, std::size_t width, float* out) {
    Floats sums[4] = {V::all(0), V::all(0), V::all(0), V::all(0)};
    std::size_t i = 0;
    for (; i + 4 * lanes <= width; i += 4 * lanes)
      for (std::size_t j = 0; j < 4; ++j) {
        const Floats v = V::load(x + i + j * lanes);
        sums[j] = V::multiply_add(v, v, sums[j]);
      }
    for (; i < width; i += lanes) {
      const Floats v = V::load_some(x + i, width - i);
      sums[0] = V::multiply_add(v, v, sums[0]);
    }
    const float mean = V::sum((sums[0] + sums[1]) + (sums[2] + sums[3])) / float(width);
    const Floats factor = V::all(1.0f / __builtin_sqrtf(mean + epsilon));
    for (i = 0; i < width; i += lanes) {
      const std::size_t left = width - i;
      V::store_some(out + i, V::load_some(x + i, left) * factor * V::load_some(gain + i, left), left);
    }
  }

  static void layer_norm(const float* x, const float* gain, const float* bias, float epsilon, std::size_t width, float* out) {
    Floats sum = V::all(0), squares = V::all(0);
    for (std::size_t i = 0; i < width; i += lanes) sum = sum + V::load_some(x + i, width - i);
    const Floats mean = V::all(V::sum(sum) / float(width));
    for (std::size_t i = 0; i < width; i += lanes) {
      const Floats v = V::first(width - i, V::load_some(x + i, width - i) - mean, V::all(0));
      squares = V::multiply_add(v, v, squares);
      V::store_some(out + i, v, width - i);
    }
    const float variance = V::sum(squares) / float(width);
    const Floats factor = V::all(1.0f / __builtin_sqrtf(variance + epsilon));
    for (std::size_t i = 0; i < width; i += lanes) {
      const std::size_t left = width - i;
      const Floats scaled = V::load_some(out + i, left) * factor;
      V::store_some(out + i, V::multiply_add(scaled, V::load_some(gain + i, left), V::load_some(bias + i, left)), left);
    }
  }

  static void add(float* x, const float* y, std::size_t count) {
    for (std::size_t i = 0; i < count; i += lanes)
      V::store_some(x + i, V::load_some(x + i, count - i) + V::load_some(y + i, count - i), count - i);
  }

  static void add_scaled(float* x, const float* y, float factor, std::size_t count) {
    const Floats by = V::all(factor);
    for (std::size_t i = 0; i < count; i += lanes)
      V::store_some(x + i, V::multiply_add(by, V::load_some(y + i, count - i), V::load_some(x + i, count - i)), count - i);
  }

  static void relu(float* x, std::size_t count) {
    // In this order a value that is not a number stays one.
    for (std::size_t i = 0; i < count; i += lanes) V::store_some(x + i, V::larger(V::all(0), V::load_some(x + i, count - i)), count - i);
  }

  static void silu_multiply(const float* gate, const float* up, std::size_t count, float* out) {
    for (std::size_t i = 0; i < count; i += lanes) {
      const Floats g = V::load_some(gate + i, count - i);
      const Floats denominator = V::all(1) + exponential(V::all(0) - g);
      V::store_some(out + i, g / denominator * V::load_some(up + i, count - i), count - i);
    }
  }

  static void rope(float* x, const float* cosines, const float* sines, std::size_t half) {
    for (std::size_t i = 0; i < half; i += lanes) {
      const std::size_t left = half - i;
      const Floats a = V::load_some(x + i, left), b = V::load_some(x + half + i, left);
      const Floats c = V::load_some(cosines + i, left), s = V::load_some(sines + i, left);
      V::store_some(x + i, V::multiply_subtract(a, c, b * s), left);
      V::store_some(x + half + i, V::multiply_add(b, c, a * s), left);
    }
  }

  // ---- float products ----------------------------------------------------------------------------------------------------

  template <typename Weight>
  static void dot_rows(const Weight* w, std::size_t rows, std::size_t columns, const float* x, std::size_t x_stride, std::size_t tokens,
                       float* y, std::size_t y_stride) {
    while (tokens > 0) {
      const std::size_t now = tokens < 4 ? tokens : 4;
      with_tokens(now, [&](auto constant) {
        constexpr int kTokens = decltype(constant)::value, kRows = V::rows_at_once(kTokens);
        std::size_t r = 0;
        for (; r + kRows <= rows; r += kRows)
          V::template dot_some<kRows, kTokens>(w + r * columns, columns, columns, x, x_stride, y + r, y_stride);
        for (; r < rows; ++r) V::template dot_some<1, kTokens>(w + r * columns, columns, columns, x, x_stride, y + r, y_stride);
      });
      tokens -= now;
      x += now * x_stride;
      y += now * y_stride;
    }
  }

  static void add_pair_panel(const std::uint16_t* panel, std::size_t components, std::size_t columns, const float* s, std::size_t s_stride,
                             std::size_t tokens, float* y, std::size_t y_stride) {
    constexpr std::size_t kParts = kPairPanel / lanes;
    for (std::size_t t = 0; t < tokens; ++t, s += s_stride, y += y_stride) {
      Floats sums[kParts];
      for (auto& sum : sums) sum = V::all(0);
      for (std::size_t k = 0; k < components; ++k) {
        const Floats value = V::all(s[k]);
        for (std::size_t i = 0; i < kParts; ++i) sums[i] = V::multiply_add(V::load(panel + k * kPairPanel + i * lanes), value, sums[i]);
      }
      for (std::size_t i = 0; i < kParts && i * lanes < columns; ++i) {
        const std::size_t left = columns - i * lanes;
        V::store_some(y + i * lanes, V::load_some(y + i * lanes, left) + sums[i], left);
      }
    }
  }

  // ---- Hadamard and attention --------------------------------------------------------------------------------------------

  static void hadamard(float* x, std::size_t base, std::size_t power_of_two, const float* base_matrix, float scale, float* scratch) {
    if (power_of_two < lanes) return scalar_kernels().hadamard(x, base, power_of_two, base_matrix, scale, scratch);
    const std::size_t width = base * power_of_two;
    for (std::size_t i = 0; i < width; i += lanes) V::store(x + i, V::butterflies(V::load(x + i)));
    for (std::size_t step = lanes; step < power_of_two; step *= 2)
      for (std::size_t block = 0; block < width; block += 2 * step)
        for (std::size_t i = block; i < block + step; i += lanes) {
          const Floats a = V::load(x + i), b = V::load(x + i + step);
          V::store(x + i, a + b);
          V::store(x + i + step, a - b);
        }
    const Floats factor = V::all(scale);
    if (base == 1) {
      for (std::size_t i = 0; i < width; i += lanes) V::store(x + i, V::load(x + i) * factor);
      return;
    }
    for (std::size_t i = 0; i < width; i += lanes) V::store(scratch + i, V::load(x + i));
    // Four outputs at a time share what they read; the order of a base is a multiple of four.
    for (std::size_t i = 0; i < power_of_two; i += lanes)
      for (std::size_t b = 0; b < base; b += 4) {
        Floats sums[4] = {V::all(0), V::all(0), V::all(0), V::all(0)};
        for (std::size_t a = 0; a < base; ++a) {
          const Floats v = V::load(scratch + a * power_of_two + i);
          for (std::size_t j = 0; j < 4; ++j) sums[j] = V::multiply_add(V::all(base_matrix[a * base + b + j]), v, sums[j]);
        }
        for (std::size_t j = 0; j < 4; ++j) V::store(x + (b + j) * power_of_two + i, sums[j] * factor);
      }
  }

  static void widen_cache(const CacheTile& tile, float* out) {
    for (std::size_t r = 0; r < tile.rows; ++r) {
      const std::uint8_t* codes = tile.codes + r * tile.code_stride;
      for (std::size_t g = 0; g < tile.groups; ++g) {
        const float scale = tile.scales[r * tile.group_stride + g];
        const int zero = tile.zeros[r * tile.group_stride + g];
        const Floats factor = V::all(scale), shift = V::all(float(zero));
        std::size_t i = 0;
        if (tile.nibbles) {
          for (; i + lanes <= tile.group; i += lanes) V::store(out + i, (V::load_nibbles(codes + i / 2) - shift) * factor);
          for (; i < tile.group; ++i) out[i] = float((i % 2 == 0 ? codes[i / 2] & 15 : codes[i / 2] >> 4) - zero) * scale;
          codes += tile.group / 2;
        } else {
          for (; i + lanes <= tile.group; i += lanes) V::store(out + i, (V::load_bytes(codes + i) - shift) * factor);
          for (; i < tile.group; ++i) out[i] = float(int(codes[i]) - zero) * scale;
          codes += tile.group;
        }
        out += tile.group;
      }
    }
  }

  static float softmax_step(float* scores, std::size_t count, float scale, float* maximum, float* sum) {
    const Floats factor = V::all(scale);
    Floats highest = V::all(*maximum);
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) highest = V::larger(highest, V::load(scores + i) * factor);
    if (i < count) highest = V::larger(highest, V::first(count - i, V::load_some(scores + i, count - i) * factor, highest));
    const float largest = V::largest(highest);
    const Floats shift = V::all(largest);
    Floats total = V::all(0);
    for (i = 0; i + lanes <= count; i += lanes) {
      const Floats value = exponential(V::multiply_subtract(V::load(scores + i), factor, shift));
      total = total + value;
      V::store(scores + i, value);
    }
    if (i < count) {
      const std::size_t left = count - i;
      const Floats value = exponential(V::multiply_subtract(V::load_some(scores + i, left), factor, shift));
      total = total + V::first(left, value, V::all(0));
      V::store_some(scores + i, value, left);
    }
    // The first time *maximum is −infinity and *sum 0; the exponential's limit then gives a tiny number times 0.
    const float earlier = exponential(V::all(*maximum - largest))[0];
    *sum = *sum * earlier + V::sum(total);
    *maximum = largest;
    return earlier;
  }

  static void attend(const float* q, const float* k, const float* v, std::size_t kv_stride, std::size_t keys, std::size_t head_dim,
                     float scale, float* scores, float* out) {
    std::size_t i = 0;
    for (; i + 4 <= keys; i += 4) V::template dot_some<4, 1>(k + i * kv_stride, kv_stride, head_dim, q, 0, scores + i, 0);
    for (; i < keys; ++i) V::template dot_some<1, 1>(k + i * kv_stride, kv_stride, head_dim, q, 0, scores + i, 0);
    float maximum = -__builtin_inff(), sum = 0;
    softmax_step(scores, keys, scale, &maximum, &sum);
    const Floats inverse = V::all(1.0f / sum);
    constexpr std::size_t kParts = 32 / lanes;
    std::size_t d = 0;
    for (; d + kParts * lanes <= head_dim; d += kParts * lanes) {
      Floats even[kParts], odd[kParts];
      for (std::size_t j = 0; j < kParts; ++j) even[j] = odd[j] = V::all(0);
      const float* at = v + d;
      for (i = 0; i + 2 <= keys; i += 2, at += 2 * kv_stride) {
        const Floats p = V::all(scores[i]), p_next = V::all(scores[i + 1]);
        for (std::size_t j = 0; j < kParts; ++j) {
          even[j] = V::multiply_add(p, V::load(at + j * lanes), even[j]);
          odd[j] = V::multiply_add(p_next, V::load(at + kv_stride + j * lanes), odd[j]);
        }
      }
      if (i < keys)
        for (std::size_t j = 0; j < kParts; ++j) even[j] = V::multiply_add(V::all(scores[i]), V::load(at + j * lanes), even[j]);
      for (std::size_t j = 0; j < kParts; ++j) V::store(out + d + j * lanes, (even[j] + odd[j]) * inverse);
    }
    for (; d < head_dim; d += lanes) {
      Floats part = V::all(0);
      for (i = 0; i < keys; ++i) part = V::multiply_add(V::all(scores[i]), V::load_some(v + i * kv_stride + d, head_dim - d), part);
      V::store_some(out + d, part * inverse, head_dim - d);
    }
  }
};

}  // namespace lrc::cpu

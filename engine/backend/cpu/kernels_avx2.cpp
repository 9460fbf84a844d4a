// AVX2 kernels. This file is compiled for that instruction set: it may hold static functions and intrinsics only (see
// kernels.h). There is no byte dot product here: vpmaddubsw gives 16-bit sums of two products, and as many of them are added
// in 16 bits as cannot overflow before they are widened.
#include <immintrin.h>

#include "backend/cpu/kernels.h"

namespace lrc::cpu {
namespace {

constexpr std::size_t kLanes = 8;

/// The first `count` lanes.
__m256i mask_of(std::size_t count) {
  const int n = count >= kLanes ? int(kLanes) : int(count);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

float sum_of(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

float largest_of(__m256 v) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

// ---- elementwise -------------------------------------------------------------------------------------------------------

/// e^x: x = n ln 2 + r, |r| ≤ ln 2 / 2, Taylor's series to r⁷ (remainder below 6e-9). Limited to the normal numbers.
__m256 exponential(__m256 x) {
  x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(-87.3f)), _mm256_set1_ps(88.3f));
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  // ln 2 in two parts: the first has few enough bits that n times it is exact.
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693145752f), x);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(1.42860677e-6f), r);
  __m256 p = _mm256_set1_ps(1.0f / 5040);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 720));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
  const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_mul_ps(p, _mm256_castsi256_ps(exponent));
}

__m256 load(const float* from) { return _mm256_loadu_ps(from); }
__m256 load(const std::uint16_t* from) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))); }
/// The first `count` < 8 values, zero behind.
__m256 load_some(const float* from, std::size_t count) { return _mm256_maskload_ps(from, mask_of(count)); }
__m256 load_some(const std::uint16_t* from, std::size_t count) {
  alignas(16) std::uint16_t values[kLanes] = {};
  for (std::size_t i = 0; i < count; ++i) values[i] = from[i];
  return load(values);
}
void store_some(float* to, __m256 values, std::size_t count) {
  if (count >= kLanes)
    _mm256_storeu_ps(to, values);
  else
    _mm256_maskstore_ps(to, mask_of(count), values);
}

void widen(const std::uint16_t* half, std::size_t count, float* out) {
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) _mm256_storeu_ps(out + i, load(half + i));
  if (i < count) store_some(out + i, load_some(half + i, count - i), count - i);
}

void rms_norm(const float* x, const float* gain, float epsilon, std::size_t width, float* out) {
  __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  std::size_t i = 0;
  for (; i + 4 * kLanes <= width; i += 4 * kLanes)
    for (std::size_t j = 0; j < 4; ++j) {
      const __m256 v = load(x + i + j * kLanes);
      sums[j] = _mm256_fmadd_ps(v, v, sums[j]);
    }
  for (; i < width; i += kLanes) {
    const __m256 v = load_some(x + i, width - i);
    sums[0] = _mm256_fmadd_ps(v, v, sums[0]);
  }
  const float mean = sum_of(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]))) / float(width);
  const __m256 factor = _mm256_set1_ps(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + epsilon))));
  for (i = 0; i < width; i += kLanes) {
    const std::size_t left = width - i;
    store_some(out + i, _mm256_mul_ps(_mm256_mul_ps(load_some(x + i, left), factor), load_some(gain + i, left)), left);
  }
}

void add(float* x, const float* y, std::size_t count) {
  for (std::size_t i = 0; i < count; i += kLanes)
    store_some(x + i, _mm256_add_ps(load_some(x + i, count - i), load_some(y + i, count - i)), count - i);
}

void layer_norm(const float* x, const float* gain, const float* bias, float epsilon, std::size_t width, float* out) {
  __m256 sum = _mm256_setzero_ps(), squares = _mm256_setzero_ps();
  for (std::size_t i = 0; i < width; i += kLanes) sum = _mm256_add_ps(sum, load_some(x + i, width - i));
  const __m256 mean = _mm256_set1_ps(sum_of(sum) / float(width));
  for (std::size_t i = 0; i < width; i += kLanes) store_some(out + i, _mm256_sub_ps(load_some(x + i, width - i), mean), width - i);
  for (std::size_t i = 0; i < width; i += kLanes) {
    const __m256 v = load_some(out + i, width - i);
    squares = _mm256_fmadd_ps(v, v, squares);
  }
  const float variance = sum_of(squares) / float(width);
  const __m256 factor = _mm256_set1_ps(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(variance + epsilon))));
  for (std::size_t i = 0; i < width; i += kLanes) {
    const std::size_t left = width - i;
    const __m256 scaled = _mm256_mul_ps(load_some(out + i, left), factor);
    store_some(out + i, _mm256_fmadd_ps(scaled, load_some(gain + i, left), load_some(bias + i, left)), left);
  }
}

void add_scaled(float* x, const float* y, float factor, std::size_t count) {
  const __m256 by = _mm256_set1_ps(factor);
  for (std::size_t i = 0; i < count; i += kLanes)
    store_some(x + i, _mm256_fmadd_ps(by, load_some(y + i, count - i), load_some(x + i, count - i)), count - i);
}

void relu(float* x, std::size_t count) {
  // In this order a value that is not a number stays one.
  for (std::size_t i = 0; i < count; i += kLanes)
    store_some(x + i, _mm256_max_ps(_mm256_setzero_ps(), load_some(x + i, count - i)), count - i);
}

void silu_multiply(const float* gate, const float* up, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; i += kLanes) {
    const __m256 g = load_some(gate + i, count - i);
    const __m256 denominator = _mm256_add_ps(_mm256_set1_ps(1.0f), exponential(_mm256_sub_ps(_mm256_setzero_ps(), g)));
    store_some(out + i, _mm256_mul_ps(_mm256_div_ps(g, denominator), load_some(up + i, count - i)), count - i);
  }
}

void rope(float* x, const float* cosines, const float* sines, std::size_t half) {
  for (std::size_t i = 0; i < half; i += kLanes) {
    const std::size_t left = half - i;
    const __m256 a = load_some(x + i, left), b = load_some(x + half + i, left);
    const __m256 c = load_some(cosines + i, left), s = load_some(sines + i, left);
    store_some(x + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)), left);
    store_some(x + half + i, _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)), left);
  }
}

// ---- the activation quantizer --------------------------------------------------------------------------------------------

bool quantize_group(const float* x, std::size_t count, float factor, float lowest, float highest, std::int8_t* codes, float* scale) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i largest = _mm256_setzero_si256();
  for (std::size_t i = 0; i < count; i += kLanes)
    largest = _mm256_max_epu32(largest, _mm256_and_si256(magnitude, _mm256_castps_si256(load_some(x + i, count - i))));
  alignas(32) std::uint32_t lanes[kLanes];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), largest);
  std::uint32_t bits = 0;
  for (const std::uint32_t lane : lanes) bits = lane > bits ? lane : bits;
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  *scale = value * factor;
  const bool finite = bits < 0x7f800000u && *scale < __builtin_inff();
  if (!finite || *scale == 0.0f) {
    for (std::size_t i = 0; i < count; ++i) codes[i] = 0;
    return finite;
  }
  const __m256 s = _mm256_set1_ps(*scale), low = _mm256_set1_ps(lowest), high = _mm256_set1_ps(highest);
  const __m256 one = _mm256_set1_ps(1.0f), half = _mm256_set1_ps(0.5f);
  for (std::size_t i = 0; i < count; i += kLanes) {
    const __m256 v = load_some(x + i, count - i);
    const __m256 quotient = _mm256_min_ps(_mm256_max_ps(_mm256_div_ps(v, s), low), high);
    __m256 q = _mm256_round_ps(quotient, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 odd = _mm256_castsi256_ps(_mm256_srai_epi32(_mm256_slli_epi32(_mm256_cvtps_epi32(q), 31), 31));
    const __m256 above = _mm256_mul_ps(_mm256_add_ps(q, half), s), below = _mm256_mul_ps(_mm256_sub_ps(q, half), s);
    const __m256 up = _mm256_or_ps(_mm256_cmp_ps(v, above, _CMP_GT_OQ), _mm256_and_ps(_mm256_cmp_ps(v, above, _CMP_EQ_OQ), odd));
    const __m256 down = _mm256_or_ps(_mm256_cmp_ps(v, below, _CMP_LT_OQ), _mm256_and_ps(_mm256_cmp_ps(v, below, _CMP_EQ_OQ), odd));
    q = _mm256_sub_ps(_mm256_add_ps(q, _mm256_and_ps(up, one)), _mm256_and_ps(down, one));
    const __m256i whole = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(q, low), high));
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    const long long eight = _mm_cvtsi128_si64(_mm_packs_epi16(words, words));
    __builtin_memcpy(codes + i, &eight, count - i < kLanes ? count - i : kLanes);
  }
  return true;
}

// ---- float products ------------------------------------------------------------------------------------------------------

/// Prefetches `bytes` from `from`, which need not be memory that exists.
inline __attribute__((always_inline)) void ask_ahead(const void* from, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 64) _mm_prefetch(static_cast<const char*>(from) + i, _MM_HINT_T0);
}

/// kRows rows against kTokens tokens. What follows the rows in memory is asked for meanwhile, line after line: asking for it
/// row by row, as it is used, halves the bandwidth.
template <int kRows, int kTokens, typename Weight>
void dot_some(const Weight* w, std::size_t w_stride, std::size_t columns, const float* x, std::size_t x_stride, float* y,
              std::size_t y_stride) {
  // Two sums for one row and token: a single chain of additions would wait for itself.
  constexpr int kChains = kRows * kTokens < 8 ? 2 : 1;
  __m256 sums[kRows][kTokens][kChains];
  for (auto& row : sums)
    for (auto& token : row)
      for (auto& sum : token) sum = _mm256_setzero_ps();
  std::size_t i = 0;
  for (; i + kChains * kLanes <= columns; i += kChains * kLanes)
    for (int c = 0; c < kChains; ++c) {
      const std::size_t at = i + std::size_t(c) * kLanes;
      ask_ahead(w + kRows * w_stride + kRows * at, kRows * kLanes * sizeof(Weight));
      for (int r = 0; r < kRows; ++r) {
        const Weight* from = w + std::size_t(r) * w_stride + at;
        const __m256 weight = load(from);
        for (int t = 0; t < kTokens; ++t) sums[r][t][c] = _mm256_fmadd_ps(weight, load(x + std::size_t(t) * x_stride + at), sums[r][t][c]);
      }
    }
  for (; i < columns; i += kLanes)
    for (int r = 0; r < kRows; ++r) {
      const std::size_t left = columns - i < kLanes ? columns - i : kLanes;
      const __m256 weight = load_some(w + std::size_t(r) * w_stride + i, left);
      for (int t = 0; t < kTokens; ++t)
        sums[r][t][0] = _mm256_fmadd_ps(weight, load_some(x + std::size_t(t) * x_stride + i, left), sums[r][t][0]);
    }
  for (int r = 0; r < kRows; ++r)
    for (int t = 0; t < kTokens; ++t) {
      const __m256 sum = kChains == 2 ? _mm256_add_ps(sums[r][t][0], sums[r][t][kChains - 1]) : sums[r][t][0];
      y[std::size_t(t) * y_stride + std::size_t(r)] = sum_of(sum);
    }
}

template <int kTokens, typename Weight>
void dot_tokens(const Weight* w, std::size_t rows, std::size_t columns, const float* x, std::size_t x_stride, float* y,
                std::size_t y_stride) {
  constexpr std::size_t kRows = kTokens == 1 ? 4 : 2;
  std::size_t r = 0;
  for (; r + kRows <= rows; r += kRows) dot_some<int(kRows), kTokens>(w + r * columns, columns, columns, x, x_stride, y + r, y_stride);
  for (; r < rows; ++r) dot_some<1, kTokens>(w + r * columns, columns, columns, x, x_stride, y + r, y_stride);
}

template <typename Weight>
void dot_rows(const Weight* w, std::size_t rows, std::size_t columns, const float* x, std::size_t x_stride, std::size_t tokens, float* y,
              std::size_t y_stride) {
  while (tokens > 0) {
    const std::size_t now = tokens < 4 ? tokens : 4;
    switch (now) {
      case 1:
        dot_tokens<1>(w, rows, columns, x, x_stride, y, y_stride);
        break;
      case 2:
        dot_tokens<2>(w, rows, columns, x, x_stride, y, y_stride);
        break;
      case 3:
        dot_tokens<3>(w, rows, columns, x, x_stride, y, y_stride);
        break;
      default:
        dot_tokens<4>(w, rows, columns, x, x_stride, y, y_stride);
        break;
    }
    tokens -= now;
    x += now * x_stride;
    y += now * y_stride;
  }
}

void add_pair_panel(const std::uint16_t* panel, std::size_t components, std::size_t columns, const float* s, std::size_t s_stride,
                    std::size_t tokens, float* y, std::size_t y_stride) {
  constexpr std::size_t kParts = kPairPanel / kLanes;
  for (std::size_t t = 0; t < tokens; ++t, s += s_stride, y += y_stride) {
    __m256 sums[kParts];
    for (auto& sum : sums) sum = _mm256_setzero_ps();
    for (std::size_t k = 0; k < components; ++k) {
      const __m256 value = _mm256_set1_ps(s[k]);
      for (std::size_t i = 0; i < kParts; ++i) sums[i] = _mm256_fmadd_ps(load(panel + k * kPairPanel + i * kLanes), value, sums[i]);
    }
    for (std::size_t i = 0; i < kParts && i * kLanes < columns; ++i) {
      const std::size_t left = columns - i * kLanes;
      store_some(y + i * kLanes, _mm256_add_ps(load_some(y + i * kLanes, left), sums[i]), left);
    }
  }
}

// ---- quantized products --------------------------------------------------------------------------------------------------

inline __attribute__((always_inline)) __m256i load_bytes(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

inline __attribute__((always_inline)) int four_bytes(const void* from) {
  int word;
  __builtin_memcpy(&word, from, sizeof word);
  return word;
}

/// sums += pairs of unsigned times signed bytes, in 16 bits. As instructions of our own: left to itself g++ 12 regroups the
/// additions and runs out of registers.
inline __attribute__((always_inline)) void add_products(__m256i& sums, __m256i weights, __m256i activations) {
  __m256i products;
  __asm__(
      "vpmaddubsw %3, %2, %1\n\t"
      "vpaddw %1, %0, %0"
      : "+x"(sums), "=&x"(products)
      : "x"(weights), "x"(activations));
}

/// How many blocks can be summed in 16 bits: a block adds two sums of two products of at most 15 · 2^(bits − 1).
std::size_t blocks_in_16_bits(int activation_bits) { return 32767u / (2u * 2u * 15u << (activation_bits - 1)); }

/// The integer dots of one segment for the 16 rows of a panel and kTokens tokens: sums[half][token], half 0 rows 0–7.
template <int kTokens>
inline __attribute__((always_inline)) void dot_narrow(const std::uint8_t* block, const std::int8_t* x, std::size_t blocks,
                                                      std::size_t limit, __m256i (&sums)[2][kTokens]) {
  const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  while (blocks > 0) {
    const std::size_t run = blocks < limit ? blocks : limit;
    __m256i words[2][kTokens];
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) words[0][t] = words[1][t] = _mm256_setzero_si256();
    for (std::size_t b = 0; b < run; ++b, block += 64, x += std::size_t(kTokens) * kBlockColumns) {
      if constexpr (kTokens == 1) _mm_prefetch(reinterpret_cast<const char*>(block + 2048), _MM_HINT_T0);
      const __m256i n0 = load_bytes(block), n1 = load_bytes(block + 32);
      const __m256i first0 = _mm256_and_si256(n0, low), first1 = _mm256_and_si256(n1, low);
      const __m256i second0 = _mm256_and_si256(_mm256_srli_epi16(n0, 4), low), second1 = _mm256_and_si256(_mm256_srli_epi16(n1, 4), low);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) {
        const __m256i a = _mm256_set1_epi32(four_bytes(x + t * 8)), c = _mm256_set1_epi32(four_bytes(x + t * 8 + 4));
        add_products(words[0][t], first0, a);
        add_products(words[1][t], first1, a);
        add_products(words[0][t], second0, c);
        add_products(words[1][t], second1, c);
      }
    }
#pragma GCC unroll 4
    for (int h = 0; h < 2; ++h)
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) sums[h][t] = _mm256_add_epi32(sums[h][t], _mm256_madd_epi16(words[h][t], ones));
    blocks -= run;
  }
}

/// The same for weights of one byte: both operands are widened to 16 bits, because 255 · 128 · 2 does not fit in them.
template <int kTokens>
inline __attribute__((always_inline)) void dot_wide(const std::uint8_t* block, const std::int8_t* x, std::size_t blocks,
                                                    __m256i (&sums)[2][kTokens]) {
  const __m128i flip = _mm_set1_epi8(char(0x80));
  for (std::size_t b = 0; b < blocks; ++b, x += std::size_t(kTokens) * kBlockColumns)
    for (int part = 0; part < 2; ++part, block += 64) {
      __m256i rows[4];  // four rows each: sums of two columns lie side by side
      for (int i = 0; i < 4; ++i)
        rows[i] = _mm256_cvtepi8_epi16(_mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 16 * i)), flip));
      for (int t = 0; t < kTokens; ++t) {
        const __m256i a = _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four_bytes(x + t * 8 + part * 4))));
        for (int h = 0; h < 2; ++h) {
          const __m256i pairs = _mm256_hadd_epi32(_mm256_madd_epi16(rows[2 * h], a), _mm256_madd_epi16(rows[2 * h + 1], a));
          sums[h][t] = _mm256_add_epi32(sums[h][t], _mm256_permute4x64_epi64(pairs, 0xd8));
        }
      }
    }
}

/// One panel against kTokens tokens.
template <int kTokens, bool kWide>
void multiply_panel(const CodesTile& tile, std::size_t row) {
  const std::uint8_t* panel = tile.panels + row / kPanelRows * tile.panel_bytes;
  const float* scales = tile.weight_scales + row / kPanelRows * tile.weight_groups * kPanelRows;
  const std::int8_t* x = tile.packed_activations;
  const std::size_t limit = blocks_in_16_bits(tile.activation_bits);
  __m256 totals[2][kTokens], inners[2][kTokens];
#pragma GCC unroll 4
  for (int h = 0; h < 2; ++h)
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) totals[h][t] = inners[h][t] = _mm256_setzero_ps();
  for (std::size_t i = 0; i < tile.segment_count; ++i) {
    const Segment& segment = tile.segments[i];
    __m256i sums[2][kTokens];
#pragma GCC unroll 4
    for (int h = 0; h < 2; ++h)
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) sums[h][t] = _mm256_set1_epi32(kWide ? 0 : tile.offsets[i * kTokens + std::size_t(t)]);
    if constexpr (kWide)
      dot_wide<kTokens>(panel + segment.first_block * 128, x, segment.blocks, sums);
    else
      dot_narrow<kTokens>(panel + segment.first_block * 64, x, segment.blocks, limit, sums);
    x += segment.blocks * kBlockColumns * kTokens;
    const bool ends = i + 1 == tile.segment_count || tile.segments[i + 1].activation_group != segment.activation_group;
#pragma GCC unroll 4
    for (int h = 0; h < 2; ++h) {
      const __m256 weight_scale = load(scales + segment.weight_group * kPanelRows + std::size_t(h) * kLanes);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) {
        const __m256 inner = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[h][t]), weight_scale, inners[h][t]);
        if (!ends) {
          inners[h][t] = inner;
          continue;
        }
        const float activation_scale = tile.activation_scales[segment.activation_group * kTokens + std::size_t(t)];
        totals[h][t] = _mm256_fmadd_ps(inner, _mm256_set1_ps(activation_scale), totals[h][t]);
        inners[h][t] = _mm256_setzero_ps();
      }
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < 2; ++h) {
    const std::size_t at = row + std::size_t(h) * kLanes;
    if (at >= tile.last_row) break;
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) store_some(tile.y + std::size_t(t) * tile.y_stride + at, totals[h][t], tile.last_row - at);
  }
}

template <bool kWide>
void multiply_tile(const CodesTile& tile) {
  for (std::size_t row = tile.first_row; row < tile.last_row; row += kPanelRows) switch (tile.tokens) {
      case 1:
        multiply_panel<1, kWide>(tile, row);
        break;
      case 2:
        multiply_panel<2, kWide>(tile, row);
        break;
      case 3:
        multiply_panel<3, kWide>(tile, row);
        break;
      default:
        multiply_panel<4, kWide>(tile, row);
        break;
    }
}

void multiply_codes(const CodesTile& tile) { tile.wide ? multiply_tile<true>(tile) : multiply_tile<false>(tile); }

/// Column k of block `block` for the rows of one half, as floats.
template <bool kWide>
inline __attribute__((always_inline)) __m256 code_column(const std::uint8_t* block, int half, int k) {
  const __m256i bytes = load_bytes(block + (kWide ? k / 4 * 64 : 0) + half * 32);
  const int shift = 8 * (k % 4) + (!kWide && k >= 4 ? 4 : 0);
  const __m256i code = _mm256_and_si256(_mm256_srl_epi32(bytes, _mm_cvtsi32_si128(shift)), _mm256_set1_epi32(kWide ? 255 : 15));
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(code, _mm256_set1_epi32(kWide ? 128 : 8)));
}

template <int kTokens, bool kWide>
void multiply_float_panel(const CodesTile& tile, std::size_t row, const float* x, std::size_t x_stride) {
  const std::uint8_t* panel = tile.panels + row / kPanelRows * tile.panel_bytes;
  const float* scales = tile.weight_scales + row / kPanelRows * tile.weight_groups * kPanelRows;
  for (int h = 0; h < 2 && row + std::size_t(h) * kLanes < tile.last_row; ++h) {
    __m256 totals[kTokens];
    for (auto& total : totals) total = _mm256_setzero_ps();
    for (std::size_t i = 0; i < tile.segment_count; ++i) {
      const Segment& segment = tile.segments[i];
      __m256 sums[kTokens][2];
      for (auto& two : sums) two[0] = two[1] = _mm256_setzero_ps();
      const std::uint8_t* block = panel + segment.first_block * (kWide ? 128 : 64);
      const float* values = x + segment.first_column;
      const std::size_t whole = segment.columns / kBlockColumns;
      for (std::size_t b = 0; b < whole; ++b, block += kWide ? 128 : 64, values += kBlockColumns) {
        _mm_prefetch(reinterpret_cast<const char*>(block + 1024), _MM_HINT_T0);
#pragma GCC unroll 8
        for (int k = 0; k < 8; ++k) {
          const __m256 codes = code_column<kWide>(block, h, k);
          for (int t = 0; t < kTokens; ++t)
            sums[t][k % 2] = _mm256_fmadd_ps(codes, _mm256_set1_ps(values[std::size_t(t) * x_stride + std::size_t(k)]), sums[t][k % 2]);
        }
      }
      for (int k = 0; k < int(segment.columns % kBlockColumns); ++k) {
        const __m256 codes = code_column<kWide>(block, h, k);
        for (int t = 0; t < kTokens; ++t)
          sums[t][0] = _mm256_fmadd_ps(codes, _mm256_set1_ps(values[std::size_t(t) * x_stride + std::size_t(k)]), sums[t][0]);
      }
      const __m256 scale = load(scales + segment.weight_group * kPanelRows + std::size_t(h) * kLanes);
      for (int t = 0; t < kTokens; ++t) totals[t] = _mm256_fmadd_ps(_mm256_add_ps(sums[t][0], sums[t][1]), scale, totals[t]);
    }
    const std::size_t at = row + std::size_t(h) * kLanes;
    for (int t = 0; t < kTokens; ++t) store_some(tile.y + std::size_t(t) * tile.y_stride + at, totals[t], tile.last_row - at);
  }
}

template <bool kWide>
void multiply_float(const CodesTile& tile, const float* x, std::size_t x_stride) {
  for (std::size_t row = tile.first_row; row < tile.last_row; row += kPanelRows) switch (tile.tokens) {
      case 1:
        multiply_float_panel<1, kWide>(tile, row, x, x_stride);
        break;
      case 2:
        multiply_float_panel<2, kWide>(tile, row, x, x_stride);
        break;
      case 3:
        multiply_float_panel<3, kWide>(tile, row, x, x_stride);
        break;
      default:
        multiply_float_panel<4, kWide>(tile, row, x, x_stride);
        break;
    }
}

void multiply_codes_float(const CodesTile& tile, const float* x, std::size_t x_stride) {
  tile.wide ? multiply_float<true>(tile, x, x_stride) : multiply_float<false>(tile, x, x_stride);
}

template <bool kWide>
void widen_panels(const CodesTile& tile, float* out, std::size_t stride) {
  for (std::size_t row = tile.first_row; row < tile.last_row; row += kPanelRows) {
    const std::uint8_t* panel = tile.panels + row / kPanelRows * tile.panel_bytes;
    const float* scales = tile.weight_scales + row / kPanelRows * tile.weight_groups * kPanelRows;
    for (std::size_t i = 0; i < tile.segment_count; ++i) {
      const Segment& segment = tile.segments[i];
      for (std::size_t c = 0; c < segment.columns; ++c)
        for (int h = 0; h < 2 && row + std::size_t(h) * kLanes < tile.last_row; ++h) {
          const std::size_t at = row + std::size_t(h) * kLanes;
          const std::uint8_t* block = panel + (segment.first_block + c / kBlockColumns) * (kWide ? 128 : 64);
          const __m256 scale = load(scales + segment.weight_group * kPanelRows + std::size_t(h) * kLanes);
          store_some(out + (segment.first_column + c) * stride + (at - tile.first_row),
                     _mm256_mul_ps(code_column<kWide>(block, h, int(c % kBlockColumns)), scale), tile.last_row - at);
        }
    }
  }
}

void widen_codes(const CodesTile& tile, float* out, std::size_t stride) {
  tile.wide ? widen_panels<true>(tile, out, stride) : widen_panels<false>(tile, out, stride);
}

// ---- Hadamard and attention ----------------------------------------------------------------------------------------------

void hadamard(float* x, std::size_t base, std::size_t power_of_two, const float* base_matrix, float scale, float* scratch) {
  if (power_of_two < kLanes) return scalar_kernels().hadamard(x, base, power_of_two, base_matrix, scale, scratch);
  const std::size_t width = base * power_of_two;
  // Three stages inside a vector: the lower of each pair gets a + b, the upper a − b.
  for (std::size_t i = 0; i < width; i += kLanes) {
    __m256 v = load(x + i);
    __m256 other = _mm256_permute_ps(v, 0xb1);
    v = _mm256_blend_ps(_mm256_add_ps(v, other), _mm256_sub_ps(other, v), 0xaa);
    other = _mm256_permute_ps(v, 0x4e);
    v = _mm256_blend_ps(_mm256_add_ps(v, other), _mm256_sub_ps(other, v), 0xcc);
    other = _mm256_permute2f128_ps(v, v, 0x01);
    v = _mm256_blend_ps(_mm256_add_ps(v, other), _mm256_sub_ps(other, v), 0xf0);
    _mm256_storeu_ps(x + i, v);
  }
  for (std::size_t step = kLanes; step < power_of_two; step *= 2)
    for (std::size_t block = 0; block < width; block += 2 * step)
      for (std::size_t i = block; i < block + step; i += kLanes) {
        const __m256 a = load(x + i), b = load(x + i + step);
        _mm256_storeu_ps(x + i, _mm256_add_ps(a, b));
        _mm256_storeu_ps(x + i + step, _mm256_sub_ps(a, b));
      }
  const __m256 factor = _mm256_set1_ps(scale);
  if (base == 1) {
    for (std::size_t i = 0; i < width; i += kLanes) _mm256_storeu_ps(x + i, _mm256_mul_ps(load(x + i), factor));
    return;
  }
  for (std::size_t i = 0; i < width; i += kLanes) _mm256_storeu_ps(scratch + i, load(x + i));
  // Four outputs at a time share what they read; the order of a base is a multiple of four.
  for (std::size_t i = 0; i < power_of_two; i += kLanes)
    for (std::size_t b = 0; b < base; b += 4) {
      __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
      for (std::size_t a = 0; a < base; ++a) {
        const __m256 v = load(scratch + a * power_of_two + i);
        for (std::size_t j = 0; j < 4; ++j) sums[j] = _mm256_fmadd_ps(_mm256_set1_ps(base_matrix[a * base + b + j]), v, sums[j]);
      }
      for (std::size_t j = 0; j < 4; ++j) _mm256_storeu_ps(x + (b + j) * power_of_two + i, _mm256_mul_ps(sums[j], factor));
    }
}

float softmax_step(float* scores, std::size_t count, float scale, float* maximum, float* sum) {
  const __m256 factor = _mm256_set1_ps(scale);
  __m256 highest = _mm256_set1_ps(*maximum);
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) highest = _mm256_max_ps(highest, _mm256_mul_ps(load(scores + i), factor));
  float largest = largest_of(highest);
  for (; i < count; ++i) largest = scores[i] * scale > largest ? scores[i] * scale : largest;
  const __m256 shift = _mm256_set1_ps(largest);
  __m256 total = _mm256_setzero_ps();
  for (i = 0; i < count; i += kLanes) {
    const std::size_t left = count - i;
    __m256 value = exponential(_mm256_fmsub_ps(load_some(scores + i, left), factor, shift));
    value = _mm256_and_ps(value, _mm256_castsi256_ps(mask_of(left)));
    total = _mm256_add_ps(total, value);
    store_some(scores + i, value, left);
  }
  // The first time *maximum is −infinity and *sum 0; the exponential's limit then gives a tiny number times 0.
  const float earlier = _mm256_cvtss_f32(exponential(_mm256_set1_ps(*maximum - largest)));
  *sum = *sum * earlier + sum_of(total);
  *maximum = largest;
  return earlier;
}

void attend(const float* q, const float* k, const float* v, std::size_t kv_stride, std::size_t keys, std::size_t head_dim, float scale,
            float* scores, float* out) {
  std::size_t i = 0;
  for (; i + 4 <= keys; i += 4) dot_some<4, 1>(k + i * kv_stride, kv_stride, head_dim, q, 0, scores + i, 0);
  for (; i < keys; ++i) dot_some<1, 1>(k + i * kv_stride, kv_stride, head_dim, q, 0, scores + i, 0);
  float maximum = -__builtin_inff(), sum = 0;
  softmax_step(scores, keys, scale, &maximum, &sum);
  const __m256 inverse = _mm256_set1_ps(1.0f / sum);
  constexpr std::size_t kParts = 4;
  std::size_t d = 0;
  for (; d + kParts * kLanes <= head_dim; d += kParts * kLanes) {
    __m256 even[kParts], odd[kParts];
    for (std::size_t j = 0; j < kParts; ++j) even[j] = odd[j] = _mm256_setzero_ps();
    for (i = 0; i < keys; ++i) {
      const __m256 p = _mm256_set1_ps(scores[i]);
      const float* at = v + i * kv_stride + d;
      for (std::size_t j = 0; j < kParts; ++j) {
        __m256& part = i % 2 == 0 ? even[j] : odd[j];
        part = _mm256_fmadd_ps(p, load(at + j * kLanes), part);
      }
    }
    for (std::size_t j = 0; j < kParts; ++j) _mm256_storeu_ps(out + d + j * kLanes, _mm256_mul_ps(_mm256_add_ps(even[j], odd[j]), inverse));
  }
  for (; d < head_dim; d += kLanes) {
    __m256 part = _mm256_setzero_ps();
    for (i = 0; i < keys; ++i) part = _mm256_fmadd_ps(_mm256_set1_ps(scores[i]), load_some(v + i * kv_stride + d, head_dim - d), part);
    store_some(out + d, _mm256_mul_ps(part, inverse), head_dim - d);
  }
}

}  // namespace

const Kernels& avx2_kernels() {
  static constexpr Kernels kernels{.name = "AVX2",
                                   .packed = true,
                                   .tile_tokens = 4,
                                   .dot_rows_f32 = dot_rows<float>,
                                   .dot_rows_f16 = dot_rows<std::uint16_t>,
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
                                   .softmax_step = softmax_step};
  return kernels;
}

}  // namespace lrc::cpu

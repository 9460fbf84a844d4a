// AVX2 kernels. This file is compiled for that instruction set: it may hold static functions and intrinsics only (see
// kernels.h). There is no byte dot product here: vpmaddubsw gives 16-bit sums of two products, and as many of them are added
// in 16 bits as cannot overflow before they are widened.
#include <immintrin.h>

#include "backend/cpu/vector_kernels.h"

namespace lrc::cpu {
namespace {

constexpr std::size_t kLanes = 8;

/// The first `count` lanes.
__m256i mask_of(std::size_t count) {
  const int n = count >= kLanes ? int(kLanes) : int(count);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

__m256 load(const float* from) { return _mm256_loadu_ps(from); }
__m256 load(const std::uint16_t* from) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))); }
/// The first `count` values, zero behind.
__m256 load_some(const float* from, std::size_t count) { return _mm256_maskload_ps(from, mask_of(count)); }
__m256 load_some(const std::uint16_t* from, std::size_t count) {
  alignas(16) std::uint16_t values[kLanes] = {};
  for (std::size_t i = 0; i < count && i < kLanes; ++i) values[i] = from[i];
  return load(values);
}
void store_some(float* to, __m256 values, std::size_t count) {
  if (count >= kLanes)
    _mm256_storeu_ps(to, values);
  else
    _mm256_maskstore_ps(to, mask_of(count), values);
}

float sum_of(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
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

/// What vector_kernels.h asks for.
struct Avx2 {
  using Floats = __m256;
  static constexpr std::size_t lanes = kLanes;
  static constexpr float highest_exponent = 88.3f;

  static Floats all(float x) { return _mm256_set1_ps(x); }
  template <typename Value>
  static Floats load(const Value* from) {
    return cpu::load(from);
  }
  template <typename Value>
  static Floats load_some(const Value* from, std::size_t count) {
    return cpu::load_some(from, count);
  }
  static Floats load_bytes(const std::uint8_t* from) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
  }
  static Floats load_nibbles(const std::uint8_t* from) {
    int word;
    __builtin_memcpy(&word, from, sizeof word);
    const __m128i bytes = _mm_cvtsi32_si128(word), low = _mm_set1_epi8(15);
    const __m128i codes = _mm_unpacklo_epi8(_mm_and_si128(bytes, low), _mm_and_si128(_mm_srli_epi16(bytes, 4), low));
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(codes));
  }
  static void store(float* to, Floats v) { _mm256_storeu_ps(to, v); }
  static void store_some(float* to, Floats v, std::size_t count) { cpu::store_some(to, v, count); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats multiply_subtract(Floats a, Floats b, Floats c) { return _mm256_fmsub_ps(a, b, c); }
  static Floats negative_multiply_add(Floats a, Floats b, Floats c) { return _mm256_fnmadd_ps(a, b, c); }
  static Floats smaller(Floats a, Floats b) { return _mm256_min_ps(a, b); }
  static Floats larger(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static Floats first(std::size_t count, Floats v, Floats other) { return _mm256_blendv_ps(other, v, _mm256_castsi256_ps(mask_of(count))); }
  static Floats round(Floats v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static Floats scale_by_power(Floats v, Floats n) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(v, _mm256_castsi256_ps(exponent));
  }
  static float sum(Floats v) { return sum_of(v); }
  static float largest(Floats v) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
  }
  /// Three stages: the lower of each pair gets a + b, the upper a − b.
  static Floats butterflies(Floats v) {
    Floats other = _mm256_permute_ps(v, 0xb1);
    v = _mm256_blend_ps(_mm256_add_ps(v, other), _mm256_sub_ps(other, v), 0xaa);
    other = _mm256_permute_ps(v, 0x4e);
    v = _mm256_blend_ps(_mm256_add_ps(v, other), _mm256_sub_ps(other, v), 0xcc);
    other = _mm256_permute2f128_ps(v, v, 0x01);
    return _mm256_blend_ps(_mm256_add_ps(v, other), _mm256_sub_ps(other, v), 0xf0);
  }
  static constexpr int rows_at_once(int tokens) { return tokens == 1 ? 4 : 2; }
  template <int kRows, int kTokens, typename Weight>
  static void dot_some(const Weight* w, std::size_t w_stride, std::size_t columns, const float* x, std::size_t x_stride, float* y,
                       std::size_t y_stride) {
    cpu::dot_some<kRows, kTokens>(w, w_stride, columns, x, x_stride, y, y_stride);
  }
};

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
  with_tokens(tile.tokens, [&](auto constant) {
    for (std::size_t row = tile.first_row; row < tile.last_row; row += kPanelRows)
      multiply_panel<decltype(constant)::value, kWide>(tile, row);
  });
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
  with_tokens(tile.tokens, [&](auto constant) {
    for (std::size_t row = tile.first_row; row < tile.last_row; row += kPanelRows)
      multiply_float_panel<decltype(constant)::value, kWide>(tile, row, x, x_stride);
  });
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

}  // namespace

const Kernels& avx2_kernels() {
  using Shared = VectorKernels<Avx2>;
  static constexpr Kernels kernels{.name = "AVX2",
                                   .packed = true,
                                   .tile_tokens = 4,
                                   .dot_rows_f32 = Shared::dot_rows<float>,
                                   .dot_rows_f16 = Shared::dot_rows<std::uint16_t>,
                                   .add_pair_panel = Shared::add_pair_panel,
                                   .widen = Shared::widen,
                                   .quantize_group = quantize_group,
                                   .multiply_codes = multiply_codes,
                                   .multiply_codes_float = multiply_codes_float,
                                   .widen_codes = widen_codes,
                                   .rms_norm = Shared::rms_norm,
                                   .layer_norm = Shared::layer_norm,
                                   .add = Shared::add,
                                   .add_scaled = Shared::add_scaled,
                                   .relu = Shared::relu,
                                   .silu_multiply = Shared::silu_multiply,
                                   .rope = Shared::rope,
                                   .hadamard = Shared::hadamard,
                                   .attend = Shared::attend,
                                   .widen_cache = Shared::widen_cache,
                                   .softmax_step = Shared::softmax_step};
  return kernels;
}

}  // namespace lrc::cpu

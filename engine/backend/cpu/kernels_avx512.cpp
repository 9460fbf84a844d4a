// AVX-512 VNNI kernels. This file is compiled for that instruction set: it may hold static functions and intrinsics only
// (see kernels.h). Lanes of the quantized products are rows, so no sum ever crosses lanes there.
// g++ 12 takes the deliberately undefined operands inside its own AVX-512 header for mistakes.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "backend/cpu/vector_kernels.h"

namespace lrc::cpu {
namespace {

constexpr std::size_t kLanes = 16;

__mmask16 mask_of(std::size_t count) { return count >= kLanes ? __mmask16(0xffff) : __mmask16((1u << count) - 1u); }

// ---- float products ------------------------------------------------------------------------------------------------------

__m512 load(const float* from, __mmask16 m) { return _mm512_maskz_loadu_ps(m, from); }
__m512 load(const std::uint16_t* from, __mmask16 m) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, from)); }

/// Prefetches `bytes` from `from`, which need not be memory that exists.
inline __attribute__((always_inline)) void ask_ahead(const void* from, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 64) _mm_prefetch(static_cast<const char*>(from) + i, _MM_HINT_T0);
}

/// kRows rows against kTokens tokens. What follows the rows in memory is asked for meanwhile, line after line: asking for it
/// row by row, as it is used, halves the bandwidth.
template <int kRows, int kTokens, typename Weight>
void dot_some(const Weight* w, std::size_t w_stride, std::size_t columns, const float* x, std::size_t x_stride, float* y,
              std::size_t y_stride) {
  __m512 sums[kRows][kTokens];
  for (auto& row : sums)
    for (auto& sum : row) sum = _mm512_setzero_ps();
  const auto step = [&](std::size_t i, __mmask16 m) __attribute__((always_inline)) {
    __m512 values[kTokens];
    for (int t = 0; t < kTokens; ++t) values[t] = _mm512_maskz_loadu_ps(m, x + std::size_t(t) * x_stride + i);
    ask_ahead(w + kRows * w_stride + kRows * i, kRows * kLanes * sizeof(Weight));
    for (int r = 0; r < kRows; ++r) {
      const Weight* at = w + std::size_t(r) * w_stride + i;
      const __m512 weight = load(at, m);
      for (int t = 0; t < kTokens; ++t) sums[r][t] = _mm512_fmadd_ps(weight, values[t], sums[r][t]);
    }
  };
  std::size_t i = 0;
  for (; i + kLanes <= columns; i += kLanes) step(i, 0xffff);
  if (i < columns) step(i, mask_of(columns - i));
  for (int r = 0; r < kRows; ++r)
    for (int t = 0; t < kTokens; ++t) y[std::size_t(t) * y_stride + std::size_t(r)] = _mm512_reduce_add_ps(sums[r][t]);
}

/// One butterfly stage inside a vector: lanes with a 0 in the bit get a + b, the others a − b.
template <int kStep>
inline __attribute__((always_inline)) __m512 butterfly(__m512 v) {
  __m512 other;
  __mmask16 upper;
  if constexpr (kStep == 1) {
    other = _mm512_permute_ps(v, 0xb1);
    upper = 0xaaaa;
  } else if constexpr (kStep == 2) {
    other = _mm512_permute_ps(v, 0x4e);
    upper = 0xcccc;
  } else if constexpr (kStep == 4) {
    other = _mm512_shuffle_f32x4(v, v, 0xb1);
    upper = 0xf0f0;
  } else {
    other = _mm512_shuffle_f32x4(v, v, 0x4e);
    upper = 0xff00;
  }
  return _mm512_mask_sub_ps(_mm512_add_ps(v, other), upper, other, v);
}

/// What vector_kernels.h asks for.
struct Avx512 {
  using Floats = __m512;
  static constexpr std::size_t lanes = kLanes;
  static constexpr float highest_exponent = 88.7f;

  static Floats all(float x) { return _mm512_set1_ps(x); }
  template <typename Value>
  static Floats load(const Value* from) {
    return cpu::load(from, 0xffff);
  }
  template <typename Value>
  static Floats load_some(const Value* from, std::size_t count) {
    return cpu::load(from, mask_of(count));
  }
  static Floats load_bytes(const std::uint8_t* from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
  }
  static Floats load_nibbles(const std::uint8_t* from) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)), low = _mm_set1_epi8(15);
    const __m128i codes = _mm_unpacklo_epi8(_mm_and_si128(bytes, low), _mm_and_si128(_mm_srli_epi16(bytes, 4), low));
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(codes));
  }
  static void store(float* to, Floats v) { _mm512_storeu_ps(to, v); }
  static void store_some(float* to, Floats v, std::size_t count) { _mm512_mask_storeu_ps(to, mask_of(count), v); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats multiply_subtract(Floats a, Floats b, Floats c) { return _mm512_fmsub_ps(a, b, c); }
  static Floats negative_multiply_add(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }
  static Floats smaller(Floats a, Floats b) { return _mm512_min_ps(a, b); }
  static Floats larger(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static Floats first(std::size_t count, Floats v, Floats other) { return _mm512_mask_blend_ps(mask_of(count), other, v); }
  static Floats round(Floats v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static Floats scale_by_power(Floats v, Floats n) { return _mm512_scalef_ps(v, n); }
  static float sum(Floats v) { return _mm512_reduce_add_ps(v); }
  static float largest(Floats v) { return _mm512_reduce_max_ps(v); }
  static Floats butterflies(Floats v) { return butterfly<8>(butterfly<4>(butterfly<2>(butterfly<1>(v)))); }
  static constexpr int rows_at_once(int) { return 4; }
  template <int kRows, int kTokens, typename Weight>
  static void dot_some(const Weight* w, std::size_t w_stride, std::size_t columns, const float* x, std::size_t x_stride, float* y,
                       std::size_t y_stride) {
    cpu::dot_some<kRows, kTokens>(w, w_stride, columns, x, x_stride, y, y_stride);
  }
};

// ---- the activation quantizer --------------------------------------------------------------------------------------------

bool quantize_group(const float* x, std::size_t count, float factor, float lowest, float highest, std::int8_t* codes, float* scale) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m512i largest = _mm512_setzero_si512();
  for (std::size_t i = 0; i < count; i += kLanes)
    largest = _mm512_max_epu32(largest, _mm512_and_si512(magnitude, _mm512_maskz_loadu_epi32(mask_of(count - i), x + i)));
  const unsigned bits = _mm512_reduce_max_epu32(largest);
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  *scale = value * factor;
  const bool finite = bits < 0x7f800000u && *scale < __builtin_inff();
  if (!finite || *scale == 0.0f) {
    for (std::size_t i = 0; i < count; ++i) codes[i] = 0;
    return finite;
  }
  const __m512 s = _mm512_set1_ps(*scale), low = _mm512_set1_ps(lowest), high = _mm512_set1_ps(highest);
  const __m512 one = _mm512_set1_ps(1.0f), half = _mm512_set1_ps(0.5f);
  for (std::size_t i = 0; i < count; i += kLanes) {
    const __mmask16 m = mask_of(count - i);
    const __m512 v = _mm512_maskz_loadu_ps(m, x + i);
    const __m512 quotient = _mm512_min_ps(_mm512_max_ps(_mm512_div_ps(v, s), low), high);
    __m512 q = _mm512_roundscale_ps(quotient, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __mmask16 odd = _mm512_test_epi32_mask(_mm512_cvtps_epi32(q), _mm512_set1_epi32(1));
    const __m512 above = _mm512_mul_ps(_mm512_add_ps(q, half), s), below = _mm512_mul_ps(_mm512_sub_ps(q, half), s);
    const __mmask16 up = _mm512_cmp_ps_mask(v, above, _CMP_GT_OQ) | (_mm512_cmp_ps_mask(v, above, _CMP_EQ_OQ) & odd);
    const __mmask16 down = _mm512_cmp_ps_mask(v, below, _CMP_LT_OQ) | (_mm512_cmp_ps_mask(v, below, _CMP_EQ_OQ) & odd);
    q = _mm512_mask_add_ps(q, up, q, one);
    q = _mm512_mask_sub_ps(q, down, q, one);
    q = _mm512_min_ps(_mm512_max_ps(q, low), high);
    _mm512_mask_cvtepi32_storeu_epi8(codes + i, m, _mm512_cvtps_epi32(q));
  }
  return true;
}

// ---- quantized products --------------------------------------------------------------------------------------------------

/// sums += four unsigned times four signed bytes of each lane. As an instruction of our own: g++ 12 copies registers
/// around the intrinsic and loses 40 % of the rate.
inline __attribute__((always_inline)) void dot_bytes(__m512i& sums, __m512i weights, __m512i activations) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(weights), "v"(activations));
}

inline __attribute__((always_inline)) __m512i four_codes(const std::int8_t* from) {
  int word;
  __builtin_memcpy(&word, from, sizeof word);
  return _mm512_set1_epi32(word);
}

/// Columns 0–3 and 4–7 of 16 rows, one lane a row, unsigned.
template <bool kWide>
inline __attribute__((always_inline)) void load_block(const std::uint8_t* block, __m512i& first, __m512i& second) {
  if constexpr (kWide) {
    first = _mm512_loadu_si512(block);
    second = _mm512_loadu_si512(block + 64);
  } else {
    const __m512i nibbles = _mm512_loadu_si512(block), low = _mm512_set1_epi8(15);
    first = _mm512_and_si512(nibbles, low);
    second = _mm512_and_si512(_mm512_srli_epi16(nibbles, 4), low);
  }
}

template <bool kWide>
constexpr std::size_t kBlockBytes = kWide ? 128 : 64;

/// One token and one panel: bound by reading the weights.
template <bool kWide>
void multiply_vector(const CodesTile& tile, std::size_t row) {
  const std::uint8_t* panel = tile.panels + row / kPanelRows * tile.panel_bytes;
  const float* scales = tile.weight_scales + row / kPanelRows * tile.weight_groups * kPanelRows;
  const std::int8_t* x = tile.packed_activations;
  __m512 total = _mm512_setzero_ps(), inner = _mm512_setzero_ps();
  for (std::size_t i = 0; i < tile.segment_count; ++i) {
    const Segment& segment = tile.segments[i];
    const std::uint8_t* block = panel + segment.first_block * kBlockBytes<kWide>;
    __m512i sums[4] = {_mm512_set1_epi32(tile.offsets[i]), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    const auto step = [&](__m512i & even, __m512i & odd) __attribute__((always_inline)) {
      __m512i first, second;
      load_block<kWide>(block, first, second);
      _mm_prefetch(reinterpret_cast<const char*>(block + 2048), _MM_HINT_T0);
      if constexpr (kWide) _mm_prefetch(reinterpret_cast<const char*>(block + 2112), _MM_HINT_T0);
      dot_bytes(even, first, four_codes(x));
      dot_bytes(odd, second, four_codes(x + 4));
      block += kBlockBytes<kWide>;
      x += kBlockColumns;
    };
    std::size_t b = 0;
    for (; b + 2 <= segment.blocks; b += 2) {
      step(sums[0], sums[1]);
      step(sums[2], sums[3]);
    }
    if (b < segment.blocks) step(sums[0], sums[1]);
    const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3]));
    inner = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(scales + segment.weight_group * kPanelRows), inner);
    if (i + 1 == tile.segment_count || tile.segments[i + 1].activation_group != segment.activation_group) {
      total = _mm512_fmadd_ps(inner, _mm512_set1_ps(tile.activation_scales[segment.activation_group]), total);
      inner = _mm512_setzero_ps();
    }
  }
  _mm512_mask_storeu_ps(tile.y + row, mask_of(tile.last_row - row), total);
}

/// kPanels panels against kTokens tokens, all sums in registers.
template <int kPanels, int kTokens, bool kWide>
void multiply_block(const CodesTile& tile, std::size_t row) {
  const std::uint8_t* panel = tile.panels + row / kPanelRows * tile.panel_bytes;
  const float* scales = tile.weight_scales + row / kPanelRows * tile.weight_groups * kPanelRows;
  const std::int8_t* x = tile.packed_activations;
  __m512 totals[kPanels][kTokens], inners[kPanels][kTokens];
#pragma GCC unroll 8
  for (int p = 0; p < kPanels; ++p)
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) totals[p][t] = inners[p][t] = _mm512_setzero_ps();
  for (std::size_t i = 0; i < tile.segment_count; ++i) {
    const Segment& segment = tile.segments[i];
    const std::uint8_t* block = panel + segment.first_block * kBlockBytes<kWide>;
    __m512i sums[kPanels][kTokens];
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      const __m512i offset = _mm512_set1_epi32(tile.offsets[i * kTokens + std::size_t(t)]);
#pragma GCC unroll 8
      for (int p = 0; p < kPanels; ++p) sums[p][t] = offset;
    }
    for (std::size_t b = 0; b < segment.blocks; ++b) {
      __m512i first[kPanels], second[kPanels];
#pragma GCC unroll 8
      for (int p = 0; p < kPanels; ++p) load_block<kWide>(block + std::size_t(p) * tile.panel_bytes, first[p], second[p]);
#pragma GCC unroll 8
      for (int t = 0; t < kTokens; ++t) {
        const __m512i low = four_codes(x + t * 8), high = four_codes(x + t * 8 + 4);
#pragma GCC unroll 8
        for (int p = 0; p < kPanels; ++p) dot_bytes(sums[p][t], first[p], low);
#pragma GCC unroll 8
        for (int p = 0; p < kPanels; ++p) dot_bytes(sums[p][t], second[p], high);
      }
      block += kBlockBytes<kWide>;
      x += kTokens * kBlockColumns;
    }
    const bool ends = i + 1 == tile.segment_count || tile.segments[i + 1].activation_group != segment.activation_group;
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; ++p) {
      const __m512 weight_scale = _mm512_loadu_ps(scales + (std::size_t(p) * tile.weight_groups + segment.weight_group) * kPanelRows);
#pragma GCC unroll 8
      for (int t = 0; t < kTokens; ++t) {
        const __m512 inner = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[p][t]), weight_scale, inners[p][t]);
        if (!ends) {
          inners[p][t] = inner;
          continue;
        }
        const float activation_scale = tile.activation_scales[segment.activation_group * kTokens + std::size_t(t)];
        totals[p][t] = _mm512_fmadd_ps(inner, _mm512_set1_ps(activation_scale), totals[p][t]);
        inners[p][t] = _mm512_setzero_ps();
      }
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < kPanels; ++p) {
    const std::size_t at = row + std::size_t(p) * kPanelRows;
    const __mmask16 m = mask_of(tile.last_row - at);
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) _mm512_mask_storeu_ps(tile.y + std::size_t(t) * tile.y_stride + at, m, totals[p][t]);
  }
}

template <int kTokens, bool kWide>
void multiply_rows(const CodesTile& tile) {
  std::size_t row = tile.first_row;
  if constexpr (kTokens == 1) {
    for (; row < tile.last_row; row += kPanelRows) multiply_vector<kWide>(tile, row);
  } else {
    for (; row + kPanelRows < tile.last_row; row += 2 * kPanelRows) multiply_block<2, kTokens, kWide>(tile, row);
    if (row < tile.last_row) multiply_block<1, kTokens, kWide>(tile, row);
  }
}

template <bool kWide>
void multiply_tile(const CodesTile& tile) {
  switch (tile.tokens) {
    case 1:
      return multiply_rows<1, kWide>(tile);
    case 2:
      return multiply_rows<2, kWide>(tile);
    case 3:
      return multiply_rows<3, kWide>(tile);
    case 4:
      return multiply_rows<4, kWide>(tile);
    case 5:
      return multiply_rows<5, kWide>(tile);
    case 6:
      return multiply_rows<6, kWide>(tile);
    case 7:
      return multiply_rows<7, kWide>(tile);
    default:
      return multiply_rows<8, kWide>(tile);
  }
}

void multiply_codes(const CodesTile& tile) { tile.wide ? multiply_tile<true>(tile) : multiply_tile<false>(tile); }

/// Column k of a block as floats, one lane a row.
template <bool kWide>
inline __attribute__((always_inline)) __m512 code_column(__m512i first, __m512i second, int k) {
  const __m512i shifted = _mm512_srl_epi32(k < 4 ? first : second, _mm_cvtsi32_si128(8 * (k % 4)));
  const __m512i code = _mm512_sub_epi32(_mm512_and_si512(shifted, _mm512_set1_epi32(255)), _mm512_set1_epi32(kWide ? 128 : 8));
  return _mm512_cvtepi32_ps(code);
}

template <int kTokens, bool kWide>
void multiply_float_panel(const CodesTile& tile, std::size_t row, const float* x, std::size_t x_stride) {
  const std::uint8_t* panel = tile.panels + row / kPanelRows * tile.panel_bytes;
  const float* scales = tile.weight_scales + row / kPanelRows * tile.weight_groups * kPanelRows;
  __m512 totals[kTokens];
  for (auto& total : totals) total = _mm512_setzero_ps();
  for (std::size_t i = 0; i < tile.segment_count; ++i) {
    const Segment& segment = tile.segments[i];
    __m512 sums[kTokens][4];
    for (auto& four : sums)
      for (auto& sum : four) sum = _mm512_setzero_ps();
    const std::uint8_t* block = panel + segment.first_block * kBlockBytes<kWide>;
    std::size_t column = segment.first_column;
    const std::size_t whole = segment.columns / kBlockColumns;
    for (std::size_t b = 0; b < whole; ++b, block += kBlockBytes<kWide>, column += kBlockColumns) {
      __m512i first, second;
      load_block<kWide>(block, first, second);
      _mm_prefetch(reinterpret_cast<const char*>(block + 1024), _MM_HINT_T0);
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) {
        const __m512 codes = code_column<kWide>(first, second, k);
        for (int t = 0; t < kTokens; ++t)
          sums[t][k % 4] = _mm512_fmadd_ps(codes, _mm512_set1_ps(x[std::size_t(t) * x_stride + column + std::size_t(k)]), sums[t][k % 4]);
      }
    }
    if (whole < segment.blocks) {
      __m512i first, second;
      load_block<kWide>(block, first, second);
      for (int k = 0; k < int(segment.columns % kBlockColumns); ++k) {
        const __m512 codes = code_column<kWide>(first, second, k);
        for (int t = 0; t < kTokens; ++t)
          sums[t][0] = _mm512_fmadd_ps(codes, _mm512_set1_ps(x[std::size_t(t) * x_stride + column + std::size_t(k)]), sums[t][0]);
      }
    }
    const __m512 scale = _mm512_loadu_ps(scales + segment.weight_group * kPanelRows);
    for (int t = 0; t < kTokens; ++t) {
      const __m512 sum = _mm512_add_ps(_mm512_add_ps(sums[t][0], sums[t][1]), _mm512_add_ps(sums[t][2], sums[t][3]));
      totals[t] = _mm512_fmadd_ps(sum, scale, totals[t]);
    }
  }
  for (int t = 0; t < kTokens; ++t)
    _mm512_mask_storeu_ps(tile.y + std::size_t(t) * tile.y_stride + row, mask_of(tile.last_row - row), totals[t]);
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
    const __mmask16 m = mask_of(tile.last_row - row);
    for (std::size_t i = 0; i < tile.segment_count; ++i) {
      const Segment& segment = tile.segments[i];
      const __m512 scale = _mm512_loadu_ps(scales + segment.weight_group * kPanelRows);
      __m512i first = _mm512_setzero_si512(), second = _mm512_setzero_si512();
      for (std::size_t c = 0; c < segment.columns; ++c) {
        const int k = int(c % kBlockColumns);
        if (k == 0) load_block<kWide>(panel + (segment.first_block + c / kBlockColumns) * kBlockBytes<kWide>, first, second);
        float* to = out + (segment.first_column + c) * stride + (row - tile.first_row);
        _mm512_mask_storeu_ps(to, m, _mm512_mul_ps(code_column<kWide>(first, second, k), scale));
      }
    }
  }
}

void widen_codes(const CodesTile& tile, float* out, std::size_t stride) {
  tile.wide ? widen_panels<true>(tile, out, stride) : widen_panels<false>(tile, out, stride);
}

}  // namespace

const Kernels& avx512_kernels() {
  using Shared = VectorKernels<Avx512>;
  static constexpr Kernels kernels{.name = "AVX-512 VNNI",
                                   .packed = true,
                                   .tile_tokens = 8,
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

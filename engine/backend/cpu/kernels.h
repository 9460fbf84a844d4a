#pragma once
// The table of CPU kernels: one struct of function pointers an instruction set. Kernels work on the part of an operation
// that one thread does; cutting work into parts is the backend's. kernels_scalar.cpp is the definition of each of them.
//
// Included by files that are compiled for one instruction set, so it holds plain data only: an inline function compiled
// there could be picked by the linker for the whole program and fail on older processors.
#include <cstddef>
#include <cstdint>

namespace lrc::cpu {

/// Rows of a packed weight are held in panels of this many.
constexpr std::size_t kPanelRows = 16;
/// Columns are held in blocks of this many.
constexpr std::size_t kBlockColumns = 8;
/// Columns of U in a panel of a low-rank pair.
constexpr std::size_t kPairPanel = 64;
/// The most tokens that are multiplied as vectors rather than as a matrix.
constexpr std::size_t kVectorTokens = 4;

/// A run of columns within one weight group and one activation group. Integer dots are taken over segments.
struct Segment {
  std::uint32_t first_column, columns;
  std::uint32_t first_block, blocks;  ///< of the packed weight; border blocks may be shared with a neighbour
  std::uint32_t lead;                 ///< columns of the first block that lie before the segment
  std::uint32_t weight_group, activation_group;
};

/// Codes of some rows times activations of some tokens (a tile). y(t, r) = Σ over activation groups, ascending, of
/// scale_a · Σ over its segments, ascending, of float(integer dot) · scale_w, in float32.
struct CodesTile {
  const Segment* segments = nullptr;
  std::size_t segment_count = 0;
  std::size_t first_row = 0, last_row = 0;  ///< a multiple of kPanelRows, and the end (≤ rows of the matrix)
  std::size_t tokens = 0;                   ///< at most Kernels::tile_tokens
  bool wide = false;                        ///< weights above 4 bits
  int activation_bits = 4;
  // Plain form (scalar): codes (rows, columns), activations (tokens, columns).
  const std::int8_t* plain_codes = nullptr;
  const std::int8_t* plain_activations = nullptr;
  std::size_t columns = 0;
  // Packed form. Panel: blocks of 64 bytes; byte j holds row j / 4, column j % 4 in the low and column 4 + j % 4 in the
  // high nibble, as code + 8. Wide: 128 bytes, columns 0–3 then 4–7 of a block, as code + 128.
  const std::uint8_t* panels = nullptr;
  std::size_t panel_bytes = 0;
  // Activations: for the blocks of all segments in a row, (block, token, 8 columns), zero outside the segment.
  const std::int8_t* packed_activations = nullptr;
  const std::int32_t* offsets = nullptr;  ///< (segment, token): −(8 or 128) · Σ codes, where the dot begins
  // Scales: weights (panel, group, 16); activations (activation group, token).
  const float* weight_scales = nullptr;
  std::size_t weight_groups = 1;
  const float* activation_scales = nullptr;
  std::size_t activation_groups = 1;
  float* y = nullptr;  ///< row of the tile's first token
  std::size_t y_stride = 0;
};

/// One head of some rows of a quantized cache (quantization/cache_rows.h): `groups` groups of `group` values in each row.
struct CacheTile {
  const std::uint8_t* codes = nullptr;  ///< where the head begins in the first row
  const float* scales = nullptr;
  const std::uint8_t* zeros = nullptr;
  std::size_t code_stride = 0, group_stride = 0;  ///< from row to row: bytes of codes; scales and zeros
  std::size_t rows = 0, groups = 0, group = 0;
  bool nibbles = false;
};

struct Kernels {
  const char* name;
  bool packed;              ///< quantized weights are held in panels; matrix products go to BLAS
  std::size_t tile_tokens;  ///< tokens of a CodesTile

  /// y(t, r) = x(t, ·) · w(r, ·); any number of tokens.
  void (*dot_rows_f32)(const float* w, std::size_t rows, std::size_t columns, const float* x, std::size_t x_stride, std::size_t tokens,
                       float* y, std::size_t y_stride);
  void (*dot_rows_f16)(const std::uint16_t* w, std::size_t rows, std::size_t columns, const float* x, std::size_t x_stride,
                       std::size_t tokens, float* y, std::size_t y_stride);
  /// y(t, c) += Σ_k s(t, k) panel(k, c), c < columns ≤ 64; panel (components, 64) of float16.
  void (*add_pair_panel)(const std::uint16_t* panel, std::size_t components, std::size_t columns, const float* s, std::size_t s_stride,
                         std::size_t tokens, float* y, std::size_t y_stride);
  void (*widen)(const std::uint16_t* half, std::size_t count, float* out);

  /// One group of activations: scale = max|x| · factor, codes by comparison. False when a number is not finite.
  bool (*quantize_group)(const float* x, std::size_t count, float factor, float lowest, float highest, std::int8_t* codes, float* scale);
  void (*multiply_codes)(const CodesTile& tile);
  /// y(t, r) = Σ over weight groups of scale · Σ code · x(t, ·); tokens ≤ kVectorTokens (scalar: any). Uses the tile's
  /// weight fields and rows; segments are the weight groups.
  void (*multiply_codes_float)(const CodesTile& tile, const float* x, std::size_t x_stride);
  /// Code · scale of the tile's rows as out (columns, stride), one column a matrix row.
  void (*widen_codes)(const CodesTile& tile, float* out, std::size_t stride);

  void (*rms_norm)(const float* x, const float* gain, float epsilon, std::size_t width, float* out);
  void (*layer_norm)(const float* x, const float* gain, const float* bias, float epsilon, std::size_t width, float* out);
  void (*add)(float* x, const float* y, std::size_t count);
  void (*add_scaled)(float* x, const float* y, float factor, std::size_t count);  ///< x += factor · y
  void (*relu)(float* x, std::size_t count);
  void (*silu_multiply)(const float* gate, const float* up, std::size_t count, float* out);
  void (*rope)(float* x, const float* cosines, const float* sines, std::size_t half);
  /// One vector x (base · power_of_two) ← (x H) · scale; base_matrix (base, base) ±1, scratch as long as x.
  void (*hadamard)(float* x, std::size_t base, std::size_t power_of_two, const float* base_matrix, float scale, float* scratch);
  /// One query over `keys` rows of k and v: out = softmax(scale · q kᵀ) v. scores: scratch of `keys` floats.
  void (*attend)(const float* q, const float* k, const float* v, std::size_t kv_stride, std::size_t keys, std::size_t head_dim, float scale,
                 float* scores, float* out);
  /// What the codes stand for, out (rows, groups · group); the same bits on every instruction set.
  void (*widen_cache)(const CacheTile& tile, float* out);
  /// One row of scores becomes exp(scale · s − m), m the larger of *maximum and the row's; *sum and *maximum are brought up
  /// to date. Returns what earlier results must be multiplied by.
  float (*softmax_step)(float* scores, std::size_t count, float scale, float* maximum, float* sum);
};

const Kernels& scalar_kernels();
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();

}  // namespace lrc::cpu

// The matrix products of the CPU backend: float, quantized, and low-rank.
#include <algorithm>
#include <string>

#include "backend/checks.h"
#include "backend/cpu/cpu_backend.h"
#include "base/error.h"
#include "quantization/activation.h"

namespace lrc::cpu {
namespace {

/// Weight bytes of one part when a few tokens are multiplied: the time is that of reading them.
constexpr std::size_t kVectorPart = 32768;
/// Operations of one part of a quantized product over many tokens.
constexpr std::size_t kProductPart = 1 << 21;
/// Rows that are widened to float32 at a time for BLAS.
constexpr std::size_t kWidenedRows = 192;

std::size_t round_up(std::size_t value, std::size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

void CpuBackend::multiply(const DeviceMatrix& weight, const Buffer& x, std::size_t first_token, std::size_t tokens, const Buffer& y) {
  const auto& matrix = own<CpuMatrix>(weight);
  const std::size_t in = matrix.in_features, out = matrix.out_features;
  const float* from = values_of<float>(x, tokens * in, first_token * in);
  float* to = values_of<float>(y, tokens * out);
  if (by_blas(tokens) && matrix.f32()) {
    multiply_tiled(
        {.x = from, .x_stride = in, .w = matrix.f32(), .w_stride = in, .y = to, .y_stride = out, .tokens = tokens, .out = out, .in = in});
    return;
  }
  if (by_blas(tokens)) {
    for_parts(out, kWidenedRows, [&](std::size_t begin, std::size_t end) {
      float* rows = scratch(0).of<float>(kWidenedRows * in);
      kernels_.widen(matrix.f16() + begin * in, (end - begin) * in, rows);
      multiply_here({.x = from,
                     .x_stride = in,
                     .w = rows,
                     .w_stride = in,
                     .y = to + begin,
                     .y_stride = out,
                     .tokens = tokens,
                     .out = end - begin,
                     .in = in});
    });
    return;
  }
  const std::size_t part = std::max<std::size_t>(8, kVectorPart / (in * (matrix.f16() ? 2 : 4) + 1) / 4 * 4);
  for_parts(out, part, [&](std::size_t begin, std::size_t end) {
    if (matrix.f16())
      kernels_.dot_rows_f16(matrix.f16() + begin * in, end - begin, in, from, in, tokens, to + begin, out);
    else
      kernels_.dot_rows_f32(matrix.f32() + begin * in, end - begin, in, from, in, tokens, to + begin, out);
  });
}

void CpuBackend::quantize(const Buffer& x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme, DeviceActivation& out) {
  const std::size_t group = activation_group(scheme, width);
  const std::size_t groups = width / group;
  const float factor = activation_scale_factor(scheme);
  const float lowest = float(lowest_code(scheme.bits)), highest = float(highest_code(scheme.bits));
  const float* from = values_of<float>(x, tokens * width);
  if (!out.codes || out.codes->bytes() < tokens * width) out.codes = allocate(tokens * width);
  if (!out.scales || out.scales->bytes() < tokens * groups * sizeof(float)) out.scales = allocate(tokens * groups * sizeof(float));
  out.tokens = tokens;
  out.width = width;
  out.groups = groups;
  out.scheme = scheme;
  auto* codes = values_of<std::int8_t>(out.codes, tokens * width);
  float* scales = values_of<float>(out.scales, tokens * groups);
  if (!has_plain_codes(scheme)) {
    for_parts(tokens, std::max<std::size_t>(1, 8192 / width), [&](std::size_t begin, std::size_t end) {
      quantize_activations(from + begin * width, end - begin, width, scheme, codes + begin * width, scales + begin * groups);
    });
    return;
  }
  for_parts(tokens * groups, std::max<std::size_t>(1, 8192 / group), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      if (!kernels_.quantize_group(from + i * group, group, factor, lowest, highest, codes + i * group, scales + i))
        throw Error(ErrorKind::numerical, "An activation is not a finite number, so it cannot be quantized; check the model's weights.");
  });
}

void CpuBackend::dequantize(const DeviceActivation& x, const Buffer& out) {
  const auto* codes = values_of<std::int8_t>(x.codes, x.tokens * x.width);
  const float* scales = values_of<float>(x.scales, x.tokens * x.groups);
  float* to = values_of<float>(out, x.tokens * x.width);
  const std::size_t group = x.width / x.groups;
  for_parts(x.tokens * x.groups, std::max<std::size_t>(1, 16384 / group), [&](std::size_t begin, std::size_t end) {
    for (std::size_t g = begin; g < end; ++g)
      for (std::size_t i = g * group; i < (g + 1) * group; ++i) to[i] = float(codes[i]) * scales[g];
  });
}

void CpuBackend::multiply_quantized(const DeviceQuantizedMatrix& weight, const DeviceActivation& x, const Buffer& y) {
  const auto& matrix = own<CpuQuantizedMatrix>(weight);
  const std::size_t in = matrix.in_features, out = matrix.out_features, tokens = x.tokens;
  if (x.width != in || x.groups == 0 || in % x.groups != 0)
    throw Error(ErrorKind::device, "Activations of width " + std::to_string(x.width) + " do not fit a weight of " + std::to_string(in) +
                                       " input features; this is a fault of the program.");
  const auto* codes = values_of<std::int8_t>(x.codes, tokens * in);
  const float* scales = values_of<float>(x.scales, tokens * x.groups);
  float* to = values_of<float>(y, tokens * out);
  const std::size_t blocks = matrix.cut(in / x.groups, segments_);
  const CodesTile weight_tile = matrix.tile();

  // Tiles of tokens: scales as (group, token) within a tile, and for the packed kernels the codes in the order they read.
  const std::size_t tile = kernels_.tile_tokens, tiles = (tokens + tile - 1) / tile;
  float* tile_scales = tile_scales_.of<float>(tokens * x.groups);
  auto* packed = kernels_.packed ? packed_.of<std::int8_t>(tokens * blocks * kBlockColumns) : nullptr;
  auto* offsets = kernels_.packed ? offsets_.of<std::int32_t>(tokens * segments_.size()) : nullptr;
  for_parts(tiles, std::max<std::size_t>(1, 65536 / (tile * in)), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t first = i * tile, count = std::min(tile, tokens - first);
      for (std::size_t g = 0; g < x.groups; ++g)
        for (std::size_t t = 0; t < count; ++t) tile_scales[first * x.groups + g * count + t] = scales[(first + t) * x.groups + g];
      if (packed)
        pack_activations(codes + first * in, in, count, segments_, weight_tile.wide ? 128 : 8, packed + first * blocks * kBlockColumns,
                         offsets + first * segments_.size());
    }
  });

  // Few tokens: parts of equal weight bytes. Many: parts of equal work, all tokens within one, so that weights are read once.
  const std::size_t panel_bytes = packed ? matrix.bytes_per_panel() : kPanelRows * in;
  const std::size_t wanted =
      tokens <= tile ? kVectorPart / panel_bytes : std::max<std::size_t>(1, kProductPart / (kPanelRows * in * tokens));
  const std::size_t part = round_up(std::clamp<std::size_t>(wanted, 1, 64), 2) * kPanelRows;
  for_parts(out, part, [&](std::size_t begin, std::size_t end) {
    CodesTile work = weight_tile;
    work.segments = segments_.data();
    work.segment_count = segments_.size();
    work.activation_bits = integer_bits(x.scheme);
    work.activation_groups = x.groups;
    work.y_stride = out;
    // Two panels stay in the first-level cache while all tokens pass.
    const std::size_t pair = 2 * kPanelRows;
    for (std::size_t row = begin; row < end; row += pair) {
      work.first_row = row;
      work.last_row = std::min(end, row + pair);
      for (std::size_t first = 0; first < tokens; first += tile) {
        work.tokens = std::min(tile, tokens - first);
        work.plain_activations = codes + first * in;
        work.packed_activations = packed ? packed + first * blocks * kBlockColumns : nullptr;
        work.offsets = offsets ? offsets + first * segments_.size() : nullptr;
        work.activation_scales = tile_scales + first * x.groups;
        work.y = to + first * out;
        kernels_.multiply_codes(work);
      }
    }
  });
}

void CpuBackend::multiply_quantized_float(const DeviceQuantizedMatrix& weight, const Buffer& x, std::size_t tokens, const Buffer& y) {
  const auto& matrix = own<CpuQuantizedMatrix>(weight);
  const std::size_t in = matrix.in_features, out = matrix.out_features;
  const float* from = values_of<float>(x, tokens * in);
  float* to = values_of<float>(y, tokens * out);
  matrix.cut(in, segments_);
  CodesTile whole = matrix.tile();
  whole.segments = segments_.data();
  whole.segment_count = segments_.size();
  whole.y_stride = out;
  if (by_blas(tokens)) {
    for_parts(out, kWidenedRows, [&](std::size_t begin, std::size_t end) {
      float* columns = scratch(0).of<float>(kWidenedRows * in);
      CodesTile work = whole;
      work.first_row = begin;
      work.last_row = end;
      kernels_.widen_codes(work, columns, kWidenedRows);
      multiply_here({.x = from,
                     .x_stride = in,
                     .w = columns,
                     .w_stride = kWidenedRows,
                     .transposed = true,
                     .y = to + begin,
                     .y_stride = out,
                     .tokens = tokens,
                     .out = end - begin,
                     .in = in});
    });
    return;
  }
  const std::size_t part = std::max<std::size_t>(1, kVectorPart / 2 / (kPanelRows * in)) * kPanelRows;
  for_parts(out, part, [&](std::size_t begin, std::size_t end) {
    CodesTile work = whole;
    work.first_row = begin;
    work.last_row = end;
    work.tokens = tokens;
    work.y = to;
    kernels_.multiply_codes_float(work, from, in);
  });
}

void CpuBackend::add_low_rank(const DevicePair& pair, const Buffer& x, std::size_t tokens, const Buffer& y, std::size_t components) {
  const auto& own_pair = own<CpuPair>(pair);
  const std::size_t in = pair.in_features, out = pair.out_features, rank = std::min(components, pair.rank);
  const float* from = values_of<float>(x, tokens * in);
  float* to = values_of<float>(y, tokens * out);
  if (rank == 0) return;
  float* s = components_.of<float>(tokens * rank);  // (tokens, rank) = x V
  if (by_blas(tokens)) {
    const std::size_t padded = own_pair.panels() * kPairPanel;
    float* v = widened_.of<float>(rank * (in + padded));  // (rank, in)
    float* u = v + rank * in;                             // (rank, padded out)
    for_parts(rank, 32, [&](std::size_t begin, std::size_t end) {
      kernels_.widen(own_pair.v() + begin * in, (end - begin) * in, v + begin * in);
      for (std::size_t k = begin; k < end; ++k)
        for (std::size_t panel = 0; panel < own_pair.panels(); ++panel)
          kernels_.widen(own_pair.u_panel(panel) + k * kPairPanel, kPairPanel, u + k * padded + panel * kPairPanel);
    });
    multiply_tiled({.x = from, .x_stride = in, .w = v, .w_stride = in, .y = s, .y_stride = rank, .tokens = tokens, .out = rank, .in = in});
    multiply_tiled({.x = s,
                    .x_stride = rank,
                    .w = u,
                    .w_stride = padded,
                    .transposed = true,
                    .accumulate = true,
                    .y = to,
                    .y_stride = out,
                    .tokens = tokens,
                    .out = out,
                    .in = rank});
    return;
  }
  for_parts(rank, std::max<std::size_t>(4, kVectorPart / (2 * in) / 4 * 4), [&](std::size_t begin, std::size_t end) {
    kernels_.dot_rows_f16(own_pair.v() + begin * in, end - begin, in, from, in, tokens, s + begin, rank);
  });
  const std::size_t part = std::max<std::size_t>(1, kVectorPart / (2 * kPairPanel * rank));
  for_parts(own_pair.panels(), part, [&](std::size_t begin, std::size_t end) {
    for (std::size_t panel = begin; panel < end; ++panel) {
      const std::size_t column = panel * kPairPanel;
      kernels_.add_pair_panel(own_pair.u_panel(panel), rank, std::min(kPairPanel, out - column), s, rank, tokens, to + column, out);
    }
  });
}

}  // namespace lrc::cpu

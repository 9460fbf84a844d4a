#include "backend/cpu/packing.h"

#include <emmintrin.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "backend/checks.h"
#include "base/parallel.h"

namespace lrc::cpu {
namespace {

constexpr std::size_t kNarrowBlock = 64, kWideBlock = 128;
std::size_t checked_size(const QuantizedWeight& weight) {
  check_weight(weight);
  return weight.codes.size();
}

}  // namespace

CpuQuantizedMatrix::CpuQuantizedMatrix(const QuantizedWeight& weight, bool packed, Arena& arena, const Meter& meter)
    : packed_(packed), wide_(integer_bits(weight.scheme) > 4), metered_(meter, checked_size(weight) * (packed && !wide_ ? 1 : 2) / 2) {
  out_features = weight.out_features;
  in_features = weight.in_features;
  group_size = weight.group_size();
  bits = integer_bits(weight.scheme);
  const std::vector<std::int8_t> integers = weight.integers();
  const std::size_t groups = weight.groups();
  scales_ = arena.take<float>(panels() * groups * kPanelRows);
  float* scales = scales_.get();
  for (std::size_t r = 0; r < out_features; ++r)
    for (std::size_t g = 0; g < groups; ++g)
      scales[((r / kPanelRows) * groups + g) * kPanelRows + r % kPanelRows] = float(weight.scales(r, g));
  bytes = panels() * groups * kPanelRows * sizeof(float);
  blocks_per_group_ = (group_size + kBlockColumns - 1) / kBlockColumns;
  if (!packed_) {
    codes_ = arena.take<std::uint8_t>(integers.size());
    std::memcpy(codes_.get(), integers.data(), integers.size());
    bytes += integers.size();
    return;
  }
  const std::size_t block_bytes = wide_ ? kWideBlock : kNarrowBlock;
  panel_bytes_ = groups * blocks_per_group_ * block_bytes;
  bytes += panels() * panel_bytes_;
  codes_ = arena.take<std::uint8_t>(panels() * panel_bytes_);
  std::uint8_t* packed_codes = codes_.get();
  std::memset(packed_codes, wide_ ? 0x80 : 0x88, panels() * panel_bytes_);  // code 0 where there is no weight
  const auto pack_row = [&](std::size_t r) {
    std::uint8_t* panel = packed_codes + (r / kPanelRows) * panel_bytes_;
    for (std::size_t c = 0; c < in_features; ++c) {
      const std::size_t group = c / group_size, within = c % group_size;
      std::uint8_t* block = panel + (group * blocks_per_group_ + within / kBlockColumns) * block_bytes;
      const std::size_t k = within % kBlockColumns;
      const int code = integers[r * in_features + c];
      if (wide_) {
        block[(k / 4) * 64 + (r % kPanelRows) * 4 + k % 4] = std::uint8_t(code + 128);
      } else {
        std::uint8_t& byte = block[(r % kPanelRows) * 4 + k % 4];
        byte = k < 4 ? std::uint8_t((byte & 0xf0) | (code + 8)) : std::uint8_t((byte & 0x0f) | ((code + 8) << 4));
      }
    }
  };
  const auto pack_rows = [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) pack_row(r);
  };
  parallel_for(out_features, 4 * kPanelRows, pack_rows);
}

std::size_t CpuQuantizedMatrix::cut(std::size_t activation_group, std::vector<Segment>& segments) const {
  segments.clear();
  std::size_t blocks = 0;
  for (std::size_t begin = 0; begin < in_features;) {
    const std::size_t weight_group = begin / group_size, a_group = begin / activation_group;
    const std::size_t end = std::min((weight_group + 1) * group_size, (a_group + 1) * activation_group);
    const std::size_t first = (begin - weight_group * group_size) / kBlockColumns;
    const std::size_t last = (end - weight_group * group_size + kBlockColumns - 1) / kBlockColumns;
    segments.push_back({std::uint32_t(begin), std::uint32_t(end - begin), std::uint32_t(weight_group * blocks_per_group_ + first),
                        std::uint32_t(last - first), std::uint32_t((begin - weight_group * group_size) % kBlockColumns),
                        std::uint32_t(weight_group), std::uint32_t(a_group)});
    blocks += last - first;
    begin = end;
  }
  return blocks;
}

CodesTile CpuQuantizedMatrix::tile() const {
  CodesTile tile;
  tile.last_row = out_features;
  tile.wide = wide_;
  tile.columns = in_features;
  tile.plain_codes = packed_ ? nullptr : reinterpret_cast<const std::int8_t*>(codes_.get());
  tile.panels = packed_ ? codes_.get() : nullptr;
  tile.panel_bytes = panel_bytes_;
  tile.weight_scales = scales_.get();
  tile.weight_groups = in_features / group_size;
  return tile;
}

void pack_activations(const std::int8_t* codes, std::size_t columns, std::size_t tokens, const std::vector<Segment>& segments, int zero,
                      std::int8_t* out, std::int32_t* offsets) {
  const __m128i flip = _mm_set1_epi8(char(0x80));
  for (const Segment& segment : segments) {
    for (std::size_t t = 0; t < tokens; ++t) {
      const std::int8_t* from = codes + t * columns + segment.first_column;
      std::int8_t* to = out + t * kBlockColumns;
      // Whole blocks first, summed as code + 128 by the instruction that adds eight bytes; a segment that begins inside a
      // block, and what is left at its end, go byte by byte.
      const std::size_t whole = segment.lead == 0 ? segment.columns / kBlockColumns : 0;
      __m128i sums = _mm_setzero_si128();
      for (std::size_t b = 0; b < whole; ++b) {
        const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + b * kBlockColumns));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(to + b * tokens * kBlockColumns), eight);
        sums = _mm_add_epi64(sums, _mm_sad_epu8(_mm_xor_si128(eight, flip), _mm_setzero_si128()));
      }
      std::int32_t sum = std::int32_t(_mm_cvtsi128_si64(sums)) - std::int32_t(128 * kBlockColumns * whole);
      for (std::size_t b = whole; b < segment.blocks; ++b)
        for (std::size_t i = 0; i < kBlockColumns; ++i) {
          const std::size_t column = b * kBlockColumns + i;
          const bool inside = column >= segment.lead && column - segment.lead < segment.columns;
          const std::int8_t code = inside ? from[column - segment.lead] : std::int8_t{0};
          to[b * tokens * kBlockColumns + i] = code;
          sum += code;
        }
      *offsets++ = -zero * sum;
    }
    out += segment.blocks * tokens * kBlockColumns;
  }
}

}  // namespace lrc::cpu

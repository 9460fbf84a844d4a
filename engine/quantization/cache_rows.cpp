#include "quantization/cache_rows.h"

#include <string>
#include <vector>

#include "base/error.h"
#include "quantization/activation.h"

namespace lrc {

CacheLayout cache_layout(const ActivationScheme& scheme, std::size_t kv_heads, std::size_t head_dim) {
  if (scheme.format != NumberFormat::integer)
    throw Error(ErrorKind::bad_input,
                "Keys and values are quantized as whole numbers, not as " + std::string(name(scheme.format)) + "; choose the format int.");
  activation_scale_factor(scheme);  // refuses bits and clips
  const std::size_t group = scheme.group_size == 0 ? head_dim : scheme.group_size;
  if (head_dim == 0 || head_dim % group != 0)
    throw Error(ErrorKind::bad_input, "Groups of " + std::to_string(group) + " do not divide the heads of " + std::to_string(head_dim) +
                                          " of the key and value cache; choose a group size that divides them, or 0 for one a head.");
  CacheLayout layout;
  layout.scheme = scheme;
  layout.scheme.group_size = group;
  layout.width = kv_heads * head_dim;
  layout.group = group;
  layout.groups = layout.width / group;
  layout.nibbles = scheme.bits <= 4 && group % 2 == 0;
  layout.code_bytes = layout.nibbles ? layout.width / 2 : layout.width;
  return layout;
}

void quantize_cache_rows(const float* x, std::size_t rows, const CacheLayout& layout, std::uint8_t* codes, float* scales,
                         std::uint8_t* zeros) {
  if (!layout.nibbles) {
    quantize_unsigned(x, rows, layout.width, layout.scheme, codes, scales, zeros);
    return;
  }
  std::vector<std::uint8_t> row(layout.width);
  for (std::size_t r = 0; r < rows; ++r) {
    quantize_unsigned(x + r * layout.width, 1, layout.width, layout.scheme, row.data(), scales + r * layout.groups,
                      zeros + r * layout.groups);
    std::uint8_t* to = codes + r * layout.code_bytes;
    for (std::size_t i = 0; i < layout.code_bytes; ++i) to[i] = std::uint8_t(row[2 * i] | row[2 * i + 1] << 4);
  }
}

void dequantize_cache_rows(const std::uint8_t* codes, const float* scales, const std::uint8_t* zeros, std::size_t rows,
                           const CacheLayout& layout, float* out) {
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t i = 0; i < layout.width; ++i) {
      const std::size_t group = r * layout.groups + i / layout.group;
      const std::uint8_t byte = codes[r * layout.code_bytes + (layout.nibbles ? i / 2 : i)];
      const int code = !layout.nibbles ? byte : i % 2 == 0 ? byte & 15 : byte >> 4;
      out[r * layout.width + i] = float(code - int(zeros[group])) * scales[group];
    }
}

}  // namespace lrc

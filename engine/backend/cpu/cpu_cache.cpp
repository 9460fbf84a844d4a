// The quantized key and value cache on the CPU.
#include <algorithm>

#include "backend/checks.h"
#include "backend/cpu/cpu_backend.h"

namespace lrc::cpu {
namespace {

CacheRows rows_of(const DeviceCache& cache) {
  const std::size_t rows = 2 * cache.capacity;
  return {cache.layout, cache.capacity, values_of<std::uint8_t>(cache.codes, rows * cache.layout.code_bytes),
          values_of<float>(cache.scales, rows * cache.layout.groups), values_of<std::uint8_t>(cache.zeros, rows * cache.layout.groups)};
}

}  // namespace

CacheTile CacheRows::tile(std::size_t first, std::size_t rows, std::size_t kv_head, std::size_t head_dim, bool values) const {
  const std::size_t row = first + (values ? capacity : 0), groups = head_dim / layout.group, code = kv_head * head_dim;
  const std::size_t group = row * layout.groups + kv_head * groups;
  return {.codes = codes + row * layout.code_bytes + (layout.nibbles ? code / 2 : code),
          .scales = scales + group,
          .zeros = zeros + group,
          .code_stride = layout.code_bytes,
          .group_stride = layout.groups,
          .rows = rows,
          .groups = groups,
          .group = layout.group,
          .nibbles = layout.nibbles};
}

void CpuBackend::store_quantized(const Buffer& keys, const Buffer& values, std::size_t tokens, const DeviceCache& cache,
                                 std::size_t first_position) {
  const CacheLayout& layout = cache.layout;
  check_cache(cache, {1, 1, layout.width, 0}, first_position + tokens);
  const CacheRows rows = rows_of(cache);
  const float* from[2] = {values_of<float>(keys, tokens * layout.width), values_of<float>(values, tokens * layout.width)};
  for_parts(2 * tokens, std::max<std::size_t>(1, 4096 / layout.width), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t token = i % tokens, row = (i / tokens) * rows.capacity + first_position + token;
      quantize_cache_rows(from[i / tokens] + token * layout.width, 1, layout, rows.codes + row * layout.code_bytes,
                          rows.scales + row * layout.groups, rows.zeros + row * layout.groups);
    }
  });
}

void CpuBackend::attention_quantized(const Buffer& q, const DeviceCache& cache, std::size_t first_position, std::size_t tokens,
                                     const AttentionShape& shape, const Buffer& out) {
  check_cache(cache, shape, first_position + tokens);
  const std::size_t width = shape.heads * shape.head_dim;
  const CacheRows rows = rows_of(cache);
  attend_all(kernels_, {.q = values_of<float>(q, tokens * width),
                        .cache = &rows,
                        .out = values_of<float>(out, tokens * width),
                        .first_position = first_position,
                        .tokens = tokens,
                        .shape = shape});
}

}  // namespace lrc::cpu

#pragma once
// A quantized cache on the host, and from one device to another.
#include "quantization/cache_rows.h"
#include "support/comparison.h"

namespace lrc::test {

struct CacheParts {
  std::vector<std::uint8_t> codes, zeros;
  std::vector<float> scales;
};

inline CacheParts download_cache(Backend& backend, const DeviceCache& cache) {
  const std::size_t rows = 2 * cache.capacity;
  return {download<std::uint8_t>(backend, cache.codes, rows * cache.layout.code_bytes),
          download<std::uint8_t>(backend, cache.zeros, rows * cache.layout.groups),
          download<float>(backend, cache.scales, rows * cache.layout.groups)};
}

inline DeviceCache upload_cache(Backend& backend, const CacheLayout& layout, std::size_t capacity, const CacheParts& parts) {
  const DeviceCache cache = backend.allocate_cache(layout, capacity);
  backend.upload(cache.codes, 0, std::as_bytes(std::span(parts.codes)));
  backend.upload(cache.zeros, 0, std::as_bytes(std::span(parts.zeros)));
  backend.upload(cache.scales, 0, std::as_bytes(std::span(parts.scales)));
  return cache;
}

/// What the first `rows` keys or values stand for, (rows, width).
inline std::vector<float> cached_floats(const CacheParts& parts, const CacheLayout& layout, std::size_t capacity, std::size_t rows,
                                        bool values) {
  const std::size_t first = values ? capacity : 0;
  std::vector<float> out(rows * layout.width);
  dequantize_cache_rows(parts.codes.data() + first * layout.code_bytes, parts.scales.data() + first * layout.groups,
                        parts.zeros.data() + first * layout.groups, rows, layout, out.data());
  return out;
}

/// Rows [first, first + rows) of keys and values are the same bits.
inline void expect_same_rows(const CacheParts& result, const CacheParts& expected, const CacheLayout& layout, std::size_t capacity,
                             std::size_t first, std::size_t rows, const std::string& what) {
  const auto part = [&](const auto& values, std::size_t row, std::size_t at) {
    return std::vector(values.begin() + std::ptrdiff_t(at * row), values.begin() + std::ptrdiff_t((at + rows) * row));
  };
  for (const std::size_t at : {first, capacity + first}) {
    const std::string whose = what + (at == first ? ", keys" : ", values");
    expect_identical(part(result.scales, layout.groups, at), part(expected.scales, layout.groups, at), whose + ": scales");
    expect_identical(part(result.zeros, layout.groups, at), part(expected.zeros, layout.groups, at), whose + ": zeros");
    expect_identical(part(result.codes, layout.code_bytes, at), part(expected.codes, layout.code_bytes, at), whose + ": codes");
  }
}

}  // namespace lrc::test

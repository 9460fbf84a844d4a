// What every backend does alike with a quantized cache.
#include "backend/backend.h"

namespace lrc {

DeviceCache Backend::allocate_cache(const CacheLayout& layout, std::size_t capacity) {
  // Buffers of whole words: devices copy and address them as such.
  const auto words = [&](std::size_t row) { return (2 * capacity * row + 3) / 4 * 4; };
  DeviceCache cache;
  cache.layout = layout;
  cache.capacity = capacity;
  cache.codes = allocate(words(layout.code_bytes));
  cache.scales = allocate(words(layout.groups * sizeof(float)));
  cache.zeros = allocate(words(layout.groups));
  return cache;
}

void Backend::copy_cache(const DeviceCache& from, const DeviceCache& to, std::size_t rows) {
  if (rows == 0) return;
  const auto copy_part = [&](const Buffer& source, const Buffer& target, std::size_t row) {
    copy(source, 0, target, 0, rows * row);
    copy(source, from.capacity * row, target, to.capacity * row, rows * row);
  };
  copy_part(from.codes, to.codes, from.layout.code_bytes);
  copy_part(from.scales, to.scales, from.layout.groups * sizeof(float));
  copy_part(from.zeros, to.zeros, from.layout.groups);
}

}  // namespace lrc

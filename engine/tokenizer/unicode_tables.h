#pragma once
#include <cstddef>
#include <cstdint>

namespace lrc::unicode {

/// Characters first…last belong to one category of unicode.h. Sorted, without overlap.
struct CategoryRange {
  std::uint32_t first, last;
  std::uint8_t category;
};

/// Every `stride`-th character of first…last maps to itself + difference. Sorted by `first`.
struct CaseRange {
  std::uint32_t first, last;
  std::uint8_t stride;
  std::int32_t difference;
};

extern const CategoryRange category_ranges[];
extern const std::size_t category_ranges_count;
extern const CaseRange lower_ranges[];
extern const std::size_t lower_ranges_count;
extern const CaseRange upper_ranges[];
extern const std::size_t upper_ranges_count;

}  // namespace lrc::unicode

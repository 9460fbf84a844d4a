#include "backend/cpu/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "base/error.h"

namespace lrc::cpu {
namespace {
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kTail = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
/// Of parameters that share a piece; larger ones get their own.
constexpr std::size_t kPiece = 8 * kHugePage;

std::size_t round_up(std::size_t value, std::size_t multiple) {
  const std::size_t whole = (value + multiple - 1) / multiple * multiple;
  if (whole < value) throw std::bad_alloc();
  return whole;
}

/// Zeroed pages that begin at a huge page's border.
std::shared_ptr<std::byte> map_pages(std::size_t bytes) {
  const std::size_t mapped = round_up(bytes, kHugePage) + kHugePage;
  void* pages = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  auto* first = static_cast<std::byte*>(pages);
  const std::size_t skip = (kHugePage - reinterpret_cast<std::uintptr_t>(first) % kHugePage) % kHugePage;
  ::madvise(first + skip, mapped - kHugePage, MADV_HUGEPAGE);  // a wish; without it everything works on small pages
  return {first + skip, [pages, mapped](std::byte*) { ::munmap(pages, mapped); }};
}
}  // namespace

Aligned::~Aligned() { std::free(data_); }

std::byte* Aligned::reserve(std::size_t bytes) {
  if (data_ && bytes <= capacity_) return data_;
  const bool large = bytes >= 2 * kHugePage;
  const std::size_t alignment = large ? kHugePage : kAlignment, whole = round_up(bytes + kTail, alignment);
  void* fresh = std::aligned_alloc(alignment, whole);
  if (!fresh) throw std::bad_alloc();
  if (large) ::madvise(fresh, whole, MADV_HUGEPAGE);
  std::memset(fresh, 0, whole);
  std::free(data_);
  data_ = static_cast<std::byte*>(fresh);
  capacity_ = bytes;
  return data_;
}

std::shared_ptr<std::byte> Arena::take_bytes(std::size_t bytes) {
  const std::size_t whole = round_up(bytes, kAlignment) + kTail;
  if (whole >= kPiece / 2) return map_pages(whole);
  if (!piece_ || used_ + whole > kPiece) {
    piece_ = map_pages(kPiece);
    used_ = 0;
  }
  std::shared_ptr<std::byte> taken(piece_, piece_.get() + used_);
  used_ += whole;
  return taken;
}

CpuBuffer::CpuBuffer(std::size_t bytes, Meter meter)
    : DeviceBuffer(bytes), memory_(bytes), data_(memory_.reserve(bytes)), metered_(std::move(meter), bytes) {}

std::byte* bytes_of(const Buffer& buffer, std::size_t offset, std::size_t bytes) {
  auto* own = dynamic_cast<CpuBuffer*>(buffer.get());
  if (!own) throw Error(ErrorKind::device, "A buffer of another device was given to the CPU; this is a fault of the program.");
  if (offset > own->bytes() || bytes > own->bytes() - offset)
    throw Error(ErrorKind::device, "A buffer of " + std::to_string(own->bytes()) + " bytes is too small for " + std::to_string(bytes) +
                                       " bytes at " + std::to_string(offset) + "; this is a fault of the program.");
  return own->data() + offset;
}

Aligned& scratch(std::size_t slot) {
  thread_local std::array<Aligned, 4> slots;
  return slots.at(slot);
}

}  // namespace lrc::cpu

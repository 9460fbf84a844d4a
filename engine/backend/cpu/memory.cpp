#include "backend/cpu/memory.h"

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
}  // namespace

Aligned::~Aligned() { std::free(data_); }

std::byte* Aligned::reserve(std::size_t bytes) {
  if (data_ && bytes <= capacity_) return data_;
  const std::size_t whole = (bytes + kTail + kAlignment - 1) / kAlignment * kAlignment;
  if (whole < bytes) throw std::bad_alloc();
  void* fresh = std::aligned_alloc(kAlignment, whole);
  if (!fresh) throw std::bad_alloc();
  std::memset(fresh, 0, whole);
  std::free(data_);
  data_ = static_cast<std::byte*>(fresh);
  capacity_ = bytes;
  return data_;
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

#pragma once
// Memory of the CPU backend: 64-byte aligned, with a vector's worth of readable bytes behind the end.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "backend/backend.h"

namespace lrc::cpu {

/// An aligned array of plain values that grows and never shrinks; its contents are lost when it grows.
class Aligned {
 public:
  Aligned() = default;
  explicit Aligned(std::size_t bytes) { reserve(bytes); }
  Aligned(Aligned&& other) noexcept : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}
  Aligned& operator=(Aligned&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~Aligned();

  std::byte* reserve(std::size_t bytes);  ///< new memory is zero
  template <typename T>
  T* of(std::size_t count) {
    return reinterpret_cast<T*>(reserve(count * sizeof(T)));
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t capacity_ = 0;
};

/// Memory of parameters, taken from large pieces whose pages the system may make huge: with 4 KiB pages reading weights once
/// a token reaches only two thirds of the bandwidth. A piece is given back when the last parameter in it goes.
class Arena {
 public:
  /// Zero, 64-byte aligned.
  template <typename T>
  std::shared_ptr<T> take(std::size_t count) {
    const auto bytes = take_bytes(count * sizeof(T));
    return {bytes, reinterpret_cast<T*>(bytes.get())};
  }

 private:
  std::shared_ptr<std::byte> take_bytes(std::size_t bytes);
  std::shared_ptr<std::byte> piece_;
  std::size_t used_ = 0;
};

/// Bytes in use by one backend; buffers may outlive it.
using Meter = std::shared_ptr<std::atomic<std::size_t>>;

/// Adds to the meter for as long as it lives.
class Metered {
 public:
  Metered(Meter meter, std::size_t bytes) : meter_(std::move(meter)), bytes_(bytes) { meter_->fetch_add(bytes_); }
  ~Metered() { meter_->fetch_sub(bytes_); }
  Metered(const Metered&) = delete;
  Metered& operator=(const Metered&) = delete;

 private:
  Meter meter_;
  std::size_t bytes_;
};

class CpuBuffer : public DeviceBuffer {
 public:
  CpuBuffer(std::size_t bytes, Meter meter);
  std::byte* data() { return data_; }

 private:
  Aligned memory_;
  std::byte* data_;
  Metered metered_;
};

/// The buffer's bytes [offset, offset + bytes). Throws Error(device) when it is another backend's or too small.
std::byte* bytes_of(const Buffer& buffer, std::size_t offset, std::size_t bytes);
template <typename T>
T* values_of(const Buffer& buffer, std::size_t count, std::size_t first = 0) {
  return reinterpret_cast<T*>(bytes_of(buffer, first * sizeof(T), count * sizeof(T)));
}

/// This thread's scratch number `slot` (0…3), kept between calls.
Aligned& scratch(std::size_t slot);

}  // namespace lrc::cpu

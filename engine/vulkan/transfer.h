#pragma once
// Bytes between the host and buffers of one Vulkan device, in the order of the recorded commands.
#include <cstddef>
#include <memory>
#include <span>

#include "vulkan/recorder.h"

namespace lrc::vulkan {

/// The buffer as this backend made it. Throws Error(device) for one of another backend.
std::shared_ptr<GpuBuffer> gpu(const Buffer& buffer);

class Transfer {
 public:
  explicit Transfer(std::shared_ptr<Device> device);
  const Device& device() const { return *device_; }
  Recorder& recorder() { return recorder_; }
  std::shared_ptr<GpuBuffer> allocate(std::size_t bytes) { return device_->allocate(bytes); }

  /// Small ones travel with the commands; large ones through the staging buffer, which waits for all that was recorded.
  void upload(const Buffer& to, std::size_t offset_bytes, std::span<const std::byte> from);
  /// Waits for all that was recorded.
  void download(const Buffer& from, std::size_t offset_bytes, std::span<std::byte> to);
  /// Travels inside the command stream, whatever its length.
  void upload_list(const std::shared_ptr<GpuBuffer>& to, std::span<const std::byte> bytes);
  /// A buffer that grows and is used again.
  std::shared_ptr<GpuBuffer> scratch(Buffer& slot, std::size_t bytes);

 private:
  std::shared_ptr<Device> device_;
  Recorder recorder_;
  std::shared_ptr<GpuBuffer> staging_;
};

}  // namespace lrc::vulkan

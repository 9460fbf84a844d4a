#pragma once
// Instance, physical devices, the logical device with its one compute queue, and memory in chunks.
#include <vulkan/vulkan.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace lrc::vulkan {

/// Translates a VkResult into an Error that says what was being done: device_lost, or device for anything else.
void check(VkResult result, const char* what);

/// One physical device with what the kernels need to know.
struct PhysicalDevice {
  VkPhysicalDevice handle = VK_NULL_HANDLE;
  DeviceInfo info;
  std::uint32_t queue_family = 0;
  bool integer_dot = false;
  VkDeviceSize max_buffer_range = 0;
  std::uint32_t max_shared_bytes = 0;
};

/// The instance of the process, made at first use and kept.
class Instance {
 public:
  /// Nothing when there is no Vulkan loader, driver or device.
  static const Instance* get();
  const std::vector<PhysicalDevice>& devices() const { return devices_; }

 private:
  Instance();
  VkInstance instance_ = VK_NULL_HANDLE;
  std::vector<PhysicalDevice> devices_;
};

class Device;

/// A piece of device memory that many buffers share; freed with the last of them.
struct MemoryChunk {
  const Device* device = nullptr;
  VkDeviceMemory memory = VK_NULL_HANDLE;
  VkDeviceSize size = 0, used = 0;
  void* mapped = nullptr;
  ~MemoryChunk();
};

class GpuBuffer final : public DeviceBuffer {
 public:
  GpuBuffer(std::shared_ptr<const Device> device, VkBuffer buffer, std::shared_ptr<MemoryChunk> chunk, std::size_t bytes,
            VkDeviceSize offset);
  ~GpuBuffer() override;
  VkBuffer handle() const { return buffer_; }
  std::byte* mapped() const { return chunk_->mapped ? static_cast<std::byte*>(chunk_->mapped) + offset_ : nullptr; }
  /// True while a recorded command writes it and no barrier followed; kept by the recorder.
  bool written = false;
  bool read = false;

 private:
  std::shared_ptr<const Device> device_;
  VkBuffer buffer_;
  std::shared_ptr<MemoryChunk> chunk_;
  VkDeviceSize offset_;
};

class Device : public std::enable_shared_from_this<Device> {
 public:
  explicit Device(const PhysicalDevice& physical);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  VkDevice handle() const { return device_; }
  VkQueue queue() const { return queue_; }
  const PhysicalDevice& physical() const { return physical_; }

  /// Storage on the device. Throws Error(device) when its memory is full, naming how much was asked for.
  std::shared_ptr<GpuBuffer> allocate(std::size_t bytes);
  /// Memory that the host writes and reads, for transfers.
  std::shared_ptr<GpuBuffer> allocate_staging(std::size_t bytes);
  std::size_t allocated_bytes() const { return allocated_; }

 private:
  friend struct MemoryChunk;
  std::shared_ptr<GpuBuffer> make(std::size_t bytes, VkBufferUsageFlags usage, VkMemoryPropertyFlags wanted,
                                  std::shared_ptr<MemoryChunk>* shared);
  std::uint32_t memory_type(std::uint32_t allowed, VkMemoryPropertyFlags wanted) const;

  PhysicalDevice physical_;
  VkDevice device_ = VK_NULL_HANDLE;
  VkQueue queue_ = VK_NULL_HANDLE;
  VkPhysicalDeviceMemoryProperties memory_{};
  std::shared_ptr<MemoryChunk> chunk_;  // the one that is being filled
  std::size_t allocated_ = 0;
};

}  // namespace lrc::vulkan

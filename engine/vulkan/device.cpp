#include "vulkan/device.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace lrc::vulkan {
namespace {
constexpr VkDeviceSize chunk_bytes = 64u << 20;
}

MemoryChunk::~MemoryChunk() {
  if (memory != VK_NULL_HANDLE) vkFreeMemory(device->handle(), memory, nullptr);
}

GpuBuffer::GpuBuffer(std::shared_ptr<const Device> device, VkBuffer buffer, std::shared_ptr<MemoryChunk> chunk, std::size_t bytes,
                     VkDeviceSize offset)
    : DeviceBuffer(bytes), device_(std::move(device)), buffer_(buffer), chunk_(std::move(chunk)), offset_(offset) {}

GpuBuffer::~GpuBuffer() {
  vkDestroyBuffer(device_->handle(), buffer_, nullptr);
  chunk_.reset();  // before the device may go
}

Device::Device(const PhysicalDevice& physical) : physical_(physical) {
  if (!physical.info.usable) throw Error(ErrorKind::device, physical.info.name + " cannot be used: " + physical.info.why_not + ".");
  const float priority = 1.0f;
  VkDeviceQueueCreateInfo queue{VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
  queue.queueFamilyIndex = physical.queue_family;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  VkPhysicalDeviceVulkan13Features features13{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES};
  features13.shaderIntegerDotProduct = VK_TRUE;
  VkPhysicalDeviceVulkan12Features features12{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
                                              physical.integer_dot ? &features13 : nullptr};
  features12.storageBuffer8BitAccess = VK_TRUE;
  features12.shaderInt8 = VK_TRUE;
  VkDeviceCreateInfo create{VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, &features12};
  create.queueCreateInfoCount = 1;
  create.pQueueCreateInfos = &queue;
  check(vkCreateDevice(physical.handle, &create, nullptr, &device_), "opening the device");
  vkGetDeviceQueue(device_, physical.queue_family, 0, &queue_);
  vkGetPhysicalDeviceMemoryProperties(physical.handle, &memory_);
}

Device::~Device() {
  chunk_.reset();
  if (device_ != VK_NULL_HANDLE) vkDestroyDevice(device_, nullptr);
}

std::uint32_t Device::memory_type(std::uint32_t allowed, VkMemoryPropertyFlags wanted) const {
  for (std::uint32_t i = 0; i < memory_.memoryTypeCount; ++i)
    if ((allowed >> i & 1u) && (memory_.memoryTypes[i].propertyFlags & wanted) == wanted) return i;
  throw Error(ErrorKind::device, physical_.info.name + " has no memory of the kind that is needed; use the CPU.");
}

std::shared_ptr<GpuBuffer> Device::make(std::size_t bytes, VkBufferUsageFlags usage, VkMemoryPropertyFlags wanted,
                                        std::shared_ptr<MemoryChunk>* shared) {
  const VkDeviceSize size = std::max<VkDeviceSize>(16, (bytes + 15) / 16 * 16);
  VkBufferCreateInfo create{VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO};
  create.size = size;
  create.usage = usage;
  VkBuffer buffer = VK_NULL_HANDLE;
  check(vkCreateBuffer(device_, &create, nullptr, &buffer), "a buffer");
  try {
    VkMemoryRequirements needs{};
    vkGetBufferMemoryRequirements(device_, buffer, &needs);
    const auto align = [&](VkDeviceSize at) { return (at + needs.alignment - 1) / needs.alignment * needs.alignment; };
    std::shared_ptr<MemoryChunk> chunk = shared && needs.size <= chunk_bytes / 4 ? *shared : nullptr;
    if (!chunk || align(chunk->used) + needs.size > chunk->size) {
      const bool join = shared && needs.size <= chunk_bytes / 4;
      chunk = std::make_shared<MemoryChunk>();
      chunk->device = this;
      chunk->size = join ? chunk_bytes : needs.size;
      VkMemoryAllocateInfo allocate{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO};
      allocate.allocationSize = chunk->size;
      allocate.memoryTypeIndex = memory_type(needs.memoryTypeBits, wanted);
      if (vkAllocateMemory(device_, &allocate, nullptr, &chunk->memory) != VK_SUCCESS)
        throw Error(ErrorKind::device, physical_.info.name + " has no room for another " + std::to_string(chunk->size >> 20) + " MiB (" +
                                           std::to_string(allocated_ >> 20) + " MiB are in use); use a shorter context or the CPU.");
      if (wanted & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT)
        check(vkMapMemory(device_, chunk->memory, 0, VK_WHOLE_SIZE, 0, &chunk->mapped), "mapping memory");
      if (join) *shared = chunk;
    }
    const VkDeviceSize offset = align(chunk->used);
    check(vkBindBufferMemory(device_, buffer, chunk->memory, offset), "binding memory");
    chunk->used = offset + needs.size;
    allocated_ += needs.size;
    return std::make_shared<GpuBuffer>(shared_from_this(), buffer, std::move(chunk), bytes, offset);
  } catch (...) {
    vkDestroyBuffer(device_, buffer, nullptr);
    throw;
  }
}

std::shared_ptr<GpuBuffer> Device::allocate(std::size_t bytes) {
  return make(bytes, VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
              VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, &chunk_);
}

std::shared_ptr<GpuBuffer> Device::allocate_staging(std::size_t bytes) {
  return make(bytes, VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
              VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT, nullptr);
}

}  // namespace lrc::vulkan

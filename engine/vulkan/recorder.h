#pragma once
// Records dispatches and copies, puts in the barriers that follow from what each reads and writes, and submits them once.
#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "vulkan/device.h"

namespace lrc::vulkan {

/// A compute pipeline: shader, specialization constants, number of storage buffers.
struct Pipeline {
  VkDescriptorSetLayout set_layout = VK_NULL_HANDLE;
  VkPipelineLayout layout = VK_NULL_HANDLE;
  VkPipeline pipeline = VK_NULL_HANDLE;
};

enum class Access { read, write, read_write };
struct Binding {
  std::shared_ptr<GpuBuffer> buffer;
  Access access = Access::read;
};

class Recorder {
 public:
  explicit Recorder(std::shared_ptr<Device> device);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// Pipelines are made at first use and kept; `words` identifies the shader by its address.
  const Pipeline& pipeline(std::span<const std::uint32_t> words, std::size_t bindings, std::vector<std::uint32_t> constants);

  void dispatch(const Pipeline& pipeline, const std::vector<Binding>& bindings, std::span<const std::byte> push, std::uint32_t x,
                std::uint32_t y = 1);
  void copy(const std::shared_ptr<GpuBuffer>& from, std::size_t from_offset, const std::shared_ptr<GpuBuffer>& to, std::size_t to_offset,
            std::size_t bytes);
  /// At most 64 KiB, offset and size multiples of 4: travels inside the command stream, in order.
  void update(const std::shared_ptr<GpuBuffer>& to, std::size_t offset, std::span<const std::byte> bytes);

  /// Runs all that was recorded and waits for it.
  void finish();

 private:
  void begin();
  void barrier_for(std::span<const Binding> bindings);
  VkDescriptorSet descriptor_set(VkDescriptorSetLayout layout);

  std::shared_ptr<Device> device_;
  VkCommandPool command_pool_ = VK_NULL_HANDLE;
  VkCommandBuffer commands_ = VK_NULL_HANDLE;
  VkFence fence_ = VK_NULL_HANDLE;
  std::vector<VkDescriptorPool> descriptor_pools_;
  std::size_t pool_in_use_ = 0;
  bool recording_ = false;
  std::size_t recorded_ = 0;
  std::vector<std::shared_ptr<GpuBuffer>> kept_;     // alive until the commands have run
  std::vector<std::shared_ptr<GpuBuffer>> touched_;  // whose access marks a barrier clears
  std::map<std::pair<const std::uint32_t*, std::vector<std::uint32_t>>, Pipeline> pipelines_;
};

}  // namespace lrc::vulkan

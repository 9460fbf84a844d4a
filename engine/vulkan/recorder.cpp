#include "vulkan/recorder.h"

#include <array>

#include "base/error.h"

namespace lrc::vulkan {
namespace {
constexpr std::uint32_t sets_in_a_pool = 512;
// A submission of thousands of dispatches would hold the display of a desktop GPU up; this many run in a few milliseconds.
constexpr std::size_t most_recorded = 1024;
}  // namespace

Recorder::Recorder(std::shared_ptr<Device> device) : device_(std::move(device)) {
  VkCommandPoolCreateInfo pool{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = device_->physical().queue_family;
  check(vkCreateCommandPool(device_->handle(), &pool, nullptr, &command_pool_), "a command pool");
  VkCommandBufferAllocateInfo allocate{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
  allocate.commandPool = command_pool_;
  allocate.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
  allocate.commandBufferCount = 1;
  check(vkAllocateCommandBuffers(device_->handle(), &allocate, &commands_), "a command buffer");
  VkFenceCreateInfo fence{VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
  check(vkCreateFence(device_->handle(), &fence, nullptr, &fence_), "a fence");
}

Recorder::~Recorder() {
  const VkDevice device = device_->handle();
  vkDeviceWaitIdle(device);
  for (const auto& [key, p] : pipelines_) {
    vkDestroyPipeline(device, p.pipeline, nullptr);
    vkDestroyPipelineLayout(device, p.layout, nullptr);
    vkDestroyDescriptorSetLayout(device, p.set_layout, nullptr);
  }
  for (const auto pool : descriptor_pools_) vkDestroyDescriptorPool(device, pool, nullptr);
  vkDestroyFence(device, fence_, nullptr);
  vkDestroyCommandPool(device, command_pool_, nullptr);
}

const Pipeline& Recorder::pipeline(std::span<const std::uint32_t> words, std::size_t bindings, std::vector<std::uint32_t> constants) {
  const auto key = std::make_pair(words.data(), constants);
  if (const auto found = pipelines_.find(key); found != pipelines_.end()) return found->second;
  const VkDevice device = device_->handle();
  Pipeline& p = pipelines_[key];
  std::vector<VkDescriptorSetLayoutBinding> slots(bindings);
  for (std::uint32_t i = 0; i < bindings; ++i) slots[i] = {i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr};
  VkDescriptorSetLayoutCreateInfo set{VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO};
  set.bindingCount = std::uint32_t(bindings);
  set.pBindings = slots.data();
  check(vkCreateDescriptorSetLayout(device, &set, nullptr, &p.set_layout), "a kernel's layout");
  const VkPushConstantRange push{VK_SHADER_STAGE_COMPUTE_BIT, 0, 128};
  VkPipelineLayoutCreateInfo layout{VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO};
  layout.setLayoutCount = 1;
  layout.pSetLayouts = &p.set_layout;
  layout.pushConstantRangeCount = 1;
  layout.pPushConstantRanges = &push;
  check(vkCreatePipelineLayout(device, &layout, nullptr, &p.layout), "a kernel's layout");
  VkShaderModuleCreateInfo module{VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO};
  module.codeSize = words.size_bytes();
  module.pCode = words.data();
  VkShaderModule shader = VK_NULL_HANDLE;
  check(vkCreateShaderModule(device, &module, nullptr, &shader), "a kernel");
  std::vector<VkSpecializationMapEntry> entries(constants.size());
  for (std::uint32_t i = 0; i < constants.size(); ++i) entries[i] = {i, i * 4, 4};
  const VkSpecializationInfo specialization{std::uint32_t(entries.size()), entries.data(), constants.size() * 4, constants.data()};
  VkComputePipelineCreateInfo create{VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO};
  create.stage = {
      VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, nullptr, 0, VK_SHADER_STAGE_COMPUTE_BIT, shader, "main", &specialization};
  create.layout = p.layout;
  const VkResult result = vkCreateComputePipelines(device, VK_NULL_HANDLE, 1, &create, nullptr, &p.pipeline);
  vkDestroyShaderModule(device, shader, nullptr);
  check(result, "building a kernel");
  return p;
}

void Recorder::begin() {
  if (recording_) return;
  VkCommandBufferBeginInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  info.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  check(vkBeginCommandBuffer(commands_, &info), "recording");
  recording_ = true;
}

void Recorder::barrier_for(std::span<const Binding> bindings) {
  bool needed = false;
  for (const auto& [buffer, access] : bindings) needed = needed || buffer->written || (access != Access::read && buffer->read);
  if (needed) {
    const VkAccessFlags all =
        VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    const VkMemoryBarrier barrier{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, all, all};
    const VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    vkCmdPipelineBarrier(commands_, stages, stages, 0, 1, &barrier, 0, nullptr, 0, nullptr);
    for (const auto& buffer : touched_) buffer->written = buffer->read = false;
    touched_.clear();
  }
  for (const auto& [buffer, access] : bindings) {
    if (!buffer->written && !buffer->read) touched_.push_back(buffer);
    buffer->written = buffer->written || access != Access::read;
    buffer->read = buffer->read || access != Access::write;
    kept_.push_back(buffer);
  }
}

VkDescriptorSet Recorder::descriptor_set(VkDescriptorSetLayout layout) {
  for (;; ++pool_in_use_) {
    if (pool_in_use_ == descriptor_pools_.size()) {
      const VkDescriptorPoolSize size{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, sets_in_a_pool * 5};
      VkDescriptorPoolCreateInfo create{VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO};
      create.maxSets = sets_in_a_pool;
      create.poolSizeCount = 1;
      create.pPoolSizes = &size;
      VkDescriptorPool pool = VK_NULL_HANDLE;
      check(vkCreateDescriptorPool(device_->handle(), &create, nullptr, &pool), "descriptors");
      descriptor_pools_.push_back(pool);
    }
    VkDescriptorSetAllocateInfo allocate{VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO};
    allocate.descriptorPool = descriptor_pools_[pool_in_use_];
    allocate.descriptorSetCount = 1;
    allocate.pSetLayouts = &layout;
    VkDescriptorSet set = VK_NULL_HANDLE;
    const VkResult result = vkAllocateDescriptorSets(device_->handle(), &allocate, &set);
    if (result == VK_SUCCESS) return set;
    if (result != VK_ERROR_OUT_OF_POOL_MEMORY && result != VK_ERROR_FRAGMENTED_POOL) check(result, "descriptors");
  }
}

void Recorder::dispatch(const Pipeline& pipeline, const std::vector<Binding>& bindings, std::span<const std::byte> push, std::uint32_t x,
                        std::uint32_t y) {
  if (x == 0 || y == 0) return;
  begin();
  barrier_for(bindings);
  const VkDescriptorSet set = descriptor_set(pipeline.set_layout);
  std::array<VkDescriptorBufferInfo, 5> buffers{};
  std::array<VkWriteDescriptorSet, 5> writes{};
  for (std::uint32_t i = 0; i < bindings.size(); ++i) {
    buffers[i] = {bindings[i].buffer->handle(), 0, VK_WHOLE_SIZE};
    writes[i] = {VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, nullptr, set,         i,      0, 1,
                 VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,      nullptr, &buffers[i], nullptr};
  }
  vkUpdateDescriptorSets(device_->handle(), std::uint32_t(bindings.size()), writes.data(), 0, nullptr);
  vkCmdBindPipeline(commands_, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.pipeline);
  vkCmdBindDescriptorSets(commands_, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.layout, 0, 1, &set, 0, nullptr);
  vkCmdPushConstants(commands_, pipeline.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, std::uint32_t(push.size()), push.data());
  vkCmdDispatch(commands_, x, y, 1);
  if (++recorded_ >= most_recorded) finish();
}

void Recorder::copy(const std::shared_ptr<GpuBuffer>& from, std::size_t from_offset, const std::shared_ptr<GpuBuffer>& to,
                    std::size_t to_offset, std::size_t bytes) {
  if (bytes == 0) return;
  begin();
  const std::array<Binding, 2> bindings = {Binding{from, Access::read}, Binding{to, Access::write}};
  barrier_for(bindings);
  const VkBufferCopy region{from_offset, to_offset, bytes};
  vkCmdCopyBuffer(commands_, from->handle(), to->handle(), 1, &region);
}

void Recorder::update(const std::shared_ptr<GpuBuffer>& to, std::size_t offset, std::span<const std::byte> bytes) {
  begin();
  const std::array<Binding, 1> bindings = {Binding{to, Access::write}};
  barrier_for(bindings);
  vkCmdUpdateBuffer(commands_, to->handle(), offset, bytes.size(), bytes.data());
}

void Recorder::finish() {
  if (!recording_) return;
  recording_ = false;
  recorded_ = 0;
  // What the host reads afterwards must be visible to it.
  const VkMemoryBarrier barrier{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                                VK_ACCESS_HOST_READ_BIT};
  vkCmdPipelineBarrier(commands_, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1,
                       &barrier, 0, nullptr, 0, nullptr);
  check(vkEndCommandBuffer(commands_), "recording");
  VkSubmitInfo submit{VK_STRUCTURE_TYPE_SUBMIT_INFO};
  submit.commandBufferCount = 1;
  submit.pCommandBuffers = &commands_;
  check(vkQueueSubmit(device_->queue(), 1, &submit, fence_), "submitting work");
  check(vkWaitForFences(device_->handle(), 1, &fence_, VK_TRUE, UINT64_MAX), "waiting for the device");
  check(vkResetFences(device_->handle(), 1, &fence_), "waiting for the device");
  for (const auto& buffer : touched_) buffer->written = buffer->read = false;
  touched_.clear();
  kept_.clear();
  for (std::size_t i = 0; i <= pool_in_use_ && i < descriptor_pools_.size(); ++i)
    vkResetDescriptorPool(device_->handle(), descriptor_pools_[i], 0);
  pool_in_use_ = 0;
}

}  // namespace lrc::vulkan

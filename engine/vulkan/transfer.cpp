#include "vulkan/transfer.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace lrc::vulkan {
namespace {

constexpr std::size_t update_bytes = 65536;  // what vkCmdUpdateBuffer takes
constexpr std::size_t staging_bytes = 16u << 20;

}  // namespace

std::shared_ptr<GpuBuffer> gpu(const Buffer& buffer) {
  auto result = std::dynamic_pointer_cast<GpuBuffer>(buffer);
  if (!result) throw Error(ErrorKind::device, "A buffer of another device was given to the Vulkan backend.");
  return result;
}

Transfer::Transfer(std::shared_ptr<Device> device)
    : device_(std::move(device)), recorder_(device_), staging_(device_->allocate_staging(staging_bytes)) {}

void Transfer::upload(const Buffer& to, std::size_t offset_bytes, std::span<const std::byte> from) {
  const auto target = gpu(to);
  if (from.size() <= update_bytes && from.size() % 4 == 0 && offset_bytes % 4 == 0) {
    if (!from.empty()) recorder_.update(target, offset_bytes, from);
    return;
  }
  recorder_.finish();  // the staging buffer may be waiting to be read
  while (!from.empty()) {
    const std::size_t count = std::min(from.size(), staging_bytes);
    std::memcpy(staging_->mapped(), from.data(), count);
    recorder_.copy(staging_, 0, target, offset_bytes, count);
    recorder_.finish();
    from = from.subspan(count);
    offset_bytes += count;
  }
}

void Transfer::download(const Buffer& from, std::size_t offset_bytes, std::span<std::byte> to) {
  const auto source = gpu(from);
  recorder_.finish();
  while (!to.empty()) {
    const std::size_t count = std::min(to.size(), staging_bytes);
    recorder_.copy(source, offset_bytes, staging_, 0, count);
    recorder_.finish();
    std::memcpy(to.data(), staging_->mapped(), count);
    to = to.subspan(count);
    offset_bytes += count;
  }
}

void Transfer::upload_list(const std::shared_ptr<GpuBuffer>& to, std::span<const std::byte> bytes) {
  for (std::size_t begin = 0; begin < bytes.size(); begin += update_bytes)
    recorder_.update(to, begin, bytes.subspan(begin, std::min(bytes.size() - begin, update_bytes)));
}

std::shared_ptr<GpuBuffer> Transfer::scratch(Buffer& slot, std::size_t bytes) {
  if (!slot || slot->bytes() < bytes) slot = device_->allocate(bytes);
  return gpu(slot);
}

}  // namespace lrc::vulkan

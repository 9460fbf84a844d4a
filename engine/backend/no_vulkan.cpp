// The Vulkan factories of a build without Vulkan.
#include "backend/backend.h"
#include "base/error.h"

namespace lrc {

std::vector<DeviceInfo> list_vulkan_devices() { return {}; }

std::shared_ptr<Backend> make_vulkan_backend(std::size_t) {
  throw Error(ErrorKind::device, "This build has no Vulkan; use the device \"cpu\".");
}

}  // namespace lrc

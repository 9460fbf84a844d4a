#include <charconv>
#include <string>
#include <string_view>

#include "backend/backend.h"
#include "backend/cpu/cpu_info.h"
#include "base/error.h"

namespace lrc {
namespace {

/// Discrete before integrated before virtual before software.
int preference(const DeviceInfo& device) {
  if (device.type == "discrete") return 3;
  if (device.type == "integrated") return 2;
  if (device.type == "virtual") return 1;
  return 0;
}

std::shared_ptr<Backend> best_vulkan() {
  const auto devices = list_vulkan_devices();
  std::size_t best = devices.size();
  std::string reasons;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (!devices[i].usable)
      reasons += " " + devices[i].name + ": " + devices[i].why_not;
    else if (best == devices.size() || preference(devices[i]) > preference(devices[best]))
      best = i;
  }
  if (best == devices.size()) throw Error(ErrorKind::device, "No Vulkan device can be used here; use the device \"cpu\"." + reasons);
  return make_vulkan_backend(best);
}

}  // namespace

std::vector<DeviceInfo> list_devices() {
  std::vector<DeviceInfo> devices{cpu::describe_cpu()};
  for (auto& device : list_vulkan_devices()) devices.push_back(std::move(device));
  return devices;
}

std::shared_ptr<Backend> make_backend(const std::string& id) {
  if (id == "cpu") return make_cpu_backend();
  if (id == "cpu:scalar") return make_cpu_backend(InstructionSet::scalar);
  if (id == "cpu:avx2") return make_cpu_backend(InstructionSet::avx2);
  if (id == "cpu:avx512") return make_cpu_backend(InstructionSet::avx512_vnni);
  if (id == "vulkan") return best_vulkan();
  constexpr std::string_view kIndexed = "vulkan:";
  if (id.starts_with(kIndexed)) {
    std::size_t index = 0;
    const char* end = id.data() + id.size();
    const auto [stop, error] = std::from_chars(id.data() + kIndexed.size(), end, index);
    if (error == std::errc() && stop == end) return make_vulkan_backend(index);
  }
  throw Error(ErrorKind::bad_input,
              "There is no device \"" + id + "\"; choose cpu, cpu:scalar, cpu:avx2, cpu:avx512, vulkan or vulkan:INDEX.");
}

}  // namespace lrc

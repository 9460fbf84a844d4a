#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "vulkan/device.h"

namespace lrc::vulkan {
namespace {

VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                          const VkDebugUtilsMessengerCallbackDataEXT* data, void*) {
  std::fprintf(stderr, "Vulkan validation: %s\n", data->pMessage);
  std::abort();  // only where somebody asked for validation: a wrong use must fail the test that made it
}

bool has_layer(const char* name) {
  std::uint32_t count = 0;
  vkEnumerateInstanceLayerProperties(&count, nullptr);
  std::vector<VkLayerProperties> layers(count);
  vkEnumerateInstanceLayerProperties(&count, layers.data());
  for (const auto& layer : layers)
    if (std::strcmp(layer.layerName, name) == 0) return true;
  return false;
}

std::string hex(const std::uint8_t* bytes, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    text += "0123456789abcdef"[bytes[i] >> 4];
    text += "0123456789abcdef"[bytes[i] & 15];
  }
  return text;
}

PhysicalDevice describe(VkPhysicalDevice handle, std::size_t index) {
  PhysicalDevice device;
  device.handle = handle;
  VkPhysicalDeviceProperties basic{};
  vkGetPhysicalDeviceProperties(handle, &basic);
  DeviceInfo& info = device.info;
  info.id = "vulkan:" + std::to_string(index);
  info.name = basic.deviceName;
  switch (basic.deviceType) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
      info.type = "discrete";
      break;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
      info.type = "integrated";
      break;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
      info.type = "virtual";
      break;
    default:
      info.type = "software";
      break;
  }
  const auto refuse = [&](const std::string& why) {
    info.usable = false;
    if (info.why_not.empty()) info.why_not = why;
  };
  VkPhysicalDeviceMemoryProperties memory{};
  vkGetPhysicalDeviceMemoryProperties(handle, &memory);
  for (std::uint32_t i = 0; i < memory.memoryHeapCount; ++i)
    if (memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) info.memory_bytes += memory.memoryHeaps[i].size;
  device.max_buffer_range = basic.limits.maxStorageBufferRange;
  device.max_shared_bytes = basic.limits.maxComputeSharedMemorySize;

  if (VK_API_VERSION_MAJOR(basic.apiVersion) == 1 && VK_API_VERSION_MINOR(basic.apiVersion) < 2) {
    refuse("its driver knows Vulkan " + std::to_string(VK_API_VERSION_MAJOR(basic.apiVersion)) + "." +
           std::to_string(VK_API_VERSION_MINOR(basic.apiVersion)) + ", 1.2 is needed");
    return device;
  }
  const bool has_13 = basic.apiVersion >= VK_API_VERSION_1_3;
  VkPhysicalDeviceVulkan13Features features13{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES, nullptr};
  VkPhysicalDeviceVulkan12Features features12{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, has_13 ? &features13 : nullptr};
  VkPhysicalDeviceFeatures2 features{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, &features12};
  vkGetPhysicalDeviceFeatures2(handle, &features);
  VkPhysicalDeviceVulkan13Properties properties13{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES, nullptr};
  VkPhysicalDeviceVulkan12Properties properties12{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES,
                                                  has_13 ? &properties13 : nullptr};
  VkPhysicalDeviceVulkan11Properties properties11{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES, &properties12};
  VkPhysicalDeviceProperties2 properties{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &properties11};
  vkGetPhysicalDeviceProperties2(handle, &properties);
  info.driver = std::string(properties12.driverName) + " " + properties12.driverInfo;
  info.uuid = hex(properties11.deviceUUID, VK_UUID_SIZE);
  if (!features12.storageBuffer8BitAccess || !features12.shaderInt8) refuse("it lacks 8-bit storage");
  device.integer_dot = has_13 && features13.shaderIntegerDotProduct;
  if (device.integer_dot)
    info.features.push_back(properties13.integerDotProduct4x8BitPackedSignedAccelerated ? "int8-dot" : "int8-dot (emulated)");
  info.features.push_back("subgroup " + std::to_string(properties11.subgroupSize));

  std::uint32_t count = 0;
  vkGetPhysicalDeviceQueueFamilyProperties(handle, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  vkGetPhysicalDeviceQueueFamilyProperties(handle, &count, families.data());
  bool found = false;
  for (std::uint32_t i = 0; i < count && !found; ++i)
    if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) {
      device.queue_family = i;
      found = true;
    }
  if (!found) refuse("it has no queue for compute");
  return device;
}

}  // namespace

void check(VkResult result, const char* what) {
  if (result == VK_SUCCESS) return;
  switch (result) {
    case VK_ERROR_DEVICE_LOST:
      throw Error(ErrorKind::device_lost,
                  std::string("The Vulkan device was lost while ") + what + " (a driver reset, or it was taken away).");
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_OUT_OF_HOST_MEMORY:
      throw Error(ErrorKind::device,
                  std::string("The Vulkan device has no memory left for ") + what + "; use a shorter context or the CPU.");
    default:
      throw Error(ErrorKind::device,
                  std::string("The Vulkan driver refused ") + what + " (VkResult " + std::to_string(int(result)) + "); use the CPU.");
  }
}

Instance::Instance() {
  VkApplicationInfo application{VK_STRUCTURE_TYPE_APPLICATION_INFO, nullptr, "LRC Workbench", 1, "lrc", 1, VK_API_VERSION_1_3};
  VkInstanceCreateInfo create{VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
  create.pApplicationInfo = &application;
  const char* layer = "VK_LAYER_KHRONOS_validation";
  const std::array<const char*, 2> extensions = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME};
  const char* wish = std::getenv("LRC_VULKAN_VALIDATION");
  const bool validate = wish && *wish == '1' && has_layer(layer);
  VkDebugUtilsMessengerCreateInfoEXT messenger{VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT};
  const VkValidationFeatureEnableEXT synchronization = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
  VkValidationFeaturesEXT validation{VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT};
  if (validate) {
    messenger.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT;
    messenger.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
    messenger.pfnUserCallback = on_message;
    // Barriers too: a missing one is wrong only on some devices and some days.
    validation.enabledValidationFeatureCount = 1;
    validation.pEnabledValidationFeatures = &synchronization;
    create.pNext = &validation;
    create.enabledLayerCount = 1;
    create.ppEnabledLayerNames = &layer;
    create.enabledExtensionCount = extensions.size();
    create.ppEnabledExtensionNames = extensions.data();
  }
  check(vkCreateInstance(&create, nullptr, &instance_), "making an instance");
  if (validate) {
    const auto make =
        reinterpret_cast<PFN_vkCreateDebugUtilsMessengerEXT>(vkGetInstanceProcAddr(instance_, "vkCreateDebugUtilsMessengerEXT"));
    VkDebugUtilsMessengerEXT handle = VK_NULL_HANDLE;
    if (make) check(make(instance_, &messenger, nullptr, &handle), "setting up validation");
  }
  std::uint32_t count = 0;
  check(vkEnumeratePhysicalDevices(instance_, &count, nullptr), "counting devices");
  std::vector<VkPhysicalDevice> handles(count);
  if (count > 0) check(vkEnumeratePhysicalDevices(instance_, &count, handles.data()), "listing devices");
  for (std::size_t i = 0; i < count; ++i) devices_.push_back(describe(handles[i], i));
}

const Instance* Instance::get() {
  // Never destroyed: drivers unload in an order of their own at exit.
  static const Instance* const instance = []() -> const Instance* {
    try {
      return new Instance;
    } catch (const Error&) {
      return nullptr;  // no loader, no driver: the list of devices is empty and says so
    }
  }();
  return instance;
}

}  // namespace lrc::vulkan

#include "backend/self_test.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace lrc {
namespace {

TEST(SelfTest, EveryDeviceOfThisMachinePasses) {
  for (const auto& device : list_devices()) {
    if (!device.usable) continue;
    SCOPED_TRACE(device.id);
    Progress progress;
    const auto backend = make_backend(device.id);
    const auto kernels = check_kernels(*backend, progress, {});
    EXPECT_GE(kernels.size(), 20u);
    std::set<std::string> names;
    for (const auto& kernel : kernels) {
      EXPECT_TRUE(kernel.passed()) << kernel.kernel << ": " << kernel.largest_error << " of " << kernel.allowed << ' ' << kernel.failure;
      names.insert(kernel.kernel);
    }
    EXPECT_EQ(names.size(), kernels.size());
  }
}

TEST(SelfTest, TheDefinitionAgreesWithItself) {
  const auto scalar = make_cpu_backend(InstructionSet::scalar);
  Progress progress;
  for (const auto& kernel : check_kernels(*scalar, progress, {})) EXPECT_EQ(kernel.largest_error, 0) << kernel.kernel;
}

TEST(SelfTest, SpeedsAreMeasured) {
  Progress progress;
  const auto check = check_device("cpu", progress, {});
  EXPECT_TRUE(check.passed()) << check.failure;
  EXPECT_GT(check.gigabytes_per_second, 0);
  EXPECT_GT(check.giga_operations_per_second, 0);
  EXPECT_GT(check.giga_integer_operations_per_second, 0);
  ASSERT_TRUE(check.worst());
}

TEST(SelfTest, ADeviceThatIsNotThereSaysSo) {
  Progress progress;
  const auto check = check_device("vulkan:99", progress, {});
  EXPECT_FALSE(check.passed());
  EXPECT_NE(check.failure.find("99"), std::string::npos) << check.failure;
  EXPECT_FALSE(check.worst());
}

TEST(SelfTest, WhatIsWrongIsNamed) {
  DeviceCheck check;
  check.kernels = {{"add", 0, 0, {}}, {"multiply", 5e-6, 1e-5, {}}, {"rope", 0.1, 1e-5, {}}};
  EXPECT_FALSE(check.passed());
  EXPECT_EQ(check.worst()->kernel, "rope");
  check.kernels.pop_back();
  EXPECT_TRUE(check.passed());
  EXPECT_EQ(check.worst()->kernel, "multiply");
  check.kernels.push_back({"hadamard", 0, 1e-5, "the device stopped"});
  EXPECT_EQ(check.worst()->kernel, "hadamard");
}

TEST(SelfTest, StopsWhenAsked) {
  std::stop_source stop;
  stop.request_stop();
  Progress progress;
  EXPECT_THROW(check_device("cpu", progress, stop.get_token()), Error);
}

}  // namespace
}  // namespace lrc

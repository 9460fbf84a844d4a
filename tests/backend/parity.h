#pragma once
// The one parity harness. An operator is run on the scalar CPU backend, which is its definition, and on every other device
// of this machine; a test is a list of shapes, a way to run the operator, and how far a result may be off. Devices that are
// missing are skipped in sight, with the reason.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/error.h"
#include "support/comparison.h"
#include "support/operator_bounds.h"

namespace lrc::test {

inline std::vector<std::string> device_ids() {
  std::vector<std::string> ids{"cpu:avx2", "cpu:avx512"};
  const std::size_t vulkan_devices = list_vulkan_devices().size();
  for (std::size_t i = 0; i < vulkan_devices; ++i) ids.push_back("vulkan:" + std::to_string(i));
  if (vulkan_devices == 0) ids.push_back("vulkan");
  return ids;
}

inline std::string test_name_of(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& c : name)
    if (c == ':') c = '_';
  return name;
}

inline std::vector<float> normal_values(std::size_t count, unsigned seed, float deviation = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> distribution(0.0f, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = distribution(generator);
  return values;
}
inline MatrixF normal_matrix(std::size_t rows, std::size_t columns, unsigned seed, float deviation = 1.0f) {
  MatrixF matrix(rows, columns);
  const auto values = normal_values(rows * columns, seed, deviation);
  std::copy(values.begin(), values.end(), matrix.data());
  return matrix;
}

/// The scalar backend and the device under test.
class Parity : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    scalar_ = make_cpu_backend(InstructionSet::scalar);
    if (GetParam().starts_with("vulkan")) {
      const auto devices = list_vulkan_devices();
      if (devices.empty()) GTEST_SKIP() << "no Vulkan device here";
      const auto& device = devices.at(std::stoul(GetParam().substr(7)));
      if (!device.usable) GTEST_SKIP() << device.name << " cannot be used: " << device.why_not;
    }
    if (GetParam() == "cpu:avx2" && !cpu_has(InstructionSet::avx2)) GTEST_SKIP() << "this processor has no AVX2";
    if (GetParam() == "cpu:avx512" && !cpu_has(InstructionSet::avx512_vnni)) GTEST_SKIP() << "this processor has no AVX-512 VNNI";
    device_ = make_backend(GetParam());
    RecordProperty("device", device_->info().name + ", " + device_->info().driver);
  }

  /// Runs `operation(backend)` → floats on both and compares.
  template <typename Operation>
  void compare(const std::string& what, const std::vector<double>& bounds, Operation&& operation) {
    const std::vector<float> expected = operation(*scalar_);
    const std::vector<float> result = operation(*device_);
    expect_within(result, expected, bounds, what);
  }

  std::shared_ptr<Backend> scalar_, device_;
};

/// A weight on a random grid, all codes of its bits in use; scales away from round numbers.
inline QuantizedWeight random_weight(std::size_t out, std::size_t in, int bits, std::size_t group, unsigned seed) {
  QuantizedWeight weight;
  weight.scheme.bits = bits;
  weight.scheme.group_size = group;
  weight.out_features = out;
  weight.in_features = in;
  std::mt19937 generator(seed);
  std::uniform_int_distribution<int> code(-(1 << (bits - 1)), (1 << (bits - 1)) - 1);
  weight.codes.resize(out * in);
  for (auto& c : weight.codes) c = std::int8_t(code(generator));
  weight.scales = MatrixD(out, in / weight.group_size());
  std::uniform_real_distribution<float> scale(0.01f, 0.05f);
  for (double& s : weight.scales.flat()) s = double(scale(generator));
  return weight;
}

}  // namespace lrc::test

#include <limits>

#include "backend/parity.h"
#include "quantization/activation.h"

namespace lrc::test {
namespace {

class Quantize : public Parity {};
INSTANTIATE_TEST_SUITE_P(Devices, Quantize, testing::ValuesIn(device_ids()), test_name_of);

struct Codes {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
};

Codes run(Backend& backend, const std::vector<float>& x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme) {
  DeviceActivation activation;
  backend.quantize(upload(backend, x), tokens, width, scheme, activation);
  EXPECT_EQ(activation.tokens, tokens);
  EXPECT_EQ(activation.width, width);
  EXPECT_EQ(activation.groups, scheme.group_size == 0 ? 1 : width / scheme.group_size);
  return {download<std::int8_t>(backend, activation.codes, tokens * width),
          download<float>(backend, activation.scales, tokens * activation.groups)};
}

void compare_all(Backend& device, Backend& scalar, const std::vector<float>& x, std::size_t tokens, std::size_t width,
                 const ActivationScheme& scheme) {
  const Codes result = run(device, x, tokens, width, scheme), expected = run(scalar, x, tokens, width, scheme);
  const std::string what =
      "width " + std::to_string(width) + " bits " + std::to_string(scheme.bits) + " group " + std::to_string(scheme.group_size);
  expect_identical(result.scales, expected.scales, what + " scales");
  expect_identical(result.codes, expected.codes, what + " codes");
  // And the quantizer that calibration uses.
  Codes host{std::vector<std::int8_t>(x.size()), std::vector<float>(expected.scales.size())};
  quantize_activations(x.data(), tokens, width, scheme, host.codes.data(), host.scales.data());
  expect_identical(result.scales, host.scales, what + " scales of quantization/");
  expect_identical(result.codes, host.codes, what + " codes of quantization/");
}

TEST_P(Quantize, CodesAreIdentical) {
  for (const int bits : {2, 3, 4, 5, 8})
    for (const std::size_t width : {1u, 4u, 15u, 32u, 172u, 576u, 1536u})
      for (const std::size_t tokens : {1u, 2u, 37u}) {
        const auto x = normal_values(tokens * width, unsigned(width + tokens));
        compare_all(*device_, *scalar_, x, tokens, width, {bits, 0, 0.9f});
        if (width % 4 == 0) compare_all(*device_, *scalar_, x, tokens, width, {bits, width / 4, 1.0f});
        if (width % 32 == 0) compare_all(*device_, *scalar_, x, tokens, width, {bits, 32, 0.95f});
      }
}

TEST_P(Quantize, ZeroTokensAndOneHotTokens) {
  std::vector<float> x(4 * 64, 0.0f);
  x[64 + 5] = -3.0f;
  x[2 * 64 + 63] = 1e-20f;
  x[3 * 64] = 1e30f;
  for (const std::size_t group : {0u, 16u}) compare_all(*device_, *scalar_, x, 4, 64, {4, group, 0.9f});
  const Codes codes = run(*device_, x, 4, 64, {4, 0, 0.9f});
  EXPECT_EQ(codes.scales[0], 0.0f);
  EXPECT_EQ(codes.codes[64 + 5], -8);
  EXPECT_EQ(codes.codes[2 * 64 + 63], 7);
}

// Inputs that lie on, just below and just above every boundary between two codes, for many scales.
TEST_P(Quantize, CodesAtTheBoundariesAreIdentical) {
  for (const int bits : {4, 8}) {
    const ActivationScheme scheme{bits, 0, 0.9f};
    const std::size_t tokens = 200, width = std::size_t(3 * (2 << bits));
    std::mt19937 generator(11);
    std::uniform_real_distribution<float> exponent(-40, 40);
    std::vector<float> x(tokens * width);
    for (std::size_t t = 0; t < tokens; ++t) {
      const float largest = std::exp2(exponent(generator)), scale = largest * activation_scale_factor(scheme);
      for (std::size_t i = 0; i + 1 < width; ++i) {
        const float boundary = (float(int(i / 3) - (1 << bits)) / 2 + 0.5f) * scale;
        const float value = i % 3 == 0 ? boundary : std::nextafter(boundary, i % 3 == 1 ? -1e38f : 1e38f);
        x[t * width + i] = std::fabs(value) <= largest ? value : 0.0f;
      }
      x[t * width + width - 1] = largest;
    }
    compare_all(*device_, *scalar_, x, tokens, width, scheme);
  }
}

TEST_P(Quantize, BuffersAreReused) {
  DeviceActivation activation;
  const auto x = normal_values(64 * 10, 1);
  const Buffer buffer = upload(*device_, x);
  device_->quantize(buffer, 10, 64, {}, activation);
  const DeviceBuffer* codes = activation.codes.get();
  device_->quantize(buffer, 3, 64, {}, activation);
  EXPECT_EQ(activation.codes.get(), codes);
  EXPECT_EQ(activation.tokens, 3u);
}

TEST_P(Quantize, RefusesWhatCannotBeQuantized) {
  DeviceActivation activation;
  auto x = normal_values(60, 1);
  EXPECT_THROW(device_->quantize(upload(*device_, x), 1, 60, {4, 32, 0.9f}, activation), Error);
  EXPECT_THROW(device_->quantize(upload(*device_, x), 1, 60, {16, 0, 0.9f}, activation), Error);
  if (GetParam().starts_with("vulkan")) return;  // a shader cannot throw
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    x[41] = bad;
    EXPECT_THROW(device_->quantize(upload(*device_, x), 1, 60, {}, activation), Error);
    EXPECT_THROW(scalar_->quantize(upload(*scalar_, x), 1, 60, {}, activation), Error);
  }
}

}  // namespace
}  // namespace lrc::test

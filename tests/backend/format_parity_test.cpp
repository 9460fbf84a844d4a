// Zero points and block formats on every device: the same codes and scales as the definition, and products that are what the dequantized
// numbers give.
#include "backend/parity.h"
#include "quantization/activation.h"

namespace lrc::test {
namespace {

class Formats : public Parity {};
INSTANTIATE_TEST_SUITE_P(Devices, Formats, testing::ValuesIn(device_ids()), test_name_of);

const std::vector<ActivationScheme>& activation_schemes() {
  static const std::vector<ActivationScheme> list = {
      {4, 0, 0.9f, false},
      {7, 16, 1.0f, false},
      {2, 32, 0.95f, false},
      {8, 16, 0.9f, true, NumberFormat::mxint},
      {6, 32, 0.9f, true, NumberFormat::mxint},
      {4, 32, 0.9f, true, NumberFormat::mxfp4},
      {4, 32, 0.9f, true, NumberFormat::mxfp4_rounded},
      {4, 16, 0.9f, true, NumberFormat::nvfp4},
      {4, 0, 0.9f},
  };
  return list;
}

const std::vector<WeightScheme>& weight_schemes() {
  static const std::vector<WeightScheme> list = {
      {4, 0, false},
      {3, 16, false},
      {7, 32, false},
      {4, 16, true, WeightClip::none, NumberFormat::mxint},
      {2, 32, true, WeightClip::none, NumberFormat::mxint},
      {8, 16, true, WeightClip::none, NumberFormat::mxint},
      {4, 32, true, WeightClip::none, NumberFormat::mxfp4},
      {4, 16, true, WeightClip::none, NumberFormat::nvfp4},
      {4, 0},
  };
  return list;
}

/// A zero token, a zero block, values of very different size.
std::vector<float> inputs(std::size_t tokens, std::size_t width) {
  auto x = normal_values(tokens * width, 21);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t i = 0; i < width; ++i) {
      float& v = x[t * width + i];
      if (t == 1 || (t == 2 && i >= 32 && i < 64)) v = 0;
      if (t == 3) v *= 1e-6f;
      if (t == 4 && i % 7 == 0) v *= 300.0f;
      if (t == 5) v = std::fabs(v) + 1;  // one side of zero
    }
  return x;
}

std::string name_of(const ActivationScheme& s) {
  return std::string(name(s.format)) + std::to_string(s.bits) + (s.symmetric ? "" : " with zero points") + ", groups of " +
         std::to_string(s.group_size);
}
std::string name_of(const WeightScheme& s) { return name_of(ActivationScheme{s.bits, s.group_size, 0.9f, s.symmetric, s.format}); }

TEST_P(Formats, CodesScalesAndValuesAreThoseOfTheDefinition) {
  const std::size_t tokens = 9, width = 96;
  const auto x = inputs(tokens, width);
  for (const auto& scheme : activation_schemes()) {
    const std::size_t groups = scheme.group_size == 0 ? 1 : width / scheme.group_size;
    std::vector<std::int8_t> codes(tokens * width);
    std::vector<float> scales(tokens * groups), values(tokens * width);
    quantize_activations(x.data(), tokens, width, scheme, codes.data(), scales.data());
    fake_quantize_activations(x.data(), tokens, width, scheme, values.data());
    DeviceActivation activation;
    device_->quantize(upload(*device_, x), tokens, width, scheme, activation);
    expect_identical(download<std::int8_t>(*device_, activation.codes, codes.size()), codes, "codes, " + name_of(scheme));
    expect_identical(download<float>(*device_, activation.scales, scales.size()), scales, "scales, " + name_of(scheme));
    const Buffer y = unwritten(*device_, values.size());
    device_->dequantize(activation, y);
    expect_identical(download<float>(*device_, y, values.size()), values, "values, " + name_of(scheme));
  }
}

TEST_P(Formats, ProductsAreThoseOfTheNumbers) {
  const std::size_t out = 37, width = 96, tokens = 9;
  const auto x = inputs(tokens, width);
  const MatrixD w = convert<double>(normal_matrix(out, width, 22));
  for (const auto& weight_scheme : weight_schemes()) {
    const QuantizedWeight weight = quantize_rtn(w, weight_scheme, true);
    const MatrixD values = weight.dequantize();
    for (const auto& scheme : activation_schemes()) {
      std::vector<float> y(tokens * width);
      fake_quantize_activations(x.data(), tokens, width, scheme, y.data());
      std::vector<float> expected;
      std::vector<double> bounds;
      for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t r = 0; r < out; ++r) {
          double sum = 0, size = 0;
          for (std::size_t i = 0; i < width; ++i) {
            const double term = values(r, i) * double(y[t * width + i]);
            sum += term;
            size += std::fabs(term);
          }
          expected.push_back(float(sum));
          bounds.push_back(size * 4 * 16 * kUnit);
        }
      for (Backend* backend : {scalar_.get(), device_.get()}) {
        const auto matrix = backend->upload_quantized(weight);
        DeviceActivation activation;
        backend->quantize(upload(*backend, x), tokens, width, scheme, activation);
        const Buffer result = unwritten(*backend, expected.size());
        backend->multiply_quantized(*matrix, activation, result);
        expect_within(download<float>(*backend, result, expected.size()), expected, bounds,
                      "weights " + name_of(weight_scheme) + ", activations " + name_of(scheme));
      }
    }
    std::vector<float> expected;
    std::vector<double> bounds;
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t r = 0; r < out; ++r) {
        double sum = 0, size = 0;
        for (std::size_t i = 0; i < width; ++i) {
          sum += values(r, i) * double(x[t * width + i]);
          size += std::fabs(values(r, i) * double(x[t * width + i]));
        }
        expected.push_back(float(sum));
        bounds.push_back(size * sum_error(width));
      }
    for (Backend* backend : {scalar_.get(), device_.get()}) {
      const auto matrix = backend->upload_quantized(weight);
      const Buffer result = unwritten(*backend, expected.size());
      backend->multiply_quantized_float(*matrix, upload(*backend, x), tokens, result);
      expect_within(download<float>(*backend, result, expected.size()), expected, bounds, "float times " + name_of(weight_scheme));
    }
  }
}

// The extremes of a code less its zero point need one bit more than the code.
TEST_P(Formats, LargestNumbersDoNotOverflow) {
  const std::size_t out = 20, width = 1536;
  for (const int bits : {4, 7})
    for (const int zero : {0, (1 << bits) - 1}) {
      QuantizedWeight weight;
      weight.scheme = {bits, 0, false};
      weight.out_features = out;
      weight.in_features = width;
      weight.codes.assign(out * width, std::int8_t(zero == 0 ? (1 << bits) - 1 : 0));
      weight.zeros.assign(out, std::int8_t(zero));
      weight.scales = MatrixD(out, 1, 1.0);
      std::vector<float> x(width, -1.0f);
      x[0] = -1.0f;
      DeviceActivation activation;
      device_->quantize(upload(*device_, x), 1, width, {bits, 0, 1.0f, false}, activation);
      const auto matrix = device_->upload_quantized(weight);
      const Buffer y = unwritten(*device_, out);
      device_->multiply_quantized(*matrix, activation, y);
      const double expected = double(width) * (zero == 0 ? -1.0 : 1.0) * ((1 << bits) - 1);
      for (const float value : download<float>(*device_, y, out)) EXPECT_NEAR(double(value), expected, 1e-5 * std::fabs(expected));
    }
}

TEST_P(Formats, RefusesZerosThatContradictTheScheme) {
  QuantizedWeight weight = quantize_rtn(convert<double>(normal_matrix(4, 16, 1)), {4, 0, false}, true);
  weight.zeros.pop_back();
  EXPECT_THROW(device_->upload_quantized(weight), Error);
  weight.zeros.push_back(15);
  weight.scheme.bits = 8;
  EXPECT_THROW(device_->upload_quantized(weight), Error);
}

}  // namespace
}  // namespace lrc::test

#include "backend/parity.h"
#include "base/parallel.h"
#include "quantization/activation.h"
#include "quantization/column_parts.h"

namespace lrc::test {
namespace {

class Product : public Parity {};
INSTANTIATE_TEST_SUITE_P(Devices, Product, testing::ValuesIn(device_ids()), test_name_of);

struct Shape {
  std::size_t out, in;
};

TEST_P(Product, Float) {
  for (const Shape& shape : {Shape{1, 1}, Shape{3, 5}, Shape{17, 33}, Shape{192, 576}, Shape{57, 100}, Shape{130, 1537}})
    for (const std::size_t tokens : {1u, 2u, 3u, 4u, 5u, 17u, 67u, 300u}) {
      if (tokens > 67 && shape.in > 600) continue;
      const MatrixF w = normal_matrix(shape.out, shape.in, 1);
      const std::size_t first = 2;
      const auto x = normal_values((tokens + first) * shape.in, 2);
      const Bounds bounds = multiply_bounds(w, x.data() + first * shape.in, tokens);
      for (const auto storage : {MatrixStorage::f32, MatrixStorage::f16})
        compare("multiply " + std::to_string(shape.out) + " x " + std::to_string(shape.in) + ", tokens " + std::to_string(tokens), bounds,
                [&](Backend& backend) {
                  const auto matrix = backend.upload_matrix(w, storage);
                  const Buffer y = unwritten(backend, tokens * shape.out);
                  backend.multiply(*matrix, upload(backend, x), first, tokens, y);
                  return download<float>(backend, y, tokens * shape.out);
                });
    }
}

/// Codes given as they are, not by the quantizer.
DeviceActivation activation_of(Backend& backend, const std::vector<std::int8_t>& codes, const std::vector<float>& scales,
                               std::size_t tokens, std::size_t width, const ActivationScheme& scheme) {
  DeviceActivation activation;
  activation.codes = upload(backend, codes);
  activation.scales = upload(backend, scales);
  activation.tokens = tokens;
  activation.width = width;
  activation.groups = scales.size() / tokens;
  activation.scheme = scheme;
  return activation;
}

struct Case {
  std::size_t out, in, weight_group, activation_group;
};

std::string name_of(const Case& c, int bits, int activation_bits, std::size_t tokens) {
  return "multiply_quantized " + std::to_string(c.out) + " x " + std::to_string(c.in) + ", groups " + std::to_string(c.weight_group) +
         " and " + std::to_string(c.activation_group) + ", bits " + std::to_string(bits) + " and " + std::to_string(activation_bits) +
         ", tokens " + std::to_string(tokens);
}

const std::vector<Case>& cases() {
  static const std::vector<Case> list{{1, 1, 0, 0},      {3, 5, 0, 0},      {16, 8, 0, 0},    {17, 33, 0, 0},    {40, 172, 0, 0},
                                      {192, 576, 0, 0},  {100, 1536, 0, 0}, {64, 64, 32, 0},  {33, 128, 64, 0},  {50, 256, 128, 64},
                                      {20, 192, 32, 64}, {20, 192, 0, 32},  {24, 96, 48, 32}, {16, 172, 43, 86}, {19, 60, 12, 20},
                                      {31, 1536, 64, 0}, {48, 576, 64, 0},  {8, 36, 4, 6},    {9, 30, 15, 2}};
  return list;
}

TEST_P(Product, Quantized) {
  for (const Case& c : cases())
    for (const auto& [bits, activation_bits] : {std::pair{4, 4}, {2, 4}, {3, 3}, {4, 8}, {5, 4}, {8, 8}, {6, 5}, {4, 5}})
      for (const std::size_t tokens : {1u, 2u, 5u, 8u, 19u}) {
        const QuantizedWeight weight = random_weight(c.out, c.in, bits, c.weight_group, unsigned(bits));
        const ActivationScheme scheme{activation_bits, c.activation_group, 0.9f};
        const std::size_t group = c.activation_group == 0 ? c.in : c.activation_group, groups = c.in / group;
        const QuantizedWeight x = random_weight(tokens, c.in, activation_bits, c.activation_group, 99);
        std::vector<float> scales(tokens * groups);
        for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = float(x.scales.data()[i]);
        const Bounds bounds = multiply_quantized_bounds(weight, x.codes, scales, tokens);
        compare(name_of(c, bits, activation_bits, tokens), bounds, [&](Backend& backend) {
          const auto matrix = backend.upload_quantized(weight);
          const Buffer y = unwritten(backend, tokens * c.out);
          backend.multiply_quantized(*matrix, activation_of(backend, x.codes, scales, tokens, c.in, scheme), y);
          return download<float>(backend, y, tokens * c.out);
        });
      }
}

// With scales of one every value on the way is a whole number below 2²⁴, so the result is the integer product exactly. The
// extreme codes make 16-bit sums overflow where a kernel adds too many of them.
TEST_P(Product, QuantizedEqualsTheIntegerReference) {
  for (const auto& [bits, activation_bits] : {std::pair{4, 4}, {4, 8}, {8, 4}, {8, 8}, {2, 2}, {3, 5}, {4, 6}, {4, 7}})
    for (const Case& c : {Case{33, 1536, 0, 0}, Case{20, 576, 64, 0}, Case{17, 172, 43, 86}})
      for (const std::size_t tokens : {1u, 3u, 9u})
        for (const int pattern : {0, 1, 2, 3}) {
          QuantizedWeight weight = random_weight(c.out, c.in, bits, c.weight_group, 5);
          QuantizedWeight x = random_weight(tokens, c.in, activation_bits, 0, 6);
          const int low = -(1 << (bits - 1)), high = -low - 1, x_low = -(1 << (activation_bits - 1)), x_high = -x_low - 1;
          for (auto& code : weight.codes) code = std::int8_t(pattern == 1 ? low : pattern == 2 || pattern == 3 ? high : code);
          for (auto& code : x.codes) code = std::int8_t(pattern == 1 || pattern == 2 ? x_low : pattern == 3 ? x_high : code);
          for (double& scale : weight.scales.flat()) scale = 1;
          const std::size_t groups = c.activation_group == 0 ? 1 : c.in / c.activation_group;
          const std::vector<float> scales(tokens * groups, 1.0f);
          std::vector<float> expected;
          for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t r = 0; r < c.out; ++r) {
              long sum = 0;
              for (std::size_t i = 0; i < c.in; ++i) sum += long(weight.codes[r * c.in + i]) * long(x.codes[t * c.in + i]);
              expected.push_back(float(sum));
            }
          for (Backend* backend : {scalar_.get(), device_.get()}) {
            const auto matrix = backend->upload_quantized(weight);
            const Buffer y = unwritten(*backend, tokens * c.out);
            backend->multiply_quantized(
                *matrix, activation_of(*backend, x.codes, scales, tokens, c.in, {activation_bits, c.activation_group, 0.9f}), y);
            if (bits + activation_bits > 14 && pattern != 0 && c.in > 1000) {
              // 128 · 128 · 1536 is above 2²⁴: one rounding of the exact sum.
              std::vector<double> bounds;
              for (const float value : expected) bounds.push_back(std::fabs(double(value)) * 2 * kUnit);
              expect_within(download<float>(*backend, y, expected.size()), expected, bounds, name_of(c, bits, activation_bits, tokens));
            } else {
              expect_identical(download<float>(*backend, y, expected.size()), expected, name_of(c, bits, activation_bits, tokens));
            }
          }
        }
}

// A one-hot token picks one column of the weight; a zero token gives zero.
TEST_P(Product, QuantizedOneHot) {
  const std::size_t out = 37, in = 172;
  const QuantizedWeight weight = random_weight(out, in, 4, 43, 7);
  std::vector<std::int8_t> codes(in * in + in, 0);
  std::vector<float> scales(in + 1, 0.5f), expected;
  for (std::size_t t = 0; t < in; ++t) {
    codes[t * in + t] = -8;
    for (std::size_t r = 0; r < out; ++r) expected.push_back(float(weight.codes[r * in + t] * -8) * float(weight.scales(r, t / 43)) * 0.5f);
  }
  expected.resize((in + 1) * out, 0.0f);
  for (Backend* backend : {scalar_.get(), device_.get()}) {
    const auto matrix = backend->upload_quantized(weight);
    const Buffer y = unwritten(*backend, expected.size());
    backend->multiply_quantized(*matrix, activation_of(*backend, codes, scales, in + 1, in, {4, 0, 0.9f}), y);
    std::vector<double> bounds;
    for (const float value : expected) bounds.push_back(std::fabs(double(value)) * 4 * kUnit);
    expect_within(download<float>(*backend, y, expected.size()), expected, bounds, "one-hot");
  }
}

TEST_P(Product, QuantizedWeightTimesFloat) {
  for (const Case& c : cases())
    for (const int bits : {2, 4, 5, 8})
      for (const std::size_t tokens : {1u, 2u, 3u, 4u, 7u, 21u}) {
        const QuantizedWeight weight = random_weight(c.out, c.in, bits, c.weight_group, unsigned(bits));
        const auto x = normal_values(tokens * c.in, 12);
        const Bounds bounds = multiply_quantized_float_bounds(weight, x.data(), tokens);
        compare("multiply_quantized_float " + name_of(c, bits, 16, tokens), bounds, [&](Backend& backend) {
          const auto matrix = backend.upload_quantized(weight);
          const Buffer y = unwritten(backend, tokens * c.out);
          backend.multiply_quantized_float(*matrix, upload(backend, x), tokens, y);
          return download<float>(backend, y, tokens * c.out);
        });
      }
}

TEST_P(Product, LowRank) {
  for (const Shape& shape : {Shape{1, 1}, Shape{5, 3}, Shape{64, 64}, Shape{192, 576}, Shape{65, 1537}})
    for (const std::size_t rank : {1u, 3u, 57u, 64u, 100u})
      for (const std::size_t tokens : {1u, 4u, 5u, 70u})
        for (const std::size_t components : {std::size_t(0), std::size_t(1), rank / 2 + 1, rank, SIZE_MAX}) {
          if (shape.in > 1000 && tokens > 5) continue;
          const LowRankPair pair{normal_matrix(shape.out, rank, 13), normal_matrix(shape.in, rank, 14)};
          const auto x = normal_values(tokens * shape.in, 15), before = normal_values(tokens * shape.out, 16);
          const Bounds bounds = low_rank_bounds(pair, x.data(), before, tokens, components);
          compare("add_low_rank " + std::to_string(shape.out) + " x " + std::to_string(shape.in) + ", rank " + std::to_string(rank), bounds,
                  [&](Backend& backend) {
                    const auto device_pair = backend.upload_pair(pair);
                    EXPECT_EQ(device_pair->rank, rank);
                    const Buffer y = upload(backend, before);
                    backend.add_low_rank(*device_pair, upload(backend, x), tokens, y, components);
                    return download<float>(backend, y, before.size());
                  });
        }
}

// The first k components of a pair are the pair of those components.
TEST_P(Product, LowRankPrefixIsTheShorterPair) {
  const LowRankPair pair{normal_matrix(70, 57, 1), normal_matrix(90, 57, 2)};
  LowRankPair shorter{MatrixF(70, 20), MatrixF(90, 20)};
  for (std::size_t k = 0; k < 20; ++k) {
    for (std::size_t o = 0; o < 70; ++o) shorter.u(o, k) = pair.u(o, k);
    for (std::size_t i = 0; i < 90; ++i) shorter.v(i, k) = pair.v(i, k);
  }
  const auto x = normal_values(90, 3);
  const auto run = [&](const LowRankPair& p, std::size_t components) {
    const auto device_pair = device_->upload_pair(p);
    const Buffer y = upload(*device_, std::vector<float>(70, 0.0f));
    device_->add_low_rank(*device_pair, upload(*device_, x), 1, y, components);
    return download<float>(*device_, y, 70);
  };
  expect_identical(run(pair, 20), run(shorter, SIZE_MAX), "prefix");
  EXPECT_NE(run(pair, 20), run(pair, 21));
}

TEST_P(Product, RefusesWeightsThatContradictThemselves) {
  QuantizedWeight weight = random_weight(4, 8, 4, 0, 1);
  weight.codes[3] = 9;
  EXPECT_THROW(device_->upload_quantized(weight), Error);
  weight = random_weight(4, 8, 4, 0, 1);
  weight.codes.pop_back();
  EXPECT_THROW(device_->upload_quantized(weight), Error);
  weight = random_weight(4, 8, 4, 4, 1);
  weight.scheme.group_size = 3;
  EXPECT_THROW(device_->upload_quantized(weight), Error);
  EXPECT_THROW(device_->upload_pair({MatrixF(3, 2), MatrixF(4, 1)}), Error);
}

/// What the forward pass makes of a layer with high columns (model/transformer.cpp): the sum of two products, each on its columns.
TEST_P(Product, TwoPartsOfTheColumns) {
  struct Parted {
    std::size_t out, in;
    HighColumns high;
  };
  for (const Parted& c : {Parted{192, 576, {.count = 72}}, Parted{40, 576, {.count = 8, .period = 64}}, Parted{17, 48, {.count = 3, .period = 16}}})
    for (const std::size_t tokens : {1u, 5u, 70u}) {
      const WeightScheme scheme{.bits = 4, .high = c.high};
      const QuantizedWeight whole = quantize_rtn(convert<double>(normal_matrix(c.out, c.in, 3)), scheme, true);
      const WeightParts parts = take_apart(whole);
      const ActivationScheme activation{.bits = 4, .high = c.high};
      const auto x = normal_values(tokens * c.in, 4);
      const std::size_t period = c.high.period == 0 ? c.in : c.high.period, rows = tokens * (c.in / period);
      const auto run = [&](Backend& backend) {
        const Buffer in = upload(backend, x), y = unwritten(backend, tokens * c.out), sum = unwritten(backend, tokens * c.out);
        const Buffer high_in = unwritten(backend, tokens * parts.high.in_features), low_in = unwritten(backend, tokens * parts.low.in_features);
        backend.take_columns(in, rows, period, 0, c.high.count, high_in);
        backend.take_columns(in, rows, period, c.high.count, period - c.high.count, low_in);
        DeviceActivation high, low;
        backend.quantize(high_in, tokens, parts.high.in_features, high_part(activation), high);
        backend.quantize(low_in, tokens, parts.low.in_features, low_part(activation), low);
        const auto high_weight = backend.upload_quantized(parts.high), low_weight = backend.upload_quantized(parts.low);
        backend.multiply_quantized(*low_weight, low, y);
        backend.multiply_quantized(*high_weight, high, sum);
        backend.add(y, sum, tokens * c.out);
        return download<float>(backend, y, tokens * c.out);
      };
      // Codes are equal and their dots exact: what differs is how two or three float32 numbers are rounded and added.
      MatrixF values(tokens, c.in);
      fake_quantize_activations(x.data(), tokens, c.in, activation, values.data());
      const MatrixD weight = whole.dequantize();
      std::vector<double> bounds(tokens * c.out), exact(tokens * c.out);
      for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t o = 0; o < c.out; ++o) {
          double magnitude = 0;
          for (std::size_t i = 0; i < c.in; ++i) {
            exact[t * c.out + o] += weight(o, i) * double(values(t, i));
            magnitude += std::abs(weight(o, i) * double(values(t, i)));
          }
          bounds[t * c.out + o] = 1e-6 * magnitude;
        }
      const std::string what = "two parts, " + std::to_string(c.out) + " x " + std::to_string(c.in) + ", tokens " + std::to_string(tokens);
      compare(what, bounds, run);
      const std::vector<float> result = run(*device_);
      for (std::size_t i = 0; i < exact.size(); ++i) ASSERT_NEAR(double(result[i]), exact[i], bounds[i]) << what << ", " << i;
    }
}

TEST_P(Product, AWholeWithTwoPartsIsRefused) {
  const QuantizedWeight whole = quantize_rtn(convert<double>(normal_matrix(8, 64, 3)), {.bits = 4, .high = {.count = 8}}, true);
  EXPECT_THROW(device_->upload_quantized(whole), Error);
  DeviceActivation codes;
  EXPECT_THROW(device_->quantize(upload(*device_, normal_values(64, 1)), 1, 64, {.bits = 4, .high = {.count = 8}}, codes), Error);
}

}  // namespace
}  // namespace lrc::test

// The operations that families other than Llama need: layer norm, ReLU, biases, parts of fused outputs, rows of experts.
#include <limits>

#include "backend/parity.h"

namespace lrc::test {
namespace {

class Families : public Parity {};
INSTANTIATE_TEST_SUITE_P(Devices, Families, testing::ValuesIn(device_ids()), test_name_of);

TEST_P(Families, LayerNorm) {
  for (const std::size_t width : {1u, 5u, 16u, 63u, 768u, 1537u})
    for (const std::size_t tokens : {1u, 3u, 40u}) {
      auto x = normal_values(tokens * width, 1);
      for (float& value : x) value += 3.0f;                 // a mean that must go
      for (std::size_t i = 0; i < width; ++i) x[i] = 2.0f;  // the first token has no variance: epsilon alone counts
      const auto gain = normal_values(width, 2), bias = normal_values(width, 3);
      std::vector<double> bounds(tokens * width);
      for (std::size_t t = 0; t < tokens; ++t) {
        double sum = 0, squares = 0;
        for (std::size_t i = 0; i < width; ++i) sum += double(x[t * width + i]);
        const double mean = sum / double(width);
        for (std::size_t i = 0; i < width; ++i) squares += (double(x[t * width + i]) - mean) * (double(x[t * width + i]) - mean);
        const double factor = 1 / std::sqrt(squares / double(width) + 1e-5);
        // What rounding the mean leaves is scaled with the rest.
        for (std::size_t i = 0; i < width; ++i)
          bounds[t * width + i] =
              (std::fabs(double(gain[i])) * factor * (std::fabs(mean) + 4) + std::fabs(double(bias[i]))) * sum_error(width);
      }
      compare("layer_norm " + std::to_string(width), bounds, [&](Backend& backend) {
        const Buffer out = unwritten(backend, tokens * width);
        backend.layer_norm(upload(backend, x), upload(backend, gain), upload(backend, bias), 1e-5f, tokens, width, out);
        return download<float>(backend, out, tokens * width);
      });
    }
}

TEST_P(Families, LayerNormTakesTheMeanAwayAndAddsTheBias) {
  const std::size_t width = 77;
  const auto x = normal_values(width, 4, 5.0f), ones = std::vector<float>(width, 1.0f), bias = normal_values(width, 5);
  const Buffer out = unwritten(*device_, width);
  device_->layer_norm(upload(*device_, x), upload(*device_, ones), upload(*device_, bias), 0.0f, 1, width, out);
  double sum = 0, squares = 0;
  const auto result = download<float>(*device_, out, width);
  for (std::size_t i = 0; i < width; ++i) {
    const double value = double(result[i]) - double(bias[i]);
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum, 0, 1e-4);
  EXPECT_NEAR(squares / double(width), 1, 1e-4);
}

TEST_P(Families, RmsNormOfHeadsInPlace) {
  // q of 5 tokens and 3 heads of 20: each head is a row of its own, and the result takes the place of the input.
  const std::size_t rows = 15, width = 20;
  const auto x = normal_values(rows * width, 6), gain = normal_values(width, 7);
  const auto run = [&](Backend& backend) {
    const Buffer values = upload(backend, x);
    backend.rms_norm(values, upload(backend, gain), 1e-6f, rows, width, values);
    return download<float>(backend, values, rows * width);
  };
  std::vector<double> bounds;
  for (const float value : run(*scalar_)) bounds.push_back(std::fabs(double(value)) * sum_error(width));
  compare("rms_norm in place", bounds, run);
}

TEST_P(Families, ReluKeepsWhatIsNoNumber) {
  for (const std::size_t count : {1u, 17u, 9000u}) {
    auto x = normal_values(count, 8);
    x[0] = std::numeric_limits<float>::quiet_NaN();
    if (count > 3) x[1] = -std::numeric_limits<float>::infinity(), x[2] = std::numeric_limits<float>::infinity(), x[3] = -1e-40f;
    const Buffer values = upload(*device_, x);
    device_->relu(values, count);
    const auto result = download<float>(*device_, values, count);
    EXPECT_TRUE(std::isnan(result[0]));
    for (std::size_t i = 1; i < count; ++i)
      if (i == 3)
        ASSERT_LE(result[i], 1e-39f) << "a denormal number below zero";
      else
        ASSERT_EQ(result[i], std::max(x[i], 0.0f)) << i;  // equal, so that infinity is
  }
}

TEST_P(Families, AddsABiasToEachRow) {
  for (const std::size_t width : {1u, 7u, 64u, 577u})
    for (const std::size_t tokens : {1u, 5u, 70u}) {
      const auto x = normal_values(tokens * width, 9), bias = normal_values(width, 10);
      compare("add_bias", std::vector<double>(tokens * width, 0.0), [&](Backend& backend) {
        const Buffer values = upload(backend, x);
        backend.add_bias(values, upload(backend, bias), tokens, width);
        return download<float>(backend, values, tokens * width);
      });
    }
}

TEST_P(Families, TakesColumns) {
  struct Part {
    std::size_t tokens, width, first, count;
  };
  for (const Part& part : {Part{1, 12, 0, 12}, Part{5, 30, 7, 11}, Part{40, 192, 96, 48}, Part{3, 2, 1, 1}}) {
    const auto x = normal_values(part.tokens * part.width, 11);
    const Buffer out = unwritten(*device_, part.tokens * part.count);
    device_->take_columns(upload(*device_, x), part.tokens, part.width, part.first, part.count, out);
    const auto result = download<float>(*device_, out, part.tokens * part.count);
    for (std::size_t t = 0; t < part.tokens; ++t)
      for (std::size_t c = 0; c < part.count; ++c)
        ASSERT_EQ(result[t * part.count + c], x[t * part.width + part.first + c]) << t << " " << c;
  }
}

TEST_P(Families, TakesRowsAndAddsThemBack) {
  for (const std::size_t width : {1u, 33u, 160u}) {
    const std::size_t tokens = 23;
    const auto x = normal_values(tokens * width, 12), before = normal_values(tokens * width, 13);
    for (const std::vector<std::uint32_t>& rows : {std::vector<std::uint32_t>{22}, {0, 1, 5, 8, 21}, {3, 4}}) {
      const auto weights = normal_values(rows.size(), 14);
      const Buffer taken = unwritten(*device_, rows.size() * width);
      device_->take_rows(upload(*device_, x), rows, width, taken);
      const auto values = download<float>(*device_, taken, rows.size() * width);
      for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], x[rows[i / width] * width + i % width]);
      std::vector<double> bounds(tokens * width, 0.0);
      for (std::size_t i = 0; i < rows.size(); ++i)
        for (std::size_t c = 0; c < width; ++c) {
          const double product = std::fabs(double(weights[i]) * double(x[rows[i] * width + c]));
          bounds[rows[i] * width + c] = 2 * kUnit * (product + std::fabs(double(before[rows[i] * width + c])) + product);
        }
      compare("add_rows", bounds, [&](Backend& backend) {
        const Buffer to = upload(backend, before), from = unwritten(backend, rows.size() * width);
        backend.take_rows(upload(backend, x), rows, width, from);
        backend.add_rows(from, rows, weights, width, to);
        return download<float>(backend, to, tokens * width);
      });
    }
  }
}

}  // namespace
}  // namespace lrc::test

#include <array>
#include <limits>

#include "backend/parity.h"
#include "rotation/hadamard.h"

namespace lrc::test {
namespace {

class Elementwise : public Parity {};
INSTANTIATE_TEST_SUITE_P(Devices, Elementwise, testing::ValuesIn(device_ids()), test_name_of);

TEST_P(Elementwise, MovesBytes) {
  const auto values = normal_values(1001, 1);
  const Buffer from = upload(*device_, values), to = upload(*device_, std::vector<float>(1001, 7.0f));
  device_->copy(from, 12, to, 4000, 4);
  device_->copy(from, 0, to, 0, 396);
  const auto result = download<float>(*device_, to, 1001);
  for (std::size_t i = 0; i < 1001; ++i) EXPECT_EQ(result[i], i < 99 ? values[i] : i == 1000 ? values[3] : 7.0f) << i;
  std::array<float, 2> two{};
  device_->download(from, 40, std::as_writable_bytes(std::span(two)));
  EXPECT_EQ(two[0], values[10]);
  EXPECT_EQ(two[1], values[11]);
  if (const float* view = device_->host_view(from)) {
    EXPECT_EQ(view[1000], values[1000]);
  }
}

TEST_P(Elementwise, Embeds) {
  for (const std::size_t width : {1u, 7u, 64u, 577u}) {
    const MatrixF table = normal_matrix(50, width, 2);
    const std::vector<std::int32_t> ids{49, 0, 7, 7, 31};
    for (const auto storage : {MatrixStorage::f32, MatrixStorage::f16}) {
      compare("embed", std::vector<double>(ids.size() * width, 0.0), [&](Backend& backend) {
        const auto matrix = backend.upload_matrix(table, storage);
        const Buffer out = unwritten(backend, ids.size() * width);
        backend.embed(*matrix, ids, out);
        return download<float>(backend, out, ids.size() * width);
      });
    }
  }
}

TEST_P(Elementwise, RmsNorm) {
  for (const std::size_t width : {1u, 5u, 16u, 63u, 576u, 1537u})
    for (const std::size_t tokens : {1u, 3u, 40u}) {
      auto x = normal_values(tokens * width, 3);
      for (std::size_t i = 0; i < width; ++i) x[i] = 0;  // the first token is zero, epsilon alone counts
      const auto gain = normal_values(width, 4);
      const auto run = [&](Backend& backend) {
        const Buffer out = unwritten(backend, tokens * width);
        backend.rms_norm(upload(backend, x), upload(backend, gain), 1e-5f, tokens, width, out);
        return download<float>(backend, out, tokens * width);
      };
      compare("rms_norm " + std::to_string(width), rms_norm_bounds(run(*scalar_), width), run);
    }
}

TEST_P(Elementwise, AddIsExact) {
  for (const std::size_t count : {1u, 15u, 64u, 40001u}) {
    const auto x = normal_values(count, 5), y = normal_values(count, 6);
    compare("add", std::vector<double>(count, 0.0), [&](Backend& backend) {
      const Buffer to = upload(backend, x);
      backend.add(to, upload(backend, y), count);
      return download<float>(backend, to, count);
    });
  }
}

TEST_P(Elementwise, SiluMultiply) {
  for (const std::size_t count : {1u, 31u, 9000u}) {
    auto gate = normal_values(count, 7, 4.0f);
    const std::array<float, 7> edges{0.0f, -0.0f, 90.0f, -80.0f, -100.0f, -1e4f, 1e-30f};
    for (std::size_t i = 0; i < count && i < edges.size(); ++i) gate[count - 1 - i] = edges[i];
    const auto up = normal_values(count, 8);
    compare("silu_multiply", silu_multiply_bounds(gate, up), [&](Backend& backend) {
      const Buffer out = unwritten(backend, count);
      backend.silu_multiply(upload(backend, gate), upload(backend, up), count, out);
      return download<float>(backend, out, count);
    });
  }
}

TEST_P(Elementwise, Rope) {
  struct Shape {
    std::size_t tokens, heads, head_dim, first;
  };
  for (const Shape& shape : {Shape{1, 1, 2, 0}, Shape{5, 3, 64, 7}, Shape{40, 9, 64, 2000}, Shape{3, 2, 6, 1}, Shape{2, 2, 80, 100}}) {
    const std::size_t width = shape.heads * shape.head_dim, count = shape.tokens * width, half = shape.head_dim / 2;
    const auto x = normal_values(count, 9);
    for (const float factor : {1.0f, 1.25f}) {
      RopeTable table;
      table.attention_factor = factor;
      for (std::size_t i = 0; i < half; ++i) table.inverse_frequencies.push_back(float(std::pow(10000.0, -double(i) / double(half))));
      const auto run = [&](Backend& backend) {
        const Buffer to = upload(backend, x);
        backend.rope(to, shape.tokens, shape.heads, shape.head_dim, shape.first, table);
        return download<float>(backend, to, count);
      };
      compare("rope", rope_bounds(x, shape.tokens, shape.heads, shape.head_dim, factor), run);
    }
  }
}

TEST_P(Elementwise, Hadamard) {
  for (const std::size_t order : {1u, 2u, 4u, 8u, 12u, 20u, 32u, 64u, 96u, 128u, 172u, 192u, 576u, 1536u, 2048u}) {
    const auto hadamard = find_hadamard(order);
    ASSERT_TRUE(hadamard) << order;
    for (const std::size_t tokens : {1u, 3u, 33u}) {
      const auto x = normal_values(tokens * order, 10);
      const auto run = [&](Backend& backend) {
        const auto matrix = backend.upload_hadamard(*hadamard);
        const Buffer to = upload(backend, x);
        backend.hadamard(*matrix, to, tokens);
        return download<float>(backend, to, tokens * order);
      };
      const Bounds bounds = hadamard_bounds(x, order);
      compare("hadamard " + std::to_string(order), bounds, run);
      // The kernel is the transform that the weights were rotated by.
      auto on_host = x;
      apply_hadamard(*hadamard, on_host.data(), tokens);
      expect_within(run(*device_), on_host, bounds, "hadamard against rotation/ " + std::to_string(order));
    }
  }
}

}  // namespace
}  // namespace lrc::test

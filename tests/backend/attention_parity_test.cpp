#include "backend/parity.h"
#include "base/parallel.h"

namespace lrc::test {
namespace {

class Attention : public Parity {};
INSTANTIATE_TEST_SUITE_P(Devices, Attention, testing::ValuesIn(device_ids()), test_name_of);

struct Shape {
  std::size_t first, tokens;
  AttentionShape heads;
};

std::string name_of(const Shape& s) {
  return "attention first " + std::to_string(s.first) + " tokens " + std::to_string(s.tokens) + " heads " + std::to_string(s.heads.heads) +
         "/" + std::to_string(s.heads.kv_heads) + " of " + std::to_string(s.heads.head_dim) + " window " + std::to_string(s.heads.window);
}

std::vector<float> run(Backend& backend, const Shape& s, const std::vector<float>& q, const std::vector<float>& k,
                       const std::vector<float>& v) {
  const Buffer out = unwritten(backend, q.size());
  backend.attention(upload(backend, q), upload(backend, k), upload(backend, v), s.first, s.tokens, s.heads, out);
  return download<float>(backend, out, q.size());
}

TEST_P(Attention, AgreesWithTheDefinition) {
  for (const Shape& s : {Shape{0, 1, {1, 1, 4, 0}}, Shape{0, 7, {3, 1, 16, 0}}, Shape{0, 64, {9, 3, 64, 0}}, Shape{0, 130, {2, 1, 64, 0}},
                         Shape{37, 1, {9, 3, 64, 0}}, Shape{700, 1, {3, 3, 64, 0}}, Shape{600, 70, {2, 1, 64, 0}},
                         Shape{5, 12, {4, 2, 20, 0}}, Shape{0, 200, {2, 2, 80, 33}}, Shape{650, 65, {2, 1, 32, 100}},
                         Shape{300, 2, {2, 1, 32, 17}}, Shape{3, 9, {2, 1, 128, 1}}, Shape{0, 9, {1, 1, 6, 0}}}) {
    const std::size_t width = s.heads.heads * s.heads.head_dim, kv = s.heads.kv_heads * s.heads.head_dim, end = s.first + s.tokens;
    const auto q = normal_values(s.tokens * width, 1, 2.0f), v = normal_values((end + 3) * kv, 3);
    auto k = normal_values((end + 3) * kv, 2, 2.0f);
    // The cache goes on behind the last position; what lies there must not be seen.
    for (std::size_t i = end * kv; i < k.size(); ++i) k[i] = 1e4f;
    compare(name_of(s), attention_bounds(q, k, v, s.first, s.tokens, s.heads), [&](Backend& backend) { return run(backend, s, q, k, v); });
  }
}

// One key: the result is its value. Equal scores: the mean of the values.
TEST_P(Attention, Identities) {
  const AttentionShape heads{4, 2, 16, 0};
  const auto v = normal_values(10 * 32, 5);
  for (Backend* backend : {scalar_.get(), device_.get()}) {
    const auto first = run(*backend, {0, 1, heads}, normal_values(64, 6), normal_values(32, 7), v);
    for (std::size_t i = 0; i < 64; ++i) EXPECT_NEAR(first[i], v[(i / 32) * 16 + i % 16], 1e-6);
    const auto mean = run(*backend, {9, 1, heads}, std::vector<float>(64, 0.0f), normal_values(320, 7), v);
    for (std::size_t i = 0; i < 64; ++i) {
      double sum = 0;
      for (std::size_t p = 0; p < 10; ++p) sum += double(v[p * 32 + (i / 32) * 16 + i % 16]) / 10;
      EXPECT_NEAR(mean[i], sum, 1e-6);
    }
  }
}

TEST_P(Attention, RefusesHeadsThatDoNotDivide) {
  EXPECT_THROW(run(*device_, {0, 1, {3, 2, 4, 0}}, normal_values(12, 1), normal_values(8, 1), normal_values(8, 1)), Error);
}

/// Whatever runs on the CPU gives the same bits on any number of threads.
class Threads : public Parity {};
INSTANTIATE_TEST_SUITE_P(Devices, Threads, testing::Values("cpu:avx2", "cpu:avx512"), test_name_of);

TEST_P(Threads, ResultsDoNotDependOnTheirNumber) {
  const std::size_t tokens = 150, width = 576;
  const auto x = normal_values(tokens * width, 1), kv = normal_values(tokens * 192, 2);
  const MatrixF w = normal_matrix(700, width, 3);
  const QuantizedWeight codes = random_weight(700, width, 4, 64, 4);
  const LowRankPair pair{normal_matrix(700, 57, 5), normal_matrix(width, 57, 6)};
  for (Backend* backend : {scalar_.get(), device_.get()})
    for (const std::size_t used : {std::size_t(1), tokens}) {
      std::vector<std::vector<float>> results;
      for (const int threads : {1, 2, 5}) {
        set_thread_count(threads);
        const Buffer in = upload(*backend, x), y = unwritten(*backend, used * 700), z = unwritten(*backend, used * width);
        std::vector<float> all;
        const auto keep = [&](const Buffer& buffer, std::size_t count) {
          const auto values = download<float>(*backend, buffer, count);
          all.insert(all.end(), values.begin(), values.end());
        };
        backend->multiply(*backend->upload_matrix(w), in, 0, used, y);
        keep(y, used * 700);
        DeviceActivation activation;
        backend->quantize(in, used, width, {}, activation);
        backend->multiply_quantized(*backend->upload_quantized(codes), activation, y);
        keep(y, used * 700);
        backend->multiply_quantized_float(*backend->upload_quantized(codes), in, used, y);
        backend->add_low_rank(*backend->upload_pair(pair), in, used, y, SIZE_MAX);
        keep(y, used * 700);
        backend->attention(in, upload(*backend, kv), upload(*backend, kv), tokens - used, used, {9, 3, 64, 0}, z);
        keep(z, used * width);
        results.push_back(std::move(all));
      }
      set_thread_count(0);
      EXPECT_EQ(results[0], results[1]);
      EXPECT_EQ(results[0], results[2]);
      for (const float value : results[0]) ASSERT_FALSE(std::isnan(value));
    }
}

}  // namespace
}  // namespace lrc::test

#include "backend/parity.h"
#include "base/parallel.h"
#include "support/cache_parts.h"

namespace lrc::test {
namespace {

class Cache : public Parity {};
INSTANTIATE_TEST_SUITE_P(Devices, Cache, testing::ValuesIn(device_ids()), test_name_of);

struct Case {
  ActivationScheme scheme;
  AttentionShape shape;
  std::size_t first, tokens;
};

std::string name_of(const Case& c) {
  return std::to_string(c.scheme.bits) + (c.scheme.symmetric ? " bits symmetric" : " bits") + ", group " +
         std::to_string(c.scheme.group_size) + ", first " + std::to_string(c.first) + ", tokens " + std::to_string(c.tokens) + ", heads " +
         std::to_string(c.shape.heads) + "/" + std::to_string(c.shape.kv_heads) + " of " + std::to_string(c.shape.head_dim) + ", window " +
         std::to_string(c.shape.window);
}

ActivationScheme with_bits(int bits, std::size_t group = 0, bool symmetric = false, float clip = 1.0f) {
  return {bits, group, clip, symmetric};
}

const std::vector<Case>& cases() {
  static const std::vector<Case> list = {{with_bits(4), {9, 3, 64, 0}, 0, 1},
                                         {with_bits(8), {9, 3, 64, 0}, 0, 130},
                                         {with_bits(4), {9, 3, 64, 0}, 700, 1},
                                         {with_bits(4), {9, 3, 64, 0}, 600, 70},
                                         {with_bits(2, 16), {4, 2, 32, 0}, 5, 12},
                                         {with_bits(3, 0, true, 0.9f), {4, 4, 20, 0}, 0, 9},
                                         {with_bits(8, 32, true), {2, 1, 128, 0}, 37, 3},
                                         {with_bits(4, 5), {2, 2, 20, 0}, 3, 11},
                                         {with_bits(4), {2, 2, 80, 33}, 0, 200},
                                         {with_bits(8, 0, false, 0.95f), {2, 1, 32, 17}, 300, 2},
                                         {with_bits(4, 6), {80, 1, 12, 0}, 40, 1},
                                         {with_bits(4), {1, 1, 6, 0}, 0, 9}};
  return list;
}

DeviceCache stored(Backend& backend, const Case& c, const std::vector<float>& k, const std::vector<float>& v) {
  const CacheLayout layout = cache_layout(c.scheme, c.shape.kv_heads, c.shape.head_dim);
  const std::size_t end = c.first + c.tokens;
  const DeviceCache cache = backend.allocate_cache(layout, end + 3);
  // In two calls: what is there already stays.
  const auto part = [&](const std::vector<float>& x, std::size_t from, std::size_t to) {
    return upload(backend, std::vector(x.begin() + std::ptrdiff_t(from * layout.width), x.begin() + std::ptrdiff_t(to * layout.width)));
  };
  if (c.first > 0) backend.store_quantized(part(k, 0, c.first), part(v, 0, c.first), c.first, cache, 0);
  backend.store_quantized(part(k, c.first, end), part(v, c.first, end), c.tokens, cache, c.first);
  return cache;
}

TEST_P(Cache, CodesAreIdenticalAndAttentionAgrees) {
  for (const Case& c : cases()) {
    const std::size_t width = c.shape.heads * c.shape.head_dim, kv = c.shape.kv_heads * c.shape.head_dim, end = c.first + c.tokens;
    const auto q = normal_values(c.tokens * width, 1, 2.0f), k = normal_values(end * kv, 2, 2.0f), v = normal_values(end * kv, 3);
    const DeviceCache expected = stored(*scalar_, c, k, v), result = stored(*device_, c, k, v);
    const CacheParts parts = download_cache(*scalar_, expected);
    expect_same_rows(download_cache(*device_, result), parts, expected.layout, expected.capacity, 0, end, name_of(c));
    const auto keys = cached_floats(parts, expected.layout, expected.capacity, end, false);
    const auto held = cached_floats(parts, expected.layout, expected.capacity, end, true);
    const auto attend = [&](Backend& backend, const DeviceCache& cache) {
      const Buffer out = unwritten(backend, q.size());
      backend.attention_quantized(upload(backend, q), cache, c.first, c.tokens, c.shape, out);
      return download<float>(backend, out, q.size());
    };
    const auto definition = attend(*scalar_, expected);
    const Bounds bounds = attention_bounds(q, keys, held, c.first, c.tokens, c.shape);
    expect_within(attend(*device_, result), definition, bounds, name_of(c));
    // The definition is float attention over what the codes stand for.
    const Buffer out = unwritten(*scalar_, q.size());
    scalar_->attention(upload(*scalar_, q), upload(*scalar_, keys), upload(*scalar_, held), c.first, c.tokens, c.shape, out);
    expect_identical(definition, download<float>(*scalar_, out, q.size()), name_of(c) + ", float attention");
  }
}

// Values at, just below and just above every boundary between two codes.
TEST_P(Cache, CodesAtTheBoundariesAreIdentical) {
  for (const bool symmetric : {false, true})
    for (const int bits : {4, 8}) {
      const std::size_t dim = std::size_t(3 * (2 << bits)) + 2;
      const Case c{with_bits(bits, 0, symmetric, 0.9f), {1, 1, dim, 0}, 0, 60};
      std::mt19937 generator(5);
      std::uniform_real_distribution<float> exponent(-30, 30);
      std::vector<float> x(c.tokens * dim);
      for (std::size_t t = 0; t < c.tokens; ++t) {
        const float extent = std::exp2(exponent(generator)), scale = extent * (0.9f / float((1 << bits) - 1));
        for (std::size_t i = 0; i < dim; ++i) {
          const float boundary = (float(int(i / 3) - (1 << bits)) / 2 + 0.5f) * scale;
          const float value = i % 3 == 0 ? boundary : std::nextafter(boundary, i % 3 == 1 ? -1e38f : 1e38f);
          x[t * dim + i] = std::fabs(value) <= 0.5f * extent ? value : 0.0f;
        }
        x[t * dim] = -0.4f * extent;
        x[t * dim + dim - 1] = 0.6f * extent;
      }
      const DeviceCache expected = stored(*scalar_, c, x, x), result = stored(*device_, c, x, x);
      expect_same_rows(download_cache(*device_, result), download_cache(*scalar_, expected), expected.layout, expected.capacity, 0,
                       c.tokens, name_of(c));
    }
}

TEST_P(Cache, CopiesKeepWhatIsFilled) {
  const Case c{with_bits(4), {2, 2, 12, 0}, 0, 7};
  const auto k = normal_values(7 * 24, 1), v = normal_values(7 * 24, 2);
  const DeviceCache small = stored(*device_, c, k, v), large = device_->allocate_cache(small.layout, 40);
  device_->copy_cache(small, large, 7);
  const CacheParts before = download_cache(*device_, small), after = download_cache(*device_, large);
  for (const bool values : {false, true})
    EXPECT_EQ(cached_floats(before, small.layout, small.capacity, 7, values),
              cached_floats(after, large.layout, large.capacity, 7, values));
}

TEST_P(Cache, RefusesWhatDoesNotFit) {
  const CacheLayout layout = cache_layout(with_bits(4), 2, 16);
  const DeviceCache cache = device_->allocate_cache(layout, 4);
  const Buffer rows = upload(*device_, normal_values(5 * 32, 1)), q = upload(*device_, normal_values(64, 1));
  EXPECT_THROW(device_->store_quantized(rows, rows, 5, cache, 0), Error);
  EXPECT_THROW(device_->store_quantized(rows, rows, 2, cache, 3), Error);
  EXPECT_THROW(device_->attention_quantized(q, cache, 4, 1, {2, 2, 16, 0}, q), Error);
  EXPECT_THROW(device_->attention_quantized(q, cache, 0, 1, {4, 4, 16, 0}, q), Error);
}

// The same bits on any number of threads.
TEST_P(Cache, ResultsDoNotDependOnTheNumberOfThreads) {
  if (GetParam().starts_with("vulkan")) return;
  for (const Case& c : {Case{with_bits(4), {9, 3, 64, 0}, 600, 1}, Case{with_bits(8), {9, 3, 64, 0}, 0, 150}}) {
    const std::size_t width = c.shape.heads * c.shape.head_dim, end = c.first + c.tokens;
    const auto q = normal_values(c.tokens * width, 1), k = normal_values(end * 192, 2), v = normal_values(end * 192, 3);
    std::vector<std::vector<float>> results;
    for (const int threads : {1, 2, 5}) {
      set_thread_count(threads);
      const DeviceCache cache = stored(*device_, c, k, v);
      const Buffer out = unwritten(*device_, q.size());
      device_->attention_quantized(upload(*device_, q), cache, c.first, c.tokens, c.shape, out);
      results.push_back(download<float>(*device_, out, q.size()));
    }
    set_thread_count(0);
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

}  // namespace
}  // namespace lrc::test

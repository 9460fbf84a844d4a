// Runs whose keys and values are quantized: what the solver sees of it, and what is computed with it afterwards.
#include <gtest/gtest.h>

#include "run/open_model.h"
#include "small_run.h"

namespace lrc {
namespace {

using test::layer_bytes;
using test::small_recipe;
using test::small_request;

class CacheRuns : public ::testing::Test {
 protected:
  std::filesystem::path folder(const std::string& name) const { return place.path() / name; }
  MatrixF logits_of(const std::filesystem::path& path) const {
    const auto transformer = make_transformer(open_model(path), "cpu");
    const std::vector<TokenId> ids = {1, 403, 407, 261, 378, 55, 91, 17};
    KvCache cache = transformer->make_cache(ids.size());
    transformer->forward(ids, cache);
    return transformer->logits(0, ids.size());
  }
  static double difference(const MatrixF& a, const MatrixF& b) {
    double sum = 0, norm = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      sum += (double(a.data()[i]) - double(b.data()[i])) * (double(a.data()[i]) - double(b.data()[i]));
      norm += double(b.data()[i]) * double(b.data()[i]);
    }
    return sum / norm;
  }

  test::TemporaryFolder place;
  Recipe recipe = small_recipe(place.path() / "text.txt");
};

// On the float stream the layers are solved without knowing of the cache: the same bytes, another model.
TEST_F(CacheRuns, TheFloatStreamDoesNotSeeTheCache) {
  test::carry_out(small_request(folder("float"), recipe));
  recipe.cache.bits = 2;
  recipe.rotation.r3 = true;
  test::carry_out(small_request(folder("two"), recipe));
  EXPECT_EQ(layer_bytes(folder("two")), layer_bytes(folder("float")));
  EXPECT_EQ(read_manifest(folder("two")).recipe, recipe);
  const auto weights = weights_of(open_model(folder("two")));
  EXPECT_EQ(weights.cache, recipe.cache);
  EXPECT_TRUE(weights.head_hadamard);
  EXPECT_GT(difference(logits_of(folder("two")), logits_of(folder("float"))), 1e-3);
}

TEST_F(CacheRuns, TheStreamBehindTheQuantizedPrefixDoes) {
  recipe.stream = Stream::propagated;
  test::carry_out(small_request(folder("float"), recipe));
  recipe.cache.bits = 2;
  test::carry_out(small_request(folder("two"), recipe));
  const auto without = layer_bytes(folder("float")), with = layer_bytes(folder("two"));
  ASSERT_EQ(without.size(), with.size());
  // Keys and values change nothing before the first attention, and everything behind it.
  for (const auto& [name, bytes] : without) {
    const bool before = name.starts_with("model.layers.0.self_attn.") && !name.starts_with("model.layers.0.self_attn.o_proj");
    EXPECT_EQ(with.at(name) == bytes, before) << name;
  }
}

// Nothing but the cache: no layer is solved, and the run is a model all the same.
TEST_F(CacheRuns, TheCacheAlone) {
  recipe.weight.bits = 16;
  recipe.rotation = {.r2 = true, .r3 = true};
  recipe.cache.bits = 8;
  const Manifest manifest = test::carry_out(small_request(folder("eight"), recipe));
  EXPECT_EQ(manifest.state, RunState::done);
  EXPECT_EQ(manifest.layers_total, 0u);
  EXPECT_EQ(manifest.bits_per_weight, 0.0);
  recipe.cache.bits = 3;
  test::carry_out(small_request(folder("three"), recipe));
  const MatrixF original = logits_of(test::data("stories260K/stories260K-f32.gguf"));
  const double eight = difference(logits_of(folder("eight")), original), three = difference(logits_of(folder("three")), original);
  EXPECT_GT(eight, 0.0);
  EXPECT_LT(eight, 1e-3);
  EXPECT_GT(three, 10 * eight);
}

}  // namespace
}  // namespace lrc

// A run whose pairs are found by the randomized range finder says what that missed, wherever figures of a layer stand.
#include "run/layer_file.h"
#include "run/spectra.h"
#include "small_run.h"

namespace lrc::test {
namespace {

TEST(RangeFinderRuns, SayWhatWasMissed) {
  TemporaryFolder place;
  Recipe recipe = small_recipe(place.path() / "text.txt");
  recipe.layers = "model.layers.[01].*";
  const Manifest exact = test::carry_out(small_request(place.path() / "exact", recipe));
  recipe.range_finder = RangeFinder::randomized;
  const auto folder = place.path() / "run";
  test::carry_out(small_request(folder, recipe));
  const Manifest found = read_manifest(folder);
  ASSERT_EQ(found.layers.size(), exact.layers.size());
  for (std::size_t i = 0; i < found.layers.size(); ++i) {
    const LayerRecord &with = found.layers[i], &without = exact.layers[i];
    EXPECT_FALSE(without.range_finder_missed) << without.name;
    ASSERT_TRUE(with.range_finder_missed) << with.name;
    EXPECT_GE(*with.range_finder_missed, 0);
    EXPECT_LT(*with.range_finder_missed, 0.1) << with.name;
    EXPECT_NEAR(with.loss, without.loss, 0.1 * without.loss) << with.name;
    EXPECT_NEAR(with.lower_bound, without.lower_bound, 1e-9) << "certified all the same";
    EXPECT_EQ(read_layer_facts(folder, with.name).losses.range_finder_missed, *with.range_finder_missed);
    EXPECT_EQ(spectrum_of_run(folder, with.name).range_finder_missed, *with.range_finder_missed);
  }
  const auto bytes = layer_bytes(folder);
  EXPECT_NE(bytes, layer_bytes(place.path() / "exact"));
  std::filesystem::remove(folder / "layers" / "model.layers.1.mlp.up_proj.safetensors");
  test::carry_out(small_request(folder, recipe));
  EXPECT_EQ(layer_bytes(folder), bytes) << "its start belongs to the layer";
  recipe.range_finder = RangeFinder::exact;
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { test::carry_out(small_request(folder, recipe)); }), "range_finder"));
}

}  // namespace
}  // namespace lrc::test

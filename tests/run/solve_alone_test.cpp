// Layers solved outside of a run, against the run itself.
#include "run/solve_alone.h"

#include <fstream>

#include "run/kept_sites.h"
#include "run/layer_file.h"
#include "run/layer_trials.h"
#include "run/spectra.h"
#include "small_run.h"

namespace lrc::test {
namespace {

struct Place {
  TemporaryFolder folder;
  Recipe recipe = [this] {
    Recipe made = small_recipe(folder.path() / "calibration.txt");
    made.held_out_windows = 0;
    return made;
  }();
  std::filesystem::path keep = folder.path() / "cache" / "key";
  const Model& model = *small_model();
  Progress progress;

  const LayerInfo* layer(const char* name) const { return model.find_layer(name); }
  /// The file that a run would have written, by name.
  std::map<std::string, std::string> alone(const std::vector<const LayerInfo*>& layers, const Recipe& with) {
    const auto out = folder.path() / "alone";
    std::filesystem::remove_all(out);
    std::filesystem::create_directories(out / "layers");
    solve_alone(model, with, layers, keep, progress, {},
                [&](const AloneSolution& solved) { write_layer(out, solved.layer->name, solved.solution); });
    return layer_bytes(out);
  }
};

constexpr const char* down = "model.layers.3.mlp.down_proj";
constexpr const char* query = "model.layers.1.self_attn.q_proj";

TEST(SolveAlone, SameBytesAsTheRunGatheredAndKept) {
  Place place;
  const std::vector<const LayerInfo*> layers = {place.layer(down), place.layer(query)};
  const Manifest run = carry_out(small_request(place.folder.path() / "run", place.recipe));
  const auto wanted = layer_bytes(place.folder.path() / "run");
  ASSERT_FALSE(is_ready_to_solve(place.model, place.recipe, layers, place.keep));
  const auto gathered = place.alone(layers, place.recipe);
  ASSERT_TRUE(is_ready_to_solve(place.model, place.recipe, layers, place.keep));
  const auto kept = place.alone(layers, place.recipe);
  ASSERT_EQ(gathered.size(), 2u);
  for (const auto& [name, bytes] : gathered) {
    EXPECT_EQ(bytes, wanted.at(name)) << name;
    EXPECT_EQ(kept.at(name), wanted.at(name)) << name << " from kept moments";
  }
  // Another rank needs the same moments, other activations do not have them.
  Recipe changed = place.recipe;
  changed.overrides.push_back(parse_override(std::string(down) + ":rank=11"));
  EXPECT_TRUE(is_ready_to_solve(place.model, changed, layers, place.keep));
  changed.overrides.push_back(parse_override(std::string(down) + ":activation_bits=6"));
  EXPECT_FALSE(is_ready_to_solve(place.model, changed, layers, place.keep));
  carry_out(small_request(place.folder.path() / "other", changed));
  EXPECT_EQ(place.alone({layers[0]}, changed).begin()->second,
            layer_bytes(place.folder.path() / "other").at(std::string(down) + ".safetensors"));
}

TEST(SolveAlone, MeasuringKeepsWhatItNeeds) {
  Place place;
  measure(place.model, place.recipe, place.folder.path() / "measured", place.progress, {}, {}, place.keep);
  std::vector<const LayerInfo*> all;
  for (const auto& layer : place.model.layers()) all.push_back(&layer);
  EXPECT_TRUE(is_ready_to_solve(place.model, place.recipe, all, place.keep));
  std::uintmax_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(place.keep))
    if (entry.is_regular_file()) bytes += entry.file_size();
  EXPECT_NEAR(double(bytes), double(kept_bytes(place.model, 1024)), 0.02 * double(bytes)) << "the cost that was named";
  carry_out(small_request(place.folder.path() / "run", place.recipe));
  EXPECT_EQ(place.alone({place.layer(down)}, place.recipe).begin()->second,
            layer_bytes(place.folder.path() / "run").at(std::string(down) + ".safetensors"));
}

TEST(SolveAlone, MeasuringKeepsNothingOfAnotherBasis) {
  Place place;
  Recipe smoothed = place.recipe;
  smoothed.smoothing = Smoothing::smoothquant;
  measure(place.model, smoothed, place.folder.path() / "measured", place.progress, {}, {}, place.keep);
  EXPECT_FALSE(is_ready_to_solve(place.model, place.recipe, {place.layer(down)}, place.keep)) << "moments of scaled channels";
  EXPECT_NE(kept_sites_folder(smoothed, place.model), kept_sites_folder(place.recipe, place.model));
  Recipe shorter = place.recipe;
  shorter.calibration_tokens /= 2;
  EXPECT_NE(kept_sites_folder(shorter, place.model), kept_sites_folder(place.recipe, place.model));
  Recipe without = place.recipe;
  without.skip_first_positions = 1;
  EXPECT_NE(kept_sites_folder(without, place.model), kept_sites_folder(place.recipe, place.model));
  Recipe other = place.recipe;  // what the solve chooses plays no part
  other.rank = {false, 3};
  other.damping = 0.05;
  EXPECT_EQ(kept_sites_folder(other, place.model), kept_sites_folder(place.recipe, place.model));
}

TEST(SolveAlone, RefusesWhatDependsOnOtherLayers) {
  Place place;
  const auto refuse = [&](const Recipe& recipe) {
    return sentence_of(ErrorKind::bad_input,
                       [&] { solve_alone(place.model, recipe, {place.layer(down)}, {}, place.progress, {}, [](const AloneSolution&) {}); });
  };
  Recipe recipe = place.recipe;
  recipe.stream = Stream::propagated;
  EXPECT_TRUE(contains(refuse(recipe), "propagated"));
  recipe = place.recipe;
  recipe.search_clip = true;
  EXPECT_TRUE(contains(refuse(recipe), "clip"));
  recipe = place.recipe;
  recipe.overrides.push_back(parse_override(std::string(down) + ":skip=true"));
  EXPECT_TRUE(contains(refuse(recipe), down));
}

TEST(SolveAlone, ADamagedFileIsNamed) {
  Place place;
  place.alone({place.layer(down)}, place.recipe);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(place.keep))
    if (entry.is_regular_file()) std::filesystem::resize_file(entry.path(), std::filesystem::file_size(entry.path()) / 2);
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_file, [&] { place.alone({place.layer(down)}, place.recipe); }), "sites"));
}

TEST(LayerTrials, VariantsAreWhatARunOfThemGives) {
  Place place;
  const LayerInfo& layer = *place.layer(down);
  const LayerTrials trials = weight_trials(place.model, place.recipe, layer, place.keep, place.progress, {});
  EXPECT_EQ(trials.now.name, down);
  ASSERT_GE(trials.suggestions.size(), 3u);
  ASSERT_EQ(trials.plain.size(), 3u);
  EXPECT_EQ(trials.plain.front().bits, 5);
  EXPECT_NEAR(trials.plain.front().extra_bits_per_weight, 1.0, 1e-9);
  Recipe all = place.recipe;
  const Suggestion& first = trials.suggestions.front();
  EXPECT_EQ(first.title, "W5 here");
  all.overrides.push_back(first.change);
  const Manifest run = carry_out(small_request(place.folder.path() / "run", all));
  const auto record = std::ranges::find(run.layers, std::string(down), &LayerRecord::name);
  ASSERT_NE(record, run.layers.end());
  EXPECT_EQ(record->loss, first.loss);
  EXPECT_NEAR(record->bits_per_weight - trials.now.bits_per_weight, first.bits_per_weight, 1e-12);
}

TEST(LayerTrials, ActivationsAreEstimatedFromTheSample) {
  Place place;
  const LayerInfo& layer = *place.layer("model.layers.2.self_attn.q_proj");
  const LayerTrials trials = weight_trials(place.model, place.recipe, layer, place.keep, place.progress, {});
  const auto suggestions = activation_trials(place.model, place.recipe, layer, trials.now, place.keep, place.progress, {});
  ASSERT_FALSE(suggestions.empty());
  const Suggestion& more_bits = suggestions.front();
  EXPECT_EQ(more_bits.title, "A6 here");
  EXPECT_TRUE(more_bits.estimated);
  EXPECT_EQ(more_bits.layers.size(), 3u) << "q, k and v read one input";
  Recipe changed = place.recipe;
  changed.overrides.push_back(more_bits.change);
  EXPECT_FALSE(problem_of(changed, place.model));
  const Manifest run = carry_out(small_request(place.folder.path() / "run", changed));
  const auto record = std::ranges::find(run.layers, layer.name, &LayerRecord::name);
  EXPECT_NEAR(more_bits.loss, record->loss, 0.1 * record->loss);
}

}  // namespace
}  // namespace lrc::test

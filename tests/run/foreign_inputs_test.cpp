// What a run takes from files beside its model and its text: rotations, and a second text.
#include <gtest/gtest.h>

#include "base/hash.h"
#include "run/corpus.h"
#include "run/fit_rotation.h"
#include "small_run.h"
#include "support/rotation_file.h"

namespace lrc {
namespace {

using test::contains;
using test::layer_bytes;
using test::sentence_of;
using test::small_model;
using test::small_request;

class ForeignInputs : public ::testing::Test {
 protected:
  test::TemporaryFolder place;
  std::filesystem::path folder = place.path() / "run", file = place.path() / "r.safetensors";
  Recipe recipe = test::small_recipe(place.path() / "text.txt");
};

TEST_F(ForeignInputs, TheExactHadamardMatrixFromAFileGivesTheSameCodes) {
  recipe.method = "gptq";
  recipe.rank = {false, 0};
  recipe.layers = "*.layers.0.*,*.layers.1.*";
  recipe.rotation = {true, true, true, 5};
  test::carry_out(small_request(place.path() / "made", recipe));
  test::write_rotations(file, test::hadamard_rotations(small_model()->config(), 5));
  recipe.rotation.file = file.string();
  recipe.rotation.seed = 0;
  test::carry_out(small_request(folder, recipe));
  std::size_t compared = 0;
  for (const auto& layer : read_manifest(folder).layers) {
    const auto made = read_layer(place.path() / "made", layer.name), imported = read_layer(folder, layer.name);
    EXPECT_EQ(made.weight, imported.weight) << layer.name;
    ++compared;
  }
  EXPECT_EQ(compared, 14u);
}

TEST_F(ForeignInputs, ARunWithImportedRotationsStandsAlone) {
  recipe.method = "rtn";
  recipe.rank = {false, 0};
  recipe.layers = "*.layers.0.*";
  test::Random random(2);
  test::write_rotations(file, test::random_rotations(small_model()->config(), random));
  recipe.rotation = {.r1 = true, .r2 = true, .file = file.string()};
  const auto manifest = test::carry_out(small_request(folder, recipe));
  EXPECT_EQ(manifest.rotation_sha256, sha256_of_file(file));
  const auto bytes = layer_bytes(folder);
  test::carry_out(small_request(folder, recipe));
  EXPECT_EQ(layer_bytes(folder), bytes);

  // Somebody learned better ones under the same name.
  const auto before = weights_of(open_model(folder));
  test::write_rotations(file, test::random_rotations(small_model()->config(), random));
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { test::carry_out(small_request(folder, recipe)); }), "imported rotations"));
  std::filesystem::remove(file);
  EXPECT_EQ(weights_of(open_model(folder)).blocks[1].linears[0].weight, before.blocks[1].linears[0].weight);

  auto kept = read_file(folder / imported_rotation_file);
  kept[kept.size() - 3] ^= 1;
  write_file_atomically(folder / imported_rotation_file, kept);
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_file, [&] { weights_of(open_model(folder)); }), "rotation.safetensors"));
}

TEST_F(ForeignInputs, WhatTheFileLacksIsSaidBeforeAnythingIsMade) {
  auto rotations = test::hadamard_rotations(small_model()->config(), 1);
  rotations.r2.clear();
  test::write_rotations(file, rotations);
  recipe.rotation = {.r1 = true, .r2 = true, .file = file.string()};
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { test::carry_out(small_request(folder, recipe)); }), "R2"));
  recipe.rotation.r2 = false;
  EXPECT_FALSE(problem_of(recipe, *small_model()));
  recipe.rotation.file = (place.path() / "nowhere.safetensors").string();
  EXPECT_TRUE(contains(*problem_of(recipe, *small_model()), "nowhere"));
  EXPECT_FALSE(std::filesystem::exists(folder));
  EXPECT_TRUE(leave_out_impossible_rotations(recipe, *small_model()).empty());
}

TEST_F(ForeignInputs, TwoTextsShareTheWindows) {
  const auto task = place.path() / "task.txt";
  const auto text = test::some_text(60000);
  write_file_atomically(task, text.substr(text.size() / 2));
  recipe.calibration_tokens = 8 * 256;
  recipe.held_out_windows = 2;
  const RunCorpus alone = open_corpus(recipe, *small_model());
  Recipe of_task = recipe;
  of_task.calibration = task.string();
  const RunCorpus second = open_corpus(of_task, *small_model());
  recipe.calibration_mix = CalibrationMix{task.string(), 0.25};
  const RunCorpus mixed = open_corpus(recipe, *small_model());
  ASSERT_EQ(mixed.calibration_windows, 8u);
  ASSERT_EQ(mixed.windows.windows.size(), 10u);
  for (std::size_t w = 0; w < 6; ++w) EXPECT_EQ(mixed.windows.windows[w], alone.windows.windows[w]) << w;
  for (std::size_t w = 0; w < 2; ++w) EXPECT_EQ(mixed.windows.windows[6 + w], second.windows.windows[w]) << w;
  EXPECT_EQ(mixed.windows.windows[8], alone.windows.windows[6]) << "held out: behind what calibrates";
  EXPECT_EQ(mixed.windows.windows[9], second.windows.windows[2]) << "held out, a quarter of two rounded up";
  EXPECT_EQ(mixed.sha256, alone.sha256);
  EXPECT_EQ(mixed.mix_sha256, second.sha256);
  EXPECT_NE(mixed.identity(), alone.identity());
}

TEST_F(ForeignInputs, BothTextsAreFactsOfTheRun) {
  const auto task = place.path() / "task.txt";
  const auto text = test::some_text(40000);
  write_file_atomically(task, text.substr(text.size() / 2));
  recipe.method = "eora";
  recipe.layers = "*.layers.0.*";
  recipe.calibration_mix = CalibrationMix{task.string(), 0.5};
  const auto manifest = test::carry_out(small_request(folder, recipe));
  EXPECT_EQ(manifest.calibration_mix_sha256, sha256_of_file(task));
  EXPECT_EQ(read_manifest(folder).calibration_mix_path, manifest.calibration_mix_path);
  Recipe alone = recipe;
  alone.calibration_mix.reset();
  const auto other = test::carry_out(small_request(place.path() / "alone", alone));
  EXPECT_NE(other.fingerprint, manifest.fingerprint);
  EXPECT_NE(layer_bytes(place.path() / "alone"), layer_bytes(folder));
  // The same text elsewhere is the same text; another one is not.
  std::filesystem::rename(task, place.path() / "moved.txt");
  recipe.calibration_mix->text = (place.path() / "moved.txt").string();
  EXPECT_EQ(test::carry_out(small_request(folder, recipe)).fingerprint, manifest.fingerprint);
  write_file_atomically(place.path() / "moved.txt", text);
  EXPECT_TRUE(
      contains(sentence_of(ErrorKind::bad_input, [&] { test::carry_out(small_request(folder, recipe)); }), "second calibration text"));
  recipe.calibration_mix->share = 0.01;
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { open_corpus(recipe, *small_model()); }), "without any"));
}

}  // namespace
}  // namespace lrc

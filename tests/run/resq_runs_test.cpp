// Runs that hold the principal directions of their inputs in more bits (ResQ).
#include <gtest/gtest.h>

#include <cmath>

#include "base/hash.h"
#include "run/layer_file.h"
#include "run/sizes.h"
#include "small_run.h"
#include "support/tiny_model.h"

namespace lrc {
namespace {

using test::contains;
using test::layer_bytes;
using test::sentence_of;
using test::small_model;
using test::small_request;

class ResqRuns : public ::testing::Test {
 protected:
  ResqRuns() {
    recipe.method = "gptq";
    recipe.rank = {false, 0};
    recipe.rotation.high_share = 0.125;
  }
  MatrixF logits_of(const std::filesystem::path& run, const std::string& device = "cpu") const {
    const auto opened = open_model(run);
    const auto transformer = make_transformer(opened, device);
    return test::all_logits(*transformer, test::random_ids(40, opened.model->config().vocabulary, 3));
  }
  test::TemporaryFolder place;
  std::filesystem::path folder = place.path() / "run";
  Recipe recipe = test::small_recipe(place.path() / "text.txt");
};

TEST_F(ResqRuns, LayersHaveTwoPartsOfTheirInput) {
  const Manifest manifest = test::carry_out(small_request(folder, recipe));
  ASSERT_EQ(manifest.layers.size(), small_model()->layers().size());
  EXPECT_DOUBLE_EQ(manifest.bits_per_weight, sizes_of(recipe, *small_model()).bits_per_weight());
  EXPECT_EQ(manifest.rotation_sha256, sha256_of_file(folder / imported_rotation_file));
  const Manifest read = read_manifest(folder);
  EXPECT_EQ(read.recipe, recipe);
  EXPECT_EQ(read.effective, manifest.effective);
  for (const auto& layer : small_model()->layers()) {
    const LayerScheme scheme = effective_scheme(recipe, layer);
    const LayerSolution solution = read_layer(folder, layer.name);
    const HighColumns expected = layer.role == Role::down_proj ? HighColumns{}
                                 : layer.role == Role::o_proj  ? HighColumns{.count = 1, .period = 8}
                                                               : HighColumns{.count = 8};
    EXPECT_EQ(scheme.weight.high, expected) << layer.name;
    EXPECT_EQ(scheme.activation.high, expected) << layer.name;
    EXPECT_EQ(solution.scheme, scheme) << layer.name;
    EXPECT_EQ(solution.weight.scheme, scheme.weight);
    const auto beyond_four_bits = std::ranges::count_if(solution.weight.codes, [](int code) { return code > 7 || code < -8; });
    EXPECT_EQ(beyond_four_bits > 0, expected.any()) << layer.name;
  }
  // The same on a scalar processor: two products are added there, too.
  // Sums of another order flip single codes.
  const MatrixF fast = logits_of(folder), scalar = logits_of(folder, "cpu:scalar");
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < fast.size(); ++i) {
    error += std::pow(double(fast.data()[i]) - double(scalar.data()[i]), 2);
    norm += std::pow(double(scalar.data()[i]), 2);
  }
  EXPECT_LT(std::sqrt(error / norm), 0.02);
}

TEST_F(ResqRuns, ResumeWithTheBasesOfTheFirstStart) {
  test::carry_out(small_request(folder, recipe));
  const auto bytes = layer_bytes(folder);
  const auto bases = read_file(folder / imported_rotation_file);
  std::filesystem::remove(folder / "layers" / "model.layers.1.mlp.up_proj.safetensors");
  std::filesystem::remove(folder / "layers" / "model.layers.2.self_attn.o_proj.safetensors");
  test::carry_out(small_request(folder, recipe));
  EXPECT_EQ(layer_bytes(folder), bytes);
  // Lost bases are found again: the same ones.
  std::filesystem::remove(folder / imported_rotation_file);
  std::filesystem::remove(folder / "layers" / "model.layers.0.mlp.up_proj.safetensors");
  test::carry_out(small_request(folder, recipe));
  EXPECT_EQ(layer_bytes(folder), bytes);
  EXPECT_EQ(read_file(folder / imported_rotation_file), bases);
  // Other ones would be another model's.
  auto other = bases;
  other[other.size() - 3] ^= 1;
  write_file_atomically(folder / imported_rotation_file, other);
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_file, [&] { weights_of(open_model(folder)); }), "rotation.safetensors"));

  Recipe wider = recipe;
  wider.rotation.high_share = 0.25;
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { test::carry_out(small_request(folder, wider)); }), "high_precision"));
}

TEST_F(ResqRuns, TwoRunsFindTheirBasesOnce) {
  recipe.layers = "model.layers.[01].*";
  Recipe second = recipe;
  second.method = "rtn";
  const std::vector<RunRequest> requests = {small_request(folder, recipe), small_request(place.path() / "second", second)};
  Progress progress;
  carry_out_together(requests, progress, {});
  test::carry_out(small_request(place.path() / "alone", second));
  EXPECT_EQ(layer_bytes(place.path() / "second"), layer_bytes(place.path() / "alone"));
  EXPECT_EQ(read_file(place.path() / "second" / imported_rotation_file), read_file(folder / imported_rotation_file));
  EXPECT_NE(layer_bytes(folder), layer_bytes(place.path() / "second"));
}

TEST_F(ResqRuns, AShareOfOneIsEightBitsAndNoneIsFour) {
  recipe.layers = "model.layers.0.*";
  test::carry_out(small_request(folder, recipe));
  const auto bases = (folder / imported_rotation_file).string();
  const auto codes_of = [&](const char* name, const Recipe& of) {
    test::carry_out(small_request(place.path() / name, of));
    std::map<std::string, QuantizedWeight> weights;
    for (const auto& layer : read_manifest(place.path() / name).layers)
      weights[layer.name] = read_layer(place.path() / name, layer.name).weight;
    return weights;
  };
  // In the same basis: a share of 1 beside plain layers of 8 bits whose activations are not clipped, down_proj of 4.
  Recipe all = recipe, eight = recipe, none = recipe, four = recipe;
  for (Recipe* own : {&all, &eight, &none, &four}) own->rotation.file = bases;
  all.rotation.high_share = 1;
  eight.rotation.high_share = 0;
  eight.overrides = {parse_override("*q_proj,*k_proj,*v_proj,*o_proj,*gate_proj,*up_proj:weight_bits=8,activation_bits=8,clip=1")};
  EXPECT_EQ(codes_of("all", all), codes_of("eight", eight));
  none.rotation.high_share = four.rotation.high_share = 0;
  EXPECT_EQ(codes_of("none", none), codes_of("four", four));
  EXPECT_NE(codes_of("none", none), codes_of("all", all));
  // Without a basis from elsewhere a share of 0 is the plain rotated run.
  recipe.rotation.high_share = 0;
  EXPECT_EQ(to_text(recipe).find("high_precision"), std::string::npos);
}

TEST_F(ResqRuns, EveryMethodWithOneGridForAColumnTakesThem) {
  recipe.layers = "model.layers.0.*";
  for (const auto& method : methods()) {
    Recipe own = recipe;
    own.method = method.name;
    own.rank = {false, method.uses_rank ? 4.0 : 0.0};
    const auto problem = problem_of(own, *small_model());
    if (method.moves_weights || method.pair_input == PairInput::quantized) {
      EXPECT_TRUE(problem && contains(*problem, "high_precision")) << method.name;
      continue;
    }
    EXPECT_FALSE(problem) << *problem;
    const auto run = place.path() / std::string(method.name);
    for (const auto& layer : test::carry_out(small_request(run, own)).layers)
      EXPECT_LT(layer.loss, 0.2) << method.name << " " << layer.name;
  }
}

TEST_F(ResqRuns, HoldsMoreOfTheModelThanFourBitsAlone) {
  Recipe plain = recipe;
  plain.rotation.high_share = 0;
  const auto mean_loss = [](const Manifest& manifest) {
    double sum = 0;
    for (const auto& layer : manifest.layers)
      if (!contains(layer.name, "down_proj")) sum += layer.loss;
    return sum;
  };
  const double parted = mean_loss(test::carry_out(small_request(folder, recipe)));
  EXPECT_LT(parted, 0.8 * mean_loss(test::carry_out(small_request(place.path() / "plain", plain))));
}

TEST_F(ResqRuns, WhatDoesNotGoWithThemIsSaidByName) {
  const auto problem = [&](const std::function<void(Recipe&)>& change) {
    Recipe own = recipe;
    change(own);
    return problem_of(own, *small_model()).value_or("");
  };
  EXPECT_TRUE(contains(problem([](Recipe& r) { r.rotation.r1 = r.rotation.r2 = false; }), "R1 and R2"));
  EXPECT_TRUE(contains(problem([](Recipe& r) { r.smoothing = Smoothing::awq; }), "smoothing none"));
  EXPECT_TRUE(contains(problem([](Recipe& r) { r.refine = 10; }), "refine"));
  EXPECT_TRUE(contains(problem([](Recipe& r) { r.weight.symmetric = false; }), "zero points"));
  EXPECT_TRUE(contains(problem([](Recipe& r) { r.weight.format = NumberFormat::mxint; }), "format int"));
  EXPECT_EQ(problem([](Recipe& r) { r.activation.symmetric = false; }), "");
  EXPECT_EQ(problem([](Recipe& r) { r.rotation.r4 = false; }), "");
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input,
                                   [&] {
                                     test::carry_out(small_request(folder, [&] {
                                       Recipe own = recipe;
                                       own.refine = 5;
                                       return own;
                                     }()));
                                   }),
                       "high_precision"));
  EXPECT_FALSE(std::filesystem::exists(folder));
}

TEST_F(ResqRuns, DamagedCodesAreRefused) {
  recipe.layers = "model.layers.0.self_attn.q_proj";
  test::carry_out(small_request(folder, recipe));
  const auto file = layer_path(folder, "model.layers.0.self_attn.q_proj");
  const auto text = read_file(file);
  const auto with = [&](const std::string& from, const std::string& to) {
    auto changed = text;
    const auto at = changed.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    changed.replace(at, from.size(), to);
    write_file_atomically(file, changed);
    EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_file, [&] { read_layer(folder, "model.layers.0.self_attn.q_proj"); }), "q_proj"));
  };
  with("\"codes_high\"", "\"codes_hugh\"");
  write_file_atomically(file, text);
  auto newer = text;
  const auto at = newer.find("\"format_version\":\"2\"");
  ASSERT_NE(at, std::string::npos) << "older programs must not take it for one grid";
  newer[at + 18] = '3';
  write_file_atomically(file, newer);
  EXPECT_TRUE(contains(sentence_of(ErrorKind::unsupported, [&] { read_layer(folder, "model.layers.0.self_attn.q_proj"); }), "version 3"));
}

}  // namespace
}  // namespace lrc

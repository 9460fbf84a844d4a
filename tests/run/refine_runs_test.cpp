// Runs that refine: manifest, resuming, what stays as it was, families; and lsi through the whole journey.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/parallel.h"
#include "run/float_stream.h"
#include "small_run.h"
#include "support/family_models.h"
#include "support/tiny_model.h"

namespace lrc {
namespace {

using test::layer_bytes;
using test::sentence_of;
using test::small_request;

class RefineRun : public testing::Test {
 protected:
  test::TemporaryFolder place;
  std::filesystem::path folder = place.path() / "run", other = place.path() / "other";
  Recipe recipe = refined(8);
  Recipe refined(int steps) {
    Recipe result = test::small_recipe(place.path() / "text.txt");
    result.refine = steps;
    return result;
  }
};

TEST_F(RefineRun, TunesPairsAndScalesAndSaysWhatItBrought) {
  const Manifest plain = test::carry_out(small_request(other, refined(0)));
  EXPECT_TRUE(plain.refinements.empty());
  const Manifest manifest = test::carry_out(small_request(folder, recipe));
  const std::size_t blocks = test::small_model()->config().blocks;
  ASSERT_EQ(manifest.refinements.size(), blocks);
  std::size_t better = 0;
  for (std::size_t b = 0; b < blocks; ++b) {
    const RefinementRecord& record = manifest.refinements[b];
    EXPECT_EQ(record.block, b);
    EXPECT_EQ(record.steps, 8);
    EXPECT_LE(record.held_out_after, record.held_out_before);
    EXPECT_EQ(record.best_step > 0, record.held_out_after < record.held_out_before);
    better += record.best_step > 0;
  }
  EXPECT_GE(better, blocks - 1);
  // The codes are those of the same recipe without refinement; losses are those of what is stored.
  for (std::size_t l = 0; l < manifest.layers.size(); ++l) {
    const std::string& name = manifest.layers[l].name;
    EXPECT_EQ(read_layer(folder, name).weight.codes, read_layer(other, name).weight.codes) << name;
    EXPECT_EQ(manifest.layers[l].name, plain.layers[l].name);
    EXPECT_GE(manifest.layers[l].loss_regularized, manifest.layers[l].lower_bound) << name;
  }
  const Manifest read = read_manifest(folder);
  ASSERT_EQ(read.refinements.size(), blocks);
  EXPECT_EQ(read.refinements[1].held_out_after, manifest.refinements[1].held_out_after);
  EXPECT_EQ(read.recipe, manifest.recipe);
}

TEST_F(RefineRun, ResumesAtTheBlockAndEndsWithTheSameBytes) {
  for (const Stream stream : {Stream::fp, Stream::propagated, Stream::replay}) {
    recipe.stream = stream;
    std::stop_source stop;
    std::size_t finished = 0;
    Progress progress;
    const auto part = folder.string() + std::string(name(stream)), whole = other.string() + std::string(name(stream));
    sentence_of(ErrorKind::stopped, [&] {
      carry_out(small_request(part, recipe), progress, stop.get_token(), [&](const LayerRecord&) {
        if (++finished == 10) stop.request_stop();
      });
    });
    EXPECT_LT(read_manifest(part).layers.size(), test::small_model()->layers().size());
    // One layer of a finished block is damaged: its block is solved and refined again as a whole.
    const std::string damaged = test::small_model()->layers()[2].name;
    std::filesystem::resize_file(std::filesystem::path(part) / "layers" / (damaged + ".safetensors"), 100);
    const Manifest manifest = test::carry_out(small_request(part, recipe));
    EXPECT_EQ(manifest.state, RunState::done);
    EXPECT_EQ(manifest.layers.size(), test::small_model()->layers().size());
    EXPECT_EQ(manifest.refinements.size(), test::small_model()->config().blocks);
    set_thread_count(3);
    test::carry_out(small_request(whole, recipe));
    set_thread_count(0);
    EXPECT_EQ(layer_bytes(part), layer_bytes(whole)) << name(stream);
  }
}

class LearnedScalesRun : public RefineRun {
 protected:
  LearnedScalesRun() {
    recipe.method = "lsi";
    recipe.rank = {false, 0};
    recipe.weight.bits = 3;
    recipe.steps = 5;
    recipe.rotation = {};
    recipe.smoothing = Smoothing::smoothquant;
    recipe.learn_scales = true;
  }
};

TEST_F(LearnedScalesRun, AreKeptAndFoldedAndResumed) {
  const Manifest manifest = test::carry_out(small_request(folder, recipe));
  Recipe chosen = recipe;
  chosen.learn_scales = false;
  const Manifest without = test::carry_out(small_request(other, chosen));
  ASSERT_EQ(manifest.transforms.size(), test::small_model()->config().blocks);
  std::size_t learned = 0;
  for (std::size_t b = 0; b < manifest.transforms.size(); ++b) {
    EXPECT_EQ(manifest.transforms[b].block, b);
    learned += manifest.transforms[b].sha256 != without.transforms[b].sha256;
  }
  EXPECT_GE(learned, manifest.transforms.size() - 1);
  for (const auto& layer : manifest.layers) {
    EXPECT_LT(layer.loss, 0.5) << layer.name << ": measured behind the learned scales";
    ASSERT_TRUE(layer.held_out_loss);
    EXPECT_LT(*layer.held_out_loss, 0.6) << layer.name;
  }
  // The run opens with them: what it says is near to the original.
  const auto opened = open_model(folder);
  const auto transformer = make_transformer(opened, "cpu");
  const auto ids = test::random_ids(40, opened.model->config().vocabulary, 3);
  EXPECT_LT(
      test::largest_difference(test::all_logits(*transformer, ids), test::all_logits(*make_transformer(open_model(other), "cpu"), ids)),
      20);
  const auto bytes = layer_bytes(folder);
  const auto transforms = [&] {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "transforms"))
      files[entry.path().filename()] = read_file(entry.path());
    return files;
  };
  const auto scales = transforms();
  for (const char* lost : {"model.layers.0.mlp.up_proj", "model.layers.2.self_attn.q_proj"})
    std::filesystem::remove(folder / "layers" / (std::string(lost) + ".safetensors"));
  test::carry_out(small_request(folder, recipe));
  EXPECT_EQ(layer_bytes(folder), bytes);
  EXPECT_EQ(transforms(), scales);
}

TEST_F(LearnedScalesRun, WhatDoesNotGoWithThemIsSaidByName) {
  const auto problem = [&](const std::function<void(Recipe&)>& change) {
    Recipe own = recipe;
    change(own);
    return problem_of(own, *test::small_model()).value_or("");
  };
  EXPECT_EQ(problem([](Recipe&) {}), "");
  EXPECT_THAT(problem([](Recipe& r) { r.refine = 0; }), testing::HasSubstr("refine above 0"));
  EXPECT_THAT(problem([](Recipe& r) { r.smoothing = Smoothing::none; }), testing::HasSubstr("smoothquant"));
  EXPECT_THAT(problem([](Recipe& r) { r.rotation.r1 = true; }), testing::HasSubstr("R1 and R2"));
  EXPECT_THAT(problem([](Recipe& r) { r.stream = Stream::propagated; }), testing::HasSubstr("stream to fp"));
  EXPECT_THAT(problem([](Recipe& r) { r.method = "gptq"; }), testing::HasSubstr("not of gptq"));
}

TEST_F(RefineRun, ASkippedLayerStaysInFloatBesideRefinedOnes) {
  recipe.layers = "*.down_proj,*.q_proj";
  const Manifest manifest = test::carry_out(small_request(folder, recipe));
  EXPECT_EQ(manifest.layers.size(), 2 * test::small_model()->config().blocks);
  for (const auto& record : manifest.refinements) EXPECT_LE(record.held_out_after, record.held_out_before);
}

TEST_F(RefineRun, LsiLearnsLayerByLayerAndThenInTheBlock) {
  Recipe lsi = refined(0);
  lsi.method = "lsi";
  lsi.rank = {};
  lsi.steps = 20;
  lsi.square = 8;
  lsi.weight = {3, 4, false, WeightClip::none};
  lsi.activation.bits = 16;
  const Manifest layerwise = test::carry_out(small_request(folder, lsi));
  for (const auto& record : layerwise.layers) EXPECT_LE(record.loss, record.loss_uncorrected) << record.name;
  lsi.refine = 8;
  const Manifest blockwise = test::carry_out(small_request(other, lsi));
  std::size_t moved = 0;
  for (const auto& record : blockwise.layers) {
    const QuantizedWeight a = read_layer(folder, record.name).weight, b = read_layer(other, record.name).weight;
    EXPECT_EQ(a.scheme, b.scheme);
    moved += a.codes != b.codes;
    EXPECT_TRUE(read_layer(other, record.name).pair.empty());
  }
  EXPECT_GT(moved, 0u);
  for (const auto& record : blockwise.refinements) EXPECT_LE(record.held_out_after, record.held_out_before);
}

TEST_F(RefineRun, WhatIsImpossibleIsRefusedByName) {
  recipe.held_out_windows = 0;
  EXPECT_THAT(sentence_of(ErrorKind::bad_input, [&] { test::carry_out(small_request(folder, recipe)); }),
              testing::HasSubstr("held_out_windows"));
  recipe.held_out_windows = 1;
  recipe.cache.bits = 8;
  EXPECT_THAT(sentence_of(ErrorKind::bad_input, [&] { test::carry_out(small_request(folder, recipe)); }), testing::HasSubstr("kv_bits"));
  recipe.cache.bits = 16;
  test::carry_out(small_request(folder, recipe));
  recipe.refine = 0;
  EXPECT_THAT(sentence_of(ErrorKind::bad_input, [&] { test::carry_out(small_request(folder, recipe)); }),
              testing::HasSubstr("refine 8 there and not set here"));
}

class RefineFamily : public testing::TestWithParam<test::FamilyModel> {
 protected:
  test::TemporaryFolder place;
};
INSTANTIATE_TEST_SUITE_P(Models, RefineFamily, testing::ValuesIn(test::family_models()));

TEST_P(RefineFamily, NoBlockIsFurtherFromItsOriginal) {
  const auto path = test::with_tokenizer(GetParam().path, place.path() / "model");
  const auto model = Model::open(path);
  Recipe recipe = test::small_recipe(place.path() / "text.txt");
  recipe.calibration_context = 64;
  recipe.refine = 12;
  const RunRequest request{path, model, recipe, place.path() / "run"};
  if (model->config().experts > 0) {
    EXPECT_THAT(sentence_of(ErrorKind::bad_input, [&] { test::carry_out(request); }), testing::HasSubstr("models with experts"));
    return;
  }
  const Manifest manifest = test::carry_out(request);
  ASSERT_EQ(manifest.refinements.size(), model->config().blocks);
  for (const auto& record : manifest.refinements) {
    EXPECT_LE(record.held_out_after, record.held_out_before) << record.block;
    EXPECT_EQ(record.best_step > 0, record.held_out_after < record.held_out_before) << record.block;
  }
}

// Block by block as in one piece: no rotary embedding slips into a model with learned positions.
TEST_P(RefineFamily, TheFloatStreamIsTheModel) {
  const auto model = Model::open(test::data(std::string("models/") + GetParam().path));
  const std::size_t context = 48, hidden = model->config().hidden_size;
  TokenWindows windows{context, {test::random_ids(context, model->config().vocabulary, 5)}};
  FloatStream stream(*model, {}, windows, 1);
  Transformer whole(make_cpu_backend(), load_weights(*model));
  const Buffer expected = whole.embed(windows.windows[0]);
  for (std::size_t b = 0; b < model->config().blocks; ++b) {
    stream.load();
    stream.advance({}, {});
    whole.run_block(b, expected, context);
    const Buffer walked = stream.hidden().get(0);
    const float *x = stream.transformer().backend().host_view(walked), *y = whole.backend().host_view(expected);
    for (std::size_t i = 0; i < context * hidden; ++i) ASSERT_NEAR(x[i], y[i], 1e-5 * (1 + std::abs(y[i]))) << "block " << b;
  }
}

}  // namespace
}  // namespace lrc

#include "run/runner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "base/hash.h"
#include "base/parallel.h"
#include "formats/safetensors.h"
#include "run/run_folder.h"
#include "small_run.h"

namespace lrc {
namespace {

using test::contains;
using test::layer_bytes;
using test::sentence_of;
using test::small_model;
using test::small_recipe;
using test::small_request;

class RunnerTest : public ::testing::Test {
 protected:
  test::TemporaryFolder place;
  std::filesystem::path folder = place.path() / "run";
  Recipe recipe = small_recipe(place.path() / "text.txt");
};

double mean_loss(const Manifest& manifest) {
  double sum = 0;
  for (const auto& layer : manifest.layers) sum += layer.loss;
  return sum / double(manifest.layers.size());
}

TEST_F(RunnerTest, QuantizesTheWholeModel) {
  std::vector<std::string> told;
  std::vector<ProgressUpdate> updates;
  Progress progress([&](const ProgressUpdate& update) { updates.push_back(update); });
  const auto manifest =
      carry_out(small_request(folder, recipe), progress, {}, [&](const LayerRecord& layer) { told.push_back(layer.name); });

  EXPECT_EQ(manifest.state, RunState::done);
  ASSERT_EQ(manifest.layers.size(), small_model()->layers().size());
  EXPECT_EQ(manifest.layers_total, manifest.layers.size());
  EXPECT_EQ(told.size(), manifest.layers.size());
  EXPECT_EQ(manifest.calibration_tokens, 1024u);
  EXPECT_EQ(manifest.calibration_sha256, sha256_of(test::some_text(12000)));
  EXPECT_EQ(manifest.model_sha256, small_model()->checkpoint().sha256());
  EXPECT_GT(manifest.peak_memory_bytes, 1u << 20);
  std::uint64_t bits = 0, weights = 0;
  for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
    const auto& layer = manifest.layers[i];
    const auto& info = small_model()->layers()[i];
    SCOPED_TRACE(layer.name);
    EXPECT_EQ(layer.name, info.name) << "in the model's order";
    EXPECT_EQ(layer.rank, 3u + 3u * (std::min(info.out_features, info.in_features) == 64));  // 10 % of 32 or 64
    EXPECT_GT(layer.loss, 0);
    EXPECT_LT(layer.loss, 1);
    EXPECT_LT(layer.loss, layer.loss_uncorrected);
    EXPECT_GE(layer.loss_regularized, layer.lower_bound);
    EXPECT_GT(layer.lower_bound, 0);
    ASSERT_TRUE(layer.held_out_loss);
    EXPECT_GT(*layer.held_out_loss, 0);
    EXPECT_LT(*layer.held_out_loss, 1);
    const auto file = folder / layer.file;
    EXPECT_EQ(sha256_of_file(file), layer.sha256);
    // Bits counted from what lies in the file.
    const auto tensors = SafetensorsFile::open(file);
    const auto bytes = [&](const char* name) { return std::uint64_t(tensors.get(name).bytes.size()); };
    bits += 8 * (bytes("codes") + bytes("scales") + bytes("u") + bytes("v"));
    weights += info.parameters();
  }
  EXPECT_EQ(manifest.bits_per_weight, double(bits) / double(weights));
  EXPECT_EQ(to_json(read_manifest(folder)).dump(), to_json(manifest).dump());

  ASSERT_FALSE(updates.empty());
  double before = 0;
  for (const auto& update : updates) {
    EXPECT_GE(update.fraction, before);
    before = update.fraction;
    EXPECT_TRUE(update.stage == "rotate" || update.stage == "calibrate" || update.stage == "solve") << update.stage;
  }
  EXPECT_DOUBLE_EQ(before, 1.0);
}

TEST_F(RunnerTest, ForecastAndManifestSayTheSameSizes) {
  for (const char* name : {"LRC 10 %", "RTN W4A4"}) {
    Recipe chosen = recipe;
    chosen.method = load_recipe(name).method;
    chosen.overrides = {parse_override("*.down_proj:rank=15%,weight_bits=3"), parse_override("*.layers.1.*:group_size=4"),
                        parse_override("*.layers.2.mlp.*:skip=true")};
    const auto expected = forecast(chosen, *small_model());
    const auto manifest = test::carry_out(small_request(place.path() / chosen.method, chosen));
    EXPECT_EQ(manifest.bits_per_weight, expected.bits_per_weight);
    EXPECT_EQ(manifest.file_bytes, expected.file_bytes);
    EXPECT_EQ(expected.layer_bytes, expected.code_bytes + expected.scale_bytes + expected.factor_bytes);
    double bits = 0, weights = 0;
    for (const auto& layer : manifest.layers) {
      bits += layer.bits_per_weight * double(layer.out_features * layer.in_features);
      weights += double(layer.out_features * layer.in_features);
    }
    EXPECT_NEAR(bits / weights, expected.bits_per_weight, 1e-12);
    EXPECT_GT(expected.seconds, 0);
    double sum = 0;
    for (const auto& [stage, seconds] : expected.by_stage) sum += seconds;
    EXPECT_DOUBLE_EQ(sum, expected.seconds);
    EXPECT_GT(expected.peak_memory_bytes, 1u << 20);
  }
}

TEST_F(RunnerTest, BetterMethodsLoseLess) {
  const auto loss_of = [&](const char* name) {
    const Recipe shipped = load_recipe(name);
    Recipe chosen = recipe;
    chosen.method = shipped.method;
    chosen.rank = shipped.rank;
    return mean_loss(test::carry_out(small_request(place.path() / name, chosen)));
  };
  const double rtn = loss_of("RTN W4A4"), gptq = loss_of("GPTQ W4A4"), retargeted = loss_of("LRC rank 0 (retarget only)"),
               ten = loss_of("LRC 10 %"), thirty = loss_of("LRC 30 %");
  EXPECT_GT(rtn, gptq);
  EXPECT_GT(gptq, retargeted);
  EXPECT_GT(retargeted, ten);
  EXPECT_GT(ten, thirty);
}

TEST_F(RunnerTest, TheNumberOfThreadsDoesNotMatter) {
  set_thread_count(1);
  test::carry_out(small_request(folder, recipe));
  set_thread_count(3);
  test::carry_out(small_request(place.path() / "other", recipe));
  set_thread_count(0);
  EXPECT_EQ(layer_bytes(folder), layer_bytes(place.path() / "other"));
}

TEST_F(RunnerTest, CompanyDoesNotMatter) {
  Recipe rtn = recipe, ten_eight_bits = recipe, unrotated = recipe;
  rtn.method = "rtn";
  rtn.rank = {};
  ten_eight_bits.activation.bits = 8;
  unrotated.rotation = {};
  const std::vector<Recipe> recipes = {rtn, recipe, ten_eight_bits, unrotated};
  std::vector<RunRequest> requests;
  for (std::size_t i = 0; i < recipes.size(); ++i)
    requests.push_back(small_request(place.path() / ("together" + std::to_string(i)), recipes[i]));
  std::vector<ProgressUpdate> updates;
  std::size_t told = 0;
  Progress progress([&](const ProgressUpdate& update) { updates.push_back(update); });
  const auto manifests = carry_out_together(requests, progress, {}, [&](const LayerRecord&) { ++told; });
  ASSERT_EQ(manifests.size(), recipes.size());
  EXPECT_EQ(told, recipes.size() * small_model()->layers().size());
  EXPECT_EQ(updates.back().fraction, 1.0);
  for (std::size_t i = 0; i < recipes.size(); ++i) {
    EXPECT_EQ(manifests[i].state, RunState::done);
    EXPECT_EQ(read_manifest(requests[i].folder).state, RunState::done);
    const auto alone = place.path() / ("alone" + std::to_string(i));
    test::carry_out(small_request(alone, recipes[i]));
    EXPECT_EQ(layer_bytes(requests[i].folder), layer_bytes(alone)) << i;
  }
}

TEST_F(RunnerTest, OneImpossibleRecipeOfSeveralMakesNoFolder) {
  Recipe impossible = recipe;
  impossible.rank = {false, 100000};
  const std::vector<RunRequest> requests = {small_request(folder, recipe), small_request(place.path() / "other", impossible)};
  Progress progress;
  sentence_of(ErrorKind::bad_input, [&] { carry_out_together(requests, progress, {}); });
  EXPECT_FALSE(std::filesystem::exists(folder));
  EXPECT_FALSE(std::filesystem::exists(place.path() / "other"));
}

TEST_F(RunnerTest, TheFileFormatDoesNotMatter) {
  test::carry_out(small_request(folder, recipe));
  const auto other = place.path() / "other";
  Progress progress;
  carry_out({test::data("stories260K/hf"), nullptr, recipe, other}, progress, {});
  EXPECT_EQ(layer_bytes(folder), layer_bytes(other));
}

TEST_F(RunnerTest, AStoppedRunKeepsWhatIsFinishedAndEndsWithTheSameBytes) {
  std::stop_source stop;
  std::size_t finished = 0;
  Progress progress;
  const auto sentence = sentence_of(ErrorKind::stopped, [&] {
    carry_out(small_request(folder, recipe), progress, stop.get_token(), [&](const LayerRecord&) {
      if (++finished == 10) stop.request_stop();
    });
  });
  EXPECT_FALSE(sentence.empty());
  const auto stopped = read_manifest(folder);
  EXPECT_EQ(stopped.state, RunState::stopped);
  EXPECT_TRUE(stopped.failure.empty());
  EXPECT_GE(stopped.layers.size(), 10u);
  EXPECT_LT(stopped.layers.size(), small_model()->layers().size());

  std::size_t resumed = 0;
  const auto manifest = carry_out(small_request(folder, recipe), progress, {}, [&](const LayerRecord&) { ++resumed; });
  EXPECT_EQ(manifest.state, RunState::done);
  EXPECT_EQ(resumed + stopped.layers.size(), manifest.layers.size()) << "finished layers are not solved again";
  const auto whole = place.path() / "whole";
  test::carry_out(small_request(whole, recipe));
  EXPECT_EQ(layer_bytes(folder), layer_bytes(whole));
}

TEST_F(RunnerTest, DamagedAndMissingLayersAreSolvedAgain) {
  test::carry_out(small_request(folder, recipe));
  const auto before = layer_bytes(folder);
  const auto& layers = small_model()->layers();
  std::fstream(folder / "layers" / (layers[8].name + ".safetensors"), std::ios::in | std::ios::out).seekp(300).put('x');
  std::filesystem::remove(folder / "layers" / (layers[20].name + ".safetensors"));
  write_file_atomically(folder / "layers" / "torn", "half");
  std::filesystem::rename(folder / "layers" / "torn", folder / "layers" / (layers[3].name + ".safetensors.partial.123"));
  std::vector<std::string> solved;
  Progress progress;
  const auto manifest =
      carry_out(small_request(folder, recipe), progress, {}, [&](const LayerRecord& layer) { solved.push_back(layer.name); });
  EXPECT_EQ(solved, (std::vector<std::string>{layers[8].name, layers[20].name}));
  EXPECT_EQ(manifest.layers.size(), layers.size());
  EXPECT_EQ(layer_bytes(folder), before) << "and the left-over is gone";
}

TEST_F(RunnerTest, AFinishedRunIsNotDoneAgainEvenUnderAnotherName) {
  const auto first = test::carry_out(small_request(folder, recipe));
  Recipe renamed = recipe;
  renamed.name = "another name";
  renamed.calibration = (place.path() / "copy.txt").string();
  std::filesystem::copy_file(recipe.calibration, renamed.calibration);
  Progress progress;
  const auto again =
      carry_out(small_request(folder, renamed), progress, {}, [](const LayerRecord&) { ADD_FAILURE() << "nothing is left to do"; });
  EXPECT_EQ(again.state, RunState::done);
  EXPECT_EQ(again.fingerprint, first.fingerprint);
  EXPECT_EQ(again.recipe.name, "another name");
}

TEST_F(RunnerTest, AFolderOfAnotherRunIsRefusedSayingWhatDiffers) {
  test::carry_out(small_request(folder, recipe));
  const auto before = layer_bytes(folder);
  const auto manifest = read_file(folder / "manifest.json");
  const auto refused = [&](const RunRequest& request) { return sentence_of(ErrorKind::bad_input, [&] { test::carry_out(request); }); };

  Recipe other = recipe;
  other.rank = {true, 20};
  other.iterations = 2;
  auto sentence = refused(small_request(folder, other));
  EXPECT_TRUE(contains(sentence, "another recipe")) << sentence;
  EXPECT_TRUE(contains(sentence, "rank \"10%\" there and \"20%\" here")) << sentence;
  EXPECT_TRUE(contains(sentence, "iterations 1 there and 2 here")) << sentence;

  Recipe text = recipe;
  text.calibration = (place.path() / "other.txt").string();
  write_file_atomically(text.calibration, test::some_text(13000));
  sentence = refused(small_request(folder, text));
  EXPECT_TRUE(contains(sentence, "another calibration text")) << sentence;

  RunRequest model = small_request(folder, recipe);
  model.model_path = test::data("stories260K/stories260K-f16.gguf");
  model.model = nullptr;
  sentence = refused(model);
  EXPECT_TRUE(contains(sentence, "another model")) << sentence;
  EXPECT_TRUE(contains(sentence, folder.string())) << sentence;

  EXPECT_EQ(layer_bytes(folder), before);
  EXPECT_EQ(read_file(folder / "manifest.json"), manifest) << "a refusal changes nothing";
}

TEST_F(RunnerTest, OnlyOneWritesAtATime) {
  const RunFolder taken(folder);
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { test::carry_out(small_request(folder, recipe)); }), folder.string()));
}

TEST_F(RunnerTest, BadInputIsOneSentenceAndLeavesNoRunBehind) {
  const auto refused = [&](ErrorKind kind, const Recipe& chosen) {
    // Two levels deep: neither the folder nor the one above it is left.
    auto sentence = sentence_of(kind, [&] { test::carry_out(small_request(folder / "deeper", chosen)); });
    EXPECT_FALSE(std::filesystem::exists(folder));
    return sentence;
  };
  Recipe chosen = recipe;
  chosen.calibration = (place.path() / "short.txt").string();
  write_file_atomically(chosen.calibration, "Only a few words.");
  EXPECT_TRUE(contains(refused(ErrorKind::bad_input, chosen), "short.txt"));

  write_file_atomically(chosen.calibration, test::some_text(5000) + "\xff\xfe" + test::some_text(5000));
  auto sentence = refused(ErrorKind::bad_file, chosen);
  EXPECT_TRUE(contains(sentence, "UTF-8") && contains(sentence, "short.txt")) << sentence;

  chosen.calibration = (place.path() / "nowhere.txt").string();
  EXPECT_TRUE(contains(refused(ErrorKind::not_found, chosen), "nowhere.txt"));

  chosen = recipe;
  chosen.rank = {false, 1000};
  sentence = refused(ErrorKind::bad_input, chosen);
  EXPECT_TRUE(contains(sentence, "q_proj") && contains(sentence, "1000")) << sentence;

  chosen = recipe;
  chosen.weight.group_size = 48;
  sentence = refused(ErrorKind::bad_input, chosen);
  EXPECT_TRUE(contains(sentence, "48") && contains(sentence, "do not divide")) << sentence;
}

TEST_F(RunnerTest, AFolderThatGotNothingIsTakenAwayAgain) {
  { const RunFolder made(folder / "a" / "b"); }
  EXPECT_FALSE(std::filesystem::exists(folder));
  {
    const RunFolder made(folder / "a" / "b");
    write_file_atomically(folder / "a" / "letter.txt", "mine");
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "a" / "b"));
  EXPECT_TRUE(std::filesystem::exists(folder / "a" / "letter.txt"));
  { const RunFolder there(folder / "a"); }
  EXPECT_TRUE(std::filesystem::exists(folder / "a")) << "it was there before";
}

TEST_F(RunnerTest, FoldersThatCannotBeUsed) {
  const auto sentence = [&](ErrorKind kind, const std::filesystem::path& at) {
    return sentence_of(kind, [&] { test::carry_out(small_request(at, recipe)); });
  };
  // /proc takes no folders from anybody, root included.
  EXPECT_TRUE(contains(sentence(ErrorKind::io, "/proc/lrc-run"), "/proc/lrc-run"));
  EXPECT_TRUE(contains(sentence(ErrorKind::io, place.path() / "text.txt"), "text.txt"));
  std::filesystem::create_directories(folder);
  write_file_atomically(folder / "letter.txt", "mine");
  EXPECT_TRUE(contains(sentence(ErrorKind::bad_input, folder), "holds other files"));
  EXPECT_EQ(read_file(folder / "letter.txt"), "mine");
}

TEST_F(RunnerTest, TextsWithFewerWindowsGiveWhatTheyHave) {
  Recipe chosen = recipe;
  chosen.calibration_tokens = 1 << 20;
  const auto all = test::carry_out(small_request(folder, chosen));
  EXPECT_GT(all.calibration_tokens, 1024u);
  EXPECT_EQ(all.calibration_tokens % 256, 0u);
  EXPECT_TRUE(all.layers[0].held_out_loss) << "the last window is held out";
  chosen.held_out_windows = 0;
  const auto every = test::carry_out(small_request(place.path() / "every", chosen));
  EXPECT_EQ(every.calibration_tokens, all.calibration_tokens + 256);
  EXPECT_FALSE(every.layers[0].held_out_loss);
}

TEST_F(RunnerTest, ContextIsAtMostTheModels) {
  write_file_atomically(recipe.calibration, test::some_text(20000));
  recipe.calibration_context = 2048;
  recipe.calibration_tokens = 600;
  EXPECT_EQ(test::carry_out(small_request(folder, recipe)).calibration_tokens, 1024u) << "two windows of 512, rounded up";
}

TEST_F(RunnerTest, DampingMayDifferWithinASite) {
  recipe.overrides = {parse_override("*.k_proj:damping=0.1")};
  const auto manifest = test::carry_out(small_request(folder, recipe));
  recipe.overrides.clear();
  const auto plain = test::carry_out(small_request(place.path() / "plain", recipe));
  for (std::size_t i = 0; i < plain.layers.size(); ++i) {
    const bool changed = contains(plain.layers[i].name, "k_proj");
    EXPECT_EQ(manifest.layers[i].sha256 != plain.layers[i].sha256, changed) << plain.layers[i].name;
  }
}

}  // namespace
}  // namespace lrc

#include "run/manifest.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "run/scheme_json.h"
#include "small_run.h"

namespace lrc {
namespace {

using test::contains;
using test::sentence_of;

Manifest some_manifest() {
  LayerScheme skipped;
  skipped.skipped = true;
  Manifest m;
  m.program_version = "0.1.0";
  m.model_path = "/models/m.gguf";
  m.model_sha256 = std::string(64, 'a');
  m.model_name = "m";
  m.effective = {{"a.q_proj", LayerScheme{}}, {"a.k_proj", skipped}};
  m.calibration_path = "/texts/t.txt";
  m.calibration_sha256 = std::string(64, 'b');
  m.calibration_tokens = 2048;
  m.machine = {{"processor", "some"}, {"threads", 2}};
  m.timings = {{"rotate", 0.5}, {"solve", 12.25}};
  m.bits_per_weight = 6.375;
  m.file_bytes = 123456789012345ull;
  m.peak_memory_bytes = 1 << 30;
  m.layers_total = 1;
  LayerRecord layer;
  layer.name = "a.q_proj";
  layer.method = "lrc";
  layer.rank = 57;
  layer.out_features = 576;
  layer.in_features = 1536;
  layer.bits_per_weight = 1.0 / 3.0;
  layer.loss = 0.1;
  layer.loss_uncorrected = std::numeric_limits<double>::quiet_NaN();
  layer.held_out_loss = 0.25;
  layer.seconds = 1.5;
  layer.file = "layers/a.q_proj.safetensors";
  layer.sha256 = std::string(64, 'c');
  m.layers = {layer};
  m.state = RunState::failed;
  m.failure = "a sentence";
  Evaluation e;
  e.perplexity = 35.5;
  e.nll = std::log(35.5);
  e.tokens = 2047;
  e.windows = 1;
  e.context = 2048;
  e.reference_perplexity = 22.0;
  e.kl = Divergence{0.5, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7};
  e.top1_agreement = 0.625;
  e.nll_of_each_window = {3.25};
  m.evaluation = e;
  m.evaluation_protocol = {{"text", "t"}, {"windows", 1}};
  m.fingerprint = std::string(64, 'd');
  return m;
}

Json changed(const std::string& pointer, const Json& value) {
  Json json = to_json(some_manifest());
  json[Json::json_pointer(pointer)] = value;
  return json;
}

TEST(Manifest, RoundTripKeepsEveryNumber) {
  const test::TemporaryFolder folder;
  write_manifest(folder.path(), some_manifest());
  EXPECT_TRUE(is_run_folder(folder.path()));
  const Manifest back = read_manifest(folder.path());
  EXPECT_EQ(to_json(back).dump(), to_json(some_manifest()).dump());
  EXPECT_EQ(back.layers[0].bits_per_weight, 1.0 / 3.0);
  EXPECT_EQ(back.effective, some_manifest().effective);
  EXPECT_EQ(back.state, RunState::failed);
  EXPECT_TRUE(std::isnan(back.layers[0].loss_uncorrected)) << "null comes back as unknown";
  EXPECT_FALSE(contains(to_json(back).dump(), "nan"));
}

TEST(Manifest, EveryFieldOfASchemeComesBack) {
  LayerScheme scheme;
  scheme.method = "gptq";
  scheme.weight = {.bits = 3, .group_size = 64, .clip = WeightClip::none};
  scheme.activation = {.bits = 5, .group_size = 32, .clip = 0.95f};
  scheme.rank = 7;
  scheme.iterations = 4;
  scheme.deflate = true;
  scheme.damping = 0.1;
  scheme.damping_toward = DampingToward::original;
  scheme.gptq_damping = 0.2;
  scheme.factors = {FactorFormat::int8, 8};
  scheme.weight.format = NumberFormat::mxfp4;
  scheme.activation.format = NumberFormat::mxint;
  scheme.weight.symmetric = scheme.activation.symmetric = false;
  scheme.act_order = scheme.polish = true;
  scheme.base = "gptq";
  scheme.pair_input = PairInput::quantized;
  scheme.drift = 0.5;
  scheme.range_finder = RangeFinder::randomized;
  Json json = to_json(scheme);
  const auto back = [&] {
    const Json read = parse_json(json.dump(), "here");
    return scheme_from_json({read, "here", "advice"});
  };
  EXPECT_EQ(back(), scheme);
  // No field is the default by accident.
  const Json plain = to_json(LayerScheme{});
  for (const auto& [key, value] : json.items()) EXPECT_NE(value, plain[key]) << key;
  for (const char* key : {"factor_bits", "factors", "weight_format", "weight_asymmetric", "drift"}) json.erase(key);
  EXPECT_EQ(back().factors, FactorScheme{}) << "layer files did not always say it";
  EXPECT_EQ(back().drift, 1);
  EXPECT_TRUE(back().weight.symmetric);
}

TEST(Manifest, KeysOfTheContractAreThere) {
  const Json json = to_json(some_manifest());
  for (const char* key : {"format_version", "program_version", "model", "recipe", "effective", "calibration", "seed", "machine", "timings",
                          "bits_per_weight", "file_bytes", "layers"})
    EXPECT_TRUE(json.contains(key)) << key;
  for (const char* key : {"name", "method", "weight_bits", "activation_bits", "group_size", "rank", "factor_bits", "bits_per_weight",
                          "loss", "loss_uncorrected", "loss_regularized", "lower_bound", "held_out_loss"})
    EXPECT_TRUE(json["layers"][0].contains(key)) << key;
  EXPECT_TRUE(json["model"].contains("path") && json["model"].contains("sha256"));
  for (const char* key : {"path", "sha256", "tokens"}) EXPECT_TRUE(json["calibration"].contains(key)) << key;
}

TEST(Manifest, DamagedOnesAreOneSentenceWithFileAndKey) {
  const std::vector<std::pair<Json, std::string>> cases = {
      {changed("/format_version", "one"), "format_version"},
      {changed("/state", "asleep"), "state"},
      {changed("/model", 7), "model"},
      {changed("/model/sha256", nullptr), "sha256"},
      {changed("/layers", Json::object()), "layers"},
      {changed("/layers/0/rank", -1), "rank"},
      {changed("/layers/0/rank", 1.5), "rank"},
      {changed("/layers/0/loss", "small"), "loss"},
      {changed("/layers/0/file", "../../etc/passwd"), "file"},
      {changed("/layers/0/name", "../x"), "file"},
      {changed("/effective", Json::array()), "effective"},
      {changed("/effective/a.q_proj/rank", "x"), "rank"},
      {changed("/effective/a.q_proj/weight_clip", "some"), "weight_clip"},
      {changed("/effective/a.q_proj/damping", nullptr), "damping"},
      {changed("/timings", 1), "timings"},
      {changed("/evaluation/kl", "none"), "kl"},
      {Json::array(), "JSON object"},
  };
  for (const auto& [json, key] : cases) {
    const test::TemporaryFolder folder;
    write_file_atomically(folder.path() / "manifest.json", json.dump());
    const auto sentence = sentence_of(ErrorKind::bad_file, [&] { read_manifest(folder.path()); });
    EXPECT_TRUE(contains(sentence, "manifest.json")) << sentence;
    EXPECT_TRUE(contains(sentence, key)) << sentence;
  }
  for (const char* key : {"format_version", "state", "model", "recipe", "layers", "effective", "calibration", "layers_total"}) {
    Json json = to_json(some_manifest());
    json.erase(key);
    const test::TemporaryFolder folder;
    write_file_atomically(folder.path() / "manifest.json", json.dump());
    EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_file, [&] { read_manifest(folder.path()); }), key)) << key;
  }
}

TEST(Manifest, NewerFormatsAreRefusedWithTheVersionThatReadsThem) {
  const test::TemporaryFolder folder;
  Json json = changed("/format_version", 2);
  json["program_version"] = "9.8.7";
  write_file_atomically(folder.path() / "manifest.json", json.dump());
  EXPECT_TRUE(contains(sentence_of(ErrorKind::unsupported, [&] { read_manifest(folder.path()); }), "9.8.7"));
}

}  // namespace
}  // namespace lrc

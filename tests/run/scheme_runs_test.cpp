// Every scheme that a run can have: solved, written, read back bit for bit, and run by the transformer.
#include <algorithm>
#include <cmath>

#include "correction/linalg.h"
#include "model/transformer.h"
#include "run/layer_file.h"
#include "small_run.h"

namespace lrc {
namespace {

using test::layer_bytes;
using test::small_recipe;
using test::small_request;

class SchemeRuns : public testing::Test {
 protected:
  test::TemporaryFolder place;
  Recipe recipe = small_recipe(place.path() / "text.txt");

  Recipe with(const std::vector<std::string>& fields) {
    Recipe result = recipe;
    for (const auto& field : fields) {
      const Override rule = parse_override("*:" + field);
      result.overrides.push_back(rule);
    }
    return result;
  }
  MatrixF logits_of(const std::filesystem::path& folder, const std::string& device) {
    const auto opened = open_model(folder, test::small_model());
    const auto transformer = make_transformer(opened, device);
    const std::vector<std::int32_t> ids = {1, 403, 407, 261, 378, 312, 264, 286, 399, 401};
    KvCache cache = transformer->make_cache(ids.size());
    transformer->forward(ids, cache);
    return transformer->logits(0, ids.size());
  }
};

// 172, the width of down_proj, takes blocks of 43 at most; a block format needs no power of two.
const std::vector<std::vector<std::string>>& schemes() {
  static const std::vector<std::vector<std::string>> list = {
      {"weight_asymmetric=true,group_size=4"},
      {"weight_asymmetric=true,weight_bits=3,activation_asymmetric=true"},
      {"weight_format=mxint,group_size=4,activation_format=mxint,activation_bits=8,activation_group_size=4"},
      {"weight_format=mxfp4,group_size=4,activation_format=mxfp4-rounded,activation_group_size=4"},
      {"weight_format=nvfp4,group_size=4,activation_format=nvfp4,activation_group_size=4"},
      {"method=l2qer,rank=5,weight_format=mxint,group_size=4,activation_format=mxint,activation_bits=8,activation_group_size=4,factors="
       "mxint8"},
      {"method=qera,rank=4,factors=int8,pair_input=quantized"},
      {"factors=int8"},
      {"factors=mxint6/32-across,polish=on,iterations=2,deflate=on"},
      {"method=gptq,rank=0,act_order=on"},
  };
  return list;
}

TEST_F(SchemeRuns, AreReadBackAndRun) {
  const auto original = logits_of(test::data("stories260K/stories260K-f32.gguf"), "cpu:scalar");
  int number = 0;
  for (const auto& fields : schemes()) {
    const auto folder = place.path() / std::to_string(++number);
    const auto manifest = test::carry_out(small_request(folder, with(fields)));
    ASSERT_EQ(manifest.state, RunState::done) << fields[0];
    EXPECT_EQ(read_manifest(folder).effective, manifest.effective) << fields[0];
    for (const auto& [layer, scheme] : manifest.effective) EXPECT_EQ(read_layer(folder, layer).scheme, scheme) << fields[0];
    for (const auto& layer : manifest.layers) {
      EXPECT_LT(layer.loss, 0.5) << fields[0] << " " << layer.name;
      EXPECT_GE(layer.loss_regularized, layer.lower_bound * (1 - 1e-9)) << fields[0] << " " << layer.name;
    }
    const auto expected = logits_of(folder, "cpu:scalar"), fast = logits_of(folder, "cpu");
    double difference = 0, noise = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_TRUE(std::isfinite(expected.data()[i])) << fields[0];
      difference += std::pow(double(expected.data()[i]) - double(fast.data()[i]), 2);
      noise += std::pow(double(expected.data()[i]) - double(original.data()[i]), 2);
    }
    // A code at a rounding tie may differ between kernels that sum in another order; what quantization does is far above that.
    EXPECT_LT(difference, 0.05 * noise) << fields[0];
    EXPECT_GT(noise, 0) << fields[0];
  }
}

TEST_F(SchemeRuns, RoundToNearestIsTheSameInTheFile) {
  recipe.rotation = {false, false, false, 0};
  recipe.method = "rtn";
  recipe.rank = {false, 0};
  int number = 0;
  for (const char* fields :
       {"weight_bits=4", "weight_asymmetric=true,group_size=4", "weight_bits=7,weight_asymmetric=true", "weight_bits=8",
        "weight_format=mxint,group_size=4,weight_bits=6", "weight_format=mxint,group_size=4,weight_bits=2",
        "weight_format=mxfp4,group_size=4", "weight_format=nvfp4,group_size=4"}) {
    const auto folder = place.path() / ("rtn" + std::to_string(++number));
    test::carry_out(small_request(folder, with({fields})));
    for (const auto& layer : test::small_model()->layers()) {
      if (layer.block != 1) continue;
      const auto stored = read_layer(folder, layer.name);
      const auto expected = quantize_rtn(convert<double>(test::small_model()->layer_weight(layer)), stored.scheme.weight, true);
      EXPECT_EQ(stored.weight, expected) << fields << " " << layer.name;
    }
  }
}

TEST_F(SchemeRuns, ThePairOnCodesRunsOnCodes) {
  const auto on_codes = place.path() / "codes", on_input = place.path() / "input";
  test::carry_out(small_request(on_codes, with({"method=svd,rank=16,pair_input=quantized,activation_bits=2"})));
  test::carry_out(small_request(on_input, with({"method=svd,rank=16,activation_bits=2"})));
  for (const auto& layer : test::small_model()->layers()) {
    const auto a = read_layer(on_codes, layer.name), b = read_layer(on_input, layer.name);
    ASSERT_EQ(a.pair.u, b.pair.u);
    ASSERT_EQ(a.weight, b.weight);
  }
  const auto a = logits_of(on_codes, "cpu:scalar"), b = logits_of(on_input, "cpu:scalar");
  EXPECT_NE(a, b);
}

TEST_F(SchemeRuns, DamagedTensorsAreNamed) {
  const auto folder = place.path() / "run";
  test::carry_out(small_request(folder, with({"weight_asymmetric=true,factors=int8"})));
  const std::string layer = test::small_model()->layers()[0].name;
  const auto file = layer_path(folder, layer);
  const std::string bytes = read_file(file);
  for (const char* tensor : {"zeros", "u_scales"}) {
    std::string broken = bytes;
    const auto at = broken.find("\"" + std::string(tensor) + "\"");
    ASSERT_NE(at, std::string::npos) << tensor;
    broken[at + 1] = 'X';
    write_file_atomically(file, broken);
    EXPECT_TRUE(test::contains(test::sentence_of(ErrorKind::bad_file, [&] { read_layer(folder, layer); }), tensor));
  }
}

double mean_loss(const Manifest& manifest) {
  double sum = 0;
  for (const auto& layer : manifest.layers) sum += layer.loss / double(manifest.layers.size());
  return sum;
}

TEST_F(SchemeRuns, StreamsContinueWithTheSameBytes) {
  std::vector<double> losses;
  for (const auto stream : {Stream::fp, Stream::propagated, Stream::replay}) {
    recipe.stream = stream;
    const auto folder = place.path() / name(stream);
    const auto manifest = test::carry_out(small_request(folder, recipe));
    losses.push_back(mean_loss(manifest));
    const auto whole = layer_bytes(folder);
    // The first site of the model has nothing in front of it.
    EXPECT_EQ(whole.at("model.layers.0.self_attn.q_proj.safetensors").size(),
              layer_bytes(place.path() / "fp").at("model.layers.0.self_attn.q_proj.safetensors").size());
    if (stream == Stream::fp) continue;
    EXPECT_NE(whole.at("model.layers.2.mlp.down_proj.safetensors"),
              layer_bytes(place.path() / "fp").at("model.layers.2.mlp.down_proj.safetensors"));
    for (const char* lost : {"model.layers.1.self_attn.v_proj", "model.layers.1.mlp.down_proj", "model.layers.3.mlp.up_proj"})
      std::filesystem::remove(folder / "layers" / (std::string(lost) + ".safetensors"));
    test::carry_out(small_request(folder, recipe));
    EXPECT_EQ(layer_bytes(folder), whole) << name(stream);
  }
  // Losses are against the float model's output: behind a quantized prefix there is more to make up for.
  EXPECT_GT(losses[1], losses[0]);
  EXPECT_GT(losses[2], losses[0]);
  EXPECT_LT(losses[2], losses[1]);
}

TEST_F(SchemeRuns, TheFirstSiteHasNoDrift) {
  recipe.layers = "model.layers.0.*";
  test::carry_out(small_request(place.path() / "fp", recipe));
  recipe.stream = Stream::propagated;
  test::carry_out(small_request(place.path() / "propagated", recipe));
  for (const char* layer : {"q_proj", "k_proj", "v_proj"}) {
    const std::string module = std::string("model.layers.0.self_attn.") + layer;
    const auto a = read_layer(place.path() / "fp", module), b = read_layer(place.path() / "propagated", module);
    EXPECT_EQ(a.weight, b.weight) << layer;
    EXPECT_NEAR(a.losses.loss, b.losses.loss, 1e-6 * a.losses.loss) << layer;
  }
}

TEST_F(SchemeRuns, SearchedClipsAreFactsOfTheRun) {
  recipe.search_clip = true;
  const auto folder = place.path() / "search";
  const auto manifest = test::carry_out(small_request(folder, recipe));
  const auto whole = layer_bytes(folder);
  std::map<float, int> found;
  for (const auto& [layer, scheme] : manifest.effective) {
    ++found[scheme.activation.clip];
    EXPECT_TRUE(std::ranges::count(std::vector<float>{0.8f, 0.85f, 0.9f, 0.95f, 1.0f}, scheme.activation.clip)) << layer;
    EXPECT_EQ(read_layer(folder, layer).scheme.activation.clip, scheme.activation.clip);
  }
  EXPECT_GT(found.size(), 1u);  // sites differ
  std::filesystem::remove(folder / "layers" / "model.layers.2.mlp.gate_proj.safetensors");
  EXPECT_EQ(test::carry_out(small_request(folder, recipe)).effective, manifest.effective);
  EXPECT_EQ(layer_bytes(folder), whole);
  // Over all layers the bound is below that of one clip for all.
  Recipe fixed = recipe;
  fixed.search_clip = false;
  const auto plain = test::carry_out(small_request(place.path() / "fixed", fixed));
  double searched = 0, one = 0;
  for (const auto& layer : manifest.layers) searched += layer.lower_bound;
  for (const auto& layer : plain.layers) one += layer.lower_bound;
  EXPECT_LT(searched, one);
}

}  // namespace
}  // namespace lrc

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "model/architecture.h"
#include "model/config.h"

namespace lrc {
namespace {

using testing::HasSubstr;

Json published() {
  return {{"model_type", "llama"},    {"hidden_size", 96},        {"num_hidden_layers", 3},      {"num_attention_heads", 6},
          {"num_key_value_heads", 3}, {"intermediate_size", 160}, {"vocab_size", 320},           {"max_position_embeddings", 256},
          {"rms_norm_eps", 0.02},     {"rope_theta", 5000.0},     {"tie_word_embeddings", true}, {"hidden_act", "silu"},
          {"bos_token_id", 1},        {"eos_token_id", 2},        {"rope_scaling", nullptr}};
}

/// The sentence of the error, or of another outcome.
std::string problem(const Json& config, ErrorKind kind) {
  try {
    read_config(config, "folder/config.json");
  } catch (const Error& error) {
    return error.kind() == kind ? error.what() : "another kind: " + std::string(error.what());
  }
  return "no error";
}

TEST(Config, ReadsThePublishedForm) {
  const ModelConfig config = read_config(published(), "c");
  EXPECT_EQ(config.hidden_size, 96u);
  EXPECT_EQ(config.blocks, 3u);
  EXPECT_EQ(config.heads, 6u);
  EXPECT_EQ(config.kv_heads, 3u);
  EXPECT_EQ(config.head_dim, 16u) << "hidden / heads where the file does not say";
  EXPECT_EQ(config.feed_forward, 160u);
  EXPECT_EQ(config.vocabulary, 320u);
  EXPECT_EQ(config.context, 256u);
  EXPECT_FLOAT_EQ(config.norm_epsilon, 0.02f) << "from the file, not the usual one";
  EXPECT_DOUBLE_EQ(config.rope_theta, 5000.0);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(config.bos, 1);
  EXPECT_THAT(config.eos, testing::ElementsAre(2));
}

TEST(Config, ReadsTheNewerForm) {
  Json json = published();
  json.erase("rope_theta");
  json.erase("rope_scaling");
  json["head_dim"] = nullptr;
  json["eos_token_id"] = {2, 7};
  json["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 4.0}, {"rope_theta", 777.0}};
  const ModelConfig config = read_config(json, "c");
  EXPECT_EQ(config.head_dim, 16u) << "null means hidden / heads";
  EXPECT_DOUBLE_EQ(config.rope_theta, 777.0);
  EXPECT_EQ(config.rope_scaling.at("rope_type"), "linear");
  EXPECT_THAT(config.eos, testing::ElementsAre(2, 7));
}

TEST(Config, TheDefaultScalingIsNone) {
  Json json = published();
  json["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 10.0}};
  EXPECT_TRUE(read_config(json, "c").rope_scaling.is_null());
}

TEST(Config, OneKeyHeadForAQueryHeadWhereTheFileDoesNotSay) {
  Json json = published();
  json.erase("num_key_value_heads");
  EXPECT_EQ(read_config(json, "c").kv_heads, 6u);
}

TEST(Config, UnknownArchitecturesAreNamedBesideTheSupportedOnes) {
  Json json = published();
  json["model_type"] = "mamba";
  const std::string sentence = problem(json, ErrorKind::unsupported);
  EXPECT_THAT(sentence, HasSubstr("folder/config.json"));
  EXPECT_THAT(sentence, HasSubstr("\"mamba\""));
  EXPECT_THAT(sentence, HasSubstr("supported: llama"));
}

TEST(Config, SaysWhichKeyIsMissingOrImpossible) {
  for (const char* key : {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size", "model_type"}) {
    Json json = published();
    json.erase(key);
    EXPECT_THAT(problem(json, ErrorKind::bad_file), HasSubstr(key));
    json[key] = -4;
    EXPECT_THAT(problem(json, ErrorKind::bad_file), HasSubstr(key));
    json[key] = Json::array();
    EXPECT_THAT(problem(json, ErrorKind::bad_file), HasSubstr(key));
  }
  for (const auto& [key, value] : std::vector<std::pair<const char*, Json>>{{"hidden_size", 1e300},
                                                                            {"num_hidden_layers", 4000000000u},
                                                                            {"num_hidden_layers", 2.5},
                                                                            {"rms_norm_eps", 0},
                                                                            {"rms_norm_eps", "small"},
                                                                            {"rope_theta", -1},
                                                                            {"rope_scaling", 3},
                                                                            {"rope_scaling", Json::object()},
                                                                            {"tie_word_embeddings", "yes"},
                                                                            {"eos_token_id", "end"},
                                                                            {"head_dim", 15},
                                                                            {"num_key_value_heads", 4}}) {
    Json json = published();
    json[key] = value;
    EXPECT_THAT(problem(json, ErrorKind::bad_file), HasSubstr(key)) << value;
  }
  Json json = published();
  json["num_attention_heads"] = 9;
  EXPECT_THAT(problem(json, ErrorKind::bad_file), testing::AllOf(HasSubstr("hidden_size (96)"), HasSubstr("num_attention_heads (9)")));
  EXPECT_THAT(problem(Json(3), ErrorKind::bad_file), HasSubstr("not an object"));
}

TEST(Config, RefusesWhatTheForwardPassWouldGetWrong) {
  for (const auto& [key, value] : std::vector<std::pair<const char*, Json>>{{"num_local_experts", 8},
                                                                            {"partial_rotary_factor", 0.5},
                                                                            {"hidden_act", "gelu"},
                                                                            {"quantization_config", {{"quant_method", "gptq"}}},
                                                                            {"rope_scaling", {{"type", "yarn"}, {"factor", 4.0}}}}) {
    Json json = published();
    json[key] = value;
    EXPECT_THAT(problem(json, ErrorKind::unsupported), testing::AnyOf(HasSubstr("not supported"), HasSubstr("quantized already"))) << key;
  }
}

TEST(Rope, PlainFrequencies) {
  const auto table = make_rope(read_config(published(), "c"));
  ASSERT_EQ(table.inverse_frequencies.size(), 8u);
  EXPECT_FLOAT_EQ(table.inverse_frequencies[0], 1.0f);
  EXPECT_FLOAT_EQ(table.inverse_frequencies[3], float(std::pow(5000.0, -6.0 / 16)));
  EXPECT_FLOAT_EQ(table.attention_factor, 1.0f);
}

TEST(Rope, LinearScalingDividesAll) {
  Json json = published();
  const auto plain = make_rope(read_config(json, "c")).inverse_frequencies;
  for (const char* key : {"type", "rope_type"}) {
    json["rope_scaling"] = {{key, "linear"}, {"factor", 4.0}};
    const auto scaled = make_rope(read_config(json, "c")).inverse_frequencies;
    for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_FLOAT_EQ(scaled[i], plain[i] / 4);
  }
}

TEST(Rope, Llama3ScalingHasThreeBands) {
  Json json = published();
  const auto plain = make_rope(read_config(json, "c")).inverse_frequencies;
  json["rope_scaling"] = {{"rope_type", "llama3"},
                          {"factor", 8.0},
                          {"low_freq_factor", 1.0},
                          {"high_freq_factor", 4.0},
                          {"original_max_position_embeddings", 64}};
  const auto scaled = make_rope(read_config(json, "c")).inverse_frequencies;
  int kept = 0, slowed = 0, between = 0;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const double wave_length = 2 * std::numbers::pi / double(plain[i]);
    if (wave_length < 64 / 4.0) {
      ++kept;
      EXPECT_FLOAT_EQ(scaled[i], plain[i]);
    } else if (wave_length > 64 / 1.0) {
      ++slowed;
      EXPECT_FLOAT_EQ(scaled[i], plain[i] / 8);
    } else {
      ++between;
      EXPECT_GT(scaled[i], plain[i] / 8);
      EXPECT_LT(scaled[i], plain[i]);
    }
  }
  EXPECT_GT(kept, 0);
  EXPECT_GT(slowed, 0);
  EXPECT_GT(between, 0);

  json["rope_scaling"].erase("low_freq_factor");
  EXPECT_THAT(problem(json, ErrorKind::bad_file), HasSubstr("low_freq_factor"));
}

TEST(Rope, FactorsOfAFileDivide) {
  ModelConfig config = read_config(published(), "c");
  const auto plain = make_rope(config).inverse_frequencies;
  config.rope_factors = {1, 1, 1, 2, 2, 4, 8, 8};
  const auto divided = make_rope(config).inverse_frequencies;
  for (std::size_t i = 0; i < 8; ++i) EXPECT_FLOAT_EQ(divided[i], plain[i] / config.rope_factors[i]);
  config.rope_factors[4] = 0;
  EXPECT_THROW(make_rope(config), Error);
  config.rope_factors = {1, 2};
  EXPECT_THROW(make_rope(config), Error);
}

TEST(Architecture, NamesAndShapes) {
  const Architecture& llama = find_architecture("llama");
  const ModelConfig config = read_config(published(), "c");
  EXPECT_EQ(llama.layer_name(7, Role::down_proj), "model.layers.7.mlp.down_proj");
  EXPECT_EQ(llama.layer_name(0, Role::k_proj), "model.layers.0.self_attn.k_proj");
  EXPECT_EQ(llama.layer_name(0, Role::o_proj), "model.layers.0.self_attn.o_proj");
  EXPECT_EQ(llama.layer_shape(config, Role::k_proj), (std::pair<std::size_t, std::size_t>{48, 96}));
  EXPECT_EQ(llama.layer_shape(config, Role::down_proj), (std::pair<std::size_t, std::size_t>{96, 160}));
  EXPECT_EQ(short_name(Role::gate_proj), "gate");
  EXPECT_EQ(name(Site{3, site_of(Role::down_proj)}), "model.layers.3.mlp_hidden");
  EXPECT_EQ(site_of(Role::v_proj), SiteKind::attention_input);
  EXPECT_EQ(site_of(Role::up_proj), SiteKind::mlp_input);
  EXPECT_EQ(llama.block_layers(config, 2).size(), 7u);
}

}  // namespace
}  // namespace lrc

// What every family must satisfy beyond the golden logits: rotations and quantized layers leave or follow the float model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "model/expert_routing.h"
#include "support/family_models.h"
#include "support/float_logits.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Family : public testing::TestWithParam<FamilyModel> {
 protected:
  std::shared_ptr<const Model> model_ = Model::open(data("models") / GetParam().path);
  ModelWeights weights_ = load_weights(*model_);
  std::vector<TokenId> ids_ = random_ids(30, weights_.config.vocabulary, 3);
};
INSTANTIATE_TEST_SUITE_P(Models, Family, testing::ValuesIn(family_models()));

TEST_P(Family, IsWhatItSaysItIs) { EXPECT_EQ(model_->architecture().name, GetParam().family); }

TEST_P(Family, RotationsLeaveTheLogits) {
  const MatrixF before = logits_of(weights_, ids_);
  for (const RotationChoice& choice : {RotationChoice{.r1 = true, .seed = 5}, RotationChoice{.r2 = true}, RotationChoice{.r4 = true},
                                       RotationChoice{true, true, true, 1}}) {
    SCOPED_TRACE(std::string(choice.r1 ? "R1 " : "") + (choice.r2 ? "R2 " : "") + (choice.r4 ? "R4" : ""));
    ModelWeights rotated = weights_;
    rotate_weights(rotated, choice);
    EXPECT_LE(largest_difference(before, logits_of(rotated, ids_)), 5e-4);
    // What was to change did change.
    const auto changed = [&](auto wanted) {
      for (std::size_t l = 0; l < weights_.blocks[0].linears.size(); ++l) {
        const LinearWeights &was = weights_.blocks[0].linears[l], &is = rotated.blocks[0].linears[l];
        if (wanted(was.info.role) && largest_difference(was.weight, is.weight) < 0.01) return false;
      }
      return true;
    };
    const auto any = [](Role) { return true; };
    const auto of_values = [](Role role) { return role == Role::v_proj || role == Role::qkv_proj || role == Role::o_proj; };
    const auto reads_hidden = [](Role role) { return site_of(role) == SiteKind::mlp_hidden; };
    EXPECT_TRUE(!choice.r1 || changed(any)) << "the router reads the stream too";
    EXPECT_TRUE(!choice.r1 || rotated.config.norm == NormKind::rms);
    EXPECT_TRUE(!choice.r2 || changed(of_values));
    EXPECT_TRUE(!choice.r4 || changed(reads_hidden));
  }
}

TEST_P(Family, QuantizedLayersActLikeTheirDequantizedWeights) {
  rotate_weights(weights_, {true, true, true, 1});
  ModelWeights codes = weights_, values = weights_;
  for (std::size_t b = 0; b < weights_.blocks.size(); ++b)
    for (std::size_t l = 0; l < weights_.blocks[b].linears.size(); ++l) {
      LinearWeights& linear = codes.blocks[b].linears[l];
      if (linear.info.role == Role::router) continue;
      auto weight = quantize_rtn(convert<double>(linear.weight), {.bits = 4}, true);
      values.blocks[b].linears[l].weight = convert<float>(weight.dequantize());
      linear.quantized = std::make_shared<const QuantizedWeight>(std::move(weight));
      linear.activation.bits = 16;
      linear.weight = MatrixF();
    }
  // Beside quantized layers the head is kept as float16: its share of the difference.
  const MatrixF by_codes = logits_of(codes, ids_), by_values = logits_of(values, ids_);
  EXPECT_LE(largest_difference(by_codes, by_values), 0.02);
  EXPECT_GT(largest_difference(by_codes, logits_of(weights_, ids_)), 0.1);
}

TEST_P(Family, ALongPromptInPiecesSaysTheSame) {
  const MatrixF whole = logits_of(weights_, ids_);
  Transformer transformer = on_cpu(weights_);
  KvCache cache = transformer.make_cache(ids_.size());
  for (const auto& [first, count] : std::vector<std::pair<std::size_t, std::size_t>>{{0, 1}, {1, 16}, {17, 1}, {18, 12}}) {
    transformer.forward(std::span(ids_).subspan(first, count), cache);
    MatrixF expected(count, whole.columns());
    std::copy_n(whole.row(first), expected.size(), expected.data());
    EXPECT_LE(largest_difference(transformer.logits(0, count), expected), 2e-4) << first;
  }
}

TEST(Families, AnExpertHearsOnlyItsTokens) {
  const auto model = Model::open(data("models/mixtral/hf"));
  Transformer transformer = on_cpu(load_weights(*model));
  const auto ids = random_ids(50, model->config().vocabulary, 4);
  std::map<std::size_t, std::size_t> inputs, hidden;
  std::size_t all = 0;
  const Buffer states = transformer.embed(ids);
  transformer.run_block(0, states, ids.size(), [&](const Site& site, const float*, std::size_t tokens, std::size_t width) {
    EXPECT_EQ(site_at(0, site.index()), site);
    if (site.kind == SiteKind::mlp_input && site.expert == no_expert) all += tokens;
    if (site.kind == SiteKind::mlp_input && site.expert != no_expert) inputs[site.expert] += tokens;
    if (site.kind == SiteKind::mlp_hidden) {
      hidden[site.expert] += tokens;
      EXPECT_EQ(width, model->config().feed_forward);
    }
  });
  EXPECT_EQ(all, ids.size());
  EXPECT_EQ(inputs, hidden);
  std::size_t sum = 0;
  for (const auto& [expert, tokens] : inputs) sum += tokens;
  EXPECT_EQ(sum, ids.size() * model->config().experts_per_token);
}

TEST(ExpertRouting, TheBestFewOfEachTokenWithWeightsOfSumOne) {
  const std::vector<float> logits = {0, 2, 1, -3, /**/ 5, 5, 5, 5, /**/ -1000, 1000, 0, 999};
  const auto shares = route(logits.data(), 3, 4, 2, 0);
  ASSERT_EQ(shares.size(), 4u);
  EXPECT_THAT(shares[0].rows, testing::ElementsAre(1u)) << "the lower number wins a tie";
  EXPECT_THAT(shares[1].rows, testing::ElementsAre(0u, 1u, 2u));
  EXPECT_THAT(shares[2].rows, testing::ElementsAre(0u));
  EXPECT_THAT(shares[3].rows, testing::ElementsAre(2u));
  const float second = float(1 / (1 + std::exp(1.0)));
  EXPECT_FLOAT_EQ(shares[2].weights[0], second);
  EXPECT_FLOAT_EQ(shares[1].weights[0], 1 - second);
  EXPECT_FLOAT_EQ(shares[1].weights[1], 0.5f);
  EXPECT_FLOAT_EQ(shares[3].weights[0], second);
}

TEST(ExpertRouting, NamesTheBlockWhereARouterOverflows) {
  const std::vector<float> logits = {0, std::nanf("")};
  try {
    route(logits.data(), 1, 2, 1, 7);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::numerical);
    EXPECT_THAT(error.what(), HasSubstr("block 7"));
  }
}

TEST(Families, LearnedPositionsEnd) {
  const auto model = Model::open(data("models/opt/hf"));
  Transformer transformer = on_cpu(load_weights(*model));
  const std::size_t context = model->config().context;
  KvCache cache = transformer.make_cache(context + 1);
  transformer.forward(random_ids(context, model->config().vocabulary, 1), cache);
  try {
    transformer.forward(std::vector<TokenId>{1}, cache);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("Position 128"), HasSubstr("128 that this model has learned")));
  }
}

/// A golden folder with another config.json.
std::string problem_with(const std::string& model, const std::function<void(Json&)>& change, ErrorKind kind) {
  TemporaryFolder folder;
  Json config = read_json_file(data("models") / model / "hf/config.json");
  change(config);
  write_file_atomically(folder.path() / "config.json", config.dump());
  for (const auto& entry : std::filesystem::directory_iterator(data("models") / model / "hf"))
    if (entry.path().filename() != "config.json") std::filesystem::copy_file(entry.path(), folder.path() / entry.path().filename());
  try {
    Model::open(folder.path());
  } catch (const Error& error) {
    return error.kind() == kind ? error.what() : "another kind: " + std::string(error.what());
  }
  return "no error";
}

TEST(Families, ConfigurationsThatContradictTheTensorsNameBoth) {
  const auto bad = ErrorKind::bad_file;
  EXPECT_THAT(problem_with(
                  "mixtral", [](Json& c) { c["num_local_experts"] = 5; }, bad),
              AllOf(HasSubstr("block_sparse_moe.gate.weight"), HasSubstr("num_local_experts 5")));
  EXPECT_THAT(problem_with(
                  "mixtral", [](Json& c) { c["num_experts_per_tok"] = 9; }, bad),
              AllOf(HasSubstr("num_experts_per_tok (9)"), HasSubstr("num_local_experts (4)")));
  EXPECT_THAT(problem_with(
                  "opt", [](Json& c) { c["ffn_dim"] = 96; }, bad),
              AllOf(HasSubstr("layers.0.fc1"), HasSubstr("ffn_dim 96")));
  EXPECT_THAT(problem_with(
                  "opt", [](Json& c) { c["enable_bias"] = false; }, bad),
              AllOf(HasSubstr(".bias"), HasSubstr("no bias")));
  EXPECT_THAT(problem_with(
                  "opt", [](Json& c) { c["max_position_embeddings"] = 200; }, bad),
              AllOf(HasSubstr("embed_positions"), HasSubstr("max_position_embeddings 200")));
  EXPECT_THAT(problem_with(
                  "phi3-longrope", [](Json& c) { c["num_key_value_heads"] = 4; }, bad),
              AllOf(HasSubstr("qkv_proj.weight"), HasSubstr("num_key_value_heads 4")));
  EXPECT_THAT(problem_with(
                  "phi3-longrope", [](Json& c) { c["rope_scaling"]["short_factor"].erase(3); }, bad),
              HasSubstr("short_factor"));
  EXPECT_THAT(problem_with(
                  "phi3-longrope", [](Json& c) { c["rope_scaling"]["long_factor"][3] = -1; }, bad),
              HasSubstr("long_factor"));
  EXPECT_THAT(problem_with(
                  "qwen3", [](Json& c) { c["head_dim"] = 16; }, bad),
              AllOf(HasSubstr("q_norm.weight"), HasSubstr("head_dim 16")));
  EXPECT_THAT(problem_with(
                  "qwen3", [](Json& c) { c["attention_bias"] = true; }, bad),
              HasSubstr("q_proj.bias"));
  EXPECT_THAT(problem_with(
                  "qwen3", [](Json& c) { c["model_type"] = "qwen2"; }, bad),
              HasSubstr("bias"));
  EXPECT_THAT(problem_with(
                  "qwen3", [](Json& c) { c["layer_types"][1] = "linear_attention"; }, bad),
              HasSubstr("linear_attention"));
}

TEST(Families, VariantsThatTheForwardPassLacksAreRefusedByName) {
  const auto lacking = ErrorKind::unsupported;
  for (const auto& [key, value] : std::vector<std::pair<const char*, Json>>{{"do_layer_norm_before", false},
                                                                            {"_remove_final_layer_norm", true},
                                                                            {"layer_norm_elementwise_affine", false},
                                                                            {"word_embed_proj_dim", 40},
                                                                            {"activation_function", "gelu"}})
    EXPECT_THAT(problem_with(
                    "opt", [&](Json& c) { c[key] = value; }, lacking),
                AllOf(HasSubstr(key), HasSubstr("not supported")));
  EXPECT_THAT(problem_with(
                  "mixtral", [](Json& c) { c["model_type"] = "dbrx"; }, lacking),
              AllOf(HasSubstr("\"dbrx\""), HasSubstr("supported: llama, mistral, mixtral, qwen2, qwen3, phi3, opt")));
  EXPECT_THAT(problem_with(
                  "mistral", [](Json& c) { c["num_local_experts"] = 4; }, lacking),
              HasSubstr("num_local_experts"));
}

TEST(Families, WindowsOfBlocks) {
  Json config = read_json_file(data("models/qwen3/hf/config.json"));
  EXPECT_EQ(read_config(config, "c").window_of(0), 0u);
  config["sliding_window"] = 8;
  EXPECT_EQ(read_config(config, "c").window_of(0), 0u) << "named, but not used";
  config["use_sliding_window"] = true;
  config["layer_types"] = {"full_attention", "sliding_attention", "sliding_attention", "full_attention"};
  const ModelConfig typed = read_config(config, "c");
  EXPECT_EQ(typed.window_of(0), 0u);
  EXPECT_EQ(typed.window_of(1), 8u);
  EXPECT_EQ(typed.window_of(3), 0u);
  config.erase("layer_types");
  config["max_window_layers"] = 3;
  EXPECT_EQ(read_config(config, "c").window_of(2), 0u);
  EXPECT_EQ(read_config(config, "c").window_of(3), 8u);

  Json mistral = read_json_file(data("models/mistral/hf/config.json"));
  EXPECT_EQ(read_config(mistral, "c").window_of(2), 11u);
  mistral["sliding_window"] = nullptr;
  EXPECT_EQ(read_config(mistral, "c").window_of(2), 0u);
}

TEST(Rope, DynamicScalingBeginsAtTheTrainedLength) {
  Json json = read_json_file(data("models/llama-tied/hf/config.json"));  // 256 positions, heads of 32, base 10000
  const auto plain = make_rope(read_config(json, "c")).inverse_frequencies;
  json["rope_parameters"] = {{"rope_type", "dynamic"}, {"factor", 4.0}, {"rope_theta", 10000.0}};
  const ModelConfig config = read_config(json, "c");
  EXPECT_EQ(config.context, 1024u) << "what the rule reaches";
  EXPECT_EQ(make_rope(config, 256).inverse_frequencies, plain);
  const double base = 10000.0 * std::pow(4.0 * 512 / 256 - 3, 32.0 / 30);
  const auto longer = make_rope(config, 512).inverse_frequencies;
  for (std::size_t i = 0; i < longer.size(); ++i) EXPECT_FLOAT_EQ(longer[i], float(std::pow(base, -double(i) / 16)));
  EXPECT_TRUE(rope_depends_on_length(config));
  EXPECT_FALSE(rope_is_long(config, 512));
  json["rope_parameters"].erase("factor");
  EXPECT_THROW(read_config(json, "c"), Error);
}

}  // namespace
}  // namespace lrc::test

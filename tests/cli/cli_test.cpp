// The command line as a contract: words, JSON keys, shapes, exit codes.
#include "command_line.h"
#include "formats/safetensors.h"

namespace lrc::test {
namespace {

TEST(Cli, WrongUsageExitsWithTwoAndHelpWithZero) {
  EXPECT_EQ(lrc({}).exit_code, 2);
  EXPECT_EQ(lrc({"inspect"}).exit_code, 2);
  EXPECT_EQ(lrc({"inspect", model, "--no-such-flag"}).exit_code, 2);
  EXPECT_EQ(lrc({"export", "run", "--to", "gguf"}).exit_code, 2) << "--out is needed";
  EXPECT_EQ(lrc({"--help"}).exit_code, 0);
  EXPECT_EQ(lrc({"quantize", "--help"}).exit_code, 0);
}

TEST(Cli, FailureIsOneSentenceThatNamesTheFile) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"inspect", "/no/such/model.gguf"},
                                                                     {"tokenize", "/no/such/model.gguf", "--text", "x"},
                                                                     {"perplexity", model, "--text", "/no/such/text.txt"}}) {
    const auto result = lrc(arguments);
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_TRUE(result.out.empty());
    EXPECT_NE(result.err.find("/no/such/"), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
}

TEST(Cli, InspectTellsSizesAndLayers) {
  const Json j = json_of({"inspect", model});
  EXPECT_EQ(j["architecture"], "llama");
  EXPECT_EQ(j["hidden_size"], 64);
  EXPECT_EQ(j["blocks"], 5);
  EXPECT_EQ(j["heads"], 8);
  EXPECT_EQ(j["kv_heads"], 4);
  EXPECT_EQ(j["head_dim"], 8);
  EXPECT_EQ(j["feed_forward"], 172);
  EXPECT_EQ(j["vocabulary"], 512);
  EXPECT_EQ(j["context"], 512);
  EXPECT_EQ(j["tied_embeddings"], true);
  EXPECT_EQ(j["chat_template"], false);
  ASSERT_EQ(j["layers"].size(), 35u);
  const Json& down = j["layers"][6];
  EXPECT_EQ(down["name"], "model.layers.0.mlp.down_proj");
  EXPECT_EQ(down["role"], "down_proj");
  EXPECT_EQ(down["out_features"], 64);
  EXPECT_EQ(down["in_features"], 172);
  EXPECT_EQ(down["parameters"], 64 * 172);
}

TEST(Cli, TokensRoundTrip) {
  const Json j = json_of({"tokenize", model, "--text", "Once upon a time"});
  std::string ids;
  for (const auto& id : j["ids"]) ids += (ids.empty() ? "" : ",") + std::to_string(id.get<int>());
  EXPECT_EQ(j["pieces"].size(), j["ids"].size());
  EXPECT_EQ(json_of({"detokenize", model, "--ids", ids})["text"], "Once upon a time");
  EXPECT_EQ(lrc({"detokenize", model, "--ids", "1,9999"}).exit_code, 1);
  EXPECT_EQ(lrc({"detokenize", model, "--ids", "1,x"}).exit_code, 1);
}

TEST(Cli, LogitsAgreeWithTheReferenceProgram) {
  const TemporaryFolder folder;
  const auto reference = read_file(data("stories260K/golden/story0_first16.logits.f32"));
  const auto story = read_json_file(data("stories260K/golden/tinystories_0-39.json"));
  const Json& first = story["docs"][0];
  const Json& tokens = first["ids"];
  std::string ids;
  for (std::size_t i = 0; i < 16; ++i) ids += (i ? "," : "") + std::to_string(tokens[i].get<int>());
  const std::string out = (folder.path() / "logits.safetensors").string();
  json_of({"logits", model, "--ids", ids, "--all", "--out", out});
  const MatrixF logits = SafetensorsFile::open(out).read_float("logits");
  ASSERT_EQ(logits.rows(), 16u);
  ASSERT_EQ(logits.columns(), 512u);
  ASSERT_EQ(reference.size(), logits.size() * 4);
  const auto* expected = reinterpret_cast<const float*>(reference.data());
  for (std::size_t i = 0; i < logits.size(); ++i) ASSERT_NEAR(logits.data()[i], expected[i], 1e-3) << i;
  json_of({"logits", model, "--ids", ids, "--out", out});
  EXPECT_EQ(SafetensorsFile::open(out).read_float("logits").rows(), 1u);
}

TEST(Cli, DevicesListsTheCpuFirst) {
  const Json j = json_of({"devices"});
  ASSERT_GE(j["devices"].size(), 1u);
  EXPECT_EQ(j["devices"][0]["id"], "cpu");
  EXPECT_EQ(j["devices"][0]["usable"], true);
}

TEST(Cli, DevicesAreTestedAgainstTheirDefinition) {
  const Json j = json_of({"devices", "--self-test"});
  const Json& test = j["devices"][0]["self_test"];
  EXPECT_EQ(test["passed"], true) << test.dump();
  EXPECT_GE(test["kernels"].size(), 20u);
  EXPECT_GT(test["gigabytes_per_second"].get<double>(), 0);
}

TEST(Cli, ACacheOfOtherBitsIsRefusedByName) {
  const TemporaryFolder folder;
  const std::string out = (folder.path() / "run").string();
  for (const auto& flags : std::vector<std::vector<std::string>>{{"--kv-bits", "9"}, {"--kv-bits", "4", "--kv-group-size", "3"}}) {
    std::vector<std::string> arguments = {"quantize", model, "--out", out};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const auto result = lrc(arguments);
    EXPECT_EQ(result.exit_code, 1) << flags[0];
    EXPECT_NE(result.err.find(flags.size() == 2 ? "kv_bits" : "Groups of 3"), std::string::npos) << result.err;
    EXPECT_FALSE(std::filesystem::exists(out));
  }
}

}  // namespace
}  // namespace lrc::test

#include <thread>

#include "base/error.h"
#include "tokenizer/vectors.h"

namespace lrc {
namespace {

using test::ids_of;

std::shared_ptr<const Tokenizer> gpt2() {
  static const auto tokenizer = [] {
    const Json config = read_json_file(test::data("tokenizer/gpt2/tokenizer_config.json"));
    return make_tokenizer(spec_from_huggingface(read_json_file(test::data("tokenizer/gpt2/tokenizer.json")), &config));
  }();
  return tokenizer;
}

class SmolLm2 : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!test::sample_model().empty()) tokenizer_ = make_tokenizer(test::spec_from_gguf(test::sample_model()));
    golden_ = read_json_file(test::data("tokenizer/smollm2.json"));
  }
  static void TearDownTestSuite() { tokenizer_.reset(); }
  void SetUp() override {
    if (!tokenizer_) GTEST_SKIP() << "the sample model is not there: run tests/run.sh, which downloads it";
  }
  static inline std::shared_ptr<const Tokenizer> tokenizer_;
  static inline Json golden_;
};

TEST_F(SmolLm2, EncodesAndDecodesEveryText) {
  ASSERT_EQ(golden_["strings"].size(), 160u);
  for (const Json& entry : golden_["strings"]) {
    const std::string text = test::from_hex(entry["utf8_hex"]);
    const auto ids = ids_of(entry["ids"]);
    EXPECT_EQ(tokenizer_->encode(text, true), ids) << entry["n"];
    EXPECT_EQ(tokenizer_->encode(text, false), ids_of(entry.value("ids_parse_special_off", entry["ids"]))) << entry["n"];
    EXPECT_EQ(tokenizer_->decode(ids, false), entry["decoded"].get<std::string>()) << entry["n"];
    EXPECT_EQ(tokenizer_->decode(ids, true), entry.value("decoded_skip_special", entry["decoded"]).get<std::string>()) << entry["n"];
    const std::string bytes = entry.value("lossless", true) ? text : test::from_hex(entry["bytes_hex"]);
    EXPECT_EQ(tokenizer_->decode_bytes(ids, false), bytes) << entry["n"];
  }
}

TEST_F(SmolLm2, DecodesArbitraryIds) {
  for (const Json& entry : golden_["decode"]) {
    const auto ids = ids_of(entry["ids"]);
    for (std::size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(tokenizer_->piece(ids[i]), test::from_hex(entry["pieces_hex"][i]));
    EXPECT_EQ(tokenizer_->decode_bytes(ids, false), test::from_hex(entry["bytes_hex"]));
    EXPECT_EQ(tokenizer_->decode(ids, false), entry["decoded"].get<std::string>());
    EXPECT_EQ(tokenizer_->decode(ids, true), entry["decoded_skip_special"].get<std::string>());
  }
}

TEST_F(SmolLm2, KnowsItsControlTokens) {
  for (const auto& [text, id] : golden_["specials"].items()) {
    EXPECT_TRUE(tokenizer_->is_special(id.get<TokenId>())) << text;
    EXPECT_EQ(tokenizer_->piece(id.get<TokenId>()), text);
  }
  EXPECT_FALSE(tokenizer_->is_special(100));
  EXPECT_FALSE(tokenizer_->is_special(-1));
  EXPECT_EQ(usual_stop_ids(tokenizer_->spec()), (std::vector<TokenId>{2, 0}));
}

TEST_F(SmolLm2, GivesTheSameIdsFromManyThreads) {
  const std::string text = "Threads share one tokenizer: 12½ <|im_start|> naïve 中文.";
  const auto expected = tokenizer_->encode(text, true);
  std::vector<std::vector<TokenId>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results) threads.emplace_back([&] { result = tokenizer_->encode(text, true); });
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST_F(SmolLm2, CountsTheTokensOfAWholeBook) {
  const auto file = test::shared_file("data/wikitext2/wiki.test.raw");
  if (!file) GTEST_SKIP() << "set LRC_SHARED to the shared data folder to encode the WikiText-2 test text";
  const std::string text = read_file(*file);
  const auto ids = tokenizer_->encode(text, false);
  EXPECT_EQ(ids.size(), 301948u);
  EXPECT_EQ(tokenizer_->decode_bytes(ids, false), text);
}

TEST(Gpt2, AgreesWithPublishedVectors) {
  test::expect_vectors(*gpt2(), test::read_vectors(test::data("tokenizer/vectors/texts.inp"), test::data("tokenizer/vectors/gpt-2.out")));
  const Json file = read_json_file(test::data("tokenizer/vectors/gpt2.json"));
  for (const auto& [model, cases] : file.items())
    for (const auto& [name, entry] : cases.items()) {
      const std::string text = entry["text"];
      EXPECT_EQ(gpt2()->encode(text, true), ids_of(entry["ids"])) << name;
      EXPECT_EQ(gpt2()->decode(ids_of(entry["ids"]), false), text) << name;
    }
}

TEST(Gpt2, KeepsEveryByte) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  bytes += "\xF0\x9F\x98 \xED\xA0\x80 \xC0\xAF";
  const auto ids = gpt2()->encode(bytes, false);
  EXPECT_EQ(gpt2()->decode_bytes(ids, false), bytes);
}

TEST(Gpt2, EncodesOneEndlessWord) {
  // One word of a million letters: merging must not be quadratic.
  const std::string text(1'000'000, 'a');
  const auto ids = gpt2()->encode(text, false);
  EXPECT_EQ(gpt2()->decode_bytes(ids, false), text);
  EXPECT_LT(ids.size(), text.size() / 2);
}

TEST(ByteLevel, AgreesWithSharedVocabularies) {
  const auto folder = test::shared_file("data/tokenizer-vectors/llama.cpp");
  if (!folder) GTEST_SKIP() << "set LRC_SHARED to the shared data folder to test vocabularies that come under their own terms";
  for (const char* name : {"deepseek-coder", "gpt-2"}) {
    SCOPED_TRACE(name);
    const std::filesystem::path file = *folder / ("ggml-vocab-" + std::string(name) + ".gguf");
    test::expect_vectors(*make_tokenizer(test::spec_from_gguf(file)), test::read_vectors(file.string() + ".inp", file.string() + ".out"));
  }
  const Json config = read_json_file(*test::shared_file("models/tokenizers/qwen3/tokenizer_config.json"));
  const TokenizerSpec spec = spec_from_huggingface(read_json_file(*test::shared_file("models/tokenizers/qwen3/tokenizer.json")), &config);
  EXPECT_EQ(spec.pre, "qwen2");
  EXPECT_EQ(spec.tokens.size(), 151669u);
  EXPECT_FALSE(spec.bos.has_value());
  EXPECT_FALSE(spec.add_bos);
  EXPECT_EQ(spec.eos, 151645);
  EXPECT_EQ(spec.stop, (std::vector<TokenId>{151645, 151643}));
  const auto tokenizer = make_tokenizer(spec);
  const std::string base = (*folder / "ggml-vocab-qwen2.gguf").string();
  test::expect_vectors(*tokenizer, test::read_vectors(base + ".inp", base + ".out"));
  // Added tokens that are not special are found in any text.
  EXPECT_EQ(tokenizer->encode("<think><|im_end|>", false).front(), 151667);
  EXPECT_EQ(tokenizer->encode("<think><|im_end|>", true), (std::vector<TokenId>{151667, 151645}));
}

}  // namespace
}  // namespace lrc

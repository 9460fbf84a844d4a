#include "base/error.h"
#include "tokenizer/vectors.h"

namespace lrc {
namespace {

using test::ids_of;

void expect_stories(const Tokenizer& tokenizer) {
  const Json golden = read_json_file(test::data("tokenizer/stories260k.json"));
  ASSERT_EQ(golden["strings"].size(), 155u);
  for (const Json& entry : golden["strings"]) {
    const std::string text = test::from_hex(entry["utf8_hex"]);
    const auto ids = ids_of(entry["ids"]);
    EXPECT_EQ(tokenizer.encode(text, false), ids) << entry["n"];
    EXPECT_EQ(tokenizer.encode(text, true), ids_of(entry.value("llama_cpp_ids_parse_special_on", entry["ids"]))) << entry["n"];
    EXPECT_EQ(tokenizer.decode(ids, false), entry["decoded"].get<std::string>()) << entry["n"];
    EXPECT_EQ(tokenizer.decode_bytes(ids, false), test::from_hex(entry["bytes_hex"])) << entry["n"];
  }
}

TEST(Stories260K, AgreesWithSentencePieceFromGguf) {
  expect_stories(*make_tokenizer(test::spec_from_gguf(test::data("stories260K/stories260K-f16.gguf"))));
}

TEST(Stories260K, AgreesWithSentencePieceFromHuggingFace) {
  const Json config = read_json_file(test::data("stories260K/hf/tokenizer_config.json"));
  const TokenizerSpec spec = spec_from_huggingface(read_json_file(test::data("stories260K/hf/tokenizer.json")), &config);
  EXPECT_EQ(spec.kind, TokenizerSpec::Kind::sentencepiece_bpe);
  EXPECT_EQ(spec.bos, 1);
  EXPECT_EQ(spec.eos, 2);
  EXPECT_EQ(spec.unknown, 0);
  EXPECT_TRUE(spec.add_bos);
  EXPECT_FALSE(spec.add_eos);
  EXPECT_TRUE(spec.add_space_prefix);
  EXPECT_EQ(spec.types[0], token_type::unknown);
  EXPECT_EQ(spec.types[1], token_type::control);
  EXPECT_EQ(spec.types[3], token_type::byte);
  EXPECT_EQ(spec.types[400], token_type::normal);
  expect_stories(*make_tokenizer(spec));
  // The scores that are made from the merges, as a GGUF file would carry them, must lead to the same ids.
  TokenizerSpec by_score = spec;
  by_score.merges.clear();
  expect_stories(*make_tokenizer(by_score));
}

TEST(SentencePiece, AgreesWithSharedVocabularies) {
  const auto folder = test::shared_file("data/tokenizer-vectors/llama.cpp");
  if (!folder) GTEST_SKIP() << "set LRC_SHARED to the shared data folder to test vocabularies that come under their own terms";
  for (const char* name : {"llama-spm", "phi-3"}) {
    SCOPED_TRACE(name);
    const std::filesystem::path file = *folder / ("ggml-vocab-" + std::string(name) + ".gguf");
    test::expect_vectors(*make_tokenizer(test::spec_from_gguf(file)), test::read_vectors(file.string() + ".inp", file.string() + ".out"));
  }
  const auto llama = make_tokenizer(test::spec_from_gguf(*folder / "ggml-vocab-llama-spm.gguf"));
  const Json vectors = read_json_file(*test::shared_file("data/tokenizer-vectors/hf/llama2.json"));
  for (const auto& [model, cases] : vectors.items())
    for (const auto& [name, entry] : cases.items()) {
      std::vector<TokenId> ids{llama->spec().bos.value_or(-1)};
      for (TokenId id : llama->encode(entry["text"].get<std::string>(), false)) ids.push_back(id);
      EXPECT_EQ(ids, ids_of(entry["ids"])) << name;
      EXPECT_EQ(llama->decode(ids, false), entry["decoded"].get<std::string>()) << name;
    }
}

TokenizerSpec tiny() {
  TokenizerSpec spec;
  spec.kind = TokenizerSpec::Kind::sentencepiece_bpe;
  spec.tokens = {"<unk>", "<s>", "▁", "a", "b", "ab", "▁ab", "<|x|>"};
  spec.types = {2, 3, 1, 1, 1, 1, 1, 3};
  spec.scores = {0, 0, -5, -6, -7, -1, -2, 0};
  spec.unknown = 0;
  spec.bos = 1;
  return spec;
}

TEST(SentencePiece, MakesOneUnknownTokenOfNeighbours) {
  const auto tokenizer = make_tokenizer(tiny());
  EXPECT_EQ(tokenizer->encode("abzzéab", false), (std::vector<TokenId>{6, 0, 5}));
  EXPECT_EQ(tokenizer->decode({6, 0, 5}, true), "abab");
}

TEST(SentencePiece, PutsTheDummySpaceWhereTheSpecSays) {
  EXPECT_EQ(make_tokenizer(tiny())->encode("ab<|x|>ab", true), (std::vector<TokenId>{6, 7, 6}));
  TokenizerSpec first_only = tiny();
  first_only.space_prefix_everywhere = false;
  EXPECT_EQ(make_tokenizer(first_only)->encode("ab<|x|>ab", true), (std::vector<TokenId>{6, 7, 5}));
  TokenizerSpec never = tiny();
  never.add_space_prefix = false;
  EXPECT_EQ(make_tokenizer(never)->encode("ab<|x|>ab", true), (std::vector<TokenId>{5, 7, 5}));
  EXPECT_EQ(make_tokenizer(never)->decode({6}, true), " ab");
  EXPECT_EQ(make_tokenizer(tiny())->encode("", true), (std::vector<TokenId>{}));
}

TEST(SentencePiece, LetsControlTokensSwallowSpaces) {
  TokenizerSpec spec = tiny();
  spec.strip_before = spec.strip_after = {7};
  EXPECT_EQ(make_tokenizer(spec)->encode("ab \u00A0<|x|> \n ab", true), (std::vector<TokenId>{6, 7, 6}));
  EXPECT_EQ(make_tokenizer(spec)->encode("  <|x|>  ", true), (std::vector<TokenId>{7}));
}

TEST(SentencePiece, RefusesDamagedVocabularies) {
  const auto refused = [](auto change) {
    TokenizerSpec spec = tiny();
    change(spec);
    try {
      make_tokenizer(spec);
    } catch (const Error& error) {
      return error.kind() == ErrorKind::bad_file;
    }
    return false;
  };
  EXPECT_TRUE(refused([](TokenizerSpec& spec) { spec.scores.pop_back(); }));
  EXPECT_TRUE(refused([](TokenizerSpec& spec) { spec.types.pop_back(); }));
  EXPECT_TRUE(refused([](TokenizerSpec& spec) { spec.types[3] = 6; }));
  EXPECT_TRUE(refused([](TokenizerSpec& spec) { spec.scores[3] = std::numeric_limits<float>::quiet_NaN(); }));
  EXPECT_TRUE(refused([](TokenizerSpec& spec) { spec.bos = 8; }));
  EXPECT_TRUE(refused([](TokenizerSpec& spec) { spec.eos = -1; }));
  EXPECT_TRUE(refused([](TokenizerSpec& spec) { spec.stop = {3, 1 << 30}; }));
  EXPECT_TRUE(refused([](TokenizerSpec& spec) { spec.tokens.clear(); }));
  EXPECT_TRUE(refused([](TokenizerSpec& spec) { spec.merges = {"a c"}; }));
  EXPECT_FALSE(refused([](TokenizerSpec&) {}));
}

}  // namespace
}  // namespace lrc

#include <gmock/gmock.h>

#include "base/error.h"
#include "tokenizer/vectors.h"

namespace lrc {
namespace {

Json small() {
  return parse_json(R"({
    "added_tokens": [{"id": 4, "content": "<|im_end|>", "special": true, "rstrip": true}, {"id": 5, "content": "<tool>", "special": false}],
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "abab": 3}, "merges": ["a b", ["ab", "ab"]]}})",
                    "test");
}

template <class Change>
std::pair<ErrorKind, std::string> refused(Change change) {
  Json file = small();
  change(file);
  try {
    make_tokenizer(spec_from_huggingface(file, nullptr));
  } catch (const Error& error) {
    return {error.kind(), error.what()};
  }
  return {ErrorKind::io, "accepted"};
}

TEST(HuggingFace, ReadsASmallTokenizer) {
  const Json config = {{"eos_token", {{"content", "<|im_end|>"}}}, {"add_bos_token", true}};
  const TokenizerSpec spec = spec_from_huggingface(small(), &config);
  EXPECT_EQ(spec.pre, "gpt-2");
  EXPECT_EQ(spec.eos, 4);
  EXPECT_FALSE(spec.bos.has_value());
  EXPECT_FALSE(spec.add_bos);
  EXPECT_EQ(spec.stop, std::vector<TokenId>{4});
  EXPECT_EQ(spec.types, (std::vector<std::int32_t>{1, 1, 1, 1, 3, 4}));
  const auto tokenizer = make_tokenizer(spec);
  EXPECT_EQ(tokenizer->encode("ababab<|im_end|> ab<tool>", true), (std::vector<TokenId>{3, 2, 4, 2, 5}));
  EXPECT_EQ(tokenizer->encode("b<tool>", false), (std::vector<TokenId>{1, 5}));
  EXPECT_EQ(tokenizer->decode({3, 4, 5}, true), "abab<tool>");
  EXPECT_THROW(tokenizer->decode({6}, true), Error);
  EXPECT_THROW(tokenizer->piece(-1), Error);
}

TEST(HuggingFace, FillsGapsWithUnusedTokens) {
  Json file = small();
  file["model"]["vocab"]["c"] = 8;
  const TokenizerSpec spec = spec_from_huggingface(file, nullptr);
  EXPECT_EQ(spec.tokens.size(), 9u);
  EXPECT_EQ(spec.types[7], token_type::unused);
  EXPECT_EQ(spec.tokens[8], "c");
}

TEST(HuggingFace, TakesRolesFromThePostProcessor) {
  Json file = small();
  file["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", {{{"SpecialToken", {{"id", "<|im_end|>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}}}}}}};
  const TokenizerSpec spec = spec_from_huggingface(file, nullptr);
  EXPECT_EQ(spec.bos, 4);
  EXPECT_TRUE(spec.add_bos);
  EXPECT_FALSE(spec.add_eos);
  const Json config = {{"add_bos_token", false}};
  EXPECT_FALSE(spec_from_huggingface(file, &config).add_bos);
}

TEST(HuggingFace, RecognisesPublishedPatterns) {
  const auto pre = [](Json splitter) {
    Json file = small();
    file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", Json::array()}};
    for (const Json& step : splitter) file["pre_tokenizer"]["pretokenizers"].push_back(step);
    return spec_from_huggingface(file, nullptr).pre;
  };
  const auto split = [](const char* pattern) {
    return Json{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  };
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const Json whole = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
  EXPECT_EQ(pre(Json::array({digits, whole})), "smollm");
  EXPECT_EQ(
      pre(Json::array(
          {split(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"),
           bytes})),
      "llama-bpe");
  EXPECT_EQ(
      pre(Json::array({split("[\r\n]"), split(R"(\s?\p{L}+)"), split(R"(\s?\p{P}+)"), split("[一-龥ࠀ-一가-퟿]+"), digits, bytes})),
      "deepseek-coder");
}

TEST(HuggingFace, RefusesWhatItLacksByName) {
  const auto lacks = [](auto change, const char* what) {
    const auto [kind, text] = refused(change);
    EXPECT_EQ(kind, ErrorKind::unsupported) << text;
    EXPECT_THAT(text, testing::HasSubstr(what));
  };
  lacks([](Json& file) { file["model"]["type"] = "Unigram"; }, "Unigram");
  lacks([](Json& file) { file["pre_tokenizer"] = {{"type", "Whitespace"}}; }, "Whitespace");
  lacks(
      [](Json& file) {
        file["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", "\\d+"}}}, {"behavior", "Isolated"}};
      },
      "\\d+");
  lacks([](Json& file) { file["pre_tokenizer"]["add_prefix_space"] = true; }, "add_prefix_space");
  lacks([](Json& file) { file["normalizer"] = {{"type", "Lowercase"}}; }, "Lowercase");
  lacks([](Json& file) { file["model"]["end_of_word_suffix"] = "</w>"; }, "end_of_word_suffix");
  lacks([](Json& file) { file["model"]["ignore_merges"] = true; }, "ignore_merges");
  TokenizerSpec spec = spec_from_huggingface(small(), nullptr);
  spec.pre = "gpt-4o";
  try {
    make_tokenizer(spec);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    EXPECT_THAT(error.what(), testing::HasSubstr("gpt-4o"));
  }
}

TEST(HuggingFace, RefusesDamagedFiles) {
  const auto damaged = [](auto change) { return refused(change).first == ErrorKind::bad_file; };
  EXPECT_TRUE(damaged([](Json& file) { file = Json::array(); }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"] = 3; }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["vocab"] = Json::array(); }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["vocab"]["c"] = -1; }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["vocab"]["c"] = 1.5; }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["vocab"]["c"] = "6"; }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["vocab"]["c"] = 2000000000; }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["vocab"]["c"] = 18446744073709551615u; }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["vocab"]["c"] = 2; }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["vocab"][""] = 6; }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["merges"] = "a b"; }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["merges"][0] = "a z"; }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["merges"][0] = "b a"; }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["merges"][0] = "ab"; }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["merges"][0] = ""; }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["merges"][0] = "a b b"; }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["merges"][0] = {"a", "b", "c"}; }));
  EXPECT_TRUE(damaged([](Json& file) { file["model"]["merges"][0] = {1, 2}; }));
  EXPECT_TRUE(damaged([](Json& file) { file["added_tokens"] = 1; }));
  EXPECT_TRUE(damaged([](Json& file) { file["added_tokens"][0] = 1; }));
  EXPECT_TRUE(damaged([](Json& file) { file["added_tokens"][0].erase("content"); }));
  EXPECT_TRUE(damaged([](Json& file) { file["added_tokens"][0]["id"] = 0; }));
  EXPECT_TRUE(damaged([](Json& file) { file["added_tokens"][0]["special"] = "yes"; }));
  EXPECT_TRUE(damaged([](Json& file) { file["pre_tokenizer"] = "ByteLevel"; }));
  EXPECT_TRUE(damaged([](Json& file) { file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {1}}}; }));
  EXPECT_FALSE(damaged([](Json&) {}));
}

}  // namespace
}  // namespace lrc

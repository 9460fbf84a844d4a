#include "tokenizer/pretokenizer.h"

#include <gtest/gtest.h>

#include "tokenizer/tokenizer.h"
#include "tokenizer/unicode.h"

namespace lrc {
namespace {

using Words = std::vector<std::string>;

Words words(const char* rule, std::string_view text) {
  Words result;
  const auto splitter = find_splitter(rule);
  if (!splitter) return {"no such rule"};
  for (std::string_view word : split_words(*splitter, text)) result.emplace_back(word);
  return result;
}

TEST(Splitter, CutsAsGpt2Does) {
  EXPECT_EQ(words("gpt-2", "I'll say 'Hi' in 2024!!  ok"), (Words{"I", "'ll", " say", " '", "Hi", "'", " in", " 2024", "!!", " ", " ok"}));
  EXPECT_EQ(words("gpt-2", "a\n\n b \n"), (Words{"a", "\n\n", " b", " \n"}));
  EXPECT_EQ(words("gpt-2", "I'LL"), (Words{"I", "'", "LL"}));
  EXPECT_EQ(words("gpt-2", "x\u00A0\u00A0y"), (Words{"x", "\u00A0", "\u00A0", "y"}));
  EXPECT_EQ(words("gpt-2", ""), Words{});
}

TEST(Splitter, CutsAsSmolLmDoes) {
  EXPECT_EQ(words("smollm", "a  12½ b"), (Words{"a", "  ", "1", "2", "½", " b"}));
  EXPECT_EQ(words("smollm", "v1.x"), (Words{"v", "1", ".", "x"}));
}

TEST(Splitter, CutsAsLlama3Does) {
  EXPECT_EQ(words("llama-bpe", "I'LL pay $12345.67\n\n\nnow"), (Words{"I", "'LL", " pay", " $", "123", "45", ".", "67", "\n\n\n", "now"}));
  EXPECT_EQ(words("llama-bpe", "(a)  b\t\tc"), (Words{"(a", ")", " ", " b", "\t", "\tc"}));
  EXPECT_EQ(words("llama-bpe", "x \n  y;\r\n z"), (Words{"x", " \n", " ", " y", ";\r\n", " z"}));
  EXPECT_EQ(words("llama-bpe", "1   2  "), (Words{"1", "  ", " ", "2", "  "}));
  EXPECT_EQ(words("llama-bpe", "'\u017Fo 'so 'x"), (Words{"'\u017F", "o", " '", "so", " '", "x"}));
  EXPECT_EQ(words("llama-bpe", "e\u0301t\u00E9"), (Words{"e", "\u0301t\u00E9"}));
}

TEST(Splitter, CutsAsQwen2Does) { EXPECT_EQ(words("qwen2", "It'S 2024\u00BD"), (Words{"It", "'S", " ", "2", "0", "2", "4", "\u00BD"})); }

TEST(Splitter, CutsAsDeepSeekCoderDoes) {
  EXPECT_EQ(words("deepseek-coder", " if(a12)\n中文abc"), (Words{" if", "(", "a", "1", "2", ")", "\n", "中文", "abc"}));
}

TEST(Splitter, KeepsEveryByteOfBrokenText) {
  std::string text = "a\xFF\xC3 \xE4\xB8 b\xF0\x9F";
  for (const char* rule : {"gpt-2", "smollm", "llama-bpe", "qwen2", "deepseek-coder"}) {
    std::string joined;
    for (const std::string& word : words(rule, text)) joined += word;
    EXPECT_EQ(joined, text) << rule;
  }
  EXPECT_EQ(words("gpt-2", "a\xFF\xC3 b"), (Words{"a", "\xFF\xC3", " b"}));
  EXPECT_FALSE(find_splitter("gpt-4o").has_value());
}

TEST(Unicode, ReplacesMaximalInvalidParts) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(unicode::replace_invalid("a\xC3z"), "a" + r + "z");
  EXPECT_EQ(unicode::replace_invalid("\xE4\xB8"), r);
  EXPECT_EQ(unicode::replace_invalid("\xF0\x9F\x98\x41"), r + "A");
  EXPECT_EQ(unicode::replace_invalid("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(unicode::replace_invalid("\xC0\xAF\xF5\x80"), r + r + r + r);
  EXPECT_EQ(unicode::replace_invalid("\xE0\x80\xF4\x90"), r + r + r + r);
  EXPECT_EQ(unicode::replace_invalid("äö😀"), "äö😀");
}

TEST(Unicode, KnowsCategoriesAndCases) {
  EXPECT_EQ(unicode::category(U'\u00AA'), unicode::letter);
  EXPECT_EQ(unicode::category(U'\u2163'), unicode::number);
  EXPECT_EQ(unicode::category(U'\u0085'), unicode::space);
  EXPECT_EQ(unicode::category(U'\u200B'), unicode::other);
  EXPECT_EQ(unicode::category(U'\u0301'), unicode::other);
  EXPECT_EQ(unicode::category(U'\u00BF'), unicode::punctuation);
  EXPECT_EQ(unicode::category(U'$'), unicode::other);
  EXPECT_EQ(unicode::category(U'\U0002A6DF'), unicode::letter);
  EXPECT_EQ(unicode::category(U'\U0010FFFF'), unicode::other);
  EXPECT_EQ(unicode::to_upper(U'\u0101'), U'\u0100');
  EXPECT_EQ(unicode::to_lower(U'\u0416'), U'\u0436');
  EXPECT_EQ(unicode::to_upper(U'\u00DF'), U'\u00DF');
}

TEST(Utf8Stream, HoldsBackHalfCharacters) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xF0\x9F"), "a");
  EXPECT_EQ(stream.push("\x98"), "");
  EXPECT_EQ(stream.push("\x80z\xC3"), "😀z");
  EXPECT_EQ(stream.push("b"),
            "\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(stream.push("\xE4\xB8"), "");
  EXPECT_EQ(stream.flush(), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.flush(), "");
}

}  // namespace
}  // namespace lrc

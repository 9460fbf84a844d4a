#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <string>

#include "base/error.h"

namespace lrc {
namespace {

using ::testing::HasSubstr;

std::string refusal(const std::string& text) {
  try {
    parse_json(text, "the origin");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_file);
    EXPECT_THAT(error.what(), HasSubstr("the origin"));
    return error.what();
  }
  return "";
}

TEST(Json, EveryKindOfValueInTheOrderOfTheText) {
  const std::string text = R"({"z":1,"a":[true,false,null,-3,2.5,"t\u00e9"],"m":{"y":{},"x":[]},"big":18446744073709551615})";
  const auto value = parse_json(text, "test");
  EXPECT_EQ(value.dump(-1, ' ', true), text);
  EXPECT_EQ(value["a"][3].get<int>(), -3);
  EXPECT_EQ(value["big"].get<std::uint64_t>(), 18446744073709551615u);
  EXPECT_EQ(parse_json("7", "test").get<int>(), 7);
}

TEST(Json, AKeyThatOccursTwiceKeepsItsLastValue) {
  const auto value = parse_json(R"({"a":1,"b":{"a":9},"a":{"c":2},"d":3})", "test");
  EXPECT_EQ(value.dump(), R"({"a":{"c":2},"b":{"a":9},"d":3})");
}

TEST(Json, NestingIsLimited) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_NO_THROW(parse_json(nested(256), "test"));
  EXPECT_THAT(refusal(nested(257)), HasSubstr("nested deeper than 256"));
  EXPECT_THAT(refusal(std::string(1000000, '[')), HasSubstr("nested deeper"));
  std::string objects;
  for (int i = 0; i < 300; ++i) objects += R"({"a":)";
  EXPECT_THAT(refusal(objects), HasSubstr("nested deeper"));
}

TEST(Json, WhatIsNoJsonNamesTheByte) {
  EXPECT_THAT(refusal("{\"a\": tru}"), HasSubstr("byte 10"));
  for (const std::string text : {"", "{", "[1,]", "{\"a\":1} x", "\"\xff\"", "1e999", "{'a':1}", "nul"})
    EXPECT_THAT(refusal(text), HasSubstr("not valid JSON")) << text;
}

TEST(Json, AHundredThousandKeysAreNotLookedUpOneByOne) {
  // The size of a tokenizer's vocabulary; a linear search per key would take minutes and run into the test's time limit.
  std::string text = "{";
  for (int i = 0; i < 400000; ++i) text += (i ? ",\"" : "\"") + std::to_string(i) + "\":" + std::to_string(i);
  const auto value = parse_json(text + "}", "test");
  EXPECT_EQ(value.size(), 400000u);
  EXPECT_EQ(std::prev(value.end())->get<int>(), 399999);
}

}  // namespace
}  // namespace lrc

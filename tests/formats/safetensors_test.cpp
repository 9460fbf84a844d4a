#include "formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "support/test_data.h"

namespace lrc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string file_of(std::string json, std::size_t data_bytes) {
  const std::uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + json + std::string(data_bytes, '\0');
}

TEST(Safetensors, WhatIsWrittenIsRead) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "a.safetensors";
  SafetensorsWriter writer;
  MatrixF floats(2, 3);
  MatrixD doubles(1, 2);
  for (std::size_t i = 0; i < 6; ++i) floats.data()[i] = float(i) / 3;
  doubles(0, 1) = 1.0 / 7;
  writer.add_codes("codes", {2, 2}, std::vector<std::int8_t>{-8, 7, 0, 1});
  writer.add_half("half", floats);
  writer.add("floats", floats);
  writer.add("doubles", doubles);
  writer.add("empty", DType::f32, {0, 5}, {});
  writer.add("scalar", DType::i64, {}, std::vector<std::byte>(8));
  writer.set_metadata("format", "pt");
  writer.write(file);

  const auto read = SafetensorsFile::open(file);
  EXPECT_EQ(read.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  std::vector<std::string> order;
  for (const auto& entry : read.entries()) order.push_back(entry.name);
  EXPECT_EQ(order, (std::vector<std::string>{"scalar", "doubles", "empty", "floats", "half", "codes"})) << "wide types first, then by name";
  EXPECT_EQ(read.read_float("floats"), floats);
  EXPECT_EQ(read.read_double("doubles"), doubles);
  EXPECT_EQ(read.read_double("floats"), convert<double>(floats));
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(read.read_float("half").data()[i], round_to_half(floats.data()[i]));
  EXPECT_EQ(read.raw<std::int8_t>("codes")[0], -8);
  EXPECT_EQ(read.get("empty").shape, (std::vector<std::size_t>{0, 5}));
  EXPECT_EQ(read.read_float("empty").size(), 0u);
  EXPECT_EQ(read.get("scalar").shape, std::vector<std::size_t>{});
  EXPECT_EQ(read.find("none"), nullptr);
  EXPECT_THROW(read.get("none"), Error);
  EXPECT_THROW(read.read_float("codes"), Error);
  EXPECT_THROW(read.raw<float>("codes"), Error) << "codes are no floats";
  // The buffer begins at a multiple of 8, so that every tensor is aligned.
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(read.get("scalar").bytes.data()) % 8, 0u);
}

TEST(Safetensors, ReadsFilesOfTheReferenceWriter) {
  const auto read = SafetensorsFile::open(test::data("models/llama-tied/hf/model.safetensors"));
  EXPECT_EQ(read.entries().size(), 29u);
  EXPECT_EQ(read.get("model.layers.0.mlp.down_proj.weight").shape, (std::vector<std::size_t>{96, 160}));
  // Its own order is kept when it is written again.
  const test::TemporaryFolder folder;
  SafetensorsWriter writer;
  for (const auto& entry : read.entries()) writer.add(entry.name, entry.dtype, entry.shape, {entry.bytes.begin(), entry.bytes.end()});
  writer.write(folder.path() / "b.safetensors");
  const auto again = SafetensorsFile::open(folder.path() / "b.safetensors");
  ASSERT_EQ(again.entries().size(), read.entries().size());
  for (std::size_t i = 0; i < read.entries().size(); ++i) {
    EXPECT_EQ(again.entries()[i].name, read.entries()[i].name);
    EXPECT_EQ(std::memcmp(again.entries()[i].bytes.data(), read.entries()[i].bytes.data(), read.entries()[i].bytes.size()), 0);
  }
}

TEST(Safetensors, TrailingSpacesAndWideShapesAreLegal) {
  const test::TemporaryFolder folder;
  write_file_atomically(folder.path() / "a", file_of("{}     ", 0));
  EXPECT_TRUE(SafetensorsFile::open(folder.path() / "a").entries().empty());
  write_file_atomically(folder.path() / "b", file_of(R"({"t":{"dtype":"F16","shape":[2,3,4],"data_offsets":[0,48]}})", 48));
  EXPECT_EQ(SafetensorsFile::open(folder.path() / "b").read_float("t").rows(), 6u);
}

TEST(Safetensors, EveryBrokenRuleIsOneSentence) {
  const std::string good = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
  const auto tensor = [](const std::string& fields) { return "{\"t\":{" + fields + "}}"; };
  std::string huge = file_of("{}", 0);
  huge[7] = 1;
  const struct {
    std::string what, bytes, sentence;
    ErrorKind kind = ErrorKind::bad_file;
  } cases[] = {
      {"empty", "", "0 bytes"},
      {"huge header", huge, "100000000 are allowed"},
      {"header beyond the file", file_of("{}", 0).substr(0, 9), "ends after 9"},
      {"no header", file_of("", 8), "begin with {"},
      {"list", file_of("[]", 0), "begin with {"},
      {"leading space", file_of(" {}", 0), "begin with {"},
      {"no JSON", file_of("{\"t\":}", 0), "byte"},
      {"text after it", file_of("{}x", 0), "not valid JSON"},
      {"not UTF-8", file_of("{\"\xff\":1}", 0), "not valid JSON"},
      {"number for a tensor", file_of("{\"t\":1}", 0), "a number where none belongs"},
      {"nested too deep", file_of(tensor(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])"), 8), "an array where none belongs"},
      {"object in a field", file_of(tensor(R"("dtype":{"a":1})"), 8), "an object where none belongs"},
      {"twice", file_of("{\"t\":{" + good + "},\"t\":{" + good + "}}", 8), "\"t\" occurs twice"},
      {"metadata twice", file_of(R"({"__metadata__":{},"__metadata__":{}})", 0), "occurs twice"},
      {"metadata key twice", file_of(R"({"__metadata__":{"a":"b","a":"c"}})", 0), "\"a\" occurs twice"},
      {"metadata number", file_of(R"({"__metadata__":{"a":1}})", 0), "a number"},
      {"field twice", file_of(tensor(good + ",\"dtype\":\"F32\""), 8), "two fields \"dtype\""},
      {"unknown field", file_of(tensor(good + ",\"extra\":1"), 8), "\"extra\""},
      {"no dtype", file_of(tensor(R"("shape":[2],"data_offsets":[0,8])"), 8), "lacks"},
      {"no shape", file_of(tensor(R"("dtype":"F32","data_offsets":[0,8])"), 8), "lacks"},
      {"no offsets", file_of(tensor(R"("dtype":"F32","shape":[2])"), 8), "lacks"},
      {"one offset", file_of(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), 8), "no two data_offsets"},
      {"three offsets", file_of(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,9])"), 8), "more than two"},
      {"negative", file_of(tensor(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), 8), "negative"},
      {"fraction", file_of(tensor(R"("dtype":"F32","shape":[2.5],"data_offsets":[0,8])"), 8), "no size"},
      {"beyond 64 bits", file_of(tensor(R"("dtype":"F32","shape":[99999999999999999999999],"data_offsets":[0,8])"), 8), "no size"},
      {"null", file_of(tensor(R"("dtype":null,"shape":[2],"data_offsets":[0,8])"), 8), "null"},
      {"unknown dtype", file_of(tensor(R"("dtype":"F31","shape":[2],"data_offsets":[0,8])"), 8), "F31"},
      {"known dtype", file_of(tensor(R"("dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8])"), 8), "F8_E4M3", ErrorKind::unsupported},
      {"overflow", file_of(tensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])"), 0), "counted"},
      {"size", file_of(tensor(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"), 8), "need 12"},
      {"backwards",
       file_of(
           R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"t":{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551615]}})",
           1),
       "need 1"},
      {"ends before it begins", file_of(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), 8), "begins at byte 8"},
      {"hole", file_of(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[4,12])"), 12), "a gap or an overlap"},
      {"overlap",
       file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})", 6),
       "a gap or an overlap"},
      {"beyond the end", file_of(tensor(good), 7), "has only 7"},
      {"spare tail", file_of(tensor(good), 9), "1 bytes at its end"},
  };
  const test::TemporaryFolder folder;
  for (const auto& [what, bytes, sentence, kind] : cases) {
    const auto file = folder.path() / "broken.safetensors";
    write_file_atomically(file, bytes);
    try {
      SafetensorsFile::open(file);
      ADD_FAILURE() << what << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << what;
      EXPECT_THAT(error.what(), AllOf(HasSubstr(file.string()), HasSubstr(sentence))) << what;
    }
  }
}

TEST(SafetensorsWriter, RefusesWhatDoesNotFit) {
  SafetensorsWriter writer;
  EXPECT_THROW(writer.add("a", DType::f32, {2}, std::vector<std::byte>(4)), Error);
  EXPECT_THROW(writer.add("a", DType::q4_0, {32}, std::vector<std::byte>(18)), Error);
  EXPECT_THROW(writer.add("__metadata__", DType::u8, {1}, std::vector<std::byte>(1)), Error);
  writer.add("a", DType::u8, {1}, std::vector<std::byte>(1));
  EXPECT_THROW(writer.add("a", DType::u8, {1}, std::vector<std::byte>(1)), Error);
}

}  // namespace
}  // namespace lrc

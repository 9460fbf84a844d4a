#include "formats/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "base/error.h"
#include "formats/gguf_bytes.h"
#include "support/test_data.h"

namespace lrc {
namespace {

using test::GgufBytes;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<std::byte> bytes_of(const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * 4);
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

TEST(GgufWriter, WhatIsWrittenIsRead) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "a.gguf";
  GgufWriter writer;
  writer.set("general.name", "first");
  writer.set("general.name", "Ünïcode");
  writer.set_u32("count", 4000000000u);
  writer.set_f32("epsilon", 1e-5f);
  writer.set_bool("yes", true);
  writer.set_strings("words", {"", "a\0b", "ç"});
  writer.set_i32s("types", {1, -2, 3});
  writer.set_f32s("scores", {0.5, -1e10});
  writer.copy("i8", {std::int64_t(-5), 1, 0});
  writer.copy("u16", {std::uint64_t(65535), 2, 0});
  writer.copy("i64", {std::int64_t(-1) << 62, 11, 0});
  writer.copy("u64", {std::uint64_t(1) << 63, 10, 0});
  writer.copy("f64", {1.0 / 3, 12, 0});
  writer.copy("bools", {GgufValue::Array(std::vector<bool>{true, false, true}), 9, 7});
  writer.copy("nothing", {GgufValue::Array(std::vector<std::string>{}), 9, 8});
  writer.add("scalar", DType::f32, {}, bytes_of({7}));
  writer.add("matrix", DType::f32, {2, 3}, bytes_of({1, 2, 3, 4, 5, 6}));
  const std::vector<float> ramp(64, 0.25f);
  writer.add("late", DType::q8_0, {2, 32}, [&] { return encode_blocks(DType::q8_0, ramp.data(), ramp.size()); });
  writer.write(file);
  EXPECT_EQ(std::filesystem::file_size(file), writer.file_bytes());

  const auto read = GgufFile::open(file);
  EXPECT_EQ(read.version(), 3u);
  ASSERT_EQ(read.metadata().size(), 14u);
  EXPECT_EQ(read.metadata()[0].first, "general.name");
  EXPECT_EQ(read.text("general.name"), "Ünïcode");
  EXPECT_EQ(read.integer("count"), 4000000000);
  EXPECT_EQ(read.number("epsilon"), double(1e-5f));
  EXPECT_EQ(read.boolean("yes"), true);
  EXPECT_EQ(read.integer("i8"), -5);
  EXPECT_EQ(read.integer("u16"), 65535);
  EXPECT_EQ(read.integer("i64"), std::int64_t(-1) << 62);
  EXPECT_EQ(read.integer("u64"), std::nullopt) << "beyond what a signed number holds";
  EXPECT_EQ(read.number("u64"), std::ldexp(1.0, 63));
  EXPECT_EQ(read.number("f64"), 1.0 / 3);
  EXPECT_EQ(read.integer("general.name"), std::nullopt);
  EXPECT_EQ(read.text("none"), std::nullopt);
  EXPECT_EQ(std::get<std::vector<bool>>(std::get<GgufValue::Array>(read.find_value("bools")->value)),
            (std::vector<bool>{true, false, true}));
  EXPECT_EQ(std::get<std::vector<double>>(std::get<GgufValue::Array>(read.find_value("scores")->value)),
            (std::vector<double>{0.5, double(-1e10f)}));
  ASSERT_EQ(read.tensors().size(), 3u);
  EXPECT_EQ(read.find("scalar")->shape, std::vector<std::size_t>{});
  EXPECT_EQ(read.find("matrix")->shape, (std::vector<std::size_t>{2, 3}));
  EXPECT_EQ(std::memcmp(read.find("matrix")->bytes.data(), bytes_of({1, 2, 3, 4, 5, 6}).data(), 24), 0);
  std::vector<float> decoded(64);
  to_float(DType::q8_0, read.find("late")->bytes.data(), 64, decoded.data());
  EXPECT_NEAR(decoded[63], 0.25f, 1e-4f);
}

TEST(GgufWriter, CopiesAFileOfTheReferenceWriterByteForByte) {
  const test::TemporaryFolder folder;
  for (const std::string name : {"models/llama-tied/llama-tied-q8_0-q4_0.gguf", "models/llama-untied-rope3/llama-untied-rope3-f16.gguf"}) {
    const auto original = GgufFile::open(test::data(name));
    GgufWriter writer;
    for (const auto& [key, value] : original.metadata()) writer.copy(key, value);
    for (const auto& tensor : original.tensors())
      writer.add(tensor.name, tensor.dtype, tensor.shape, {tensor.bytes.begin(), tensor.bytes.end()});
    writer.write(folder.path() / "copy.gguf");
    EXPECT_TRUE(read_file(folder.path() / "copy.gguf") == read_file(test::data(name))) << name;
  }
}

TEST(GgufWriter, RefusesWhatTheFormatCannotHold) {
  GgufWriter writer;
  const std::vector<std::byte> four(4), blocks(34);
  EXPECT_THROW(writer.add("", DType::f32, {1}, four), Error);
  EXPECT_THROW(writer.add(std::string(64, 'n'), DType::f32, {1}, four), Error);
  EXPECT_THROW(writer.add("five", DType::f32, {1, 1, 1, 1, 1}, four), Error);
  EXPECT_THROW(writer.add("bool", DType::boolean, {4}, four), Error);
  EXPECT_THROW(writer.add("short", DType::f32, {2}, four), Error);
  EXPECT_THROW(writer.add("row", DType::q8_0, {32, 1}, blocks), Error);
  EXPECT_THROW(writer.add("none", DType::f32, {0}, std::vector<std::byte>{}), Error);
  GgufWriter twice;
  twice.add("a", DType::f32, {1}, four);
  EXPECT_THROW(twice.add("a", DType::f32, {1}, four), Error);
  // One that lies about its size is found when it is written, and nothing is left behind.
  const test::TemporaryFolder folder;
  GgufWriter liar;
  liar.add("a", DType::f32, {2}, [&] { return four; });
  EXPECT_THROW(liar.write(folder.path() / "liar.gguf"), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// Each case breaks one rule of an otherwise good file; the sentence must say which.
struct Broken {
  std::string what, bytes, sentence;
};

std::vector<Broken> broken_files() {
  const auto good = [](std::uint64_t tensors = 1) { return GgufBytes().header(tensors, 1).string_value("general.architecture", "llama"); };
  const auto with_value = [](const GgufBytes& value) { return GgufBytes().header(0, 1).raw(value.bytes()).bytes(); };
  const std::string name64(64, 'n');
  return {
      {"empty", "", "empty"},
      {"magic", "GGUX" + std::string(40, '\0'), "GGUF"},
      {"only magic", "GGUF", "the version"},
      {"version 1", GgufBytes().header(0, 0, 1).bytes(), "version is 1"},
      {"version 4", GgufBytes().header(0, 0, 4).bytes(), "version is 4"},
      {"big-endian", GgufBytes().header(0, 0, 0x03000000).bytes(), "byte order"},
      {"too many tensors", GgufBytes().header(std::uint64_t(1) << 60, 0).bytes(), "promises 1152921504606846976 tensors"},
      {"too many values", GgufBytes().header(0, std::uint64_t(1) << 60).bytes(), "metadata values"},
      {"empty key", with_value(GgufBytes().string_value("", "a")), "key is empty"},
      {"twice", GgufBytes().header(0, 2).u32_value("a", 1).u32_value("a", 1).bytes(), "\"a\" occurs twice"},
      {"long key", with_value(GgufBytes().put(std::uint64_t(-1)).raw("abcdefghijklmno")), "metadata key"},
      {"long string", with_value(GgufBytes().text("k").put(std::uint32_t(8)).put(std::uint64_t(1) << 40).raw("abc")), "\"k\""},
      {"unknown value type", with_value(GgufBytes().text("k").put(std::uint32_t(13)).put(std::uint64_t(0))), "unknown type 13"},
      {"array of arrays",
       with_value(GgufBytes().text("k").put(std::uint32_t(9)).put(std::uint32_t(9)).put(std::uint64_t(1)).put(std::uint64_t(0))),
       "array of arrays"},
      {"unknown element", with_value(GgufBytes().text("k").put(std::uint32_t(9)).put(std::uint32_t(77)).put(std::uint64_t(1))),
       "unknown type 77"},
      {"long array",
       with_value(GgufBytes().text("k").put(std::uint32_t(9)).put(std::uint32_t(10)).put(std::uint64_t(1) << 61).put(std::uint64_t(0))),
       "elements"},
      {"long array of strings",
       with_value(GgufBytes().text("k").put(std::uint32_t(9)).put(std::uint32_t(8)).put(std::uint64_t(3)).text("a").text("")), "elements"},
      {"no boolean", with_value(GgufBytes().text("k").put(std::uint32_t(7)).put(std::uint8_t(2)).put(std::uint64_t(0))), "true or false"},
      {"alignment 0", with_value(GgufBytes().u32_value("general.alignment", 0)), "alignment"},
      {"alignment 24", with_value(GgufBytes().u32_value("general.alignment", 24)), "alignment"},
      {"alignment as u64", with_value(GgufBytes().text("general.alignment").put(std::uint32_t(10)).put(std::uint64_t(32))), "alignment"},
      {"empty tensor name", good().tensor("", {1}, 0, 0).pad().data(32).bytes(), "empty name"},
      {"long tensor name", good().tensor(name64, {1}, 0, 0).pad().data(32).bytes(), "64 bytes"},
      {"five dimensions", good().tensor("t", {1, 1, 1, 1, 1}, 0, 0).pad().data(32).bytes(), "5 dimensions"},
      {"dimension 0", good().tensor("t", {4, 0}, 0, 0).pad().data(32).bytes(), "size 0"},
      {"too many elements", good().tensor("t", {std::uint64_t(1) << 40, std::uint64_t(1) << 40}, 0, 0).pad().data(32).bytes(),
       "more elements"},
      {"too many bytes", good().tensor("t", {std::uint64_t(1) << 62}, 0, 0).pad().data(32).bytes(), "more bytes"},
      {"row of 48 in Q4_0", good().tensor("t", {48, 2}, 2, 0).pad().data(64).bytes(), "whole blocks of Q4_0"},
      {"MXFP4", good().tensor("t", {32}, 39, 0).pad().data(32).bytes(), "\"t\" has the element type MXFP4"},
      {"IQ4_NL", good().tensor("t", {32}, 20, 0).pad().data(32).bytes(), "IQ4_NL"},
      {"unknown element type", good().tensor("t", {32}, 200, 0).pad().data(32).bytes(), "unknown element type 200"},
      {"same tensor twice", good(2).tensor("t", {8}, 0, 0).tensor("t", {8}, 0, 32).pad().data(64).bytes(), "\"t\" occurs twice"},
      {"gap", good(2).tensor("a", {8}, 0, 0).tensor("b", {8}, 0, 64).pad().data(96).bytes(), "\"b\" lies at offset 64 where 32"},
      {"overlap", good(2).tensor("a", {16}, 0, 0).tensor("b", {8}, 0, 32).pad().data(96).bytes(), "where 64"},
      {"first not at 0", good().tensor("a", {8}, 0, 32).pad().data(96).bytes(), "where 0"},
      {"data cut", good().tensor("a", {9}, 0, 0).pad().data(35).bytes(), "needs 36 bytes"},
      {"no data", good().tensor("a", {8}, 0, 0).bytes(), "needs 32 bytes"},
      {"fewer tensors than promised", good(2).tensor("a", {8}, 0, 0).bytes(), "the length of a tensor's name needs 8 bytes"},
  };
}

TEST(GgufReader, EveryBrokenRuleIsOneSentence) {
  const test::TemporaryFolder folder;
  for (const auto& [what, bytes, sentence] : broken_files()) {
    const auto file = folder.path() / "broken.gguf";
    write_file_atomically(file, bytes);
    try {
      GgufFile::open(file);
      ADD_FAILURE() << what << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_file) << what;
      EXPECT_THAT(error.what(), AllOf(HasSubstr(file.string()), HasSubstr(sentence))) << what;
    }
  }
}

TEST(GgufReader, TakesVersion2AndOtherAlignments) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "a.gguf";
  GgufBytes()
      .header(2, 1, 2)
      .u32_value("general.alignment", 128)
      .tensor("a", {3}, 0, 0)
      .tensor("b", {2}, 0, 128)
      .pad(128)
      .data(12, 'x')
      .pad(128)
      .data(8, 'y')
      .write(file);
  const auto read = GgufFile::open(file);
  EXPECT_EQ(read.version(), 2u);
  EXPECT_EQ(char(read.find("a")->bytes[11]), 'x');
  EXPECT_EQ(char(read.find("b")->bytes[0]), 'y');
  // Written again, the offsets are those of the default alignment.
  GgufWriter writer;
  for (const auto& [key, value] : read.metadata()) writer.copy(key, value);
  for (const auto& tensor : read.tensors()) writer.add(tensor.name, tensor.dtype, tensor.shape, {tensor.bytes.begin(), tensor.bytes.end()});
  writer.write(folder.path() / "b.gguf");
  EXPECT_EQ(char(GgufFile::open(folder.path() / "b.gguf").find("b")->bytes[0]), 'y');
}

TEST(GgufReader, AMissingFileAndAFolderAreNamed) {
  EXPECT_THROW(GgufFile::open("/nonexistent/a.gguf"), Error);
  const test::TemporaryFolder folder;
  EXPECT_THROW(GgufFile::open(folder.path()), Error);
}

TEST(Blocks, EqualGgmlsBytes) {
  const struct {
    const char* name;
    DType type;
  } cases[] = {{"q4_0_64", DType::q4_0}, {"q5_0_64", DType::q5_0}, {"q8_0_64", DType::q8_0}};
  for (const auto& [name, type] : cases) {
    const auto folder = test::data("ggml-quant-vectors");
    const auto input = read_file(folder / (std::string(name) + "_noim_input.bin")),
               expected = read_file(folder / (std::string(name) + "_noim_expected.bin"));
    std::vector<float> values(input.size() / 4);
    std::memcpy(values.data(), input.data(), input.size());
    const auto encoded = encode_blocks(type, values.data(), values.size());
    ASSERT_EQ(encoded.size(), expected.size());
    EXPECT_EQ(std::memcmp(encoded.data(), expected.data(), encoded.size()), 0) << name;
  }
}

TEST(Blocks, EveryTypeComesBackWithinItsStep) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> values(320);
  for (auto& value : values) value = normal(random);
  std::fill(values.begin() + 32, values.begin() + 64, 0.0f);
  std::fill(values.begin() + 64, values.begin() + 96, 0.75f);
  std::fill(values.begin() + 96, values.begin() + 128, 1e-40f);
  const struct {
    DType type;
    double steps;  // of the block's range
  } cases[] = {{DType::q4_0, 8},       {DType::q4_1, 15 * 2}, {DType::q5_0, 16},  {DType::q5_1, 31 * 2},
               {DType::q8_0, 127 * 2}, {DType::f16, 2048},    {DType::bf16, 256}, {DType::f32, 1e9}};
  for (const auto& [type, steps] : cases) {
    const auto encoded = encode_blocks(type, values.data(), values.size());
    std::vector<float> decoded(values.size());
    to_float(type, encoded.data(), values.size(), decoded.data());
    for (std::size_t block = 0; block < values.size(); block += 32) {
      const auto [low, high] = std::minmax_element(values.begin() + long(block), values.begin() + long(block) + 32);
      // The range of a block with a minimum is its own; of a symmetric one its largest magnitude. Scales are float16.
      const bool has_minimum = type == DType::q4_1 || type == DType::q5_1;
      const double largest = std::max(std::fabs(*low), std::fabs(*high)), range = has_minimum ? double(*high) - double(*low) : largest;
      for (std::size_t i = block; i < block + 32; ++i)
        ASSERT_NEAR(decoded[i], values[i], range / steps * 1.001 + largest * 1.5e-3 * (type != DType::f32) + 1e-7)
            << name(type) << " " << i;
    }
  }
}

TEST(Blocks, RefuseWhatTheyCannotHold) {
  std::vector<float> values(32, 1.0f);
  values[5] = NAN;
  EXPECT_THROW(encode_blocks(DType::q4_0, values.data(), 32), Error);
  values[5] = 3e6f;  // its scale is beyond float16
  EXPECT_THROW(encode_blocks(DType::q4_0, values.data(), 32), Error);
  values[5] = 1;
  EXPECT_THROW(encode_blocks(DType::i8, values.data(), 32), Error);
}

}  // namespace
}  // namespace lrc

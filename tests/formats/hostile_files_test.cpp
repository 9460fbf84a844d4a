// Files by somebody who wants the program to crash, hang or eat the memory.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <new>
#include <random>

#include "base/error.h"
#include "base/files.h"
#include "formats/checkpoint.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "support/test_data.h"

namespace {
// Every allocation of this program goes through here while it is measured.
std::atomic<bool> measuring{false};
std::atomic<std::size_t> live{0}, peak{0};

void count(std::size_t bytes) {
  const std::size_t now = live += bytes;
  std::size_t seen = peak;
  while (seen < now && !peak.compare_exchange_weak(seen, now)) {
  }
}
}  // namespace

void* operator new(std::size_t bytes) {
  // Refused instead of tried: a reader that asks for this has believed what a file says about itself.
  if (measuring && bytes > (std::size_t(1) << 30)) throw std::bad_alloc();
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (!memory) throw std::bad_alloc();
  if (measuring) count(malloc_usable_size(memory));
  return memory;
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return operator new(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept {
  if (measuring && memory) live -= std::min(live.load(), malloc_usable_size(memory));
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { operator delete(memory); }

namespace lrc {
namespace {

/// Runs `action`, which may throw Error and nothing else; gives the most memory that it held at a time.
template <typename Action>
std::size_t peak_of(Action action, bool& accepted) {
  live = 0;
  peak = 0;
  measuring = true;
  accepted = true;
  try {
    action();
  } catch (const Error&) {
    accepted = false;
  } catch (...) {
    measuring = false;
    throw;
  }
  measuring = false;
  return peak;
}

/// What a file of this size may cost: names and numbers widen a few times when they are kept.
std::size_t allowance(std::size_t file_bytes) { return 64 * 1024 + 64 * file_bytes; }

/// Without the flush to the disk of the real thing: thousands of small files are written here.
void write_quickly(const std::filesystem::path& file, std::string_view bytes) {
  std::ofstream(file, std::ios::binary | std::ios::trunc).write(bytes.data(), std::streamsize(bytes.size()));
}

void read_everything(const std::filesystem::path& path) {
  const auto checkpoint = open_checkpoint(path);
  std::vector<float> row;
  for (const auto& tensor : checkpoint->tensors()) {
    if (!is_float_like(tensor.dtype)) continue;
    row.resize(tensor.columns());
    for (std::size_t i = 0; i < tensor.rows(); ++i) checkpoint->read_rows(tensor, i, 1, row.data());
  }
}

TEST(HostileGguf, TheWholeCorpusCostsNoMoreThanItsSize) {
  std::size_t files = 0, accepted_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test::data("malformed-gguf"))) {
    bool accepted = false;
    const auto memory = peak_of([&] { GgufFile::open(entry.path()); }, accepted);
    EXPECT_LE(memory, allowance(entry.file_size())) << entry.path();
    accepted_files += accepted;
    peak_of([&] { read_everything(entry.path()); }, accepted);
    EXPECT_FALSE(accepted) << entry.path() << " is no model";
    ++files;
  }
  EXPECT_EQ(files, 113u);
  EXPECT_LT(accepted_files, files / 2) << "a reader that takes most of these checks too little";
}

TEST(HostileGguf, CutAnywhere) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "cut.gguf";
  const auto whole = read_file(test::data("models/llama-tied/llama-tied-q8_0-q4_0.gguf"));
  std::vector<std::size_t> lengths;
  for (std::size_t i = 0; i < 1500; ++i) lengths.push_back(i);                                // inside the header
  for (std::size_t i = 1500; i < whole.size() - 32; i += 499) lengths.push_back(i);           // vocabulary, infos, data
  for (std::size_t i = whole.size() - 200; i < whole.size() - 32; ++i) lengths.push_back(i);  // the last tensor
  for (const auto length : lengths) {
    write_quickly(file, std::string_view(whole).substr(0, length));
    bool accepted = false;
    const auto memory = peak_of([&] { GgufFile::open(file); }, accepted);
    ASSERT_FALSE(accepted) << "cut after " << length << " of " << whole.size();
    ASSERT_LE(memory, allowance(length)) << length;
  }
}

/// Flips bits, overwrites with extreme numbers, cuts and doubles; the seed is fixed.
std::string damaged(const std::string& whole, std::size_t interesting, std::mt19937& random) {
  std::string bytes = whole;
  const int changes = 1 + int(random() % 4);
  for (int i = 0; i < changes; ++i) {
    // Most changes hit the part that tells sizes and offsets.
    const std::size_t reach = random() % 8 == 0 ? bytes.size() : std::min(bytes.size(), interesting);
    const std::size_t place = random() % reach;
    switch (random() % 4) {
      case 0:
        bytes[place] = char(bytes[place] ^ (1 << random() % 8));
        break;
      case 1:
        bytes[place] = char(random());
        break;
      case 2:
        for (std::size_t k = place; k < std::min(place + 8, bytes.size()); ++k) bytes[k] = char(0xff);
        break;
      default:
        bytes[place] = char(random() % 2 ? 0x7f : 0x00);
    }
  }
  return bytes;
}

TEST(HostileGguf, ThousandsOfDamagedFiles) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "damaged.gguf";
  GgufWriter writer;
  const auto original = GgufFile::open(test::data("models/llama-tied/llama-tied-q8_0-q4_0.gguf"));
  for (const auto& [key, value] : original.metadata())
    if (key.find("tokenizer") == std::string::npos) writer.copy(key, value);
  writer.set("tokenizer.ggml.model", "llama");
  writer.set_strings("tokenizer.ggml.tokens", {"a", "b", "<s>"});
  writer.set_f32s("tokenizer.ggml.scores", {0, 1, 2});
  writer.set_i32s("tokenizer.ggml.token_type", {1, 1, 3});
  const std::vector<float> ones(96 * 64, 0.5f);
  for (const auto& [name, type] :
       {std::pair{"blk.0.attn_q.weight", DType::q4_0}, {"blk.0.attn_k.weight", DType::q8_0}, {"token_embd.weight", DType::f16}})
    writer.add(name, type, {96, 64}, encode_blocks(type, ones.data(), ones.size()));
  writer.write(file);
  const auto whole = read_file(file);
  std::mt19937 random(20);
  std::size_t accepted_files = 0;
  for (int i = 0; i < 1500; ++i) {
    const auto bytes = damaged(whole, 1600, random);
    write_quickly(file, bytes);
    bool accepted = false;
    const auto memory = peak_of([&] { read_everything(file); }, accepted);
    ASSERT_LE(memory, allowance(bytes.size())) << i;
    accepted_files += accepted;
  }
  EXPECT_GT(accepted_files, 0u) << "some damage only changes a value";
}

TEST(HostileSafetensors, DamagedAndCut) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "model.safetensors";
  write_quickly(folder.path() / "config.json", R"({"model_type":"llama"})");
  SafetensorsWriter writer;
  writer.add("model.embed_tokens.weight", MatrixF(8, 4, 1.0f));
  writer.add_half("model.norm.weight", MatrixF(1, 4, 2.0f));
  writer.add_codes("codes", {3}, std::vector<std::int8_t>{1, 2, 3});
  writer.set_metadata("format", "pt");
  writer.write(file);
  const auto whole = read_file(file);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write_quickly(file, std::string_view(whole).substr(0, length));
    bool accepted = false;
    peak_of([&] { read_everything(folder.path()); }, accepted);
    ASSERT_FALSE(accepted) << length;
  }
  std::mt19937 random(21);
  for (int i = 0; i < 1500; ++i) {
    const auto bytes = damaged(whole, 320, random);
    write_quickly(file, bytes);
    bool accepted = false;
    const auto memory = peak_of([&] { read_everything(folder.path()); }, accepted);
    ASSERT_LE(memory, allowance(bytes.size()) + 64 * 1024) << i;
  }
}

TEST(HostileSafetensors, AHeaderOfBracketsCostsNothing) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "deep.safetensors";
  for (const std::string piece : {"[", "{\"a\":", "{\"a\":{\"shape\":[", "{\"__metadata__\":{\"a\":\"b\",\"a\":"}) {
    std::string json = "{\"t\":";
    while (json.size() < 200000) json += piece;
    const std::uint64_t length = json.size();
    write_quickly(file, std::string(reinterpret_cast<const char*>(&length), 8) + json);
    bool accepted = false;
    const auto memory = peak_of([&] { SafetensorsFile::open(file); }, accepted);
    EXPECT_FALSE(accepted);
    EXPECT_LE(memory, allowance(0)) << piece;
  }
}

}  // namespace
}  // namespace lrc

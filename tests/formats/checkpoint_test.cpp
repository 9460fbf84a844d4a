#include "formats/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "formats/gguf.h"
#include "formats/gguf_names.h"
#include "formats/safetensors.h"
#include "support/test_data.h"

namespace lrc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string refusal(const std::function<void()>& action, ErrorKind kind) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

std::set<std::string> names_of(const Checkpoint& checkpoint) {
  std::set<std::string> names;
  for (const auto& tensor : checkpoint.tensors()) names.insert(tensor.name);
  return names;
}

TEST(GgufCheckpoint, Float32EqualsTheFolderItWasMadeOf) {
  const auto gguf = open_checkpoint(test::data("models/llama-tied/llama-tied-f32.gguf")),
             folder = open_checkpoint(test::data("models/llama-tied/hf"));
  EXPECT_TRUE(gguf->is_gguf());
  EXPECT_FALSE(folder->is_gguf());
  EXPECT_EQ(names_of(*gguf), names_of(*folder));
  for (const auto& tensor : folder->tensors()) {
    EXPECT_EQ(gguf->get(tensor.name).shape, tensor.shape) << tensor.name;
    EXPECT_EQ(gguf->read_matrix(tensor.name), folder->read_matrix(tensor.name)) << tensor.name;
  }
  // Rows one by one, and across the border between heads, are those of the whole.
  const auto& q = gguf->get("model.layers.1.self_attn.q_proj.weight");
  EXPECT_EQ(q.stored_name, "blk.1.attn_q.weight");
  EXPECT_EQ(q.file_name, "llama-tied-f32.gguf");
  const auto whole = folder->read_matrix(q.name);
  std::vector<float> rows(5 * q.columns());
  gguf->read_rows(q, 30, 5, rows.data());
  EXPECT_TRUE(std::equal(rows.begin(), rows.end(), whole.row(30)));
  for (const char* key :
       {"model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size",
        "max_position_embeddings", "vocab_size", "tie_word_embeddings", "bos_token_id", "eos_token_id"})
    EXPECT_EQ(gguf->config()[key], folder->config()[key]) << key;
  EXPECT_EQ(gguf->config()["rms_norm_eps"].get<float>(), folder->config()["rms_norm_eps"].get<float>());
  EXPECT_EQ(gguf->config()["rope_theta"], folder->config()["rope_parameters"]["rope_theta"]);
}

/// The largest error of a row of blocks of 32, relative to the block's largest value.
void expect_close(const Checkpoint& gguf, const Checkpoint& folder, double of_q4_0, double of_q8_0, double of_f16) {
  for (const auto& tensor : folder.tensors()) {
    const auto exact = folder.read_matrix(tensor.name), stored = gguf.read_matrix(tensor.name);
    const auto type = gguf.get(tensor.name).dtype;
    const double bound = type == DType::q4_0 ? of_q4_0 : type == DType::q8_0 ? of_q8_0 : type == DType::f16 ? of_f16 : 0.0;
    ASSERT_EQ(exact.size(), stored.size());
    const std::size_t block = std::min<std::size_t>(32, exact.columns());
    for (std::size_t first = 0; first < exact.size(); first += block) {
      double largest = 0;
      for (std::size_t i = first; i < first + block; ++i) largest = std::max(largest, std::fabs(double(exact.data()[i])));
      for (std::size_t i = first; i < first + block; ++i)
        ASSERT_NEAR(exact.data()[i], stored.data()[i], bound * largest) << tensor.name << " " << i;
    }
  }
}

TEST(GgufCheckpoint, QuantizedTensorsStayWithinTheirStep) {
  expect_close(*open_checkpoint(test::data("models/llama-tied/llama-tied-q8_0-q4_0.gguf")),
               *open_checkpoint(test::data("models/llama-tied/hf")), 0.126, 0.0045, 0);
  expect_close(*open_checkpoint(test::data("models/llama-untied-rope3/llama-untied-rope3-f16.gguf")),
               *open_checkpoint(test::data("models/llama-untied-rope3/hf")), 0, 0, 0x1p-11);
}

TEST(GgufCheckpoint, RopeFactorsAndUntiedHead) {
  const auto checkpoint = open_checkpoint(test::data("models/llama-untied-rope3/llama-untied-rope3-f16.gguf"));
  EXPECT_EQ(checkpoint->get("rope_freqs.weight").shape, (std::vector<std::size_t>{8}));
  EXPECT_EQ(checkpoint->config()["tie_word_embeddings"], false);
  EXPECT_EQ(checkpoint->get("lm_head.weight").stored_name, "output.weight");
  EXPECT_TRUE(checkpoint->config()["rope_scaling"].is_null());
}

TEST(GgufCheckpoint, VocabularyOfSentencePiece) {
  const auto checkpoint = open_checkpoint(test::data("stories260K/stories260K-f16.gguf"));
  ASSERT_TRUE(checkpoint->tokenizer_source().gguf);
  EXPECT_FALSE(checkpoint->tokenizer_source().tokenizer_json);
  const auto& vocabulary = *checkpoint->tokenizer_source().gguf;
  EXPECT_EQ(vocabulary.model, "llama");
  EXPECT_EQ(vocabulary.tokens.size(), 512u);
  EXPECT_EQ(vocabulary.types.size(), 512u);
  EXPECT_EQ(vocabulary.scores.size(), 512u);
  EXPECT_EQ(vocabulary.tokens[1], "<s>");
  EXPECT_EQ(vocabulary.types[1], 3);
  EXPECT_EQ(vocabulary.bos, 1);
  EXPECT_EQ(vocabulary.eos, 2);
}

/// A small llama file to break.
class Builder {
 public:
  Builder() {
    writer.set("general.architecture", "llama");
    writer.set_u32("llama.attention.head_count", 2);
    writer.set_u32("llama.attention.head_count_kv", 1);
  }
  void add(const std::string& name, std::vector<std::size_t> shape, float start = 0) {
    std::size_t count = 1;
    for (const auto size : shape) count *= size;
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = start + float(i);
    std::vector<std::byte> bytes(count * 4);
    std::memcpy(bytes.data(), values.data(), bytes.size());
    writer.add(name, DType::f32, std::move(shape), std::move(bytes));
  }
  std::shared_ptr<const Checkpoint> open() {
    writer.write(folder_.path() / "model.gguf");
    return open_checkpoint(folder_.path() / "model.gguf");
  }
  GgufWriter writer;

 private:
  test::TemporaryFolder folder_;
};

TEST(GgufCheckpoint, RowsOfQAndKAreSortedBackWithinEachHead) {
  Builder builder;
  builder.add("blk.0.attn_q.weight", {8, 1});
  builder.add("blk.0.attn_q.bias", {8});
  builder.add("blk.0.attn_k.weight", {4, 1});
  builder.add("blk.0.attn_v.weight", {4, 1});
  const auto checkpoint = builder.open();
  // Stored: first half at even places. Two heads of 4, one of 4.
  EXPECT_EQ(checkpoint->read_vector("model.layers.0.self_attn.q_proj.weight"), (std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7}));
  EXPECT_EQ(checkpoint->read_vector("model.layers.0.self_attn.q_proj.bias"), (std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7}));
  EXPECT_EQ(checkpoint->read_vector("model.layers.0.self_attn.k_proj.weight"), (std::vector<float>{0, 2, 1, 3}));
  EXPECT_EQ(checkpoint->read_vector("model.layers.0.self_attn.v_proj.weight"), (std::vector<float>{0, 1, 2, 3}));
}

TEST(GgufCheckpoint, OtherArchitecturesAreNotPermuted) {
  Builder builder;
  builder.writer.set("general.architecture", "qwen2");
  builder.add("blk.0.attn_q.weight", {8, 1});
  builder.add("blk.0.something_new.weight", {2});
  const auto checkpoint = builder.open();
  EXPECT_EQ(checkpoint->read_vector("model.layers.0.self_attn.q_proj.weight")[1], 1.0f);
  EXPECT_EQ(checkpoint->config()["model_type"], "qwen2");
  EXPECT_NE(checkpoint->find("blk.0.something_new.weight"), nullptr);
}

TEST(GgufCheckpoint, MetadataBecomeConfigurationKeys) {
  Builder builder;
  builder.writer.set("general.name", std::string("n\xff") + "ame");
  builder.writer.set_u32("llama.attention.key_length", 24);
  builder.writer.set_u32("llama.rope.dimension_count", 12);
  builder.writer.set("llama.rope.scaling.type", "linear");
  builder.writer.set_f32("llama.rope.scaling.factor", 4);
  builder.writer.set_u32("llama.attention.sliding_window", 0);
  builder.writer.set_u32("tokenizer.ggml.eos_token_id", 5);
  builder.writer.set_u32("tokenizer.ggml.eot_token_id", 7);
  builder.add("token_embd.weight", {11, 4});
  const auto config = builder.open()->config();
  EXPECT_EQ(config["general.name"], "n?ame");
  EXPECT_NO_THROW(config.dump());
  EXPECT_EQ(config["head_dim"], 24);
  EXPECT_EQ(config["partial_rotary_factor"], 0.5);
  EXPECT_EQ(config["rope_scaling"].dump(), R"({"rope_type":"linear","factor":4.0})");
  EXPECT_EQ(config["vocab_size"], 11);
  EXPECT_EQ(config["rope_theta"], 10000.0);
  EXPECT_EQ(config["eos_token_id"].dump(), "[5,7]");
  EXPECT_EQ(config["tie_word_embeddings"], true);
  EXPECT_FALSE(config.contains("sliding_window"));
  Builder experts;
  experts.writer.set_u32("llama.expert_count", 8);
  EXPECT_EQ(experts.open()->config()["model_type"], "mixtral");
}

TEST(GgufCheckpoint, RefusesWhatContradictsItself) {
  Builder heads;
  heads.add("blk.0.attn_q.weight", {7, 2});
  EXPECT_THAT(refusal([&] { heads.open(); }, ErrorKind::bad_file), AllOf(HasSubstr("attn_q"), HasSubstr("7 rows")));
  Builder adapter;
  adapter.writer.set("general.type", "adapter");
  EXPECT_THAT(refusal([&] { adapter.open(); }, ErrorKind::bad_input), HasSubstr("adapter"));
  Builder tokens;
  tokens.writer.set("tokenizer.ggml.model", "gpt2");
  tokens.writer.set_i32s("tokenizer.ggml.tokens", {1, 2});
  EXPECT_THAT(refusal([&] { tokens.open(); }, ErrorKind::bad_file), HasSubstr("tokenizer.ggml.tokens"));
}

TEST(GgufCheckpoint, NumbersThatAreNoneAreFoundWhenTheyAreRead) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    Builder builder;
    std::vector<float> values(12, 1.0f);
    values[9] = bad;
    std::vector<std::byte> bytes(48);
    std::memcpy(bytes.data(), values.data(), 48);
    builder.writer.add("blk.0.ffn_up.weight", DType::f32, {3, 4}, bytes);
    const auto checkpoint = builder.open();
    float rows[8];
    const auto& tensor = checkpoint->get("model.layers.0.mlp.up_proj.weight");
    EXPECT_NO_THROW(checkpoint->read_rows(tensor, 0, 2, rows));
    EXPECT_THAT(refusal([&] { checkpoint->read_rows(tensor, 2, 1, rows); }, ErrorKind::bad_file),
                AllOf(HasSubstr("mlp.up_proj"), HasSubstr("blk.0.ffn_up.weight")));
    EXPECT_THROW(checkpoint->read_rows(tensor, 2, 2, rows), Error) << "beyond the last row";
  }
}

TEST(GgufCheckpoint, MergedExpertsAreTakenApart) {
  Builder builder;
  builder.add("blk.0.ffn_gate_exps.weight", {3, 2, 4});
  builder.add("blk.0.ffn_down_exps.weight", {3, 4, 2}, 100);
  builder.add("blk.1.ffn_up.2.weight", {2, 4}, 500);  // as older files keep them
  const auto checkpoint = builder.open();
  EXPECT_EQ(checkpoint->tensors().size(), 7u);
  const auto& gate = checkpoint->get("model.layers.0.block_sparse_moe.experts.1.w1.weight");
  EXPECT_EQ(gate.shape, (std::vector<std::size_t>{2, 4}));
  EXPECT_EQ(gate.stored_name, "blk.0.ffn_gate_exps.weight");
  EXPECT_EQ(checkpoint->read_vector(gate.name), (std::vector<float>{8, 9, 10, 11, 12, 13, 14, 15}));
  EXPECT_EQ(checkpoint->read_vector("model.layers.0.block_sparse_moe.experts.2.w2.weight").front(), 116.0f);
  std::vector<float> row(4);
  checkpoint->read_rows(gate, 1, 1, row.data());
  EXPECT_EQ(row, (std::vector<float>{12, 13, 14, 15}));
  EXPECT_EQ(checkpoint->read_vector("model.layers.1.block_sparse_moe.experts.2.w3.weight").front(), 500.0f);
  EXPECT_THROW(checkpoint->read_rows(gate, 1, 2, row.data()), Error) << "the next expert's rows are not this one's";
}

TEST(GgufCheckpoint, LongRopeFactorsComeAsTensors) {
  Builder builder;
  builder.add("rope_factors_long.weight", {4}, 3);
  EXPECT_FALSE(builder.open()->config().contains("rope_scaling") && builder.open()->config()["rope_scaling"].is_object());
  builder.add("rope_factors_short.weight", {4}, 1);
  const Json scaling = builder.open()->config()["rope_scaling"];
  EXPECT_EQ(scaling["rope_type"], "longrope");
  EXPECT_EQ(scaling["long_factor"], Json({3, 4, 5, 6}));
  EXPECT_EQ(scaling["short_factor"], Json({1, 2, 3, 4}));
}

TEST(GgufNames, GoBothWays) {
  for (const auto& [stored, name] : {std::pair{"token_embd.weight", "model.embed_tokens.weight"},
                                     {"output_norm.weight", "model.norm.weight"},
                                     {"output.weight", "lm_head.weight"},
                                     {"blk.12.attn_norm.weight", "model.layers.12.input_layernorm.weight"},
                                     {"blk.3.ffn_norm.weight", "model.layers.3.post_attention_layernorm.weight"},
                                     {"blk.3.attn_output.weight", "model.layers.3.self_attn.o_proj.weight"},
                                     {"blk.3.attn_k.bias", "model.layers.3.self_attn.k_proj.bias"},
                                     {"blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight"}}) {
    EXPECT_EQ(huggingface_name(stored, "llama"), name);
    EXPECT_EQ(gguf_name(name, "llama"), stored);
  }
  EXPECT_EQ(huggingface_name("blk.0.ffn_up.weight", "phi3"), "model.layers.0.mlp.gate_up_proj.weight");
  EXPECT_EQ(expert_name("blk.4.ffn_up_exps.weight", 7), "model.layers.4.block_sparse_moe.experts.7.w3.weight");
  for (const char* other : {"blk.4.ffn_up.weight", "blk.4.attn_q_exps.weight", "blk.4.ffn_up_exps.bias", "ffn_up_exps.weight"})
    EXPECT_EQ(expert_name(other, 0), std::nullopt) << other;
  for (const char* other :
       {"rope_freqs.weight", "blk.x.attn_q.weight", "blk.1.attn_q", "blk.1.attn_q.scale", "blk..attn_q.weight", "weight", ""})
    EXPECT_EQ(huggingface_name(other, "llama"), other);
  EXPECT_EQ(gguf_name("model.layers.0.self_attn.rotary_emb.inv_freq", "llama"), std::nullopt);
}

void write_config(const std::filesystem::path& folder, const std::string& text = R"({"model_type":"llama","eos_token_id":2})") {
  write_file_atomically(folder / "config.json", text);
}

SafetensorsWriter one_tensor(const std::string& name, float value) {
  SafetensorsWriter writer;
  writer.add(name, MatrixF(2, 2, value));
  return writer;
}

TEST(HuggingFaceCheckpoint, ShardsAreReadThroughTheirIndex) {
  const test::TemporaryFolder folder;
  write_config(folder.path());
  one_tensor("a", 1).write(folder.path() / "model-00001-of-00002.safetensors");
  one_tensor("b", 2).write(folder.path() / "model-00002-of-00002.safetensors");
  const auto index = folder.path() / "model.safetensors.index.json";
  write_file_atomically(index, R"({"weight_map":{"b":"model-00002-of-00002.safetensors","a":"model-00001-of-00002.safetensors"}})");
  const auto checkpoint = open_checkpoint(folder.path());
  EXPECT_EQ(checkpoint->read_vector("a"), std::vector<float>(4, 1.0f));
  EXPECT_EQ(checkpoint->read_vector("b"), std::vector<float>(4, 2.0f));
  EXPECT_EQ(checkpoint->get("b").file_name, "model-00002-of-00002.safetensors");
  EXPECT_EQ(checkpoint->file_bytes(), std::filesystem::file_size(folder.path() / "model-00001-of-00002.safetensors") * 2);
  EXPECT_THAT(refusal([&] { checkpoint->get("c"); }, ErrorKind::bad_file), HasSubstr("\"c\""));

  const auto open = [&] { open_checkpoint(folder.path()); };
  write_file_atomically(index, R"({"weight_map":{"c":"model-00002-of-00002.safetensors"}})");
  EXPECT_THAT(refusal(open, ErrorKind::bad_file), AllOf(HasSubstr("\"c\""), HasSubstr("lacks it")));
  write_file_atomically(index, R"({"weight_map":{"a":"model-00003-of-00002.safetensors"}})");
  EXPECT_THAT(refusal(open, ErrorKind::not_found), HasSubstr("model-00003"));
  for (const std::string way_out : {"../model-00001-of-00002.safetensors", "/etc/passwd", "..", ""}) {
    write_file_atomically(index, R"({"weight_map":{"a":")" + way_out + "\"}}");
    EXPECT_THAT(refusal(open, ErrorKind::bad_file), HasSubstr("no file name")) << way_out;
  }
  for (const std::string text : {"[]", "{}", R"({"weight_map":3})"}) {
    write_file_atomically(index, text);
    EXPECT_THAT(refusal(open, ErrorKind::bad_file), HasSubstr("weight_map")) << text;
  }
}

TEST(HuggingFaceCheckpoint, WhatIsMissingIsNamed) {
  const test::TemporaryFolder folder;
  const auto open = [&] { open_checkpoint(folder.path()); };
  EXPECT_THAT(refusal(open, ErrorKind::not_found), HasSubstr("config.json"));
  write_config(folder.path());
  EXPECT_THAT(refusal(open, ErrorKind::not_found), HasSubstr("model.safetensors"));
  write_file_atomically(folder.path() / "pytorch_model.bin", "x");
  EXPECT_THAT(refusal(open, ErrorKind::not_found), HasSubstr("PyTorch"));
  one_tensor("a", 1).write(folder.path() / "model.safetensors");
  EXPECT_NO_THROW(open());
  write_config(folder.path(), "[]");
  EXPECT_THAT(refusal(open, ErrorKind::bad_file), HasSubstr("config.json"));
  write_config(folder.path(), "{\"model_type\":");
  EXPECT_THAT(refusal(open, ErrorKind::bad_file), HasSubstr("config.json"));
  EXPECT_THAT(refusal([&] { open_checkpoint(folder.path() / "model.safetensors"); }, ErrorKind::bad_input), HasSubstr("open its folder"));
  EXPECT_THAT(refusal([&] { open_checkpoint(folder.path() / "pytorch_model.bin"); }, ErrorKind::bad_input), HasSubstr("not a GGUF file"));
  EXPECT_THAT(refusal([] { open_checkpoint("/nonexistent/model"); }, ErrorKind::not_found), HasSubstr("/nonexistent/model"));
}

TEST(HuggingFaceCheckpoint, ChatTemplatesInAllThreePlaces) {
  const test::TemporaryFolder folder;
  write_config(folder.path());
  one_tensor("a", 1).write(folder.path() / "model.safetensors");
  const auto chat_template = [&] { return open_checkpoint(folder.path())->tokenizer_source().chat_template; };
  EXPECT_EQ(chat_template(), std::nullopt);
  const auto file = folder.path() / "tokenizer_config.json";
  write_file_atomically(file, R"({"chat_template":"one"})");
  EXPECT_EQ(chat_template(), "one");
  write_file_atomically(file, R"({"chat_template":[{"name":"rag","template":"r"},{"name":"default","template":"d"}]})");
  EXPECT_EQ(chat_template(), "d");
  write_file_atomically(file, R"({"chat_template":[{"name":"rag","template":"r"},3,{"name":"default"}]})");
  EXPECT_EQ(chat_template(), "r");
  write_file_atomically(file, R"({"chat_template":7})");
  EXPECT_EQ(chat_template(), std::nullopt);
  write_file_atomically(folder.path() / "chat_template.jinja", "own");
  EXPECT_EQ(chat_template(), "own");
}

TEST(HuggingFaceCheckpoint, EndTokensOfBothFilesCount) {
  const test::TemporaryFolder folder;
  write_config(folder.path());
  one_tensor("a", 1).write(folder.path() / "model.safetensors");
  write_file_atomically(folder.path() / "generation_config.json", R"({"eos_token_id":[2,32007,"x"]})");
  EXPECT_EQ(open_checkpoint(folder.path())->config()["eos_token_id"].dump(), "[2,32007]");
  write_file_atomically(folder.path() / "generation_config.json", R"({"eos_token_id":2})");
  EXPECT_EQ(open_checkpoint(folder.path())->config()["eos_token_id"].dump(), "2");
}

class CheckpointHash : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* before = getenv("XDG_CACHE_HOME");
    if (before) kept_ = before;
    setenv("XDG_CACHE_HOME", (folder.path() / "cache").c_str(), 1);
  }
  void TearDown() override {
    if (kept_)
      setenv("XDG_CACHE_HOME", kept_->c_str(), 1);
    else
      unsetenv("XDG_CACHE_HOME");
  }
  test::TemporaryFolder folder;

 private:
  std::optional<std::string> kept_;
};

TEST_F(CheckpointHash, OfAFileIsRememberedUntilTheFileChanges) {
  const auto file = folder.path() / "model.gguf";
  std::filesystem::copy_file(test::data("stories260K/stories260K-f16.gguf"), file);
  const auto expected = sha256_of_file(file);
  EXPECT_EQ(open_checkpoint(file)->sha256(), expected);
  const auto memory = folder.path() / "cache" / "lrc-workbench" / "hashes";
  ASSERT_EQ(std::distance(std::filesystem::directory_iterator(memory), std::filesystem::directory_iterator()), 1);
  const auto note = std::filesystem::directory_iterator(memory)->path();
  EXPECT_EQ(read_file(note), expected);
  // What is remembered is used: a second reading of the file would not give this.
  const std::string other(64, 'a');
  write_file_atomically(note, other);
  EXPECT_EQ(open_checkpoint(file)->sha256(), other);
  // A damaged note is not.
  write_file_atomically(note, "not a hash");
  EXPECT_EQ(open_checkpoint(file)->sha256(), expected);
  // Nor is that of another time: a changed byte near the end, at the same size.
  write_file_atomically(note, other);
  {
    std::fstream change(file, std::ios::in | std::ios::out | std::ios::binary);
    change.seekp(-1000, std::ios::end);
    change.put('\x01');
  }
  std::filesystem::last_write_time(file, std::filesystem::last_write_time(file) + std::chrono::seconds(1));
  const auto changed = open_checkpoint(file)->sha256();
  EXPECT_EQ(changed, sha256_of_file(file));
  EXPECT_NE(changed, expected);
}

TEST_F(CheckpointHash, OfAFolderIsOverItsSortedFiles) {
  write_config(folder.path());
  one_tensor("a", 1).write(folder.path() / "model.safetensors");
  const std::string lines = "config.json " + sha256_of_file(folder.path() / "config.json") + "\nmodel.safetensors " +
                            sha256_of_file(folder.path() / "model.safetensors") + "\n";
  EXPECT_EQ(open_checkpoint(folder.path())->sha256(), sha256_of(lines));
}

TEST_F(CheckpointHash, ACacheThatCannotBeWrittenIsNoObstacle) {
  write_file_atomically(folder.path() / "cache", "a file where the folder should be");
  const auto file = test::data("stories260K/stories260K-f16.gguf");
  EXPECT_EQ(open_checkpoint(file)->sha256(), sha256_of_file(file));
}

TEST(SampleModel, OpensByHeadersAndReadsExactly) {
  const auto file = test::sample_model();
  if (file.empty()) GTEST_SKIP() << "The sample model is not in the cache folder; tests/run.sh downloads it.";
  const auto checkpoint = open_checkpoint(file);
  EXPECT_EQ(checkpoint->tensors().size(), 272u);
  EXPECT_EQ(checkpoint->config()["hidden_size"], 576);
  EXPECT_EQ(checkpoint->config()["head_dim"], 64);
  EXPECT_EQ(checkpoint->tokenizer_source().gguf->pre, "smollm");
  EXPECT_TRUE(checkpoint->tokenizer_source().chat_template);
  // Any row equals the same row of the whole, and values lie on the Q4_1 grid of their block: at most 16 different ones.
  const auto& down = checkpoint->get("model.layers.7.mlp.down_proj.weight");
  EXPECT_EQ(down.dtype, DType::q4_1);
  std::vector<float> row(down.columns());
  checkpoint->read_rows(down, 100, 1, row.data());
  for (std::size_t block = 0; block < row.size(); block += 32)
    EXPECT_LE(std::set<float>(row.begin() + long(block), row.begin() + long(block) + 32).size(), 16u);
}

}  // namespace
}  // namespace lrc

// Opening: what is read, what contradicts itself, what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/files.h"
#include "model/load_tokenizer.h"
#include "support/test_data.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string problem(const std::filesystem::path& path, ErrorKind kind) {
  try {
    Model::open(path);
  } catch (const Error& error) {
    return error.kind() == kind ? error.what() : "another kind: " + std::string(error.what());
  }
  return "no error";
}

TEST(Model, LayersInOrderWithTheirShapes) {
  TemporaryFolder folder;
  const ModelWeights weights = tiny_weights({.tied = false});
  write_checkpoint(folder.path(), weights);
  const auto model = Model::open(folder.path());
  ASSERT_EQ(model->layers().size(), 21u);
  EXPECT_EQ(model->layers()[0].name, "model.layers.0.self_attn.q_proj");
  EXPECT_EQ(model->layers()[20].name, "model.layers.2.mlp.down_proj");
  EXPECT_EQ(model->layers()[8].role, Role::k_proj);
  EXPECT_EQ(model->layers()[8].out_features, 32u);
  EXPECT_EQ(model->layers()[8].in_features, 48u);
  EXPECT_EQ(model->layers()[10].in_features, 96u) << "o_proj reads all heads, which is not the hidden size";
  EXPECT_EQ(model->find_layer("model.layers.9.mlp.down_proj"), nullptr);
  EXPECT_EQ(model->display_name(), folder.path().filename().string());
  // q and o 96x48, k and v 32x48, three of 80x48, in three blocks.
  EXPECT_EQ(model->linear_parameters(), 3u * 48 * (2 * 96 + 2 * 32 + 3 * 80));
  EXPECT_EQ(model->parameters(), model->linear_parameters() + 2 * 120 * 48 + 7 * 48);

  const ModelWeights loaded = load_weights(*model);
  EXPECT_EQ(loaded.embedding, weights.embedding);
  EXPECT_EQ(loaded.head, weights.head);
  EXPECT_EQ(loaded.final_norm, weights.final_norm);
  for (std::size_t b = 0; b < 3; ++b) {
    EXPECT_EQ(loaded.blocks[b].mlp_norm, weights.blocks[b].mlp_norm);
    for (const Role role : llama_roles) EXPECT_EQ(loaded.blocks[b].linear(role).weight, weights.blocks[b].linear(role).weight);
  }
  std::vector<bool> wanted(21, false);
  wanted[9] = true;
  const ModelWeights one = load_weights(*model, wanted);
  EXPECT_EQ(one.blocks[1].linear(Role::v_proj).weight, weights.blocks[1].linear(Role::v_proj).weight);
  EXPECT_TRUE(one.blocks[1].linear(Role::k_proj).weight.empty());
  EXPECT_EQ(one.blocks[1].linear(Role::k_proj).info.name, "model.layers.1.self_attn.k_proj");
}

TEST(Model, ContradictionsNameBothSides) {
  struct Contradiction {
    const char* key;
    Json value;
    const char* tensor;
  };
  for (const Contradiction& item :
       {Contradiction{"intermediate_size", 96, "mlp.gate_proj.weight"}, Contradiction{"num_key_value_heads", 3, "self_attn.k_proj.weight"},
        Contradiction{"head_dim", 8, "self_attn.q_proj.weight"}, Contradiction{"vocab_size", 121, "model.embed_tokens.weight"},
        Contradiction{"hidden_size", 64, "model.embed_tokens.weight"}}) {
    TemporaryFolder folder;
    write_checkpoint(folder.path(), tiny_weights(), [&](Json& config) { config[item.key] = item.value; });
    EXPECT_THAT(problem(folder.path(), ErrorKind::bad_file),
                AllOf(HasSubstr(item.tensor), HasSubstr(std::string(item.key) + " " + item.value.dump()), HasSubstr("model.safetensors")));
  }
}

TEST(Model, TensorsThatAreNotThere) {
  TemporaryFolder folder;
  write_checkpoint(folder.path(), tiny_weights(), [](Json& config) { config["num_hidden_layers"] = 4; });
  EXPECT_THAT(problem(folder.path(), ErrorKind::bad_file), HasSubstr("model.layers.3."));
  write_checkpoint(folder.path(), tiny_weights(), [](Json& config) { config["tie_word_embeddings"] = false; });
  EXPECT_THAT(problem(folder.path(), ErrorKind::bad_file), HasSubstr("lm_head.weight"));
  // A file that does not say whether its head is tied is believed by what it holds.
  write_checkpoint(folder.path(), tiny_weights(), [](Json& config) { config.erase("tie_word_embeddings"); });
  EXPECT_TRUE(Model::open(folder.path())->config().tied_embeddings);
  write_checkpoint(folder.path(), tiny_weights({.tied = false}), [](Json& config) { config.erase("tie_word_embeddings"); });
  EXPECT_FALSE(Model::open(folder.path())->config().tied_embeddings);
}

TEST(Model, EpsilonComesFromTheFile) {
  TemporaryFolder folder;
  const ModelWeights weights = tiny_weights();
  write_checkpoint(folder.path(), weights, [](Json& config) { config["rms_norm_eps"] = 0.5; });
  const ModelWeights loaded = load_weights(*Model::open(folder.path()));
  const auto ids = random_ids(5, weights.config.vocabulary, 1);
  Transformer usual = on_cpu(weights), large = on_cpu(loaded);
  EXPECT_GT(largest_difference(all_logits(usual, ids), all_logits(large, ids)), 0.05);
}

TEST(Model, OpensWithoutReadingWeights) {
  // A sparse file of 6 GiB: opening must neither copy nor look at the values (and a block of zeros would load, slowly).
  TemporaryFolder folder;
  write_checkpoint(folder.path(), tiny_weights());
  const std::size_t vocabulary = std::size_t(32) << 20, hidden = 48;
  Json config = read_json_file(folder.path() / "config.json");
  config["vocab_size"] = vocabulary;
  write_file_atomically(folder.path() / "config.json", config.dump());
  std::string header = "{";
  std::size_t offset = 0;
  const auto add = [&](const std::string& name, std::size_t rows, std::size_t columns) {
    const std::size_t bytes = rows * columns * 4;
    header += (header.size() > 1 ? "," : "") + ("\"" + name + "\"") + ":{\"dtype\":\"F32\",\"shape\":" +
              (rows == 1 ? "[" + std::to_string(columns) + "]" : "[" + std::to_string(rows) + "," + std::to_string(columns) + "]") +
              ",\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(offset + bytes) + "]}";
    offset += bytes;
  };
  const Architecture& llama = find_architecture("llama");
  const ModelConfig shapes = tiny_config();
  add("model.embed_tokens.weight", vocabulary, hidden);
  add("model.norm.weight", 1, hidden);
  for (std::size_t b = 0; b < 3; ++b) {
    add(llama.attention_norm_name(b) + ".weight", 1, hidden);
    add(llama.mlp_norm_name(b) + ".weight", 1, hidden);
    for (const Role role : llama_roles) {
      const auto [out, in] = llama.layer_shape(shapes, role);
      add(llama.layer_name(b, role) + ".weight", out, in);
    }
  }
  header += "}";
  while (header.size() % 8 != 0) header += ' ';
  std::string start(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) start[i] = char((header.size() >> (8 * i)) & 0xFF);
  const auto file = folder.path() / "model.safetensors";
  write_file_atomically(file, start + header);
  std::filesystem::resize_file(file, 8 + header.size() + offset);
  const auto model = Model::open(folder.path());
  EXPECT_EQ(model->layers().size(), 21u);
  EXPECT_EQ(model->config().vocabulary, vocabulary);
  struct ::stat info {};
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_LT(info.st_blocks * 512, 1 << 20) << "the file is sparse and was not filled";
}

TEST(Model, WithoutATokenizerItIsStillGoodForLooking) {
  const auto model = Model::open(data("models/llama-tied/hf"));
  ASSERT_TRUE(model->tokenizer_problem());
  EXPECT_THAT(*model->tokenizer_problem(), HasSubstr("tokenizer"));
  try {
    model->tokenizer();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    EXPECT_EQ(error.what(), *model->tokenizer_problem());
  }
  EXPECT_EQ(model->layers().size(), 21u);
  EXPECT_TRUE(model->chat_template().empty());
}

TEST(Model, GgufFactorsOfTheRotaryFrequencies) {
  const auto model = Model::open(data("models/llama-untied-rope3/llama-untied-rope3-f16.gguf"));
  EXPECT_EQ(model->config().rope_factors.size(), 8u);
  const auto from_folder = Model::open(data("models/llama-untied-rope3/hf"));
  const auto a = make_rope(model->config()).inverse_frequencies, b = make_rope(from_folder->config()).inverse_frequencies;
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-6f * b[i]);
}

GgufVocabulary small_vocabulary() {
  GgufVocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = "smollm";
  vocabulary.tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "a", "b", "ab"};
  vocabulary.types = {3, 3, 3, 1, 1, 1};
  vocabulary.merges = {"a b"};
  vocabulary.eos = 2;
  return vocabulary;
}

TokenizerSpec spec_of(const GgufVocabulary& vocabulary) {
  TokenizerSource source;
  source.gguf = vocabulary;
  ModelConfig config = tiny_config();
  config.eos = {2, 4, 99999, -1};
  return tokenizer_spec(source, config, "x.gguf");
}

TEST(LoadTokenizer, NamesOfPreTokenizers) {
  GgufVocabulary vocabulary = small_vocabulary();
  EXPECT_EQ(spec_of(vocabulary).pre, "smollm");
  EXPECT_FALSE(spec_of(vocabulary).add_bos);
  for (const auto& [given, ours] : std::vector<std::pair<const char*, const char*>>{{"llama-v3", "llama-bpe"},
                                                                                    {"llama-bpe", "llama-bpe"},
                                                                                    {"qwen2", "qwen2"},
                                                                                    {"gpt-2", "gpt-2"},
                                                                                    {"olmo", "gpt-2"},
                                                                                    {"starcoder", "smollm"}}) {
    vocabulary.pre = given;
    EXPECT_EQ(spec_of(vocabulary).pre, ours) << given;
  }
  vocabulary.pre.clear();
  EXPECT_THROW(spec_of(vocabulary), Error) << "never guessed";
  vocabulary.pre = "unheard-of";
  EXPECT_THROW(make_tokenizer(spec_of(vocabulary)), Error);
  vocabulary.model = "rwkv";
  try {
    spec_of(vocabulary);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("x.gguf"), HasSubstr("rwkv")));
  }
}

TEST(LoadTokenizer, StopTokens) {
  const TokenizerSpec spec = spec_of(small_vocabulary());
  EXPECT_EQ(spec.eos, 2);
  // eos, the configuration's own, and control tokens that end a turn; ids outside of the vocabulary are left out.
  EXPECT_THAT(spec.stop, testing::UnorderedElementsAre(0, 2, 4));
}

TEST(LoadTokenizer, BrokenVocabularies) {
  GgufVocabulary vocabulary = small_vocabulary();
  vocabulary.types.pop_back();
  EXPECT_THROW(spec_of(vocabulary), Error);
  vocabulary = small_vocabulary();
  vocabulary.tokens.clear();
  vocabulary.types.clear();
  EXPECT_THROW(spec_of(vocabulary), Error);
  vocabulary = small_vocabulary();
  vocabulary.tokens.resize(500, "x");
  vocabulary.types.resize(500, 1);
  EXPECT_THROW(spec_of(vocabulary), Error) << "more tokens than the embedding has rows";
}

TEST(LoadTokenizer, SentencePieceBeginsWithBosWhereTheFileDoesNotSay) {
  GgufVocabulary vocabulary = small_vocabulary();
  vocabulary.model = "llama";
  vocabulary.pre.clear();
  vocabulary.scores.assign(vocabulary.tokens.size(), 0.0f);
  EXPECT_TRUE(spec_of(vocabulary).add_bos);
  vocabulary.has_add_bos = true;
  EXPECT_FALSE(spec_of(vocabulary).add_bos);
}

}  // namespace
}  // namespace lrc::test

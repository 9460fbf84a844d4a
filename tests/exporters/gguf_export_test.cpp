#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "exporters/example_run.h"
#include "exporters/exporter.h"
#include "exporters/gguf_parts.h"
#include "formats/gguf.h"

namespace lrc {
namespace {

using test::example_run;
using test::ExampleRun;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::HasSubstr;

ExportResult write(const ExampleRun& run, const std::filesystem::path& folder, const ExportOptions& options = {}) {
  Progress progress;
  return find_exporter("gguf").write(run.source(), folder, options, progress, {});
}

std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

MatrixF half_matrix(const GgufTensor& tensor) {
  EXPECT_EQ(tensor.dtype, DType::f16);
  MatrixF matrix(tensor.shape[0], tensor.shape[1]);
  to_float(tensor.dtype, tensor.bytes.data(), matrix.size(), matrix.data());
  return matrix;
}

/// The row order of llama's q and k, said once more: within each head, rows 0, d/2, 1, d/2 + 1, …
std::vector<std::size_t> interleaved(std::size_t rows, std::size_t head_dim) {
  std::vector<std::size_t> order;
  for (std::size_t head = 0; head < rows; head += head_dim)
    for (std::size_t i = 0; i < head_dim / 2; ++i) {
      order.push_back(head + i);
      order.push_back(head + i + head_dim / 2);
    }
  return order;
}

void expect_float_layers_equal(const ExampleRun& run, const std::filesystem::path& base) {
  const auto checkpoint = open_checkpoint(base);
  for (const auto& [info, scheme] : run.layers) {
    const auto& linear = run.weights.blocks[info.block].linear(info.role);
    const auto expected = linear.quantized ? convert<float>(linear.quantized->dequantize()) : linear.weight;
    const auto actual = checkpoint->read_matrix(info.name + ".weight");
    const bool rounded = checkpoint->get(info.name + ".weight").dtype == DType::f16;
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i)
      ASSERT_EQ(actual.data()[i], rounded ? round_to_half(expected.data()[i]) : expected.data()[i]) << info.name << " " << i;
  }
}

TEST(GgufExport, TheWholeWay) {
  const test::TemporaryFolder folder;
  const auto run = example_run(test::stories_gguf());
  const auto out = folder.path() / "new" / "folder";
  std::vector<double> fractions;
  Progress progress([&](const ProgressUpdate& update) { fractions.push_back(update.fraction); });
  const auto result = find_exporter("gguf").write(run.source(), out, {}, progress, {});

  EXPECT_TRUE(result.verified);
  EXPECT_EQ(names_in(out), (std::set<std::string>{"LRC-10-Q4_0.gguf", "LRC-10-lora.gguf"}));
  ASSERT_EQ(result.files.size(), 2u);
  std::uint64_t bytes = 0;
  for (const auto& file : result.files) {
    EXPECT_EQ(file.bytes, std::filesystem::file_size(file.path));
    EXPECT_EQ(file.sha256, sha256_of_file(file.path));
    bytes += file.bytes;
  }
  const ExportForecast forecast = find_exporter("gguf").forecast(run.plan(), out, {});
  EXPECT_EQ(forecast.bytes(), bytes) << "known to the byte before anything is solved";
  ASSERT_EQ(forecast.files.size(), 2u);
  std::uint64_t in_parts = 0;
  for (const auto& part : forecast.parts) in_parts += part.bytes;
  EXPECT_EQ(in_parts, bytes) << "the parts are the whole";
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(forecast.files[i].what, result.files[i].path.filename().string());
    EXPECT_EQ(forecast.files[i].bytes, result.files[i].bytes);
  }
  EXPECT_EQ(forecast.command, result.command);
  EXPECT_EQ(result.command, "llama-cli -m " + result.files[0].path.string() + " --lora " + result.files[1].path.string());
  EXPECT_THAT(result.verified_facts, Contains(HasSubstr("30 of 30 quantized matrices")));
  EXPECT_THAT(result.verified_facts, Contains(HasSubstr("5 of 5 matrices in F16")));
  EXPECT_THAT(result.verified_facts, Contains(HasSubstr("30 of 30 pairs")));
  EXPECT_THAT(result.verified_facts, Contains(HasSubstr("test sentences")));
  EXPECT_THAT(result.verified_facts, Contains(HasSubstr("logits of 24 tokens agree")));
  EXPECT_EQ(fractions.back(), 1.0);
  EXPECT_GT(fractions.size(), 100u);

  // The base, read as a model: codes times scales exactly, the folded norms, embedding and head of their own.
  expect_float_layers_equal(run, result.files[0].path);
  const auto checkpoint = open_checkpoint(result.files[0].path);
  EXPECT_EQ(checkpoint->get("model.layers.0.mlp.gate_proj.weight").dtype, DType::q4_0);
  EXPECT_EQ(checkpoint->get("model.layers.0.mlp.down_proj.weight").dtype, DType::f16) << "172 is no multiple of 32";
  EXPECT_EQ(checkpoint->config()["tie_word_embeddings"], false);
  EXPECT_EQ(checkpoint->read_vector("model.norm.weight"), std::vector<float>(64, 1.0f));
  const auto head = checkpoint->read_matrix("lm_head.weight");
  for (std::size_t i = 0; i < head.size(); ++i) ASSERT_EQ(head.data()[i], round_to_half(run.weights.head.data()[i]));
  EXPECT_EQ(Model::open(result.files[0].path)->layers().size(), 35u);

  // The adapter: A = Vᵀ and B = U padded to 64, rows of B in the base's order, factor 1.
  const auto adapter = GgufFile::open(result.files[1].path);
  EXPECT_EQ(adapter.text("general.architecture"), "llama");
  EXPECT_EQ(adapter.text("general.type"), "adapter");
  EXPECT_EQ(adapter.text("adapter.type"), "lora");
  EXPECT_EQ(adapter.find_value("adapter.lora.alpha")->type, 6u);
  EXPECT_EQ(adapter.number("adapter.lora.alpha"), 0.0);
  EXPECT_EQ(adapter.tensors().size(), 60u);
  EXPECT_EQ(adapter.find("blk.0.attn_v.weight.lora_a"), nullptr);
  for (const auto& [stored, role, head_dim] : {std::tuple{"blk.2.attn_q", Role::q_proj, 8},
                                               {"blk.2.attn_k", Role::k_proj, 8},
                                               {"blk.2.attn_output", Role::o_proj, 0},
                                               {"blk.2.ffn_down", Role::down_proj, 0}}) {
    const auto& pair = run.weights.blocks[2].linear(role).pair;
    const auto a = half_matrix(*adapter.find(std::string(stored) + ".weight.lora_a")),
               b = half_matrix(*adapter.find(std::string(stored) + ".weight.lora_b"));
    ASSERT_EQ(a.rows(), 64u);
    ASSERT_EQ(b.columns(), 64u);
    ASSERT_EQ(a.columns(), pair.v.rows());
    ASSERT_EQ(b.rows(), pair.u.rows());
    const auto order = head_dim == 0 ? std::vector<std::size_t>() : interleaved(b.rows(), std::size_t(head_dim));
    for (std::size_t k = 0; k < 64; ++k) {
      for (std::size_t c = 0; c < a.columns(); ++c) ASSERT_EQ(a(k, c), k < 5 ? pair.v(c, k) : 0.0f) << stored;
      for (std::size_t r = 0; r < b.rows(); ++r)
        ASSERT_EQ(b(r, k), k < 5 ? pair.u(head_dim == 0 ? r : order[r], k) : 0.0f) << stored << " row " << r;
    }
  }
}

// What each file holds was compared number by number; the logits see whether both mean the run. Every change here leaves the
// files sound in themselves.
TEST(GgufExport, LogitsSeeWhatTheFilesMean) {
  const test::TemporaryFolder folder;
  const auto run = example_run(test::stories_gguf());
  const auto files = write(run, folder.path()).files;
  const auto proof = [&](const ExampleRun& other, const std::filesystem::path& adapter) {
    return gguf_export::verify_logits(files[0].path, adapter, other.source(), {}, [](const std::string&) {});
  };
  EXPECT_THAT(proof(run, files[1].path), Contains(HasSubstr("agree")));
  const auto refused = [&](const std::function<void(ExampleRun&)>& change, const std::filesystem::path& adapter) {
    ExampleRun other = run;
    change(other);
    try {
      proof(other, adapter);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr(files[0].path.string()), HasSubstr("logits"))) << error.what();
    }
  };
  refused([](ExampleRun&) {}, {});
  refused([](ExampleRun& other) { other.weights.config.rope_theta *= 1.5; }, files[1].path);
  refused([](ExampleRun& other) { other.weights.config.norm_epsilon = 0.1f; }, files[1].path);
  refused([](ExampleRun& other) { other.weights.blocks[1].linear(Role::q_proj).pair = {}; }, files[1].path);
  refused(
      [](ExampleRun& other) {
        std::swap(other.weights.blocks[0].linear(Role::k_proj).pair.u, other.weights.blocks[1].linear(Role::k_proj).pair.u);
      },
      files[1].path);
  refused([](ExampleRun& other) { other.weights.head.data()[77] += 1.0f; }, files[1].path);
  refused(
      [](ExampleRun& other) {
        auto weight = std::make_shared<QuantizedWeight>(*other.weights.blocks[4].linear(Role::gate_proj).quantized);
        for (std::size_t c = 0; c < weight->in_features; ++c) std::swap(weight->codes[c], weight->codes[weight->in_features + c]);
        other.weights.blocks[4].linear(Role::gate_proj).quantized = weight;
      },
      files[1].path);
}

TEST(GgufExport, EveryGroupingAndTypeKeepsItsCodes) {
  for (const std::string base_type : {"q4_0", "q4_1"}) {
    for (const std::size_t group : {0, 32, 64}) {
      const test::TemporaryFolder folder;
      const auto run = example_run(test::stories_gguf(), {}, [&](const LayerInfo& info, LayerScheme& scheme) {
        scheme.weight.group_size = info.role == Role::down_proj ? 0 : group;
        scheme.weight.bits = info.role == Role::q_proj ? 3 : info.role == Role::up_proj ? 8 : info.role == Role::gate_proj ? 5 : 4;
        scheme.skipped = info.role == Role::k_proj;
        if (scheme.skipped) scheme.rank = 0;
      });
      const auto result = write(run, folder.path(), {base_type, 1});
      expect_float_layers_equal(run, result.files[0].path);
      const auto checkpoint = open_checkpoint(result.files[0].path);
      const auto type_of = [&](const char* name) { return checkpoint->get(std::string("model.layers.1.") + name + ".weight").dtype; };
      EXPECT_EQ(type_of("self_attn.q_proj"), base_type == "q4_0" ? DType::q4_0 : DType::q4_1);
      EXPECT_EQ(type_of("mlp.up_proj"), DType::q8_0);
      EXPECT_EQ(type_of("mlp.gate_proj"), DType::q8_0);
      EXPECT_EQ(type_of("self_attn.k_proj"), DType::f16);
      EXPECT_EQ(GgufFile::open(result.files[0].path).integer("general.file_type"), base_type == "q4_0" ? 2 : 3);
      EXPECT_EQ(GgufFile::open(result.files[1].path).find("blk.0.attn_q.weight.lora_a")->shape[0], 5u) << "padding is off";
      EXPECT_EQ(checkpoint->find("lm_head.weight"), nullptr) << "nothing was rotated, so the head stays tied";
      EXPECT_NE(checkpoint->read_vector("model.norm.weight"), std::vector<float>(64, 1.0f));
    }
  }
}

TEST(GgufExport, WithoutPairsThereIsNoAdapter) {
  const test::TemporaryFolder folder;
  const auto run = example_run(test::stories_gguf(), {}, [](const LayerInfo&, LayerScheme& scheme) { scheme.rank = 0; });
  const auto result = write(run, folder.path());
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"LRC-10-Q4_0.gguf"});
  EXPECT_EQ(result.files.size(), 1u);
  EXPECT_THAT(result.command, ::testing::Not(HasSubstr("lora")));
  EXPECT_EQ(find_exporter("gguf").forecast(run.plan(), folder.path(), {}).bytes(), result.files[0].bytes);
}

TEST(GgufExport, MetadataOfAGgufOriginalAreKept) {
  const test::TemporaryFolder folder;
  const auto result = write(example_run(test::stories_gguf()), folder.path());
  const auto original = GgufFile::open(test::stories_gguf()), base = GgufFile::open(result.files[0].path);
  for (const auto& [key, value] : original.metadata()) {
    if (key.starts_with("general.")) continue;
    ASSERT_NE(base.find_value(key), nullptr) << key;
    EXPECT_EQ(base.find_value(key)->value, value.value) << key;
  }
  EXPECT_EQ(base.integer("general.quantization_version"), 2);
  EXPECT_THAT(base.text("general.description").value(), HasSubstr("adapter"));
}

TEST(GgufExport, AFolderBringsItsConfigurationAndTokenizer) {
  const test::TemporaryFolder folder;
  const auto run = example_run(test::stories_folder());
  const auto result = write(run, folder.path());
  const auto written = Model::open(result.files[0].path);
  EXPECT_EQ(written->config().heads, 8u);
  EXPECT_EQ(written->config().kv_heads, 4u);
  EXPECT_EQ(written->config().head_dim, 8u);
  EXPECT_EQ(written->config().context, 512u);
  EXPECT_EQ(written->config().norm_epsilon, run.model->config().norm_epsilon);
  EXPECT_EQ(written->config().vocabulary, 512u);
  EXPECT_EQ(written->tokenizer()->spec().add_bos, run.model->tokenizer()->spec().add_bos);
  const std::string text = "One day, Lily met 3 dogs \xE2\x80\x94 they said: \"hi\"!";
  EXPECT_EQ(written->tokenizer()->encode(text, true), run.model->tokenizer()->encode(text, true));
  // The same vocabulary as in the GGUF file of the same model.
  const auto gguf = GgufFile::open(test::stories_gguf()), base = GgufFile::open(result.files[0].path);
  for (const char* key : {"tokenizer.ggml.model", "tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.bos_token_id",
                          "tokenizer.ggml.eos_token_id"}) {
    ASSERT_NE(base.find_value(key), nullptr) << key;
    EXPECT_EQ(base.find_value(key)->value, gguf.find_value(key)->value) << key;
  }
}

TEST(GgufExport, RopeFactorsOfLlama3ScalingAreThoseOfTheConverter) {
  const auto model = Model::open(test::data("models/llama-untied-rope3/hf"));
  const auto expected =
      open_checkpoint(test::data("models/llama-untied-rope3/llama-untied-rope3-f16.gguf"))->read_vector("rope_freqs.weight");
  const auto factors = gguf_export::rope_factors({*model, "", {}, {}, nullptr});
  ASSERT_EQ(factors.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(factors[i], expected[i], 1e-5 * double(expected[i]));
}

TEST(GgufExport, AFlippedBitIsFoundWhereverItIs) {
  const test::TemporaryFolder folder;
  const auto run = example_run(test::stories_gguf());
  const auto result = write(run, folder.path());
  const auto nothing = [](const std::string&) {};
  const auto flip = [](const std::filesystem::path& file, std::size_t byte, int bit) {
    std::fstream change(file, std::ios::in | std::ios::out | std::ios::binary);
    change.seekg(std::streamoff(byte));
    const int value = change.get();
    change.seekp(std::streamoff(byte));
    change.put(char(value ^ (1 << bit)));
  };
  for (const bool adapter : {false, true}) {
    const auto file = result.files[adapter].path;
    const auto verify = [&] {
      return adapter ? gguf_export::verify_adapter(file, run.source(), {}, nothing)
                     : gguf_export::verify_base(file, run.source(), {}, nothing);
    };
    ASSERT_NO_THROW(verify());
    std::vector<std::tuple<std::string, std::size_t, std::size_t>> places;
    {
      const auto opened = GgufFile::open(file);
      const auto whole = read_file(file);
      for (const auto& tensor : opened.tensors()) {
        const std::string_view bytes(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
        // Where the tensor lies in the file follows from the end: tensors are in order and padded to 32.
        places.emplace_back(tensor.name, 0, bytes.size());
      }
      std::size_t end = whole.size();
      for (auto place = places.rbegin(); place != places.rend(); ++place) {
        end -= (std::get<2>(*place) + 31) / 32 * 32;
        std::get<1>(*place) = end;
      }
    }
    for (const auto& [tensor, start, size] : places) {
      for (const std::size_t offset : {std::size_t(0), size / 2, size - 1}) {
        const int bit = int((start + offset) % 8);
        flip(file, start + offset, bit);
        try {
          verify();
          ADD_FAILURE() << tensor << " byte " << offset << " bit " << bit << " was not found";
        } catch (const Error& error) {
          EXPECT_EQ(error.kind(), ErrorKind::bad_file);
          EXPECT_THAT(error.what(), AllOf(HasSubstr(tensor), HasSubstr(file.string())));
        }
        flip(file, start + offset, bit);
      }
    }
    EXPECT_NO_THROW(verify());
  }
  // A letter of the vocabulary.
  const auto base = result.files[0].path;
  const auto place = read_file(base).find("\xE2\x96\x81the");
  ASSERT_NE(place, std::string::npos);
  flip(base, place + 3, 0);
  EXPECT_THROW(gguf_export::verify_base(base, run.source(), {}, nothing), Error);
}

TEST(GgufExport, AFileThatIsNotProvenIsMarked) {
  const test::TemporaryFolder folder;
  auto run = example_run(test::stories_gguf());
  // The weights change between writing and comparing: stands for a disk or memory that keeps something else.
  Progress progress([&](const ProgressUpdate& update) {
    if (update.layer == "blk.0.attn_q.weight") run.weights.embedding(7, 7) += 0.5f;
  });
  try {
    find_exporter("gguf").write(run.source(), folder.path(), {}, progress, {});
    FAIL() << "the difference was not found";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("token_embd.weight"), HasSubstr(".unverified")));
  }
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"LRC-10-Q4_0.gguf.unverified"});
}

TEST(GgufExport, StoppingAnywhereLeavesNothing) {
  const auto run = example_run(test::stories_gguf());
  for (const std::size_t at : {0, 3, 60, 110, 150, 190}) {
    const test::TemporaryFolder folder;
    std::stop_source stop;
    std::size_t count = 0;
    Progress progress([&](const ProgressUpdate&) {
      if (count++ == at) stop.request_stop();
    });
    try {
      find_exporter("gguf").write(run.source(), folder.path(), {}, progress, stop.get_token());
      ADD_FAILURE() << "it went on to the end after " << at;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::stopped);
    }
    EXPECT_TRUE(names_in(folder.path()).empty()) << at;
  }
}

TEST(GgufExport, WeightsThatDoNotFitTheirSchemeAreRefused) {
  const auto refused = [](const ExampleRun& run, const std::string& sentence) {
    const test::TemporaryFolder folder;
    try {
      write(run, folder.path());
      ADD_FAILURE() << "accepted: " << sentence;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(sentence));
    }
    EXPECT_TRUE(names_in(folder.path()).empty());
  };
  auto unsolved = example_run(test::stories_gguf());
  unsolved.weights.blocks[1].linear(Role::up_proj).quantized = nullptr;
  refused(unsolved, "model.layers.1.mlp.up_proj");
  auto without_pair = example_run(test::stories_gguf());
  without_pair.weights.blocks[4].linear(Role::q_proj).pair = {};
  refused(without_pair, "model.layers.4.self_attn.q_proj");
  auto uneven_scale = example_run(test::stories_gguf());
  auto& linear = uneven_scale.weights.blocks[0].linear(Role::o_proj);
  auto weight = *linear.quantized;
  weight.scales(3, 0) = 0.1;
  linear.quantized = std::make_shared<QuantizedWeight>(weight);
  refused(uneven_scale, "blk.0.attn_output.weight");
  auto infinite = example_run(test::stories_gguf());
  infinite.weights.embedding(0, 0) = 1e6f;
  refused(infinite, "token_embd.weight");
}

TEST(GgufExport, FoldersThatTakeNoFilesAreOneSentence) {
  const auto run = example_run(test::stories_gguf());
  EXPECT_THROW(write(run, "/proc/self/export"), Error);
  const test::TemporaryFolder folder;
  write_file_atomically(folder.path() / "file", "x");
  EXPECT_THROW(write(run, folder.path() / "file"), Error);
}

TEST(GgufExport, NamesAreFitForFilesAndShells) {
  const test::TemporaryFolder folder;
  auto run = example_run(test::stories_gguf(), {}, [](const LayerInfo&, LayerScheme& scheme) { scheme.rank = 0; });
  run.name = "../ö/ .. a'b";
  const auto out = folder.path() / "it's here";
  const auto result = write(run, out);
  EXPECT_EQ(result.files[0].path.parent_path(), out);
  EXPECT_THAT(result.files[0].path.filename().string(), EndsWith("a-b-Q4_0.gguf"));
  EXPECT_THAT(result.command, HasSubstr("'\\''"));
}

}  // namespace
}  // namespace lrc

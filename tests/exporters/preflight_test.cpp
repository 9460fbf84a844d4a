#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "base/files.h"
#include "exporters/example_run.h"
#include "exporters/exporter.h"
#include "formats/gguf.h"

namespace lrc {
namespace {

using test::example_run;
using test::ExampleRun;
using ::testing::HasSubstr;

std::vector<Check> checks_of(const ExampleRun& run, const ExportOptions& options = {}) {
  return find_exporter("gguf").preflight(run.plan(), options);
}

const Check* find(const std::vector<Check>& checks, const std::string& name) {
  for (const auto& check : checks)
    if (check.name == name) return &check;
  return nullptr;
}

CheckStatus status_of(const ExampleRun& run, const std::string& name, const ExportOptions& options = {}) {
  const auto checks = checks_of(run, options);
  const auto* check = find(checks, name);
  EXPECT_NE(check, nullptr) << name;
  return check ? check->status : CheckStatus::ok;
}

TEST(Preflight, TheUsualRunIsNotRefused) {
  const auto checks = checks_of(example_run(test::stories_gguf()));
  for (const auto& check : checks) {
    EXPECT_NE(check.status, CheckStatus::refused) << check.why;
    EXPECT_FALSE(check.why.empty());
    EXPECT_TRUE(check.why.ends_with(".")) << check.why;
    EXPECT_TRUE(check.fix.empty() || check.fix.ends_with(".")) << check.fix;
  }
  for (const char* name : {"architecture", "online-rotation", "group-size", "row-length", "weight-type", "activations", "adapter",
                           "rank-padding", "untied-embeddings", "tokenizer"})
    EXPECT_NE(find(checks, name), nullptr) << name;
  EXPECT_THAT(find(checks, "row-length")->why, HasSubstr("172"));
  EXPECT_THAT(find(checks, "activations")->why, HasSubstr("A8"));
  EXPECT_THAT(find(checks, "tokenizer")->why, HasSubstr("512 tokens"));
}

TEST(Preflight, OnlineRotationIsRefusedWithAFix) {
  auto run = example_run(test::stories_gguf());
  run.rotation.r4 = true;
  const auto checks = checks_of(run);
  EXPECT_EQ(checks.front().name, "online-rotation") << "what refuses is read first";
  EXPECT_EQ(checks.front().status, CheckStatus::refused);
  EXPECT_EQ(checks.front().fix_id, "solve-without-r4");
  const test::TemporaryFolder folder;
  Progress progress;
  EXPECT_THROW(find_exporter("gguf").write(run.source(), folder.path() / "out", {}, progress, {}), Error);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "out"));
  run.rotation.r4 = false;
  EXPECT_EQ(status_of(run, "online-rotation"), CheckStatus::ok);
}

TEST(Preflight, AQuantizedCacheIsWarnedOf) {
  auto run = example_run(test::stories_gguf());
  EXPECT_EQ(find(checks_of(run), "key-value-cache"), nullptr);
  run.rotation = {.r3 = true};
  auto source = run.plan();
  source.cache.bits = 4;
  const auto checks = find_exporter("gguf").preflight(source, {});
  ASSERT_NE(find(checks, "key-value-cache"), nullptr);
  EXPECT_EQ(find(checks, "key-value-cache")->status, CheckStatus::warning);
  EXPECT_THAT(find(checks, "key-value-cache")->why, HasSubstr("4 bits behind the rotation R3"));
  EXPECT_EQ(find(checks, "online-rotation")->status, CheckStatus::ok) << "R3 is in no weight";
}

TEST(Preflight, GroupsMustHoldWholeBlocks) {
  const auto grouped = [](std::size_t group) {
    return example_run(test::stories_gguf(), {}, [=](const LayerInfo& info, LayerScheme& scheme) {
      scheme.weight.group_size = info.role == Role::down_proj ? 43 : group;
    });
  };
  EXPECT_EQ(status_of(grouped(16), "group-size"), CheckStatus::refused);
  EXPECT_EQ(status_of(grouped(32), "group-size"), CheckStatus::ok) << "down_proj has rows that are F16 anyway";
  EXPECT_EQ(status_of(grouped(64), "group-size"), CheckStatus::ok);
  EXPECT_EQ(status_of(grouped(0), "group-size"), CheckStatus::ok);
}

TEST(Preflight, ColumnsOfTwoPrecisionsAreRefusedByName) {
  const auto run = example_run(test::stories_gguf(), {}, [](const LayerInfo& info, LayerScheme& scheme) {
    if (info.role == Role::q_proj) scheme.weight.high.count = 8;
  });
  const auto checks = checks_of(run);
  ASSERT_NE(find(checks, "high-precision-columns"), nullptr);
  EXPECT_EQ(find(checks, "high-precision-columns")->status, CheckStatus::refused);
  EXPECT_THAT(find(checks, "high-precision-columns")->why, HasSubstr("a matrix of GGUF has one type"));
}

TEST(Preflight, ActivationsAreSaid) {
  const auto with_bits = [](int bits) {
    return example_run(test::stories_gguf(), {}, [=](const LayerInfo&, LayerScheme& scheme) { scheme.activation.bits = bits; });
  };
  EXPECT_EQ(status_of(with_bits(4), "activations"), CheckStatus::warning);
  EXPECT_EQ(status_of(with_bits(8), "activations"), CheckStatus::ok);
  EXPECT_EQ(status_of(with_bits(16), "activations"), CheckStatus::ok);
}

TEST(Preflight, RanksAndTheAdapter) {
  const auto with_rank = [](std::size_t rank) {
    return example_run(test::stories_gguf(), {}, [=](const LayerInfo&, LayerScheme& scheme) { scheme.rank = rank; });
  };
  EXPECT_EQ(status_of(with_rank(5), "rank-padding"), CheckStatus::warning);
  EXPECT_EQ(status_of(with_rank(5), "rank-padding", {"q4_0", 1}), CheckStatus::warning) << "slow there";
  EXPECT_EQ(status_of(with_rank(5), "adapter"), CheckStatus::warning);
  EXPECT_EQ(status_of(with_rank(0), "adapter"), CheckStatus::ok);
  EXPECT_EQ(find(checks_of(with_rank(0)), "rank-padding"), nullptr);
}

TEST(Preflight, AnUntiedHeadCosts) {
  EXPECT_EQ(status_of(example_run(test::stories_gguf(), {true, false, false, 1}), "untied-embeddings"), CheckStatus::warning);
  EXPECT_EQ(status_of(example_run(test::stories_gguf(), {false, true, false, 1}), "untied-embeddings"), CheckStatus::ok);
}

/// stories260K with another tokenizer section.
std::filesystem::path with_tokenizer(const std::filesystem::path& folder, const std::string& model, const std::optional<std::string>& pre) {
  const auto original = GgufFile::open(test::stories_gguf());
  GgufWriter writer;
  for (const auto& [key, value] : original.metadata())
    if (key != "tokenizer.ggml.pre") writer.copy(key, value);
  writer.set("tokenizer.ggml.model", model);
  if (pre) writer.set("tokenizer.ggml.pre", *pre);
  writer.set_strings("tokenizer.ggml.merges", {});
  for (const auto& tensor : original.tensors())
    writer.add(tensor.name, tensor.dtype, tensor.shape, {tensor.bytes.begin(), tensor.bytes.end()});
  const auto file = folder / "model.gguf";
  writer.write(file);
  return file;
}

TEST(Preflight, ATokenizerThatNobodyCouldRebuildIsRefused) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(status_of(example_run(with_tokenizer(folder.path(), "gpt2", std::nullopt)), "tokenizer"), CheckStatus::refused);
  EXPECT_EQ(status_of(example_run(with_tokenizer(folder.path(), "gpt2", "default")), "tokenizer"), CheckStatus::refused);
  EXPECT_EQ(status_of(example_run(with_tokenizer(folder.path(), "gpt2", "brand-new")), "tokenizer"), CheckStatus::warning)
      << "copied, but not tried";
  EXPECT_EQ(status_of(example_run(with_tokenizer(folder.path(), "llama", "default")), "tokenizer"), CheckStatus::ok);
  // A folder without tokenizer files.
  EXPECT_EQ(status_of(example_run(test::data("models/llama-tied/hf"), {}), "tokenizer"), CheckStatus::refused);
}

TEST(Preflight, UnknownTargetsAndTypesAreNamed) {
  EXPECT_EQ(find_exporter("gguf").name, "gguf");
  try {
    find_exporter("zip");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    EXPECT_THAT(error.what(), HasSubstr("gguf"));
  }
  EXPECT_THROW(checks_of(example_run(test::stories_gguf()), {"q5_0", 64}), Error);
  EXPECT_EQ(name(CheckStatus::refused), "refused");
  EXPECT_EQ(name(CheckStatus::warning), "warning");
  EXPECT_EQ(name(CheckStatus::ok), "ok");
}

TEST(Arithmetic, HereAndThere) {
  auto run = example_run(test::stories_gguf(), {true, true, false, 1}, [](const LayerInfo& info, LayerScheme& scheme) {
    if (info.role == Role::q_proj) scheme.weight.group_size = 32;
  });
  const auto rows = find_exporter("gguf").arithmetic(run.plan());
  const auto row = [&](const std::string& what) {
    for (const auto& r : rows)
      if (r.what == what) return r;
    ADD_FAILURE() << what;
    return ArithmeticRow{};
  };
  EXPECT_EQ(row("weights").here, "4-bit codes, one scale a row (30 layers); 4-bit codes, one scale for 32 values (5 layers)");
  EXPECT_EQ(row("activations").here, "4 bits, one scale a token, clip 0.9");
  EXPECT_THAT(row("activations").there, HasSubstr("8 bits"));
  EXPECT_EQ(row("rotation").here, "R1 folded, R2 folded");
  EXPECT_EQ(row("branch").here, "float16 pair on the unquantized activation (30 layers); none (5 layers)");
  EXPECT_EQ(row("keys and values").here, "float32");
  run.rotation = {};
  EXPECT_EQ(find_exporter("gguf").arithmetic(run.plan())[2].there, "none");
}

TEST(Arithmetic, SaysWhatTheRunReallyHas) {
  auto run = example_run(test::stories_gguf(), {true, true, false, 1}, [](const LayerInfo&, LayerScheme& scheme) {
    scheme.activation.symmetric = false;
    scheme.activation.group_size = 32;
    scheme.factors = *factor_scheme("int8");
    scheme.pair_input = PairInput::quantized;
  });
  auto plan = run.plan();
  plan.cache = {.bits = 4, .group_size = 4, .symmetric = false};
  std::map<std::string, std::string> here;
  for (const auto& row : find_exporter("gguf").arithmetic(plan)) here[row.what] = row.here;
  EXPECT_EQ(here["activations"], "4 bits, one scale for 32 values, zero points, clip 0.9");
  EXPECT_EQ(here["branch"], "int8 pair on the quantized activation (30 layers); none (5 layers)");
  EXPECT_EQ(here["keys and values"], "4 bits, one scale for 4 values");
}

}  // namespace
}  // namespace lrc

// GGUF files of families other than Llama: what is written opens again as that family with the run's own numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "example_run.h"
#include "formats/gguf.h"
#include "support/family_models.h"

namespace lrc {
namespace {

using testing::HasSubstr;

struct Written {
  const char* model;         ///< below tests/data/models
  const char* architecture;  ///< as the file calls it
};
void PrintTo(const Written& item, std::ostream* stream) { *stream << item.model; }

class FamilyExport : public testing::TestWithParam<Written> {
 protected:
  test::TemporaryFolder place;
  std::filesystem::path model = test::with_tokenizer(GetParam().model, place.path() / "model");
};
INSTANTIATE_TEST_SUITE_P(Models, FamilyExport,
                         testing::Values(Written{"mistral/hf", "llama"}, Written{"qwen2/qwen2-f16.gguf", "qwen2"},
                                         Written{"qwen3/hf", "qwen3"}, Written{"phi3/phi3-q8_0-q4_0.gguf", "phi3"}));

TEST_P(FamilyExport, TheWholeWay) {
  const auto run = test::example_run(model);
  Progress progress;
  const auto result = find_exporter("gguf").write(run.source(), place.path() / "out", {}, progress, {});
  ASSERT_EQ(result.files.size(), 2u);
  EXPECT_FALSE(result.verified_facts.empty());
  const auto base = GgufFile::open(result.files[0].path);
  EXPECT_EQ(base.text("general.architecture"), GetParam().architecture);
  EXPECT_EQ(GgufFile::open(result.files[1].path).text("general.architecture"), GetParam().architecture);
  EXPECT_EQ(base.integer(std::string(GetParam().architecture) + ".attention.head_count"), run.model->config().heads);
  // It opens as a model with the biases and head norms of the run.
  const auto again = Model::open(result.files[0].path);
  const ModelWeights weights = load_weights(*again);
  for (std::size_t b = 0; b < weights.blocks.size(); ++b) {
    EXPECT_EQ(weights.blocks[b].query_norm, run.weights.blocks[b].query_norm);
    EXPECT_EQ(weights.blocks[b].key_norm, run.weights.blocks[b].key_norm);
    for (const auto& linear : weights.blocks[b].linears)
      EXPECT_EQ(linear.bias, run.weights.blocks[b].linear(linear.info.role).bias) << linear.info.name;
  }
  EXPECT_EQ(weights.blocks[0].linears[0].bias.empty(), std::string(GetParam().architecture) != "qwen2");
}

TEST(FamilyExports, FamiliesWithoutAWayAreRefusedByName) {
  for (const auto& [model, family] : {std::pair{"mixtral/mixtral-q8_0-q4_0.gguf", "mixtral"}, std::pair{"opt/hf", "opt"}}) {
    test::TemporaryFolder place;
    test::ExampleRun run;
    run.model = Model::open(test::with_tokenizer(model, place.path() / "model"));
    run.weights = load_weights(*run.model);
    Progress progress;
    try {
      find_exporter("gguf").write(run.source(), place.path() / "out", {}, progress, {});
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(),
                  testing::AllOf(HasSubstr(std::string("The architecture ") + family), HasSubstr("llama, mistral, qwen2, qwen3, phi3")));
    }
    EXPECT_FALSE(std::filesystem::exists(place.path() / "out"));
  }
}

TEST(FamilyExports, FrequenciesThatChangeWithTheLengthAreRefused) {
  test::TemporaryFolder place;
  const auto run = test::example_run(test::with_tokenizer("phi3-longrope/hf", place.path() / "model"));
  const auto checks = find_exporter("gguf").preflight(run.source(), {});
  EXPECT_EQ(checks.front().status, CheckStatus::refused);
  EXPECT_THAT(checks.front().why, HasSubstr("longrope"));
}

}  // namespace
}  // namespace lrc

// Orthogonal matrices from a file in the place of Hadamard ones.
#include "model/imported_rotations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "formats/safetensors.h"
#include "support/family_models.h"
#include "support/float_logits.h"
#include "support/rotation_file.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ImportedFamily : public testing::TestWithParam<FamilyModel> {
 protected:
  TemporaryFolder place;
  std::filesystem::path file = place.path() / "r.safetensors";
};
INSTANTIATE_TEST_SUITE_P(Models, ImportedFamily, testing::ValuesIn(family_models()));

TEST_P(ImportedFamily, LogitsStay) {
  const auto model = Model::open(data("models") / GetParam().path);
  const ModelWeights weights = load_weights(*model);
  const auto ids = random_ids(30, weights.config.vocabulary, 3);
  const MatrixF before = logits_of(weights, ids);
  Random random(5);
  const auto matrices = random_rotations(weights.config, random);
  write_rotations(file, matrices);
  for (const RotationChoice& choice : {RotationChoice{.r1 = true, .file = file.string()}, RotationChoice{.r2 = true, .file = file.string()},
                                       RotationChoice{.r1 = true, .r2 = true, .r4 = true, .file = file.string()}}) {
    SCOPED_TRACE(std::string(choice.r1 ? "R1 " : "") + (choice.r2 ? "R2 " : "") + (choice.r4 ? "R4" : ""));
    ModelWeights rotated = weights;
    const auto imported = rotations_of(choice, weights.config);
    rotate_weights(rotated, choice, imported.get());
    EXPECT_LE(largest_difference(before, logits_of(rotated, ids)), 5e-4);
    const auto changed = [&](Role role) {
      const LinearWeights* was = weights.blocks.back().find(role);
      return was && largest_difference(was->weight, rotated.blocks.back().linear(role).weight) > 0.01;
    };
    EXPECT_TRUE(changed(Role::o_proj));
    EXPECT_EQ(changed(Role::q_proj) || changed(Role::qkv_proj), choice.r1 || changed(Role::qkv_proj));
  }
  // Each block has a rotation of its own: the first one's in the last block makes another model.
  if (weights.blocks.size() < 2) return;
  auto wrong = matrices;
  wrong.r2.back() = MatrixD(weights.config.head_dim, weights.config.head_dim, 0.0);
  for (std::size_t i = 0; i < wrong.r2.back().rows(); ++i) wrong.r2.back()(i, i) = 1;
  ModelWeights a = weights, b = weights;
  const RotationChoice heads{.r2 = true, .file = file.string()};
  rotate_weights(a, heads, &matrices);
  rotate_weights(b, heads, &wrong);
  EXPECT_EQ(a.blocks.front().linear(Role::o_proj).weight, b.blocks.front().linear(Role::o_proj).weight);
  EXPECT_GT(largest_difference(a.blocks.back().linear(Role::o_proj).weight, b.blocks.back().linear(Role::o_proj).weight), 0.01);
}

TEST(ImportedRotation, AHadamardMatrixFromAFileIsTheOneThatIsMade) {
  const ModelWeights weights = tiny_weights();
  const RotationChoice made{.r1 = true, .r2 = true, .seed = 7};
  const auto matrices = hadamard_rotations(weights.config, made.seed);
  ModelWeights a = weights, b = weights;
  rotate_weights(a, made);
  rotate_weights(b, {.r1 = true, .r2 = true, .file = "r"}, &matrices);
  EXPECT_LE(largest_difference(a.embedding, b.embedding), 1e-7);
  for (std::size_t block = 0; block < a.blocks.size(); ++block)
    for (const Role role : llama_roles)
      EXPECT_LE(largest_difference(a.blocks[block].linear(role).weight, b.blocks[block].linear(role).weight), 2e-7) << name(role);
}

class RotationFile : public testing::Test {
 protected:
  std::string refusal(const RotationChoice& choice = {.r1 = true, .r2 = true}) {
    try {
      read_rotations(file, config, choice);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_file);
      EXPECT_THAT(error.what(), HasSubstr("r.safetensors"));
      return error.what();
    }
    ADD_FAILURE() << "no error";
    return {};
  }
  TemporaryFolder place;
  std::filesystem::path file = place.path() / "r.safetensors";
  ModelConfig config = tiny_config();
  Random random{3};
  ImportedRotations good = random_rotations(config, random);
};

TEST_F(RotationFile, WhatIsNotOrthogonalIsRefusedWithItsDeviation) {
  auto bad = good;
  for (std::size_t c = 0; c < bad.r1.columns(); ++c) bad.r1(2, c) *= 1.1;
  write_rotations(file, bad);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("R1"), HasSubstr("not orthogonal"), HasSubstr("by 0.21,")));
  // Invertible is not enough: a diagonal of twos.
  bad = good;
  bad.r2[1] = MatrixD(config.head_dim, config.head_dim);
  for (std::size_t i = 0; i < config.head_dim; ++i) bad.r2[1](i, i) = 2;
  write_rotations(file, bad);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("model.layers.1.self_attn.R2"), HasSubstr("by 3")));
  bad = good;
  bad.r1(0, 0) = std::nan("");
  write_rotations(file, bad);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("R1"), HasSubstr("no number")));
}

TEST_F(RotationFile, MatricesInFloat32AreOrthogonalEnough) {
  write_rotations(file, good, true);
  EXPECT_NO_THROW(read_rotations(file, config, {.r1 = true, .r2 = true}));
}

TEST_F(RotationFile, ShapesNamesAndBlocksAreChecked) {
  auto bad = good;
  bad.r1 = good.r2[0];
  write_rotations(file, bad);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("R1 is 16 × 16"), HasSubstr("48")));
  bad = good;
  bad.r2.pop_back();
  write_rotations(file, bad);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("model.layers.2.self_attn.R2"), HasSubstr("every block")));
  bad = good;
  bad.r2.push_back(good.r2[0]);
  write_rotations(file, bad);
  EXPECT_THAT(refusal(), HasSubstr("3 blocks"));
  SafetensorsWriter flat;
  flat.add("model.layers.0.self_attn.ln_trans.matrix_left", good.r2[0]);
  flat.write(file);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("ln_trans"), HasSubstr("FlatQuant")));
  bad = good;
  bad.r2.clear();
  write_rotations(file, bad);
  EXPECT_THAT(refusal(), HasSubstr("no R2"));
  EXPECT_NO_THROW(read_rotations(file, config, {.r1 = true}));
  EXPECT_TRUE(rotations_in(file).r1);
  EXPECT_FALSE(rotations_in(file).r2);
}

}  // namespace
}  // namespace lrc::test

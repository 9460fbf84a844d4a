// What folding and rotating must leave as it was (methods.md 1.6, oracles 40, 41, 43).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "support/float_logits.h"
#include "support/test_data.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

double standard_deviation(const MatrixF& values) {
  double sum = 0, squares = 0;
  for (const float value : values.flat()) sum += double(value), squares += double(value) * double(value);
  const double mean = sum / double(values.size());
  return std::sqrt(squares / double(values.size()) - mean * mean);
}

struct RotationCase {
  RotationChoice choice;
  bool tied;
};
void PrintTo(const RotationCase& item, std::ostream* stream) {
  *stream << (item.choice.r1 ? "R1 " : "") << (item.choice.r2 ? "R2 " : "") << (item.choice.r4 ? "R4 " : "")
          << (item.tied ? "tied" : "untied");
}

class Rotation : public testing::TestWithParam<RotationCase> {};

TEST_P(Rotation, LeavesTheLogitsOfTheFloatModel) {
  const ModelWeights original = tiny_weights({.tied = GetParam().tied});
  const auto ids = random_ids(40, original.config.vocabulary, 5);
  ModelWeights rotated = original;
  rotate_weights(rotated, GetParam().choice);
  const MatrixF before = logits_of(original, ids), after = logits_of(rotated, ids);
  const double scale = standard_deviation(before);
  ASSERT_GT(scale, 1.0);
  EXPECT_LE(largest_difference(before, after), 1e-4 * scale);
  // The weights themselves must have changed, or this test says nothing.
  const auto change_of = [&](Role role) {
    return largest_difference(original.blocks[0].linear(role).weight, rotated.blocks[0].linear(role).weight);
  };
  EXPECT_EQ(change_of(Role::q_proj) > 0.01, GetParam().choice.r1);
  EXPECT_EQ(change_of(Role::v_proj) > 0.01, GetParam().choice.r1 || GetParam().choice.r2);
  EXPECT_EQ(change_of(Role::down_proj) > 0.01, GetParam().choice.r1 || GetParam().choice.r4);
  EXPECT_EQ(rotated.down_hadamard.has_value(), GetParam().choice.r4);
}

INSTANTIATE_TEST_SUITE_P(Choices, Rotation,
                         testing::Values(RotationCase{{.r1 = true, .seed = 3}, true}, RotationCase{{.r1 = true, .seed = 3}, false},
                                         RotationCase{{.r2 = true}, true}, RotationCase{{.r4 = true}, true},
                                         RotationCase{{.r1 = true, .r2 = true, .r4 = true, .seed = 9}, true},
                                         RotationCase{{.r1 = true, .r2 = true, .r4 = true, .seed = 9}, false}));

TEST(RotateWeights, WithoutFoldedGainsTheModelWouldBeAnotherOne) {
  ModelWeights weights = tiny_weights();
  const auto ids = random_ids(40, weights.config.vocabulary, 5);
  const MatrixF before = logits_of(weights, ids);
  ModelWeights rotated = weights;
  rotate_weights(rotated, {.r1 = true, .seed = 3});
  // Rotated and then given its gains back, as if they had never been folded.
  for (std::size_t b = 0; b < weights.blocks.size(); ++b) {
    rotated.blocks[b].attention_norm = weights.blocks[b].attention_norm;
    rotated.blocks[b].mlp_norm = weights.blocks[b].mlp_norm;
  }
  EXPECT_GT(largest_difference(before, logits_of(rotated, ids)), 0.1);

  // And the other way: one gain on the whole rotated stream does not do what a gain for each channel did.
  ModelWeights unfolded = weights;
  const auto rotation = ResidualRotation{*find_hadamard(weights.config.hidden_size), random_signs(weights.config.hidden_size, 3)};
  unfolded.head = unfolded.embedding;
  unfolded.config.tied_embeddings = false;
  rotate_input_side(rotation, unfolded.embedding);
  rotate_input_side(rotation, unfolded.head);
  for (BlockWeights& block : unfolded.blocks) {
    for (const Role role : llama_roles) {
      if (role == Role::o_proj || role == Role::down_proj) {
        rotate_output_side(rotation, block.linear(role).weight);
      } else {
        rotate_input_side(rotation, block.linear(role).weight);
      }
    }
  }
  EXPECT_GT(largest_difference(before, logits_of(unfolded, ids)), 0.1);
}

TEST(RotateWeights, UntiesATiedHeadAndNothingElse) {
  const ModelWeights original = tiny_weights();
  const auto ids = random_ids(30, original.config.vocabulary, 6);
  ModelWeights untied = original;
  untied.head = untied.embedding;
  untied.config.tied_embeddings = false;
  EXPECT_EQ(logits_of(original, ids), logits_of(untied, ids));

  ModelWeights rotated = original;
  rotate_weights(rotated, {.r1 = true});
  EXPECT_FALSE(rotated.config.tied_embeddings);
  EXPECT_GT(largest_difference(rotated.head, rotated.embedding), 0.01) << "the final norm is folded into the head alone";
  for (const float gain : rotated.final_norm) EXPECT_EQ(gain, 1.0f);
  for (const float gain : rotated.blocks[1].mlp_norm) EXPECT_EQ(gain, 1.0f);

  ModelWeights heads_only = original;
  rotate_weights(heads_only, {.r2 = true, .r4 = true});
  EXPECT_TRUE(heads_only.config.tied_embeddings);
  EXPECT_TRUE(heads_only.head.empty());
}

TEST(RotateWeights, TheSeedDecides) {
  ModelWeights a = tiny_weights(), b = a, c = a;
  rotate_weights(a, {.r1 = true, .seed = 1});
  rotate_weights(b, {.r1 = true, .seed = 1});
  rotate_weights(c, {.r1 = true, .seed = 2});
  EXPECT_EQ(a.embedding, b.embedding);
  EXPECT_NE(a.embedding, c.embedding);
}

TEST(RotateWeights, LayersWithoutFloatWeightsArePassedOver) {
  ModelWeights whole = tiny_weights(), parts = whole;
  for (BlockWeights& block : parts.blocks) {
    for (LinearWeights& linear : block.linears) linear.weight = MatrixF();
  }
  const RotationChoice choice{true, true, true, 4};
  rotate_weights(whole, choice);
  rotate_weights(parts, choice);
  EXPECT_EQ(whole.embedding, parts.embedding);
  EXPECT_EQ(whole.head, parts.head);
  EXPECT_EQ(parts.blocks[0].attention_norm, whole.blocks[0].attention_norm);
  EXPECT_TRUE(parts.blocks[0].linears[0].weight.empty());
}

TEST(RotateWeights, AWidthWithoutAHadamardMatrixIsNamedAndNothingChanges) {
  ModelWeights weights = tiny_weights({.hidden = 54, .heads = 3, .kv_heads = 1, .head_dim = 18, .feed_forward = 64});
  const MatrixF embedding = weights.embedding;
  for (const RotationChoice& choice : {RotationChoice{.r1 = true, .r4 = true}, RotationChoice{.r2 = true, .r4 = true}}) {
    try {
      rotate_weights(weights, choice);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::unsupported);
      EXPECT_THAT(error.what(), testing::HasSubstr(choice.r1 ? "54" : "18"));
    }
  }
  EXPECT_EQ(weights.embedding, embedding);
  EXPECT_FALSE(weights.down_hadamard);
}

TEST(RotateWeights, OnlineHadamardAndFoldedOneCancelInDownProj) {
  // W H (H applied to x) = W x, measured on the layer itself.
  ModelWeights original = tiny_weights(), rotated = original;
  rotate_weights(rotated, {.r4 = true});
  const std::size_t width = original.config.feed_forward;
  Random random(8);
  MatrixF x = random.matrix(5, width, 1.0), turned = x;
  apply_hadamard(*rotated.down_hadamard, turned.data(), turned.rows());
  const MatrixF& before = original.blocks[1].linear(Role::down_proj).weight;
  const MatrixF& after = rotated.blocks[1].linear(Role::down_proj).weight;
  for (std::size_t t = 0; t < x.rows(); ++t) {
    for (std::size_t o = 0; o < before.rows(); ++o) {
      double plain = 0, both = 0;
      for (std::size_t i = 0; i < width; ++i) {
        plain += double(before(o, i)) * double(x(t, i));
        both += double(after(o, i)) * double(turned(t, i));
      }
      ASSERT_NEAR(plain, both, 1e-5);
    }
  }
}

TEST(RotateWeights, StoriesModelInAllRotations) {
  // Feed-forward width 172: a Hadamard order that is neither a power of two nor a small multiple of one.
  const auto model = Model::open(data("stories260K/stories260K-f32.gguf"));
  ModelWeights weights = load_weights(*model);
  const auto ids = random_ids(60, weights.config.vocabulary, 7);
  const MatrixF before = logits_of(weights, ids);
  rotate_weights(weights, {true, true, true, 0});
  EXPECT_LE(largest_difference(before, logits_of(weights, ids)), 1e-4 * standard_deviation(before));
}

}  // namespace
}  // namespace lrc::test

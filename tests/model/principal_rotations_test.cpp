// Principal bases in the place of R1 and R2 (ResQ).
#include "model/principal_rotations.h"

#include <gtest/gtest.h>

#include <cmath>

#include "correction/linalg.h"
#include "quantization/column_parts.h"
#include "support/family_models.h"
#include "support/float_logits.h"
#include "support/solver_case.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

double deviation_from_identity(const MatrixD& matrix) {
  MatrixD product = linalg::gram(matrix);
  linalg::add_to_diagonal(product, -1);
  double worst = 0;
  for (const double value : product.flat()) worst = std::max(worst, std::abs(value));
  return worst;
}

/// Float inputs of the model, block by block, as a run's walk brings them.
ImportedRotations bases_of(const ModelWeights& weights, const RotationChoice& choice, std::span<const TokenId> ids) {
  ModelWeights folded = weights;
  const ImportedRotations identity = fold_rotations(choice, weights.config);
  rotate_weights(folded, fold_choice(choice), &identity);
  Transformer transformer = on_cpu(folded);
  PrincipalMoments moments(weights.config, choice);
  KvCache cache = transformer.make_cache(ids.size());
  transformer.forward(ids, cache, {}, [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
    moments.add(site, x, tokens, width);
  });
  return moments.rotations();
}

TEST(PrincipalRotations, RandomOnesAreOrthogonalAndBelongToTheirSeed) {
  for (const std::size_t order : {1u, 2u, 7u, 72u, 504u}) EXPECT_LT(deviation_from_identity(random_orthogonal(order, 5)), 1e-12) << order;
  EXPECT_EQ(random_orthogonal(20, 5), random_orthogonal(20, 5));
  EXPECT_NE(random_orthogonal(20, 5), random_orthogonal(20, 6));
}

TEST(PrincipalRotations, TheFirstDirectionsCarryTheLargestEigenvalues) {
  const MatrixD x = random_inputs(500, 40, 3), s = linalg::multiply(x, x, true);
  const auto eigen = linalg::eigen_symmetric(s);
  for (const std::size_t high : {0u, 5u, 40u}) {
    const MatrixD p = principal_rotation(s, high, 9), turned = linalg::multiply(p, linalg::multiply(s, p), true);
    EXPECT_LT(deviation_from_identity(p), 1e-12);
    double of_high = 0, expected = 0, crossing = 0;
    for (std::size_t i = 0; i < high; ++i) {
      of_high += turned(i, i);
      expected += eigen.values[i];
      for (std::size_t j = high; j < 40; ++j) crossing = std::max(crossing, std::abs(turned(i, j)));
    }
    EXPECT_NEAR(of_high, expected, 1e-9 * linalg::trace(s));
    EXPECT_LT(crossing, 1e-9 * linalg::trace(s)) << "the parts are uncorrelated";
    if (high != 5) continue;
    // Within a part energy is spread: no direction is the eigenvector itself.
    EXPECT_LT(turned(0, 0), 0.99 * eigen.values[0]);
    EXPECT_GT(std::abs(turned(0, 1)), 1e-6 * eigen.values[0]);
  }
}

class PrincipalFamily : public testing::TestWithParam<FamilyModel> {};
INSTANTIATE_TEST_SUITE_P(Models, PrincipalFamily, testing::ValuesIn(family_models()));

TEST_P(PrincipalFamily, LogitsStay) {
  const auto model = Model::open(data("models") / GetParam().path);
  const ModelWeights weights = load_weights(*model);
  const auto ids = random_ids(30, weights.config.vocabulary, 3);
  const MatrixF before = logits_of(weights, ids);
  for (const RotationChoice& choice : {RotationChoice{.r1 = true, .high_share = 0.25}, RotationChoice{.r2 = true, .high_share = 0.25},
                                       RotationChoice{.r1 = true, .r2 = true, .r4 = true, .seed = 3, .high_share = 0.125}}) {
    SCOPED_TRACE(std::string(choice.r1 ? "R1 " : "") + (choice.r2 ? "R2 " : "") + (choice.r4 ? "R4" : ""));
    const ImportedRotations bases = bases_of(weights, choice, ids);
    EXPECT_EQ(bases.r1.empty(), !choice.r1);
    ASSERT_EQ(bases.r2.size(), choice.r2 ? weights.config.blocks : 0);
    ModelWeights rotated = weights;
    rotate_weights(rotated, choice, &bases);
    EXPECT_LE(largest_difference(before, logits_of(rotated, ids)), 5e-4);
    if (choice.r2) {
      EXPECT_GT(largest_difference(weights.blocks.back().linear(Role::o_proj).weight, rotated.blocks.back().linear(Role::o_proj).weight),
                0.01);
    }
  }
}

TEST(PrincipalRotations, HeadsThatShareValuesShareTheirBasis) {
  // Six query heads over two key-value heads, the second of which gets the identity.
  const ModelWeights weights = tiny_weights();
  const std::size_t head = weights.config.head_dim;
  Random random(4);
  ImportedRotations bases;
  for (std::size_t b = 0; b < weights.config.blocks; ++b) {
    MatrixD stacked(2 * head, head);
    const MatrixD first = random_orthogonal(head, b);
    std::copy_n(first.data(), first.size(), stacked.data());
    for (std::size_t i = 0; i < head; ++i) stacked(head + i, i) = 1;
    bases.r2.push_back(std::move(stacked));
  }
  ModelWeights rotated = weights;
  rotate_weights(rotated, {.r2 = true, .high_share = 0.5}, &bases);
  const MatrixF &o = weights.blocks[1].linear(Role::o_proj).weight, &turned = rotated.blocks[1].linear(Role::o_proj).weight;
  for (std::size_t c = 0; c < o.columns(); ++c) {
    float difference = 0;
    for (std::size_t r = 0; r < o.rows(); ++r) difference = std::max(difference, std::abs(o(r, c) - turned(r, c)));
    EXPECT_EQ(difference > 1e-3f, c < 3 * head) << "column " << c;
  }
  const auto ids = random_ids(20, weights.config.vocabulary, 6);
  EXPECT_LE(largest_difference(logits_of(weights, ids), logits_of(rotated, ids)), 5e-4);
}

TEST(PrincipalRotations, WhatIsQuantizedHasItsEnergyInTheHighColumns) {
  const ModelWeights weights = tiny_weights();
  const RotationChoice choice{.r1 = true, .r2 = true, .high_share = 0.25};
  const auto ids = random_ids(60, weights.config.vocabulary, 8);
  const ImportedRotations bases = bases_of(weights, choice, ids);
  ModelWeights rotated = weights;
  rotate_weights(rotated, choice, &bases);
  Transformer transformer = on_cpu(rotated);
  KvCache cache = transformer.make_cache(ids.size());
  const std::size_t head = weights.config.head_dim;
  double stream_high = 0, stream_all = 0;
  transformer.forward(ids, cache, {}, [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
    const bool heads = site.kind == SiteKind::attention_output;
    if (site.kind == SiteKind::mlp_hidden) return;
    const HighColumns high{.count = high_count(0.25, width, heads ? head : 0), .period = heads ? head : 0};
    double of_high = 0, of_all = 0;
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t c = 0; c < width; ++c) {
        const double energy = double(x[t * width + c]) * double(x[t * width + c]);
        of_all += energy;
        if (c % (heads ? head : width) < high.count) of_high += energy;
      }
    if (heads) {
      EXPECT_GT(of_high, 0.4 * of_all) << name(site) << ": a quarter of the columns";
    } else {
      stream_high += of_high;
      stream_all += of_all;
    }
  });
  EXPECT_GT(stream_high, 0.35 * stream_all) << "one basis for all blocks, a third of the columns";
}

}  // namespace
}  // namespace lrc::test

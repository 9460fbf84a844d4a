#include "run/tensor_facts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "correction/linalg.h"
#include "support/test_data.h"

namespace lrc {
namespace {

TEST(TensorFacts, OfEveryTensorOfACheckpoint) {
  const auto checkpoint = open_checkpoint(test::data("stories260K/stories260K-f32.gguf"));
  std::size_t matrices = 0;
  for (const auto& tensor : checkpoint->tensors()) {
    SCOPED_TRACE(tensor.name);
    const auto facts = tensor_facts(*checkpoint, tensor);
    EXPECT_EQ(facts.values, tensor.elements());
    EXPECT_TRUE(facts.whole);
    EXPECT_LE(facts.smallest, facts.mean);
    EXPECT_GE(facts.largest, facts.mean);
    EXPECT_GE(std::max(std::fabs(facts.smallest), facts.largest), facts.rms);
    EXPECT_NEAR(std::accumulate(facts.shares.begin(), facts.shares.end(), 0.0), 1, 1e-9);
    if (tensor.shape.size() != 2) {
      EXPECT_TRUE(facts.singular_values.empty());
      continue;
    }
    ++matrices;
    ASSERT_EQ(facts.singular_values.size(), std::min(tensor.rows(), tensor.columns()));
    // ‖W‖² is the sum of the squares of both.
    double energy = 0;
    for (const double value : facts.singular_values) energy += value * value;
    EXPECT_NEAR(energy / (facts.rms * facts.rms * double(facts.values)), 1, 1e-6);
  }
  EXPECT_GT(matrices, 30u);
}

}  // namespace
}  // namespace lrc

#pragma once
#include <gtest/gtest.h>

#include "quantization/quantized_weight.h"
#include "support/solver_case.h"

namespace lrc::test {

/// Codes exactly, scales within a relative tolerance; those of groups whose codes are all zero mean nothing.
inline void expect_weight(const SolverCase& golden, const QuantizedWeight& weight, const std::string& name, double tolerance) {
  EXPECT_EQ(weight.codes, golden.codes(name + ".codes")) << name;
  const MatrixD expected = golden.file.read_double(name + ".scales");
  ASSERT_EQ(weight.scales.size(), expected.size()) << name;
  const std::size_t group = weight.group_size();
  for (std::size_t r = 0; r < weight.out_features; ++r)
    for (std::size_t g = 0; g < weight.groups(); ++g) {
      const auto* first = weight.codes.data() + r * weight.in_features + g * group;
      if (std::all_of(first, first + group, [](std::int8_t c) { return c == 0; })) continue;
      const double e = expected.data()[r * weight.groups() + g];
      EXPECT_NEAR(weight.scales(r, g), e, tolerance * e) << name << " row " << r << " group " << g;
    }
}

}  // namespace lrc::test

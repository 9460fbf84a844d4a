#include "rotation/hadamard.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/parallel.h"
#include "formats/safetensors.h"
#include "support/test_data.h"

namespace lrc {
namespace {

// The n × n matrix by its definition H_m ⊗ H_2^p, entry by entry.
std::vector<int> dense(const HadamardOrder& h) {
  std::vector<int> result(h.order * h.order);
  const auto sylvester = [](std::size_t i, std::size_t j) { return __builtin_parityll(i & j) ? -1 : 1; };
  for (std::size_t i = 0; i < h.order; ++i)
    for (std::size_t j = 0; j < h.order; ++j)
      result[i * h.order + j] =
          h.base[i / h.power_of_two * h.base_order + j / h.power_of_two] * sylvester(i % h.power_of_two, j % h.power_of_two);
  return result;
}

TEST(Hadamard, IsOrthogonalInIntegers) {
  std::vector<std::size_t> orders = {260, 340, 356, 580, 924, 976};
  for (std::size_t n = 1; n <= 256; ++n) orders.push_back(n);
  std::set<std::size_t> missing;
  for (const std::size_t n : orders) {
    const auto h = find_hadamard(n);
    if (!h) {
      missing.insert(n);
      continue;
    }
    ASSERT_EQ(h->order, n);
    ASSERT_EQ(h->base_order * h->power_of_two, n);
    const auto matrix = dense(*h);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = i; j < n; ++j) {
        int dot = 0;
        for (std::size_t k = 0; k < n; ++k) dot += matrix[i * n + k] * matrix[j * n + k];
        ASSERT_EQ(dot, i == j ? int(n) : 0) << "order " << n << " rows " << i << ", " << j;
      }
  }
  // No other width up to 256 is without a matrix: those that no Hadamard matrix can have.
  std::set<std::size_t> expected;
  for (std::size_t n = 3; n <= 256; ++n)
    if (n % 4 != 0) expected.insert(n);
  EXPECT_EQ(missing, expected);
}

TEST(Hadamard, OneConstructionPerWidth) {
  const auto construction = [](std::size_t n) { return find_hadamard(n).value().construction; };
  EXPECT_EQ(construction(64), "Sylvester");
  EXPECT_EQ(construction(12), "Paley I");
  EXPECT_EQ(construction(60), "Paley I");  // Paley II exists too
  EXPECT_EQ(construction(576), "Paley II");
  EXPECT_EQ(construction(29568), "Paley II");
  EXPECT_EQ(construction(11008), "Williamson");
  EXPECT_EQ(construction(244), "Paley I");   // over the field of 3^5 elements
  EXPECT_EQ(construction(340), "Paley II");  // of 13^2
  EXPECT_EQ(construction(100), "Williamson");
  for (const std::size_t order : {188u, 236u, 260u, 356u, 472u}) EXPECT_EQ(construction(order), "Turyn");
  EXPECT_EQ(find_hadamard(1536)->base_order, 12u);
  EXPECT_EQ(find_hadamard(576)->base_order, 36u);
  EXPECT_EQ(find_hadamard(24)->base_order, 12u);  // not 24 = 23 + 1
  for (const std::size_t none : {std::size_t(0), std::size_t(9), std::size_t(14), std::size_t(15), std::size_t(668)})
    EXPECT_FALSE(find_hadamard(none)) << none;
  EXPECT_FALSE(find_hadamard(4 * 1000003));  // a base matrix of 16 TB is not tried
  EXPECT_FALSE(find_hadamard(~std::size_t(0) - 3));
}

class GoldenHadamard : public testing::TestWithParam<int> {};

TEST_P(GoldenHadamard, Transforms) {
  const auto file = SafetensorsFile::open(test::data("solvers/hadamard.safetensors"));
  const std::string prefix = "n" + std::to_string(GetParam()) + ".";
  const auto h = find_hadamard(std::size_t(GetParam())).value();
  const MatrixD x = file.read_double(prefix + "x");
  const auto signs = file.raw<std::int8_t>(prefix + "signs");
  if (h.base_order > 1) {
    const auto base = file.raw<std::int8_t>("base" + std::to_string(h.base_order) + ".H");
    EXPECT_EQ(h.base, std::vector<std::int8_t>(base.begin(), base.end()));
  }
  const auto expect_equal = [&](const MatrixD& y, const std::string& name) {
    const MatrixD expected = file.read_double(prefix + name);
    ASSERT_EQ(y.size(), expected.size());
    for (std::size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y.data()[i], expected.data()[i], 1e-12) << prefix << name << " " << i;
  };
  MatrixD y = x;
  apply_hadamard(h, y.data(), 1);
  expect_equal(y, "xH");
  y = x;
  apply_hadamard_transposed(h, y.data(), 1);
  expect_equal(y, "Hx");
  y = x;
  for (std::size_t i = 0; i < y.size(); ++i) y.data()[i] *= signs[i];
  apply_hadamard(h, y.data(), 1);
  expect_equal(y, "signed_xH");

  MatrixF single = convert<float>(x);
  apply_hadamard(h, single.data(), 1);
  const MatrixD expected = file.read_double(prefix + "xH");
  double largest = 0;
  for (const double v : expected.flat()) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < single.size(); ++i) EXPECT_NEAR(single.data()[i], expected.data()[i], 1e-6 * largest);
}

INSTANTIATE_TEST_SUITE_P(Orders, GoldenHadamard, testing::Values(8, 64, 256, 12, 20, 44, 60, 28, 36, 40, 576, 1536));

TEST(Hadamard, FastEqualsDense) {
  for (const std::size_t n : {1, 2, 12, 24, 40, 52, 92, 100, 116, 156, 172, 208, 344, 576, 924}) {
    const auto h = find_hadamard(n).value();
    const auto matrix = dense(h);
    MatrixD x(3, n);
    for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = std::sin(double(i) * 1.7 + 0.3);
    MatrixD forward = x, backward = x;
    apply_hadamard(h, forward.data(), 3);
    apply_hadamard_transposed(h, backward.data(), 3);
    for (std::size_t r = 0; r < 3; ++r)
      for (std::size_t j = 0; j < n; ++j) {
        double right = 0, left = 0;
        for (std::size_t i = 0; i < n; ++i) {
          right += x(r, i) * matrix[i * n + j];
          left += x(r, i) * matrix[j * n + i];
        }
        ASSERT_NEAR(forward(r, j), right / std::sqrt(double(n)), 1e-12) << n;
        ASSERT_NEAR(backward(r, j), left / std::sqrt(double(n)), 1e-12) << n;
      }
    apply_hadamard_transposed(h, forward.data(), 3);
    for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(forward.data()[i], x.data()[i], 1e-13) << n;
  }
}

TEST(Hadamard, SpreadsASpikeEvenly) {
  for (const std::size_t n : {64, 576, 1536}) {
    const auto h = find_hadamard(n).value();
    const auto signs = random_signs(n, 7);
    for (const std::size_t at : {std::size_t(0), n / 3, n - 1}) {
      std::vector<double> x(n, 0.0);
      x[at] = signs[at];
      apply_hadamard(h, x.data(), 1);
      for (const double v : x) ASSERT_NEAR(std::abs(v), 1 / std::sqrt(double(n)), 1e-14);
    }
  }
}

TEST(Hadamard, DoesNotDependOnThreads) {
  const auto h = find_hadamard(576).value();
  std::vector<float> x(576 * 50);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = float(std::sin(double(i)));
  auto one = x, two = x;
  set_thread_count(1);
  apply_hadamard(h, one.data(), 50);
  set_thread_count(2);
  apply_hadamard(h, two.data(), 50);
  set_thread_count(0);
  EXPECT_EQ(one, two);
}

TEST(RandomSigns, AreAFunctionOfTheSeed) {
  const auto signs = random_signs(2000, 1);
  EXPECT_EQ(signs, random_signs(2000, 1));
  EXPECT_NE(signs, random_signs(2000, 2));
  int sum = 0;
  for (const auto s : signs) {
    EXPECT_EQ(s * s, 1);
    sum += s;
  }
  EXPECT_LT(std::abs(sum), 200);
  // SplitMix64 of seed 0 starts with 0xe220a8397b1dcdaf: bits from the lowest up, 1 for +1.
  const auto zero = random_signs(64, 0);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(zero[std::size_t(i)], (0xe220a8397b1dcdafu >> i & 1) != 0 ? 1 : -1) << i;
}

}  // namespace
}  // namespace lrc

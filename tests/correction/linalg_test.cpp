#include "correction/linalg.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "support/solver_case.h"

namespace lrc::linalg {
namespace {

using test::random_matrix;
using test::relative_difference;

MatrixD plain_product(const MatrixD& a, const MatrixD& b) {
  MatrixD c(a.rows(), b.columns());
  for (std::size_t i = 0; i < a.rows(); ++i)
    for (std::size_t j = 0; j < b.columns(); ++j)
      for (std::size_t k = 0; k < a.columns(); ++k) c(i, j) += a(i, k) * b(k, j);
  return c;
}

MatrixD positive_definite(std::size_t n) {
  MatrixD s = plain_product(random_matrix(n, n, 4), transpose(random_matrix(n, n, 4)));
  add_to_diagonal(s, double(n));
  return s;
}

// Sizes within, at and beyond one block of rows.
class LinearAlgebra : public testing::TestWithParam<std::size_t> {
 protected:
  std::size_t n = GetParam();
  MatrixD a = random_matrix(n + 3, n, 1), b = random_matrix(n, 17, 2), s = positive_definite(n);
};

TEST_P(LinearAlgebra, Products) {
  const MatrixD expected = plain_product(a, b);
  EXPECT_LT(relative_difference(multiply(a, b), expected), 1e-13);
  EXPECT_LT(relative_difference(multiply(transpose(a), b, true), expected), 1e-13);
  EXPECT_LT(relative_difference(multiply(a, transpose(b), false, true), expected), 1e-13);
  EXPECT_LT(relative_difference(multiply(transpose(a), transpose(b), true, true), expected), 1e-13);
  const MatrixD g = gram(a);
  EXPECT_LT(relative_difference(g, plain_product(a, transpose(a))), 1e-13);
  EXPECT_EQ(g, transpose(g));
  EXPECT_NEAR(quadratic_trace(a, s), trace(plain_product(plain_product(a, s), transpose(a))), 1e-10 * trace(s) * double(n));
  EXPECT_NEAR(trace_of_product(a, s, a), quadratic_trace(a, s), 1e-12 * quadratic_trace(a, s));
}

TEST_P(LinearAlgebra, CholeskyAndSolves) {
  const MatrixD lower = cholesky(s).value();
  EXPECT_LT(relative_difference(plain_product(lower, transpose(lower)), s), 1e-13);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = i + 1; j < n; ++j) ASSERT_EQ(lower(i, j), 0);
  EXPECT_LT(relative_difference(plain_product(lower, solve_lower(lower, b)), b), 1e-12);
  EXPECT_LT(relative_difference(plain_product(transpose(lower), solve_lower(lower, b, true)), b), 1e-12);
  EXPECT_LT(relative_difference(plain_product(right_solve_lower(lower, a), lower), a), 1e-12);
  EXPECT_LT(relative_difference(plain_product(right_solve_lower(lower, a, true), transpose(lower)), a), 1e-12);
  EXPECT_LT(relative_difference(plain_product(right_solve_spd(lower, a), s), a), 1e-11);
  EXPECT_LT(relative_difference(multiply_lower(a, lower), plain_product(a, lower)), 1e-13);
}

TEST_P(LinearAlgebra, Eigenvalues) {
  MatrixD indefinite = s;
  add_to_diagonal(indefinite, -1.5 * double(n));
  const auto eigen = eigen_symmetric(indefinite);
  MatrixD scaled = eigen.vectors;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) scaled(i, j) *= eigen.values[i];
  EXPECT_LT(relative_difference(plain_product(transpose(eigen.vectors), scaled), indefinite), 1e-12);
  MatrixD unit(n, n);
  add_to_diagonal(unit, 1);
  EXPECT_LT(relative_difference(gram(eigen.vectors), unit), 1e-12);
  EXPECT_TRUE(std::is_sorted(eigen.values.rbegin(), eigen.values.rend()));
  const auto values = eigenvalues_symmetric(indefinite);
  for (std::size_t i = 0; i < n; ++i) EXPECT_NEAR(values[i], eigen.values[i], 1e-11 * std::abs(eigen.values[0]));
  const auto singular = singular_values(a);
  ASSERT_EQ(singular.size(), n);
  EXPECT_EQ(singular.size(), singular_values(transpose(a)).size());
  double sum = 0;
  for (const double v : singular) sum += v * v;
  EXPECT_NEAR(sum, squared_norm(a), 1e-11 * sum);
}

TEST_P(LinearAlgebra, DoesNotDependOnThreads) {
  const auto everything = [&] {
    const MatrixD lower = cholesky(s).value();
    return std::vector<MatrixD>{multiply(a, s), gram(a), solve_lower(lower, s), right_solve_spd(lower, a), multiply_lower(a, lower)};
  };
  set_thread_count(1);
  const auto one = everything();
  set_thread_count(2);
  EXPECT_EQ(everything(), one);
  set_thread_count(0);
}

INSTANTIATE_TEST_SUITE_P(Sizes, LinearAlgebra, testing::Values(1, 2, 16, 50, 192, 210));

TEST(LinearAlgebraEdges, IndefiniteAndNaN) {
  MatrixD s(3, 3);
  s(0, 0) = s(1, 1) = 1;
  s(2, 2) = -1;
  EXPECT_FALSE(cholesky(s));
  s(2, 2) = 0;
  EXPECT_FALSE(cholesky(s));
  s(2, 2) = NAN;
  EXPECT_FALSE(cholesky(s));
  EXPECT_THROW(eigen_symmetric(s), Error);
  EXPECT_THROW(eigenvalues_symmetric(s), Error);
}

}  // namespace
}  // namespace lrc::linalg

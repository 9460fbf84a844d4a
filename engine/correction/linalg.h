#pragma once
// Dense float64 linear algebra: LAPACKE and OpenBLAS behind one header, one thread each (parallelism is ours, so that the
// result does not depend on how many threads run).
#include <cstddef>
#include <optional>
#include <vector>

#include "tensor/matrix.h"

namespace lrc::linalg {

MatrixD multiply(const MatrixD& a, const MatrixD& b, bool transpose_a = false, bool transpose_b = false);
/// a bᵀ … symmetric results: (a + aᵀ)/2.
void symmetrize(MatrixD& a);
MatrixD transpose(const MatrixD& a);
double trace(const MatrixD& a);
/// tr(A S Bᵀ) = Σ (A S)∘B.
double trace_of_product(const MatrixD& a, const MatrixD& s, const MatrixD& b);
/// Lower Cholesky factor of a symmetric positive definite matrix, or nothing when it is not.
std::optional<MatrixD> cholesky(const MatrixD& a);
/// X with L X = B (or Lᵀ X = B), L lower triangular.
MatrixD solve_lower(const MatrixD& lower, const MatrixD& b, bool transposed = false);
/// B S⁻¹ for S = L Lᵀ, B (rows, n): two triangular solves, S⁻¹ is never formed.
MatrixD right_solve_spd(const MatrixD& lower, const MatrixD& b);
/// Upper U with S⁻¹ = Uᵀ U … GPTQ's factor, from S = L Lᵀ.
MatrixD inverse_upper_factor(const MatrixD& lower);

struct EigenDecomposition {
  std::vector<double> values;  ///< descending
  MatrixD vectors;             ///< columns belong to values, (n, n)
};
EigenDecomposition eigen_symmetric(const MatrixD& a);
struct Svd {
  MatrixD u;                   ///< (m, k), k = min(m, n)
  std::vector<double> values;  ///< descending
  MatrixD v;                   ///< (n, k)
};
Svd svd(const MatrixD& a);
std::vector<double> singular_values(const MatrixD& a);

}  // namespace lrc::linalg

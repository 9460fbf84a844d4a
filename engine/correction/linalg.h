#pragma once
// Dense float64 linear algebra: LAPACKE and OpenBLAS behind one header, one thread each. Products and triangular solves are cut
// into fixed blocks for parallel_for, so that the result does not depend on how many threads run.
#include <cstddef>
#include <optional>
#include <vector>

#include "tensor/matrix.h"

namespace lrc::linalg {

/// op(a) op(b) with op = transpose where asked.
MatrixD multiply(const MatrixD& a, const MatrixD& b, bool transpose_a = false, bool transpose_b = false);
/// The same in float32.
MatrixF multiply(const MatrixF& a, const MatrixF& b, bool transpose_a = false, bool transpose_b = false);
/// a L with L (n, n) lower triangular: half the work of multiply.
MatrixD multiply_lower(const MatrixD& a, const MatrixD& lower);
/// a aᵀ, exactly symmetric.
MatrixD gram(const MatrixD& a);
/// a ← (a + aᵀ) / 2.
void symmetrize(MatrixD& a);
MatrixD transpose(const MatrixD& a);
void add_to_diagonal(MatrixD& a, double value);
/// a − b of equal shapes.
MatrixD subtract(const MatrixD& a, const MatrixD& b);
double trace(const MatrixD& a);
/// ‖a‖² (Frobenius).
double squared_norm(const MatrixD& a);
/// tr(a S bᵀ), a and b (m, n).
double trace_of_product(const MatrixD& a, const MatrixD& s, const MatrixD& b);
/// tr(a S aᵀ) for a symmetric S: half the work.
double quadratic_trace(const MatrixD& a, const MatrixD& s);
/// Lower Cholesky factor of a symmetric positive definite matrix, or nothing when it is not.
std::optional<MatrixD> cholesky(const MatrixD& a);
/// X with L X = B (or Lᵀ X = B), L lower triangular.
MatrixD solve_lower(const MatrixD& lower, const MatrixD& b, bool transposed = false);
/// X with X L = B (or X Lᵀ = B).
MatrixD right_solve_lower(const MatrixD& lower, MatrixD b, bool transposed = false);
/// B S⁻¹ for S = L Lᵀ, B (rows, n): two triangular solves, S⁻¹ is never formed.
MatrixD right_solve_spd(const MatrixD& lower, const MatrixD& b);

struct EigenDecomposition {
  std::vector<double> values;  ///< descending
  MatrixD vectors;             ///< row i belongs to values[i], (n, n)
};
/// Throws Error(numerical) when the iteration does not converge (NaN in the input).
EigenDecomposition eigen_symmetric(const MatrixD& a);
/// Descending, without vectors: a third of the time.
std::vector<double> eigenvalues_symmetric(const MatrixD& a);
/// Descending, min(m, n) of them, as roots of the eigenvalues of the smaller Gram matrix: below 1e-8 of the largest they are noise.
std::vector<double> singular_values(const MatrixD& a);

/// a = left diag(values) right, n = min(rows, columns).
struct SingularDecomposition {
  std::vector<double> values;  ///< descending
  MatrixD left;                ///< (rows, n), columns orthonormal
  MatrixD right;               ///< (n, columns), rows orthonormal
};
/// Throws Error(numerical) when the iteration does not converge.
SingularDecomposition singular_decomposition(const MatrixD& a);

}  // namespace lrc::linalg

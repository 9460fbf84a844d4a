#include "correction/linalg.h"

#include <cblas.h>
#include <lapacke.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "quantization/blas.h"

namespace lrc::linalg {
namespace {

// Rows or columns of a block; fixed, see the header.
constexpr std::size_t kBlock = 192;

CBLAS_TRANSPOSE flag(bool transposed) { return transposed ? CblasTrans : CblasNoTrans; }

// Calls body(i, j) for all entries in small squares, so that rows and columns are both met in cache.
template <typename Body>
void for_squares(std::size_t rows, std::size_t columns, const Body& body) {
  constexpr std::size_t square = 16;
  for (std::size_t i0 = 0; i0 < rows; i0 += square)
    for (std::size_t j0 = 0; j0 < columns; j0 += square)
      for (std::size_t i = i0; i < std::min(i0 + square, rows); ++i)
        for (std::size_t j = j0; j < std::min(j0 + square, columns); ++j) body(i, j);
}

// Mirrors the upper triangle.
void mirror(MatrixD& a) {
  for_squares(a.rows(), a.columns(), [&](std::size_t i, std::size_t j) {
    if (i < j) a(j, i) = a(i, j);
  });
}

// dsyevd on a copy; with vectors the copy's rows become eigenvectors, ascending.
std::vector<double> decompose(MatrixD& a, char job) {
  use_one_blas_thread();
  const lapack_int n = lapack_int(a.rows());
  std::vector<double> values(a.rows());
  if (n == 0) return values;
  const lapack_int info = LAPACKE_dsyevd(LAPACK_COL_MAJOR, job, 'L', n, a.data(), n, values.data());
  if (info != 0)
    throw Error(ErrorKind::numerical, "The eigenvalues of a matrix of order " + std::to_string(n) +
                                          " could not be computed; its entries are NaN, infinite or far out of scale.");
  std::reverse(values.begin(), values.end());
  return values;
}

}  // namespace

namespace {

void product_of(CBLAS_TRANSPOSE a_flag, CBLAS_TRANSPOSE b_flag, int m, int n, int k, const double* a, int lda, const double* b, int ldb,
                double* c) {
  cblas_dgemm(CblasRowMajor, a_flag, b_flag, m, n, k, 1.0, a, lda, b, ldb, 0.0, c, n);
}
void product_of(CBLAS_TRANSPOSE a_flag, CBLAS_TRANSPOSE b_flag, int m, int n, int k, const float* a, int lda, const float* b, int ldb,
                float* c) {
  cblas_sgemm(CblasRowMajor, a_flag, b_flag, m, n, k, 1.0f, a, lda, b, ldb, 0.0f, c, n);
}

template <typename T>
Matrix<T> multiply_any(const Matrix<T>& a, const Matrix<T>& b, bool transpose_a, bool transpose_b) {
  use_one_blas_thread();
  const std::size_t m = transpose_a ? a.columns() : a.rows(), k = transpose_a ? a.rows() : a.columns();
  const std::size_t n = transpose_b ? b.rows() : b.columns();
  assert(k == (transpose_b ? b.columns() : b.rows()));
  Matrix<T> result(m, n);
  if (m == 0 || n == 0 || k == 0) return result;
  parallel_for(m, kBlock, [&](std::size_t begin, std::size_t end) {
    product_of(flag(transpose_a), flag(transpose_b), int(end - begin), int(n), int(k), transpose_a ? a.data() + begin : a.row(begin),
               int(a.columns()), b.data(), int(b.columns()), result.row(begin));
  });
  return result;
}

}  // namespace

MatrixD multiply(const MatrixD& a, const MatrixD& b, bool transpose_a, bool transpose_b) {
  return multiply_any(a, b, transpose_a, transpose_b);
}
MatrixF multiply(const MatrixF& a, const MatrixF& b, bool transpose_a, bool transpose_b) {
  return multiply_any(a, b, transpose_a, transpose_b);
}

MatrixD multiply_lower(const MatrixD& a, const MatrixD& lower) {
  use_one_blas_thread();
  MatrixD result = a;
  const int n = int(lower.rows());
  if (n == 0) return result;
  parallel_for(a.rows(), kBlock, [&](std::size_t begin, std::size_t end) {
    cblas_dtrmm(CblasRowMajor, CblasRight, CblasLower, CblasNoTrans, CblasNonUnit, int(end - begin), n, 1.0, lower.data(), n,
                result.row(begin), n);
  });
  return result;
}

MatrixD gram(const MatrixD& a) {
  use_one_blas_thread();
  const std::size_t n = a.rows();
  MatrixD result(n, n);
  if (a.empty()) return result;
  // Block columns of the upper triangle: the diagonal block, and all that is above it.
  parallel_for(n, kBlock, [&](std::size_t begin, std::size_t end) {
    const int k = int(a.columns()), size = int(end - begin), stride = int(n);
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasNoTrans, size, k, 1.0, a.row(begin), k, 0.0, result.row(begin) + begin, stride);
    if (begin != 0)
      cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, int(begin), size, k, 1.0, a.data(), k, a.row(begin), k, 0.0,
                  result.data() + begin, stride);
  });
  mirror(result);
  return result;
}

void symmetrize(MatrixD& a) {
  for_squares(a.rows(), a.columns(), [&](std::size_t i, std::size_t j) {
    if (i < j) a(i, j) = a(j, i) = 0.5 * (a(i, j) + a(j, i));
  });
}

MatrixD transpose(const MatrixD& a) {
  MatrixD result(a.columns(), a.rows());
  for_squares(a.rows(), a.columns(), [&](std::size_t i, std::size_t j) { result(j, i) = a(i, j); });
  return result;
}

void add_to_diagonal(MatrixD& a, double value) {
  for (std::size_t i = 0; i < a.rows(); ++i) a(i, i) += value;
}

MatrixD subtract(const MatrixD& a, const MatrixD& b) {
  assert(a.rows() == b.rows() && a.columns() == b.columns());
  MatrixD result = a;
  for (std::size_t i = 0; i < a.size(); ++i) result.data()[i] -= b.data()[i];
  return result;
}

double trace(const MatrixD& a) {
  double sum = 0;
  for (std::size_t i = 0; i < a.rows(); ++i) sum += a(i, i);
  return sum;
}

double squared_norm(const MatrixD& a) {
  double sum = 0;
  for (const double v : a.flat()) sum += v * v;
  return sum;
}

double trace_of_product(const MatrixD& a, const MatrixD& s, const MatrixD& b) {
  const MatrixD product = multiply(a, s);
  double sum = 0;
  for (std::size_t i = 0; i < product.size(); ++i) sum += product.data()[i] * b.data()[i];
  return sum;
}

double quadratic_trace(const MatrixD& a, const MatrixD& s) {
  // S = T + Tᵀ − diag(S) with T the lower triangle: tr(a S aᵀ) = 2 tr(a T aᵀ) − Σ s_jj a_ij².
  const MatrixD product = multiply_lower(a, s);
  std::vector<double> diagonal(s.rows());
  for (std::size_t j = 0; j < s.rows(); ++j) diagonal[j] = s(j, j);
  double sum = 0;
  for (std::size_t i = 0; i < a.rows(); ++i)
    for (std::size_t j = 0; j < a.columns(); ++j) sum += a(i, j) * (2 * product(i, j) - diagonal[j] * a(i, j));
  return sum;
}

std::optional<MatrixD> cholesky(const MatrixD& a) {
  use_one_blas_thread();
  MatrixD lower = a;
  const lapack_int n = lapack_int(a.rows());
  // A row-major lower triangle is LAPACK's upper one.
  if (n != 0 && LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', n, lower.data(), n) != 0) return std::nullopt;
  for (std::size_t i = 0; i < lower.rows(); ++i) {
    if (!std::isfinite(lower(i, i))) return std::nullopt;
    std::fill(lower.row(i) + i + 1, lower.row(i) + lower.columns(), 0.0);
  }
  return lower;
}

MatrixD solve_lower(const MatrixD& lower, const MatrixD& b, bool transposed) {
  use_one_blas_thread();
  MatrixD x = b;
  const int n = int(lower.rows());
  if (n == 0) return x;
  parallel_for(b.columns(), kBlock, [&](std::size_t begin, std::size_t end) {
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, flag(transposed), CblasNonUnit, n, int(end - begin), 1.0, lower.data(), n,
                x.data() + begin, int(x.columns()));
  });
  return x;
}

MatrixD right_solve_lower(const MatrixD& lower, MatrixD b, bool transposed) {
  use_one_blas_thread();
  MatrixD x = std::move(b);
  const int n = int(lower.rows());
  if (n == 0) return x;
  parallel_for(x.rows(), kBlock, [&](std::size_t begin, std::size_t end) {
    cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, flag(transposed), CblasNonUnit, int(end - begin), n, 1.0, lower.data(), n,
                x.row(begin), n);
  });
  return x;
}

MatrixD right_solve_spd(const MatrixD& lower, const MatrixD& b) {
  return right_solve_lower(lower, right_solve_lower(lower, b, true), false);
}

EigenDecomposition eigen_symmetric(const MatrixD& a) {
  EigenDecomposition result;
  MatrixD ascending = a;
  result.values = decompose(ascending, 'V');
  result.vectors = MatrixD(a.rows(), a.columns());
  for (std::size_t i = 0; i < a.rows(); ++i) std::copy_n(ascending.row(a.rows() - 1 - i), a.columns(), result.vectors.row(i));
  return result;
}

std::vector<double> eigenvalues_symmetric(const MatrixD& a) {
  MatrixD copy = a;
  return decompose(copy, 'N');
}

std::vector<double> singular_values(const MatrixD& a) {
  auto values = eigenvalues_symmetric(a.rows() <= a.columns() ? gram(a) : gram(transpose(a)));
  for (double& v : values) v = std::sqrt(std::max(0.0, v));
  return values;
}

SingularDecomposition singular_decomposition(const MatrixD& a) {
  use_one_blas_thread();
  const std::size_t m = a.rows(), n = a.columns(), r = std::min(m, n);
  SingularDecomposition result{std::vector<double>(r), MatrixD(m, r), MatrixD(r, n)};
  if (r == 0) return result;
  // To LAPACK the row-major matrix is its transpose (n, m): its left vectors are our right ones, each in a row of its own.
  MatrixD copy = a;
  const lapack_int info = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'S', lapack_int(n), lapack_int(m), copy.data(), lapack_int(n),
                                         result.values.data(), result.right.data(), lapack_int(n), result.left.data(), lapack_int(r));
  if (info != 0)
    throw Error(ErrorKind::numerical, "The singular values of a matrix of " + std::to_string(m) + " x " + std::to_string(n) +
                                          " could not be computed; its entries are NaN, infinite or far out of scale.");
  return result;
}

}  // namespace lrc::linalg

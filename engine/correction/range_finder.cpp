#include "correction/range_finder.h"

#include <lapacke.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "quantization/blas.h"

namespace lrc {
namespace {

constexpr int kPowerIterations = 3;

// Spectra of whitened errors are flat: a quarter more directions than are asked for, and never only a few.
std::size_t directions(std::size_t n, std::size_t count) { return std::min(n, count + std::max<std::size_t>(16, count / 4)); }

/// Signs from splitmix64: as good a start as normal numbers, and the same on every machine.
MatrixD random_signs_matrix(std::size_t rows, std::size_t columns, std::uint64_t seed) {
  MatrixD result(rows, columns);
  std::uint64_t state = seed, bits = 0;
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (i % 64 == 0) {
      std::uint64_t z = state += 0x9e3779b97f4a7c15u;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
      bits = z ^ (z >> 31);
    }
    result.data()[i] = (bits >> (i % 64)) & 1 ? 1.0 : -1.0;
  }
  return result;
}

/// Makes the rows orthonormal; there are at most as many as columns.
void orthonormalize(MatrixD& rows) {
  use_one_blas_thread();
  const lapack_int count = lapack_int(rows.rows()), n = lapack_int(rows.columns());
  std::vector<double> factors(rows.rows());
  // To LAPACK the rows are columns.
  if (LAPACKE_dgeqrf(LAPACK_COL_MAJOR, n, count, rows.data(), n, factors.data()) != 0 ||
      LAPACKE_dorgqr(LAPACK_COL_MAJOR, n, count, count, rows.data(), n, factors.data()) != 0)
    throw Error(ErrorKind::numerical, "The range of a matrix of order " + std::to_string(n) +
                                          " could not be found; its entries are NaN, infinite or far out of scale.");
}

}  // namespace

bool range_finder_pays(std::size_t n, std::size_t count) { return 2 * directions(n, count) < n; }

LeadingEigenvectors leading_eigenvectors(const MatrixD& s, std::size_t count, std::uint64_t seed) {
  const std::size_t n = s.rows();
  count = std::min(count, n);
  LeadingEigenvectors result;
  if (count == 0) {
    result.vectors = MatrixD(0, n);
    return result;
  }
  MatrixD basis = random_signs_matrix(directions(n, count), n, seed);
  for (int i = 0; i <= kPowerIterations; ++i) {
    basis = linalg::multiply(basis, s);
    orthonormalize(basis);
  }
  MatrixD within = linalg::multiply(linalg::multiply(basis, s), basis, false, true);
  linalg::symmetrize(within);
  const auto eigen = linalg::eigen_symmetric(within);
  MatrixD turn(count, basis.rows());
  for (std::size_t k = 0; k < count; ++k) std::copy_n(eigen.vectors.row(k), basis.rows(), turn.row(k));
  result.vectors = linalg::multiply(turn, basis);
  result.values.assign(eigen.values.begin(), eigen.values.begin() + std::ptrdiff_t(count));
  return result;
}

}  // namespace lrc

#pragma once
// Leading eigenvectors of a large symmetric matrix without decomposing all of it.
#include <cstddef>
#include <cstdint>

#include "correction/linalg.h"
#include "tensor/matrix.h"

namespace lrc {

/// Of a symmetric positive semi-definite matrix: some directions that carry nearly as much of it as any so many can.
struct LeadingEigenvectors {
  std::vector<double> values;  ///< descending: what each direction carries, zᵀ S z
  MatrixD vectors;             ///< (count, n), rows orthonormal
};

/// Randomized range finder (Halko, Martinsson, Tropp, arXiv 0909.4061, algorithms 4.4 and 5.3) for S (n, n): a random start of
/// `count` directions and some more, three power iterations with a QR factorization after each, and the eigenproblem of S within
/// what they span. Exact where the start fills the space. The sum of the values is at most that of the `count` largest eigenvalues;
/// on a flat spectrum it falls behind it. The same for any number of threads. Throws Error(numerical) on NaN.
LeadingEigenvectors leading_eigenvectors(const MatrixD& s, std::size_t count, std::uint64_t seed);

/// Whether that is less work than the eigenproblem itself.
bool range_finder_pays(std::size_t n, std::size_t count);

}  // namespace lrc

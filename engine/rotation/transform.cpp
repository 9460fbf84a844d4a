// The fast transform: butterflies along the inner axis of 2^p, the dense base matrix along the outer axis.
#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "rotation/hadamard.h"

namespace lrc {
namespace {

// Rows per task; a fixed number, though rows are independent of each other anyway.
constexpr std::size_t kRowsPerTask = 8;

// Sylvester butterflies on one vector of `size` (a power of two).
template <typename T>
void butterflies(T* x, std::size_t size) {
  for (std::size_t half = 1; half < size; half *= 2)
    for (std::size_t start = 0; start < size; start += 2 * half) {
      T* low = x + start;
      T* high = low + half;
      for (std::size_t i = 0; i < half; ++i) {
        const T a = low[i], b = high[i];
        low[i] = a + b;
        high[i] = a - b;
      }
    }
}

// out(c, ·) = Σ_a matrix(a, c) x(a, ·) with x, out (m, inner); `matrix` (m, m) as numbers.
template <typename T>
void outer_axis(const T* matrix, std::size_t m, std::size_t inner, const T* x, T* out) {
  std::fill_n(out, m * inner, T(0));
  if (inner == 1) {
    for (std::size_t a = 0; a < m; ++a)
      for (std::size_t c = 0; c < m; ++c) out[c] += x[a] * matrix[a * m + c];
    return;
  }
  for (std::size_t c = 0; c < m; ++c) {
    T* target = out + c * inner;
    for (std::size_t a = 0; a < m; ++a) {
      const T sign = matrix[a * m + c];
      const T* source = x + a * inner;
      for (std::size_t i = 0; i < inner; ++i) target[i] += sign * source[i];
    }
  }
}

template <typename T>
void apply(const HadamardOrder& hadamard, T* x, std::size_t rows, bool transposed) {
  const std::size_t n = hadamard.order, m = hadamard.base_order, inner = hadamard.power_of_two;
  const T scale = T(1 / std::sqrt(double(n)));
  std::vector<T> matrix(m * m);
  for (std::size_t a = 0; a < m; ++a)
    for (std::size_t c = 0; c < m; ++c) matrix[a * m + c] = T(transposed ? hadamard.base[c * m + a] : hadamard.base[a * m + c]);
  parallel_for(rows, kRowsPerTask, [&](std::size_t begin, std::size_t end) {
    std::vector<T> buffer(m > 1 ? n : 0);
    for (std::size_t r = begin; r < end; ++r) {
      T* row = x + r * n;
      for (std::size_t a = 0; a < m; ++a) butterflies(row + a * inner, inner);
      if (m > 1) {
        outer_axis(matrix.data(), m, inner, row, buffer.data());
        std::copy_n(buffer.data(), n, row);
      }
      for (std::size_t i = 0; i < n; ++i) row[i] *= scale;
    }
  });
}

}  // namespace

void apply_hadamard(const HadamardOrder& hadamard, float* x, std::size_t rows) { apply(hadamard, x, rows, false); }
void apply_hadamard(const HadamardOrder& hadamard, double* x, std::size_t rows) { apply(hadamard, x, rows, false); }
void apply_hadamard_transposed(const HadamardOrder& hadamard, double* x, std::size_t rows) { apply(hadamard, x, rows, true); }

}  // namespace lrc

// GPTQ (methods.md 4.2). Rows are independent given the factor of the inverse Hessian, so blocks of rows run in parallel;
// columns go in blocks of 128, which is a reordering of the sums and not an approximation.
#include <cblas.h>
#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "quantization/blas.h"
#include "quantization/grid.h"
#include "quantization/quantized_weight.h"

namespace lrc {
namespace {

constexpr std::size_t kColumnBlock = 128;
// Within a block columns go one by one in pieces of this many; the rest of the block follows by a product.
constexpr std::size_t kColumnPiece = 16;
constexpr std::size_t kRowsPerTask = 64;
constexpr int kRetries = 3;

// Upper U with S⁻¹ = Uᵀ U, without forming the inverse: with J the reversal of all indices, J S J = L Lᵀ gives U = J L⁻¹ J.
// False when S is not positive definite.
bool inverse_factor(const MatrixD& s, MatrixD& upper) {
  const std::size_t n = s.rows();
  const lapack_int size = lapack_int(n);
  MatrixD reversed(n, n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) reversed(i, j) = s(n - 1 - i, n - 1 - j);
  // A row-major lower triangle is LAPACK's upper one: S = Rᵀ R with R = Lᵀ in column order.
  if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', size, reversed.data(), size) != 0) return false;
  if (LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, 'U', 'N', size, reversed.data(), size) != 0) return false;
  upper = MatrixD(n, n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = i; j < n; ++j) upper(i, j) = reversed(n - 1 - i, n - 1 - j);
  return std::all_of(upper.flat().begin(), upper.flat().end(), [](double v) { return std::isfinite(v); });
}

MatrixD permuted_columns(const MatrixD& a, const std::vector<std::size_t>& order) {
  MatrixD result(a.rows(), a.columns());
  for (std::size_t i = 0; i < a.rows(); ++i)
    for (std::size_t j = 0; j < a.columns(); ++j) result(i, j) = a(i, order[j]);
  return result;
}

MatrixD permuted(const MatrixD& s, const std::vector<std::size_t>& order) {
  MatrixD result(s.rows(), s.columns());
  for (std::size_t i = 0; i < s.rows(); ++i)
    for (std::size_t j = 0; j < s.columns(); ++j) result(i, j) = s(order[i], order[j]);
  return result;
}

// The factor of the damped Hessian; damping grows tenfold up to three times when the factorization fails.
MatrixD factor_of(MatrixD hessian, double damping) {
  const std::size_t n = hessian.rows();
  double mean = 0;
  for (std::size_t i = 0; i < n; ++i) mean += hessian(i, i);
  mean /= double(std::max<std::size_t>(1, n));
  MatrixD upper;
  double added = 0;
  for (int attempt = 0; attempt <= kRetries; ++attempt) {
    // Without damping there is nothing to multiply: a retry starts from a millionth.
    const double wanted = (attempt == 0 ? damping : std::max(damping, 1e-6) * std::pow(10.0, attempt)) * mean;
    for (std::size_t i = 0; i < n; ++i) hessian(i, i) += wanted - added;
    added = wanted;
    if (inverse_factor(hessian, upper)) return upper;
  }
  throw Error(ErrorKind::numerical,
              "GPTQ: the Hessian of " + std::to_string(n) +
                  " inputs has no Cholesky factor even with more damping; use more calibration text or a larger GPTQ damping.");
}

struct Job {
  MatrixD& weight;  // (out, in) in the order of processing; consumed
  const MatrixD& upper;
  const std::vector<std::size_t>& order;  // original column of each processed one
  ColumnGrid columns;
  std::size_t groups = 0;
  QuantizedWeight& result;
};

// Rows [begin, end). Returns the sum of squared normalised errors.
double process_rows(const Job& job, std::size_t begin, std::size_t end) {
  const std::size_t n = job.weight.columns(), rows = end - begin;
  MatrixD errors(rows, kColumnBlock);
  double sum = 0;
  // Columns [from, to) of the weight minus the errors of [first, from) times their rows of the factor.
  const auto update = [&](std::size_t block, std::size_t first, std::size_t from, std::size_t to) {
    if (from < to)
      cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, int(rows), int(to - from), int(from - first), -1.0,
                  errors.data() + first - block, int(kColumnBlock), job.upper.row(first) + from, int(n), 1.0, job.weight.row(begin) + from,
                  int(n));
  };
  for (std::size_t block = 0; block < n; block += kColumnBlock) {
    const std::size_t block_end = std::min(n, block + kColumnBlock);
    for (std::size_t first = block; first < block_end; first += kColumnPiece) {
      const std::size_t last = std::min(block_end, first + kColumnPiece);
      for (std::size_t r = 0; r < rows; ++r) {
        double* w = job.weight.row(begin + r);
        for (std::size_t j = first; j < last; ++j) {
          const std::size_t column = job.order[j];
          const std::size_t group = job.columns.group[column];
          const double scale = job.result.scales(begin + r, group);
          const double zero = job.result.zeros.empty() ? 0 : job.result.zeros[(begin + r) * job.groups + group];
          const double whole = scale == 0 ? 0.0 : job.columns.numbers[column].nearest(w[j] / scale, zero);
          job.result.codes[(begin + r) * n + column] = std::int8_t(whole + zero);
          const double* u = job.upper.row(j);
          const double error = (w[j] - whole * scale) / u[j];
          errors(r, j - block) = error;
          sum += error * error;
          for (std::size_t k = j + 1; k < last; ++k) w[k] -= error * u[k];
        }
      }
      update(block, first, last, block_end);
    }
    update(block, block, block_end, n);
  }
  return sum;
}

GptqResult run(const MatrixD& weight, const MatrixD& hessian, const WeightScheme& scheme, const GptqOptions& options,
               const WeightGrid* grid) {
  const std::size_t n = weight.columns();
  if (hessian.rows() != n || hessian.columns() != n)
    throw Error(ErrorKind::bad_input, "GPTQ: a Hessian of order " + std::to_string(hessian.rows()) + " does not fit a weight with " +
                                          std::to_string(n) + " input features.");
  for (const double v : hessian.flat())
    if (!std::isfinite(v)) throw Error(ErrorKind::numerical, "GPTQ: the Hessian holds NaN or infinity; check the model and the text.");
  use_one_blas_thread();

  MatrixD work = weight, h = hessian;
  for (std::size_t j = 0; j < n; ++j) {
    if (h(j, j) != 0) continue;
    h(j, j) = 1;
    for (std::size_t i = 0; i < work.rows(); ++i) work(i, j) = 0;
  }
  GptqResult result;
  result.weight = empty_on_grid(weight.rows(), n, scheme, grid ? *grid : fit_grid(work, scheme, options.round_to_half));

  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t(0));
  if (options.act_order) {
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return h(a, a) > h(b, b); });
    work = permuted_columns(work, order);
    h = permuted(h, order);
  }
  const MatrixD upper = factor_of(std::move(h), options.damping);
  const Job job{work, upper, order, column_grid(scheme, n), result.weight.groups(), result.weight};
  std::vector<double> sums((weight.rows() + kRowsPerTask - 1) / kRowsPerTask);
  parallel_for(weight.rows(), kRowsPerTask,
               [&](std::size_t begin, std::size_t end) { sums[begin / kRowsPerTask] = process_rows(job, begin, end); });
  for (const double sum : sums) result.sum_of_squared_normalised_errors += sum;
  return result;
}

}  // namespace

GptqResult quantize_gptq(const MatrixD& weight, const MatrixD& hessian, const WeightScheme& scheme, const GptqOptions& options) {
  return run(weight, hessian, scheme, options, nullptr);
}

GptqResult quantize_gptq(const MatrixD& weight, const MatrixD& hessian, const WeightScheme& scheme, const GptqOptions& options,
                         const WeightGrid& grid) {
  return run(weight, hessian, scheme, options, &grid);
}

}  // namespace lrc

// What solving is made of, on the widths of SmolLM2-135M (576, 1536) and of a 1.1 B Llama (2048, 5632): second moments against the
// float32 product of the same size (symmetric ones counted as half), everything in float64 against the float64 product.
// Operations are the usual counts: n³/3 for a Cholesky factor, 9 n³ for eigenvalues with vectors, out · in² for GPTQ.
#include <map>
#include <random>

#include "correction/linalg.h"
#include "correction/range_finder.h"
#include "paired.h"
#include "quantization/quantized_weight.h"
#include "quantization/second_moments.h"

namespace lrc::bench {
namespace {

constexpr std::size_t kTokens = 2048;

MatrixD noise(std::size_t rows, std::size_t columns) {
  std::mt19937 generator(7);
  std::normal_distribution<double> distribution;
  MatrixD matrix(rows, columns);
  for (double& value : matrix.flat()) value = distribution(generator);
  return matrix;
}

/// Second moments of more tokens than features, so that it is positive definite.
MatrixD hessian(std::size_t n) {
  MatrixD result = linalg::gram(noise(n, n));
  linalg::add_to_diagonal(result, 0.01 * double(n));
  return result;
}

/// Multiply-adds a second, counted twice, of float64 products of 512 rows.
double double_rate(const MatrixD& square) {
  static std::map<std::size_t, MatrixD> rows;
  MatrixD& some = rows[square.rows()];
  if (some.empty()) some = noise(512, square.rows());
  const double operations = 2.0 * 512 * double(square.rows()) * double(square.rows());
  return operations / seconds([&] { benchmark::DoNotOptimize(linalg::multiply(some, square)); });
}

void moments(benchmark::State& state, std::size_t n) {
  const MatrixF x = convert<float>(noise(kTokens, n));
  const auto backend = make_cpu_backend();
  const auto weight = backend->upload_matrix(MatrixF(n, n, 0.5f));
  const auto in = backend->allocate(x.size() * sizeof(float)), out = backend->allocate(x.size() * sizeof(float));
  backend->upload(in, 0, std::as_bytes(x.flat()));
  const double square = double(kTokens) * double(n) * double(n);
  SecondMoments sums;
  paired(
      state, 4 * square, "float operations a second, ratio to a float32 product",
      [&] { accumulate(sums, x.data(), kTokens, n, ActivationScheme{}); },
      [&] {
        return 2 * square / seconds([&] {
                 backend->multiply(*weight, in, 0, kTokens, out);
                 backend->finish();
               });
      });
}

void gptq(benchmark::State& state, std::size_t n) {
  const MatrixD weight = noise(576, n), s = hessian(n);
  paired(
      state, 576 * double(n) * double(n), "out · in² a second, ratio to a float64 product",
      [&] { benchmark::DoNotOptimize(quantize_gptq(weight, s, WeightScheme{}, GptqOptions{})); }, [&] { return double_rate(s); });
}

void eigenproblem(benchmark::State& state, std::size_t n) {
  const MatrixD s = hessian(n);
  paired(
      state, 9 * double(n) * double(n) * double(n), "9 n³ a second, ratio to a float64 product",
      [&] { benchmark::DoNotOptimize(linalg::eigen_symmetric(s)); }, [&] { return double_rate(s); });
}

// Against the whole eigenproblem of the same matrix: with the eigenvalues, as a solve has it for its curves, and by itself.
void range_finder(benchmark::State& state, std::size_t n, bool with_values) {
  const MatrixD s = hessian(n);
  const std::size_t rank = n / 10;
  paired(
      state, 1, "a second, ratio to the whole eigenproblem",
      [&] {
        if (with_values) benchmark::DoNotOptimize(linalg::eigenvalues_symmetric(s));
        benchmark::DoNotOptimize(leading_eigenvectors(s, rank, 1));
      },
      [&] { return 1 / seconds([&] { benchmark::DoNotOptimize(linalg::eigen_symmetric(s)); }); });
}
void range_finder_alone(benchmark::State& state, std::size_t n) { range_finder(state, n, false); }
void range_finder_with_eigenvalues(benchmark::State& state, std::size_t n) { range_finder(state, n, true); }

void factor(benchmark::State& state, std::size_t n) {
  const MatrixD s = hessian(n);
  paired(
      state, double(n) * double(n) * double(n) / 3, "n³/3 a second, ratio to a float64 product",
      [&] { benchmark::DoNotOptimize(linalg::cholesky(s)); }, [&] { return double_rate(s); });
}

void triangular_solve(benchmark::State& state, std::size_t n) {
  const auto lower = linalg::cholesky(hessian(n));
  const MatrixD right = noise(n, n);
  paired(
      state, double(n) * double(n) * double(n), "n³ a second, ratio to a float64 product",
      [&] { benchmark::DoNotOptimize(linalg::right_solve_lower(*lower, right, true)); }, [&] { return double_rate(right); });
}

using Function = void (*)(benchmark::State&, std::size_t);

void add_widths(const std::string& name, Function function, std::initializer_list<std::size_t> widths) {
  for (const std::size_t width : widths)
    for (const int threads : {1, thread_count()}) {
      const std::string full = name + "/" + std::to_string(width) + "/threads:" + std::to_string(threads);
      // Wide ones take seconds each: a few pairs have to do.
      benchmark::RegisterBenchmark(full.c_str(),
                                   [=](benchmark::State& state) {
                                     set_thread_count(threads);
                                     function(state, width);
                                     set_thread_count(0);
                                   })
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond)
          ->Iterations(width <= 576    ? 15
                       : width <= 2048 ? 5
                                       : 2);
      if (thread_count() == 1) break;
    }
}

[[maybe_unused]] const bool registered = [] {
  add_widths("moments", moments, {576, 1536, 2048, 5632});
  add_widths("gptq", gptq, {576, 1536, 2048, 5632});
  add_widths("cholesky", factor, {576, 1536, 2048, 5632});
  add_widths("triangular_solve", triangular_solve, {576, 1536, 2048, 5632});
  // The smaller side of a layer decides: 5632 never comes up, see low_rank_steps.cpp.
  add_widths("eigen", eigenproblem, {576, 1536, 2048});
  add_widths("range_finder", range_finder_alone, {576, 1536, 2048});
  add_widths("range_finder_with_eigenvalues", range_finder_with_eigenvalues, {576, 1536, 2048});
  return true;
}();

}  // namespace
}  // namespace lrc::bench

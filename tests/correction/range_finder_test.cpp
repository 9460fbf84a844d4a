// The randomized range finder: what it finds, what it misses, and that this is told.
#include "correction/range_finder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "base/parallel.h"
#include "correction/low_rank_steps.h"
#include "correction/solve.h"
#include "support/solver_case.h"

namespace lrc {
namespace {

/// Symmetric with these eigenvalues and random eigenvectors.
MatrixD with_spectrum(std::size_t n, const std::function<double(std::size_t)>& value, std::uint64_t seed) {
  const auto vectors = linalg::singular_decomposition(test::random_matrix(n, n, unsigned(seed))).right;
  MatrixD scaled = vectors;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) scaled(i, j) *= value(i);
  MatrixD s = linalg::multiply(vectors, scaled, true);
  linalg::symmetrize(s);
  return s;
}

double sum_of(const std::vector<double>& values, std::size_t count) {
  return std::accumulate(values.begin(), values.begin() + std::ptrdiff_t(count), 0.0);
}

/// zᵀ S z over the directions, by the definition.
double carried(const MatrixD& s, const MatrixD& vectors) { return linalg::trace_of_product(vectors, s, vectors); }

void expect_orthonormal(const MatrixD& rows) {
  const MatrixD gram = linalg::gram(rows);
  for (std::size_t i = 0; i < gram.rows(); ++i)
    for (std::size_t j = 0; j < gram.columns(); ++j) EXPECT_NEAR(gram(i, j), i == j ? 1.0 : 0.0, 1e-12);
}

TEST(RangeFinder, IsExactWhereItsStartFillsTheSpace) {
  const MatrixD s = with_spectrum(
      40, [](std::size_t i) { return 1.0 / double(1 + i); }, 1);
  for (const std::size_t count : {24u, 40u}) {
    const auto found = leading_eigenvectors(s, count, 5);
    expect_orthonormal(found.vectors);
    for (std::size_t k = 0; k < count; ++k) EXPECT_NEAR(found.values[k], 1.0 / double(1 + k), 1e-12) << k;
    EXPECT_NEAR(carried(s, found.vectors), sum_of(found.values, count), 1e-12);
  }
  EXPECT_EQ(leading_eigenvectors(s, 0, 5).vectors.rows(), 0u);
}

TEST(RangeFinder, CapturesDecayingSpectraWithinAThousandth) {
  for (const auto& [what, value] : std::vector<std::pair<const char*, std::function<double(std::size_t)>>>{
           {"geometric", [](std::size_t i) { return std::pow(0.93, double(i)); }},
           {"power law", [](std::size_t i) { return std::pow(double(1 + i), -1.5); }},
           {"a few large ones above a floor", [](std::size_t i) { return i < 8 ? 1e6 : 1.0; }}}) {
    const std::size_t n = 240, count = 24;
    const MatrixD s = with_spectrum(n, value, 2);
    const auto found = leading_eigenvectors(s, count, 7);
    double best = 0;
    for (std::size_t k = 0; k < count; ++k) best += value(k);
    expect_orthonormal(found.vectors);
    EXPECT_GT(carried(s, found.vectors), (1 - 1e-3) * best) << what;
    EXPECT_LT(carried(s, found.vectors), (1 + 1e-12) * best) << what;
    EXPECT_NEAR(carried(s, found.vectors), sum_of(found.values, count), 1e-10 * best) << what;
  }
}

TEST(RangeFinder, DoesNotDependOnThreadsButOnTheSeed) {
  const MatrixD s = with_spectrum(
      300, [](std::size_t i) { return 1.0 + 1.0 / double(1 + i); }, 3);
  set_thread_count(1);
  const auto one = leading_eigenvectors(s, 30, 11);
  set_thread_count(3);
  const auto three = leading_eigenvectors(s, 30, 11);
  set_thread_count(0);
  EXPECT_EQ(one.vectors, three.vectors);
  EXPECT_EQ(one.values, three.values);
  EXPECT_NE(leading_eigenvectors(s, 30, 12).vectors, one.vectors);
}

struct Layer {
  MatrixD w;
  SiteStatistics site;
  Layer(std::size_t out, std::size_t in, bool flat) {
    w = test::random_matrix(out, in, 4);
    MatrixD x = test::random_matrix(4 * in, in, 5);
    if (!flat)
      for (std::size_t t = 0; t < x.rows(); ++t)
        for (std::size_t i = 0; i < in; ++i) x(t, i) *= std::pow(0.98, double(i));
    site = prepare_site(moments_in_double(x, ActivationScheme{}), 0.01, ActivationScheme{}, "site");
  }
  LayerSolution solve(const std::string& method, RangeFinder finder, std::size_t rank, const std::string& name = "a layer") const {
    LayerScheme scheme;
    scheme.method = method;
    scheme.rank = rank;
    scheme.range_finder = finder;
    scheme.pair_input = find_method(method).pair_input;
    return solve_layer({w, site, scheme, name}, {});
  }
};

TEST(RangeFinder, ToldMissIsWhatTheFitLosesToTheExactOne) {
  for (const bool flat : {false, true}) {
    const Layer layer(160, 192, flat);
    const MatrixD quantized = quantize_rtn(layer.w, WeightScheme{}, false).dequantize();
    const LowRankFit exact = update_low_rank(layer.w, quantized, layer.site, 12);
    const LowRankFit found = update_low_rank(layer.w, quantized, layer.site, 12, 1, {RangeFinder::randomized, 3});
    EXPECT_EQ(exact.missed, 0);
    ASSERT_EQ(found.eigenvalues.size(), exact.eigenvalues.size());
    for (std::size_t i = 0; i < exact.eigenvalues.size(); ++i)
      EXPECT_NEAR(found.eigenvalues[i], exact.eigenvalues[i], 1e-9 * exact.eigenvalues[0]) << "curves stay certified";
    const auto loss = [&](const LowRankFit& fit) {
      const MatrixD rest = linalg::subtract(layer.w, linalg::multiply(fit.u, fit.v, false, true));
      return regularized(output_error(rest, quantized, layer.site.moments), rest, quantized, layer.site);
    };
    const double best = sum_of(exact.eigenvalues, 12), excess = loss(found) - loss(exact);
    EXPECT_NEAR(excess, found.missed * best, 1e-8 * best);
    EXPECT_LT(found.missed, 0.1);
    if (flat) {
      EXPECT_GT(found.missed, 1e-4) << "a flat spectrum has no leading directions, and that is said";
    }
  }
}

TEST(RangeFinder, InEveryMethodWithAPair) {
  const Layer layer(160, 192, false);
  for (const SolveMethod& method : methods()) {
    if (!method.uses_rank) continue;
    const std::string name(method.name);
    const LayerSolution exact = layer.solve(name, RangeFinder::exact, 12), found = layer.solve(name, RangeFinder::randomized, 12);
    EXPECT_FALSE(exact.losses.range_finder_missed) << name;
    ASSERT_TRUE(found.losses.range_finder_missed) << name;
    EXPECT_GT(*found.losses.range_finder_missed, 0) << name << " took the range finder's way";
    EXPECT_LT(*found.losses.range_finder_missed, 0.1) << name;
    EXPECT_NEAR(found.losses.lower_bound, exact.losses.lower_bound, 1e-9 * exact.losses.norm_wx) << name;
    EXPECT_GE(found.losses.loss_regularized, found.losses.lower_bound * (1 - 1e-9)) << name;
    EXPECT_NEAR(found.losses.loss, exact.losses.loss, 0.05 * exact.losses.loss) << name;
  }
  // The start belongs to the layer: the same twice, another one for another name.
  EXPECT_EQ(layer.solve("lrc", RangeFinder::randomized, 12).pair, layer.solve("lrc", RangeFinder::randomized, 12).pair);
  EXPECT_NE(layer.solve("lrc", RangeFinder::randomized, 12).pair, layer.solve("lrc", RangeFinder::randomized, 12, "another").pair);
  // Too large a rank for it: the whole eigenproblem, bit for bit.
  const LayerSolution large = layer.solve("lrc", RangeFinder::randomized, 80);
  EXPECT_EQ(large.pair, layer.solve("lrc", RangeFinder::exact, 80).pair);
  EXPECT_EQ(large.losses.range_finder_missed, 0.0);
}

}  // namespace
}  // namespace lrc

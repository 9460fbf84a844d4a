#include "quantization/second_moments.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "quantization/activation.h"
#include "support/solver_case.h"

namespace lrc {
namespace {

using test::random_inputs;
using test::relative_difference;

// aᵀ b over tokens.
MatrixD product(const MatrixD& a, const MatrixD& b) {
  MatrixD s(a.columns(), b.columns());
  for (std::size_t t = 0; t < a.rows(); ++t)
    for (std::size_t i = 0; i < s.rows(); ++i)
      for (std::size_t j = 0; j < s.columns(); ++j) s(i, j) += a(t, i) * b(t, j);
  return s;
}

SecondMoments accumulated(const MatrixD& x, const ActivationScheme& scheme, const std::vector<std::size_t>& splits = {}) {
  const MatrixF single = convert<float>(x);
  SecondMoments moments;
  std::size_t begin = 0;
  for (std::size_t end : splits) {
    accumulate(moments, single.row(begin), end - begin, x.columns(), scheme);
    begin = end;
  }
  accumulate(moments, single.row(begin), x.rows() - begin, x.columns(), scheme);
  return moments;
}

void expect_close(const SecondMoments& a, const SecondMoments& b, double tolerance) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_LT(relative_difference(a.s_y, b.s_y), tolerance);
  EXPECT_LT(relative_difference(a.s_ey, b.s_ey), tolerance);
  EXPECT_LT(relative_difference(a.s_e, b.s_e), tolerance);
}

TEST(SecondMoments, AreTheProductsOverTokens) {
  // Widths below, at and beyond one tile and one chunk of tokens.
  for (const std::size_t width : {5, 192, 200, 450}) {
    const std::size_t tokens = width == 200 ? 1100 : 70;
    const MatrixD x = random_inputs(tokens, width, unsigned(width));
    const MatrixF single = convert<float>(x);
    MatrixF fake(tokens, width);
    fake_quantize_activations(single.data(), tokens, width, {}, fake.data());
    const MatrixD y = convert<double>(fake);
    MatrixD e = y;
    for (std::size_t i = 0; i < e.size(); ++i) e.data()[i] -= x.data()[i];
    const SecondMoments moments = accumulated(x, {});
    EXPECT_EQ(moments.tokens, tokens);
    EXPECT_LT(relative_difference(moments.s_y, product(y, y)), 2e-6);
    EXPECT_LT(relative_difference(moments.s_ey, product(e, y)), 2e-6);
    EXPECT_LT(relative_difference(moments.s_e, product(e, e)), 2e-6);
    EXPECT_LT(relative_difference(moments.s_x(), product(x, x)), 2e-6);
    EXPECT_LT(relative_difference(moments.s_xy(), product(x, y)), 2e-6);
    for (std::size_t i = 0; i < width; ++i)
      for (std::size_t j = 0; j < i; ++j) {
        ASSERT_EQ(moments.s_y(i, j), moments.s_y(j, i));
        ASSERT_EQ(moments.s_e(i, j), moments.s_e(j, i));
      }
  }
}

TEST(SecondMoments, InDoubleAgreeWithTheStreamedOnes) {
  for (const ActivationScheme& scheme :
       {ActivationScheme{}, ActivationScheme{4, 12, 1.0f}, ActivationScheme{8, 0, 1.0f}, ActivationScheme{16}}) {
    const MatrixD x = random_inputs(300, 48, 4);
    // float32 knows E to 1e-7 of X, and at 8 bits E is several hundred times smaller than X.
    expect_close(accumulated(x, scheme), moments_in_double(x, scheme), 3e-5);
  }
}

TEST(SecondMoments, DoNotDependOnTheSplit) {
  const MatrixD x = random_inputs(2500, 40, 2);
  const SecondMoments whole = accumulated(x, {});
  expect_close(accumulated(x, {}, {1, 1024, 1025, 2100}), whole, 1e-6);
  SecondMoments first = accumulated(x, {}), empty;
  SecondMoments second = accumulated(random_inputs(100, 40, 9), {});
  MatrixD both(2600, 40);
  std::copy_n(x.data(), x.size(), both.data());
  std::copy_n(random_inputs(100, 40, 9).data(), 4000, both.row(2500));
  first.merge(second);
  expect_close(first, accumulated(both, {}), 1e-6);
  empty.merge(second);
  expect_close(empty, second, 1e-15);
  second.merge(SecondMoments());
  expect_close(empty, second, 1e-15);
}

TEST(SecondMoments, OffMeansNoNoise) {
  const MatrixD x = random_inputs(100, 30, 2);
  const SecondMoments moments = accumulated(x, {16});
  EXPECT_EQ(moments.s_x(), moments.s_y);
  EXPECT_EQ(moments.s_xy(), moments.s_y);
  for (const double v : moments.s_e.flat()) EXPECT_EQ(v, 0);
}

TEST(SecondMoments, DoNotDependOnThreads) {
  const MatrixD x = random_inputs(700, 210, 2);
  set_thread_count(1);
  const SecondMoments one = accumulated(x, {});
  set_thread_count(2);
  const SecondMoments two = accumulated(x, {});
  set_thread_count(0);
  EXPECT_EQ(one.s_y, two.s_y);
  EXPECT_EQ(one.s_ey, two.s_ey);
  EXPECT_EQ(one.s_e, two.s_e);
}

TEST(SecondMoments, NameWhatIsNotANumber) {
  for (const ActivationScheme& scheme : {ActivationScheme{}, ActivationScheme{16}})
    for (const float bad : {NAN, INFINITY}) {
      MatrixF x(50, 10, 1.0f);
      x(37, 4) = bad;
      SecondMoments moments;
      try {
        accumulate(moments, x.data(), 50, 10, scheme);
        FAIL();
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::numerical);
        EXPECT_NE(std::string(e.what()).find("token 37, channel 4"), std::string::npos) << e.what();
      }
      EXPECT_EQ(moments.tokens, 0u);
    }
}

TEST(SecondMoments, RefuseAnotherWidth) {
  SecondMoments moments = accumulated(random_inputs(20, 10, 1), {});
  const MatrixF x(3, 12, 1.0f);
  EXPECT_THROW(accumulate(moments, x.data(), 3, 12, {}), Error);
  EXPECT_THROW(moments.merge(accumulated(random_inputs(20, 12, 1), {})), Error);
  EXPECT_THROW(accumulate(moments, x.data(), 3, 10, {4, 3, 0.9f}), Error);
}

TEST(ActivationQuantizer, ZeroAndOneHotTokens) {
  MatrixD x(2, 16);
  x(1, 5) = -3;
  const SecondMoments moments = moments_in_double(x, {4, 0, 1.0f});
  for (std::size_t i = 0; i < 16; ++i)
    for (std::size_t j = 0; j < 16; ++j) {
      EXPECT_NEAR(moments.s_y(i, j), i == 5 && j == 5 ? 9 : 0, 1e-12);
      EXPECT_NEAR(moments.s_e(i, j), 0, 1e-12);
    }
}

}  // namespace
}  // namespace lrc

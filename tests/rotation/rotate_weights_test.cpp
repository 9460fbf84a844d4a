// A rotated network computes what it computed before: every pair of sides is tried on random matrices.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/error.h"
#include "rotation/hadamard.h"

namespace lrc {
namespace {

MatrixF random_matrix(std::size_t rows, std::size_t columns, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  MatrixF m(rows, columns);
  for (float& v : m.flat()) v = normal(generator);
  return m;
}

// y = x Wᵀ in float64.
MatrixD linear(const MatrixD& x, const MatrixF& w) {
  MatrixD y(x.rows(), w.rows());
  for (std::size_t t = 0; t < x.rows(); ++t)
    for (std::size_t o = 0; o < w.rows(); ++o)
      for (std::size_t i = 0; i < w.columns(); ++i) y(t, o) += x(t, i) * double(w(o, i));
  return y;
}

void expect_near(const MatrixD& a, const MatrixD& b, double tolerance) {
  ASSERT_EQ(a.rows(), b.rows());
  ASSERT_EQ(a.columns(), b.columns());
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a.data()[i], b.data()[i], tolerance) << i;
}

ResidualRotation rotation_of(std::size_t n) { return {find_hadamard(n).value(), random_signs(n, 5)}; }

// x ← x Q
MatrixD rotated(const ResidualRotation& q, MatrixD x) {
  for (std::size_t t = 0; t < x.rows(); ++t)
    for (std::size_t i = 0; i < x.columns(); ++i) x(t, i) *= q.signs[i];
  apply_hadamard(q.hadamard, x.data(), x.rows());
  return x;
}

TEST(RotateWeights, ResidualPairLeavesTheOutputAlone) {
  const std::size_t d = 36, ffn = 20;  // neither a power of two; Paley matrices of order 12 are not symmetric
  for (const std::size_t width : {d, std::size_t(24)}) {
    const auto q = rotation_of(width);
    const MatrixD x = convert<double>(random_matrix(5, width, 1));
    MatrixF up = random_matrix(ffn, width, 2), down = random_matrix(width, ffn, 3);
    const MatrixD hidden = linear(x, up), out = linear(hidden, down);
    const MatrixF plain_up = up, plain_down = down;
    rotate_input_side(q, up);
    rotate_output_side(q, down);
    EXPECT_NE(up, plain_up);
    EXPECT_NE(down, plain_down);
    expect_near(linear(rotated(q, x), up), hidden, 1e-5);
    // What is written into the stream is the rotated output.
    expect_near(linear(hidden, down), rotated(q, out), 1e-4);
  }
}

TEST(RotateWeights, PerHeadPairLeavesAttentionAlone) {
  // v_proj of 2 key-value heads, o_proj of 4 heads of 12 each: H_d cancels between them whatever the attention weights are.
  const std::size_t head = 12, hidden = 10;
  const auto h = find_hadamard(head).value();
  MatrixF v = random_matrix(2 * head, hidden, 1), o = random_matrix(hidden, 4 * head, 2);
  const MatrixD x = convert<double>(random_matrix(3, hidden, 3));
  const auto forward = [&] {
    const MatrixD values = linear(x, v);
    MatrixD heads(1, 4 * head);
    for (std::size_t q = 0; q < 4; ++q)
      for (std::size_t t = 0; t < 3; ++t)
        for (std::size_t i = 0; i < head; ++i)
          heads(0, q * head + i) += (0.1 + 0.3 * double(t) + 0.05 * double(q)) * values(t, q / 2 * head + i);
    return linear(heads, o);
  };
  const MatrixD before = forward();
  rotate_heads_output_side(h, v);
  const MatrixD half = forward();
  EXPECT_GT(std::abs(half(0, 0) - before(0, 0)), 1e-3);
  rotate_heads_input_side(h, o);
  expect_near(forward(), before, 1e-4);
}

TEST(RotateWeights, OnlineRotationCancels) {
  const auto h = find_hadamard(24).value();
  MatrixF down = random_matrix(7, 24, 1);
  MatrixD x = convert<double>(random_matrix(4, 24, 2));
  const MatrixD before = linear(x, down);
  rotate_full_input_side(h, down);
  apply_hadamard(h, x.data(), x.rows());
  expect_near(linear(x, down), before, 1e-5);
}

TEST(RotateWeights, FoldedGainCommutesWithRmsNorm) {
  const std::size_t d = 12;
  const auto q = rotation_of(d);
  std::vector<float> gain(d);
  for (std::size_t i = 0; i < d; ++i) gain[i] = 0.5f + 0.1f * float(i);
  const MatrixF w = random_matrix(6, d, 1);
  const MatrixD x = convert<double>(random_matrix(3, d, 2));
  const auto normed = [](MatrixD m, const std::vector<float>* g) {
    for (std::size_t t = 0; t < m.rows(); ++t) {
      double sum = 0;
      for (std::size_t i = 0; i < m.columns(); ++i) sum += m(t, i) * m(t, i);
      for (std::size_t i = 0; i < m.columns(); ++i) m(t, i) *= (g ? double((*g)[i]) : 1.0) / std::sqrt(sum / double(m.columns()) + 1e-5);
    }
    return m;
  };
  const MatrixD expected = linear(normed(x, &gain), w);
  MatrixF folded = w;
  fold_gain(gain, folded);
  rotate_input_side(q, folded);
  expect_near(linear(normed(rotated(q, x), nullptr), folded), expected, 1e-5);
  // Without the folding it is another function.
  MatrixF unfolded = w;
  rotate_input_side(q, unfolded);
  EXPECT_GT(std::abs(linear(normed(rotated(q, x), &gain), unfolded)(0, 0) - expected(0, 0)), 1e-3);
}

TEST(RotateWeights, RefusesWhatDoesNotFit) {
  MatrixF w(8, 20);
  EXPECT_THROW(rotate_input_side(rotation_of(12), w), Error);
  EXPECT_THROW(rotate_output_side(rotation_of(12), w), Error);
  EXPECT_THROW(rotate_heads_input_side(find_hadamard(8).value(), w), Error);
  MatrixF wide(8, 24);  // twice the stream: it divides, but is another rotation
  EXPECT_THROW(rotate_input_side(rotation_of(12), wide), Error);
  EXPECT_THROW(fold_gain(std::vector<float>(7, 1.0f), w), Error);
}

}  // namespace
}  // namespace lrc

#include "rotation/turyn.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace lrc {
namespace {

/// X, Y, Z of length n and W of length n − 1 with N_X + N_Y + 2 N_Z + 2 N_W = 0 for every shift. Digit i holds the i-th elements of
/// all four, X in the highest bit; a set bit is −1. The last digit has three.
struct TurynType {
  std::size_t length;
  std::string_view digits;
};
constexpr std::array<TurynType, 4> table = {
    {{16, "0000778e52de5561"}, {20, "000038e2739c7a0b6951"}, {22, "00000f702c71a9ad565961"}, {30, "000000f70b106f9d427a25e9a96951"}}};

std::array<std::vector<int>, 4> sequences_of(const TurynType& entry) {
  std::array<std::vector<int>, 4> sequences;
  for (std::size_t i = 0; i < entry.length; ++i) {
    const char c = entry.digits[i];
    const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    const std::size_t count = i + 1 == entry.length ? 3 : 4;
    for (std::size_t k = 0; k < count; ++k) sequences[k].push_back((digit >> (count - 1 - k) & 1) != 0 ? -1 : 1);
  }
  return sequences;
}

/// Four ±1 sequences of length t = 3n − 1 whose periodic autocorrelations add up to zero: of the base sequences Z;W, Z;−W, X, Y the
/// T-sequences (half sums and half differences, side by side), and of those the four sign combinations.
std::array<std::vector<int>, 4> circulant_rows(const TurynType& entry) {
  const auto [x, y, z, w] = sequences_of(entry);
  const std::size_t n = entry.length, t = 3 * n - 1;
  std::array<std::vector<int>, 4> disjoint;
  for (auto& sequence : disjoint) sequence.assign(t, 0);
  for (std::size_t i = 0; i < n; ++i) {
    disjoint[0][i] = z[i];
    if (i + 1 < n) disjoint[1][n + i] = w[i];
    disjoint[2][2 * n - 1 + i] = (x[i] + y[i]) / 2;
    disjoint[3][2 * n - 1 + i] = (x[i] - y[i]) / 2;
  }
  constexpr int kSigns[4][4] = {{1, 1, 1, 1}, {-1, 1, 1, -1}, {-1, -1, 1, 1}, {-1, 1, -1, 1}};
  std::array<std::vector<int>, 4> rows;
  for (std::size_t r = 0; r < 4; ++r) {
    rows[r].assign(t, 0);
    for (std::size_t k = 0; k < 4; ++k)
      for (std::size_t i = 0; i < t; ++i) rows[r][i] += kSigns[r][k] * disjoint[k][i];
  }
  return rows;
}

}  // namespace

std::vector<std::int8_t> turyn_hadamard(std::size_t order) {
  const auto entry = std::find_if(table.begin(), table.end(), [&](const TurynType& e) { return 4 * (3 * e.length - 1) == order; });
  if (entry == table.end()) return {};
  const auto rows = circulant_rows(*entry);
  const std::size_t t = order / 4;
  // The Goethals-Seidel array (A BR CR DR), (−BR A −DᵀR CᵀR), (−CR DᵀR A −BᵀR), (−DR −CᵀR BᵀR A): circulants A to D, R reversing
  // the columns.
  constexpr std::size_t kWhich[4][4] = {{0, 1, 2, 3}, {1, 0, 3, 2}, {2, 3, 0, 1}, {3, 2, 1, 0}};
  constexpr int kSign[4][4] = {{1, 1, 1, 1}, {-1, 1, -1, 1}, {-1, 1, 1, -1}, {-1, -1, 1, 1}};
  std::vector<std::int8_t> h(order * order);
  for (std::size_t i = 0; i < order; ++i)
    for (std::size_t j = 0; j < order; ++j) {
      const std::size_t down = i / t, across = j / t, which = kWhich[down][across], row = i % t;
      const bool reversed = which != 0, transposed = down > 0 && across > 0;
      const std::size_t column = reversed ? t - 1 - j % t : j % t;
      const std::size_t shift = reversed && transposed ? (row + t - column) % t : (column + t - row) % t;
      h[i * order + j] = std::int8_t(kSign[down][across] * rows[which][shift]);
    }
  return h;
}

}  // namespace lrc

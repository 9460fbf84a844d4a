// Constructions (methods.md 4.3). All tables are small: Paley matrices need quadratic residues only, Williamson matrices four
// circulants. The orders that no construction reaches below the limit are simply absent.
#include "rotation/hadamard.h"

#include <array>
#include <bit>
#include <initializer_list>

#include "rotation/quadratic_character.h"
#include "rotation/turyn.h"

namespace lrc {
namespace {

// A base matrix is applied densely: beyond this it would cost more than any layer, and a hostile width could ask for any
// amount of memory.
constexpr std::size_t kLargestBase = 4096;

bool is_prime(std::size_t n) { return n > 1 && prime_base(n) == n; }

// The bordered matrix [[0, 1…], [border…, χ(j − i)]] of order q + 1.
std::vector<int> conference_matrix(std::size_t q, int border) {
  const QuadraticCharacter character(q);
  const std::size_t n = q + 1;
  std::vector<int> c(n * n, 0);
  for (std::size_t j = 1; j < n; ++j) {
    c[j] = 1;
    c[j * n] = border;
    for (std::size_t i = 1; i < n; ++i) c[i * n + j] = character.of_difference(j - 1, i - 1);
  }
  return c;
}

std::vector<std::int8_t> paley_one(std::size_t order) {
  const auto s = conference_matrix(order - 1, -1);
  std::vector<std::int8_t> h(order * order);
  for (std::size_t i = 0; i < h.size(); ++i) h[i] = std::int8_t(s[i]);
  for (std::size_t i = 0; i < order; ++i) h[i * order + i] = 1;
  return h;
}

std::vector<std::int8_t> paley_two(std::size_t order) {
  const std::size_t n = order / 2;
  const auto c = conference_matrix(n - 1, 1);
  constexpr int kOff[2][2] = {{1, 1}, {1, -1}}, kDiagonal[2][2] = {{1, -1}, {-1, -1}};
  std::vector<std::int8_t> h(order * order);
  for (std::size_t i = 0; i < order; ++i)
    for (std::size_t j = 0; j < order; ++j) {
      const int entry = c[i / 2 * n + j / 2];
      h[i * order + j] = std::int8_t(i / 2 == j / 2 ? kDiagonal[i % 2][j % 2] : entry * kOff[i % 2][j % 2]);
    }
  return h;
}

// Where the first rows of the four symmetric circulants are +1 besides index 0 (and the mirrored index).
struct WilliamsonRows {
  std::size_t circulant;  // order / 4
  std::array<std::vector<int>, 4> plus;
};

const std::vector<WilliamsonRows>& williamson_table() {
  static const std::vector<WilliamsonRows> table = {
      {13, {{{1}, {1, 3, 4}, {2, 4, 5}, {1, 4, 6}}}},
      {23, {{{3, 4, 6, 8}, {2, 5, 6, 7, 8, 9}, {2, 3, 4, 7, 8, 10}, {1, 2, 3, 4, 6, 7, 11}}}},
      {25, {{{3, 4, 5, 7}, {1, 2, 3, 7, 9, 12}, {1, 3, 4, 5, 7, 10, 12}, {1, 4, 5, 6, 8, 11, 12}}}},
      {29, {{{1, 2, 5, 6, 8, 10}, {1, 2, 6, 7, 8, 10, 12}, {3, 5, 6, 7, 8, 9, 12, 13}, {1, 2, 4, 5, 7, 10, 11, 12, 14}}}},
      // The last two are the second one with indices multiplied by 16 and 16² mod 39.
      {39, {{{4, 8, 10, 11, 13, 14, 19}, {1, 4, 5, 6, 8, 11, 12, 14}, {}, {}}}},
      {43,
       {{{1, 2, 3, 4, 6, 7, 12, 14, 15, 18, 19, 21},
         {1, 2, 6, 7, 10, 12, 14, 16, 17},
         {1, 3, 5, 6, 7, 8, 10, 13, 16, 17, 18, 21},
         {2, 3, 9, 10, 11, 12, 14, 16, 17, 18, 20, 21}}}},
  };
  return table;
}

std::vector<std::int8_t> williamson(const WilliamsonRows& rows) {
  const std::size_t m = rows.circulant, order = 4 * m;
  std::array<std::vector<int>, 4> first;
  for (std::size_t k = 0; k < 4; ++k) {
    first[k].assign(m, -1);
    first[k][0] = 1;
    for (const int j : rows.plus[k]) first[k][std::size_t(j)] = first[k][m - std::size_t(j)] = 1;
  }
  if (m == 39)  // C_j = B_{16 j}, D_j = B_{16² j}
    for (std::size_t j = 0; j < m; ++j) {
      first[2][j] = first[1][16 * j % m];
      first[3][j] = first[1][256 * j % m];
    }
  // (A B C D), (−B A −D C), (−C D A −B), (−D −C B A)
  constexpr int kWhich[4][4] = {{0, 1, 2, 3}, {1, 0, 3, 2}, {2, 3, 0, 1}, {3, 2, 1, 0}};
  constexpr int kSign[4][4] = {{1, 1, 1, 1}, {-1, 1, -1, 1}, {-1, 1, 1, -1}, {-1, -1, 1, 1}};
  std::vector<std::int8_t> h(order * order);
  for (std::size_t i = 0; i < order; ++i)
    for (std::size_t j = 0; j < order; ++j)
      h[i * order + j] = std::int8_t(kSign[i / m][j / m] * first[std::size_t(kWhich[i / m][j / m])][(j % m + m - i % m) % m]);
  return h;
}

}  // namespace

std::optional<HadamardOrder> find_hadamard(std::size_t order) {
  if (order == 0) return std::nullopt;
  HadamardOrder result;
  result.order = order;
  if (std::has_single_bit(order)) {
    result.power_of_two = order;
    result.construction = "Sylvester";
    result.base = {1};
    return result;
  }
  if (order % 4 != 0) return std::nullopt;
  const std::size_t twos = std::size_t(std::countr_zero(order));
  const std::size_t odd = order >> twos;
  if (odd > kLargestBase / 4) return std::nullopt;
  const std::size_t base = 4 * odd;
  result.base_order = base;
  result.power_of_two = order / base;
  if (is_prime(base - 1)) {
    result.construction = "Paley I";
    result.base = paley_one(base);
    return result;
  }
  if (is_prime(base / 2 - 1)) {
    result.construction = "Paley II";
    result.base = paley_two(base);
    return result;
  }
  for (const auto& rows : williamson_table())
    if (4 * rows.circulant == base) {
      result.construction = "Williamson";
      result.base = williamson(rows);
      return result;
    }
  // Powers of primes come last, so that widths which had a matrix before them keep it.
  if (prime_base(base - 1) != 0) {
    result.construction = "Paley I";
    result.base = paley_one(base);
    return result;
  }
  if (prime_base(base / 2 - 1) != 0) {
    result.construction = "Paley II";
    result.base = paley_two(base);
    return result;
  }
  result.base = turyn_hadamard(base);
  if (result.base.empty()) return std::nullopt;
  result.construction = "Turyn";
  return result;
}

std::vector<std::int8_t> random_signs(std::size_t count, std::uint64_t seed) {
  // SplitMix64: integers only, so the same everywhere; one number gives 64 signs.
  std::vector<std::int8_t> signs(count);
  std::uint64_t state = seed, bits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (i % 64 == 0) {
      state += 0x9e3779b97f4a7c15u;
      bits = state;
      bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
      bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
      bits ^= bits >> 31;
    }
    signs[i] = (bits >> (i % 64) & 1) != 0 ? std::int8_t(1) : std::int8_t(-1);
  }
  return signs;
}

}  // namespace lrc

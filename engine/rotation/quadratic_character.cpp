#include "rotation/quadratic_character.h"

#include <cassert>

namespace lrc {
namespace {

/// The number of x · (element `number`) modulo the polynomial x^k − Σ low_i x^i, digits of both in base p.
std::size_t times_x(std::size_t number, std::size_t low, std::size_t p, std::size_t q) {
  const std::size_t top = number / (q / p);  // the digit that leaves
  std::size_t shifted = number % (q / p) * p, result = 0;
  for (std::size_t unit = 1; unit < q; unit *= p, shifted /= p, low /= p) result += (shifted % p + top * (low % p)) % p * unit;
  return result;
}

/// Whether x runs through all q − 1 elements but zero modulo that polynomial; then its even powers are the squares.
bool fill(std::size_t low, std::size_t p, std::size_t q, std::vector<signed char>& values) {
  values.assign(q, 0);
  std::size_t power = 1;
  for (std::size_t exponent = 0; exponent + 1 < q; ++exponent) {
    if (power == 0 || values[power] != 0) return false;
    values[power] = exponent % 2 == 0 ? 1 : -1;
    power = times_x(power, low, p, q);
  }
  return true;
}

}  // namespace

std::size_t prime_base(std::size_t n) {
  if (n < 2) return 0;
  std::size_t p = 2;
  while (p * p <= n && n % p != 0) ++p;
  if (n % p != 0) return n;
  while (n % p == 0) n /= p;
  return n == 1 ? p : 0;
}

QuadraticCharacter::QuadraticCharacter(std::size_t q) : p_(prime_base(q)) {
  assert(p_ > 2);
  if (p_ == q) {
    values_.assign(q, -1);
    values_[0] = 0;
    for (std::size_t a = 1; a < q; ++a) values_[a * a % q] = 1;
    return;
  }
  // A primitive polynomial exists for every p and k: the first one is taken, so that the matrix is the same everywhere.
  for (std::size_t low = 1; low < q; ++low)
    if (fill(low, p_, q, values_)) return;
}

int QuadraticCharacter::of_difference(std::size_t a, std::size_t b) const {
  std::size_t number = 0;
  for (std::size_t unit = 1; unit < values_.size(); unit *= p_, a /= p_, b /= p_) number += (a % p_ + p_ - b % p_) % p_ * unit;
  return values_[number];
}

}  // namespace lrc

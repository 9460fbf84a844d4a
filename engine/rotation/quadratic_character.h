#pragma once
// χ of the finite field of q = p^k elements: 1 for squares, −1 for the others, 0 for zero. What Paley's constructions are made of.
#include <cstddef>
#include <vector>

namespace lrc {

/// The prime whose power n is (n itself when n is prime); 0 when there is none.
std::size_t prime_base(std::size_t n);

class QuadraticCharacter {
 public:
  /// q a power of an odd prime. Elements are numbered by their digits in base p, so that for a prime q number i is i.
  explicit QuadraticCharacter(std::size_t q);
  /// χ(element a − element b).
  int of_difference(std::size_t a, std::size_t b) const;

 private:
  std::size_t p_;
  std::vector<signed char> values_;  // by number
};

}  // namespace lrc

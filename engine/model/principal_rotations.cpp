#include "model/principal_rotations.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "correction/linalg.h"
#include "quantization/column_parts.h"

namespace lrc {
namespace {

/// Numbers of the standard normal distribution from a seed: SplitMix64 and the transform of Box and Muller.
class NormalNumbers {
 public:
  explicit NormalNumbers(std::uint64_t seed) : state_(seed) {}
  double next() {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  /// Above 0, at most 1.
  double uniform() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (double(z >> 11) + 1) * 0x1p-53;
  }
  std::uint64_t state_;
};

/// Far apart for neighbouring seeds and numbers.
std::uint64_t seed_of(std::uint64_t seed, std::uint64_t number) { return seed * 0xd1342543de82ef95u + (number + 1) * 0x2545f4914f6cdd1du; }

MatrixD identity(std::size_t order) {
  MatrixD result(order, order);
  linalg::add_to_diagonal(result, 1);
  return result;
}

}  // namespace

MatrixD random_orthogonal(std::size_t order, std::uint64_t seed) {
  MatrixD matrix(order, order);
  NormalNumbers numbers(seed);
  for (double& value : matrix.flat()) value = numbers.next();
  // L⁻¹ A with A Aᵀ = L Lᵀ: the orthogonal factor with a positive triangle, which is uniformly distributed. The second pass takes away
  // what rounding left of a badly conditioned first one.
  for (int pass = 0; pass < 2; ++pass) {
    const auto lower = linalg::cholesky(linalg::gram(matrix));
    if (!lower) return random_orthogonal(order, seed + 1);  // numerically singular
    matrix = linalg::solve_lower(*lower, matrix);
  }
  return matrix;
}

MatrixD principal_rotation(const MatrixD& second_moment, std::size_t high, std::uint64_t seed) {
  const std::size_t order = second_moment.rows();
  MatrixD vectors = linalg::eigen_symmetric(second_moment).vectors;  // rows
  // (U Q)ᵀ = Qᵀ Uᵀ: rows of either part are mixed with each other.
  const auto mix = [&](std::size_t first, std::size_t count, std::uint64_t own_seed) {
    if (count == 0) return;
    MatrixD part(count, order);
    std::copy_n(vectors.row(first), part.size(), part.data());
    part = linalg::multiply(random_orthogonal(count, own_seed), part);
    std::copy_n(part.data(), part.size(), vectors.row(first));
  };
  mix(0, high, seed_of(seed, 0));
  mix(high, order - high, seed_of(seed, 1));
  return linalg::transpose(vectors);
}

PrincipalMoments::PrincipalMoments(const ModelConfig& config, const RotationChoice& choice)
    : config_(config), choice_(choice), heads_(choice.r2 ? config.blocks * config.kv_heads : 0) {}

void PrincipalMoments::add(const Site& site, const float* x, std::size_t tokens, std::size_t width) {
  if (site.expert != no_expert) return;  // the block's own input sees every token
  const ActivationScheme off{.bits = 16};
  if (site.kind == SiteKind::attention_input || site.kind == SiteKind::mlp_input) {
    if (choice_.r1) accumulate(stream_, x, tokens, width, off);
    return;
  }
  if (site.kind != SiteKind::attention_output || !choice_.r2) return;
  const std::size_t head = config_.head_dim, group = config_.heads / config_.kv_heads;
  MatrixF part(tokens * group, head);
  for (std::size_t k = 0; k < config_.kv_heads; ++k) {
    for (std::size_t t = 0; t < tokens; ++t) std::copy_n(x + t * width + k * group * head, group * head, part.row(t * group));
    accumulate(heads_[site.block * config_.kv_heads + k], part.data(), part.rows(), head, off);
  }
}

ImportedRotations PrincipalMoments::rotations() const {
  ImportedRotations result;
  const auto count = [&](std::size_t width, std::size_t period) { return high_count(choice_.high_share, width, period); };
  if (choice_.r1) result.r1 = principal_rotation(stream_.s_y, count(config_.hidden_size, 0), seed_of(choice_.seed, 0));
  if (!choice_.r2) return result;
  const std::size_t head = config_.head_dim, high = count(config_.heads * head, head);
  for (std::size_t b = 0; b < config_.blocks; ++b) {
    MatrixD stacked(config_.kv_heads * head, head);
    for (std::size_t k = 0; k < config_.kv_heads; ++k) {
      const std::size_t place = b * config_.kv_heads + k;
      const MatrixD own = principal_rotation(heads_[place].s_y, high, seed_of(choice_.seed, 1 + place));
      std::copy_n(own.data(), own.size(), stacked.row(k * head));
    }
    result.r2.push_back(std::move(stacked));
  }
  return result;
}

RotationChoice fold_choice(const RotationChoice& choice) {
  RotationChoice fold;
  fold.r1 = choice.r1;
  fold.high_share = choice.high_share;  // given as a matrix
  return fold;
}

ImportedRotations fold_rotations(const RotationChoice& choice, const ModelConfig& config) {
  ImportedRotations result;
  if (choice.r1) result.r1 = identity(config.hidden_size);
  return result;
}

}  // namespace lrc

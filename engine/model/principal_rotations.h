#pragma once
// R1 and R2 as ResQ makes them (arXiv 2412.14363; methods.md 4.15): the directions along which the layers' inputs vary most come first,
// so that they can be held in more bits, and within either part a random orthogonal matrix spreads what is large. Folded into the
// weights like any other rotation.
//
//   R1  one basis of the residual stream for all blocks: of the sum of X Xᵀ over the inputs of q, k, v and of gate, up of every
//       block, behind the norms (their gains folded into the layers), where every token counts alike
//   R2  one basis for each key-value head of each block: of the sum of X Xᵀ over its query heads' parts of o_proj's input, which is
//       what is quantized here (the paper's code takes the values themselves, whose cache it quantizes, too)
//
// The input of down_proj has no such basis, there as here: it keeps its online Hadamard rotation (R4) and one precision.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/imported_rotations.h"
#include "model/weights.h"
#include "quantization/second_moments.h"

namespace lrc {

/// An orthogonal (n, n) from a seed, uniformly distributed, the same on every machine up to rounding.
MatrixD random_orthogonal(std::size_t order, std::uint64_t seed);
/// P for row vectors x P: eigenvectors of the second moment (n, n) by descending eigenvalue, each of the two parts — the first `high`
/// and the rest — turned by a random orthogonal matrix. `high` = n: one part.
MatrixD principal_rotation(const MatrixD& second_moment, std::size_t high, std::uint64_t seed);

/// X Xᵀ of all inputs that the bases are made of, block by block.
class PrincipalMoments {
 public:
  PrincipalMoments(const ModelConfig& config, const RotationChoice& choice);
  /// x (tokens, width) at this site of the float model, unrotated, norms folded (fold_choice). Other sites are passed over.
  void add(const Site& site, const float* x, std::size_t tokens, std::size_t width);
  /// What `choice` asks for. Throws Error(numerical) when a moment has no eigenvectors.
  ImportedRotations rotations() const;

 private:
  const ModelConfig& config_;
  RotationChoice choice_;
  SecondMoments stream_;
  std::vector<SecondMoments> heads_;  // by block and key-value head
};

/// Folds the norms into the layers behind them and turns nothing: R1 is the identity. Empty where `choice` has no R1.
RotationChoice fold_choice(const RotationChoice& choice);
ImportedRotations fold_rotations(const RotationChoice& choice, const ModelConfig& config);

}  // namespace lrc

#pragma once
// Hadamard transforms of every order that occurs (methods.md 4.3): n = m · 2^p with m = 4 · (odd part of n), or m = 1 for a
// power of two. H_m by Paley I if m − 1 is prime, else Paley II if m/2 − 1 is prime, else Williamson, else Paley over the
// field of a prime power, else by Turyn-type sequences (turyn.h). H_n = H_m ⊗ H_{2^p}, applied to row vectors from the right, x H / √n: on
// x seen as (m, 2^p) that is H_mᵀ along the outer axis.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tensor/matrix.h"

namespace lrc {

struct HadamardOrder {
  std::size_t order = 1;          ///< n
  std::size_t base_order = 1;     ///< m
  std::size_t power_of_two = 1;   ///< 2^p
  std::string construction;       ///< "Sylvester", "Paley I", "Paley II", "Williamson", "Turyn"
  std::vector<std::int8_t> base;  ///< (m, m) entries ±1, row-major
};

/// The one choice for this width, or nothing when there is none (odd multiples of 1 or 2 above 2, or no known construction).
std::optional<HadamardOrder> find_hadamard(std::size_t order);

/// x ← x H / √n for each row of x (rows, n), in place.
void apply_hadamard(const HadamardOrder& hadamard, float* x, std::size_t rows);
void apply_hadamard(const HadamardOrder& hadamard, double* x, std::size_t rows);
/// x ← x Hᵀ / √n, the inverse.
void apply_hadamard_transposed(const HadamardOrder& hadamard, double* x, std::size_t rows);
/// n signs ±1 from a seed, the same on every machine.
std::vector<std::int8_t> random_signs(std::size_t count, std::uint64_t seed);

/// The residual rotation Q = diag(signs) · H / √n (signs first, then H, for a row vector).
struct ResidualRotation {
  HadamardOrder hadamard;
  std::vector<std::int8_t> signs;
};
/// W ← W Q (rows are vectors of the residual stream: q, k, v, gate, up, embedding, head). W (rows, n).
void rotate_input_side(const ResidualRotation& rotation, MatrixF& weight);
/// W ← Qᵀ W (columns are written into the residual stream: o, down). W (n, columns).
void rotate_output_side(const ResidualRotation& rotation, MatrixF& weight);
/// W ← W · blockdiag(H_d, …) / √d on the input side (o_proj), or the same on the output rows (v_proj).
void rotate_heads_input_side(const HadamardOrder& head, MatrixF& weight);
void rotate_heads_output_side(const HadamardOrder& head, MatrixF& weight);
/// W ← W H (input side; down_proj for R4).
void rotate_full_input_side(const HadamardOrder& hadamard, MatrixF& weight);
/// W ← W diag(gain): the norm's gain moves into the layers that read it.
void fold_gain(const std::vector<float>& gain, MatrixF& weight);

}  // namespace lrc

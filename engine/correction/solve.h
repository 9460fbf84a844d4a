#pragma once
// The door of the folder: what a layer can be solved with. A new method is one new file that defines a SolveMethod and one
// line in solve.cpp's list.
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "correction/low_rank_pair.h"
#include "quantization/quantized_weight.h"
#include "quantization/second_moments.h"
#include "tensor/matrix.h"

namespace lrc {

struct IncrementedWeight;  // correction/increments.h

/// What damping stands for, that is, what a solved layer does to inputs that calibration hardly showed.
///   zero      S_x and S_y get a ridge (methods.md 1.4): W̃ and U Vᵀ shrink towards 0 there
///   original  tokens with Y = X along every axis are added, so S_xy gets the same ridge: Ŵ + U Vᵀ goes towards W there
enum class DampingToward { zero, original };
struct Damping {
  Damping(double share_of_diagonal, DampingToward damping_toward = DampingToward::zero)
      : share(share_of_diagonal), toward(damping_toward) {}
  double share;  ///< of the mean diagonal
  DampingToward toward;
  auto operator<=>(const Damping&) const = default;
};

/// How the directions of a pair are found: from the whole eigenproblem, or by the randomized range finder where the rank is small
/// against it (correction/range_finder.h). Its random start belongs to the layer.
enum class RangeFinder { exact, randomized };

/// All that is decided about one layer. A recipe resolves to one of these per layer in one function (run/recipe.h).
struct LayerScheme {
  std::string method = "lrc";  ///< a name of methods()
  WeightScheme weight;
  ActivationScheme activation;
  std::size_t rank = 0;
  int iterations = 1;     ///< T of LRC(T)
  bool deflate = false;   ///< deflated Update-Quant (methods.md 1.3)
  double damping = 0.01;  ///< of the second moments, times their mean diagonal
  DampingToward damping_toward = DampingToward::zero;
  double gptq_damping = 0.01;  ///< GPTQ's own
  bool act_order = false;      ///< GPTQ by descending diagonal, static groups
  bool polish = false;         ///< grid frozen after the first round, coordinate descent on it: rounds never get worse
  std::string base = "rtn";    ///< the quantizer that svd, qera and lqer correct: rtn or gptq
  FactorScheme factors;
  PairInput pair_input = PairInput::unquantized;
  double drift = 1;        ///< α: how much of a quantized prefix's drift is made up for (methods.md 1.11); fp stream: no effect
  int steps = 100;         ///< of AdamW, where a method learns (lsi)
  std::size_t square = 0;  ///< lsi: side of the trainable square matrix; 0 = none
  RangeFinder range_finder = RangeFinder::exact;
  bool skipped = false;       ///< left as it is in float
  bool store_rounded = true;  ///< scales and factors rounded as stored; off: float64 throughout (lrc solve)
  bool operator==(const LayerScheme&) const = default;
};

inline Damping damping_of(const LayerScheme& scheme) { return {scheme.damping, scheme.damping_toward}; }

/// What is known about the input of the layer; prepared once per site and shared by the layers that read it.
/// Factorizations of the damped moments (methods.md 1.4): S_y = L Lᵀ, and S_{x|y} = S_x − S_xy S_y⁻¹ S_yx from the noise form.
struct SiteStatistics {
  SecondMoments moments;
  double damping = 0.01;
  double epsilon_x = 0, epsilon_y = 0;                              ///< ridges on S_x and on S_y alone
  double epsilon_tokens = 0;                                        ///< on S_x, S_y and S_xy: tokens with Y = X (DampingToward::original)
  MatrixD s_x, s_y, s_xy;                                           ///< damped
  MatrixD cholesky_y;                                               ///< L (lower) of the damped S_y
  MatrixD cholesky_x;                                               ///< L (lower) of the damped S_x
  MatrixD s_x_given_y;                                              ///< S_{x|y} of the damped moments, symmetric
  MatrixD cholesky_x_given_y;                                       ///< its L (lower); empty where it is not positive definite (no damping)
  bool unquantized = false;                                         ///< Y = X (activations off)
  double added_to_x() const { return epsilon_x + epsilon_tokens; }  ///< to the diagonal of S_x
  double added_to_y() const { return epsilon_y + epsilon_tokens; }
  // Of the propagated stream only, D = X_float − X (methods.md 1.11); empty otherwise.
  MatrixD drift_given_y;       ///< S_dx − S_dy S_y⁻¹ S_yx
  MatrixD drift_norm_given_y;  ///< S_d − S_dy S_y⁻¹ S_yd
};
/// Throws Error(numerical) naming `site` after the retries of methods.md pitfall 16.
SiteStatistics prepare_site(SecondMoments moments, Damping damping, const ActivationScheme& activation, const std::string& site);

/// Losses: absolute sums of squares over the calibration tokens. Relative ones are divided by norm_wx = ‖W X‖².
struct LayerLosses {
  double norm_wx = 0;
  double loss = 0;              ///< ‖W X − Ŵ Y − U Vᵀ X‖²
  double loss_uncorrected = 0;  ///< same scheme without a branch: GPTQ as published (or RTN), ‖W X − Ŵ Y‖²
  double loss_regularized = 0;  ///< loss + ε_x ‖W − U Vᵀ‖² + ε_y ‖Ŵ‖² + ε ‖W − U Vᵀ − Ŵ‖², as the moments are damped
  double lower_bound = 0;               ///< of loss_regularized at this rank
  double weights_only = 0;              ///< ‖(W − Ŵ₀) X‖², Ŵ₀ the uncorrected codes
  double activations_only = 0;          ///< ‖W (X − Y)‖²
  std::optional<double> held_out;       ///< loss over held-out tokens
  std::optional<double> held_out_norm;  ///< ‖W X‖² over them
  /// With RangeFinder::randomized: of what the pair's best directions carry (their eigenvalues), the part that the found ones
  /// miss; the larger one of a method's eigenproblems. 0 where the whole problem was the cheaper one.
  std::optional<double> range_finder_missed;
  std::vector<double> of_each_round;  ///< regularized
  int best_round = 0;
};

/// What the window draws: everything from eigendecompositions that the solve needs anyway. All absolute (÷ norm_wx in percent).
struct RankCurves {
  std::vector<double> eigenvalues;                   ///< of W S_{x|y} Wᵀ, descending (the whitened error that Init-LR removes)
  std::vector<double> lower_bound_by_rank;           ///< rank 0…n: sum of the discarded ones; bounds loss_regularized
  std::vector<double> same_codes_by_rank;            ///< regularized loss with this Ŵ and the branch refitted at that rank (M S_x Mᵀ)
  std::vector<double> weight_error_singular_values;  ///< of W − Ŵ₀ (what plain SVD of the residual sees)
};

struct LayerSolution {
  LayerScheme scheme;
  QuantizedWeight weight;
  LowRankPair pair;  ///< empty at rank 0
  LayerLosses losses;
  RankCurves curves;
  // For researchers (`lrc solve`), float64 and unrounded; filled when !store_rounded.
  MatrixD u, v, target;
  /// What lsi learned, for a refinement to go on from; null for every other method. It leaves no trace in a file.
  std::shared_ptr<const IncrementedWeight> increments = {};
};

struct SolveRequest {
  const MatrixD& weight;  ///< (out, in), already rotated
  const SiteStatistics& site;
  const LayerScheme& scheme;
  const std::string& layer;  ///< for messages
  bool curves = true;        ///< off saves an eigenproblem where nobody looks
};

struct SolveMethod {
  std::string_view name;         ///< as on the command line
  std::string_view title;        ///< as in the window
  std::string_view explanation;  ///< one sentence
  bool uses_rank = false;
  bool corrects_base = false;                     ///< the codes are those of a plain quantizer (LayerScheme::base)
  bool moves_weights = false;                     ///< the codes are rounded from other weights: compared with plain rounding
  double damping = 0.01;                          ///< that its paper uses: what `--method` sets where `--damping` says nothing
  PairInput pair_input = PairInput::unquantized;  ///< likewise
  LayerSolution (*solve)(const SolveRequest& request, std::stop_token stop) = nullptr;
};
/// rtn, gptq, svd, qera, eora, qera-diagonal, lqer, l2qer, lsi, lrc (rank 0 = retargeting alone).
std::span<const SolveMethod> methods();
/// Throws Error(bad_input) naming the methods that exist.
const SolveMethod& find_method(std::string_view name);

/// Checks the scheme against the shape (rank ≤ min(in, out), group divides), solves, rounds what is stored, fills losses.
/// Throws Error naming the layer.
LayerSolution solve_layer(const SolveRequest& request, std::stop_token stop);

/// ‖W X − Ŵ Y − U Vᵀ X‖² from moments (methods.md 1.1), for any solution: held-out loss. With a pair on the quantized activation
/// ‖W X − (Ŵ + U Vᵀ) Y‖². Behind a quantized prefix W takes the float model's input.
double layer_loss(const MatrixD& weight, const QuantizedWeight& quantized, const MatrixD& correction, const SecondMoments& moments,
                  PairInput pair_input = PairInput::unquantized);
double output_norm(const MatrixD& weight, const SecondMoments& moments);

/// Rank from a fraction: rounded down, at least 1 when the fraction is above 0, at most min(in, out).
enum class RankRule { min_dimension, parameters };  ///< Rule A ρ·min(in, out); Rule B ρ·in·out/(in + out)
std::size_t rank_of_fraction(double fraction, RankRule rule, std::size_t out_features, std::size_t in_features);

/// Bits of the stored layer: codes + scales + factors.
struct LayerSize {
  std::size_t code_bits = 0, scale_bits = 0, factor_bits = 0;
  double bits_per_weight(std::size_t weights) const { return double(code_bits + scale_bits + factor_bits) / double(weights); }
};
LayerSize layer_size(const LayerScheme& scheme, std::size_t out_features, std::size_t in_features);

}  // namespace lrc

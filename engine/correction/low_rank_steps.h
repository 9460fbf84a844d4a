#pragma once
// The closed forms of LRC (arXiv 2412.07902; derivation: methods.md 1.2 and 1.3), float64. Used by lrc.cpp and by the curves.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "correction/solve.h"
#include "tensor/matrix.h"

namespace lrc {

struct RangeFinding {
  RangeFinder kind = RangeFinder::exact;
  std::uint64_t seed = 0;
};
/// As the layer's scheme says, with the layer's own seed.
RangeFinding range_finding_of(const SolveRequest& request);

/// U (out, rank), V (in, rank), components by descending eigenvalue, and all min(out, in) eigenvalues of the problem behind them.
struct LowRankFit {
  MatrixD u, v;
  std::vector<double> eigenvalues;
  double missed = 0;  ///< LayerLosses::range_finder_missed of this problem
};

/// [P]_rank L⁻¹ by the eigenproblem of the small side of P (out, in), L lower triangular: the pair that minimises
/// ‖P − U Vᵀ L‖; eigenvalues: squares of all singular values of P.
LowRankFit truncated(const MatrixD& p, const MatrixD& lower, std::size_t rank, const RangeFinding& finding = {});

// Behind a quantized prefix (site.drift_given_y not empty) the target of everything below is W (X + α D), D the drift
// (methods.md 1.11).

/// Init-LR: the pair that minimises tr((W − U Vᵀ) S_{x|y} (W − U Vᵀ)ᵀ); eigenvalues of W S_{x|y} Wᵀ.
LowRankFit init_low_rank(const MatrixD& weight, const SiteStatistics& site, std::size_t rank, double alpha = 1,
                         const RangeFinding& finding = {});
/// The same eigenvalues without the pair.
std::vector<double> init_eigenvalues(const MatrixD& weight, const SiteStatistics& site, double alpha = 1);
/// What the relaxed optimum is at full rank: 0 on the float stream, the part of the drift that neither X nor Y can explain behind
/// a quantized prefix.
double relaxed_floor(const MatrixD& weight, const SiteStatistics& site, const std::vector<double>& eigenvalues, double alpha);

/// Update-LR: the pair that minimises the regularized loss for this Ŵ; eigenvalues of M S_x Mᵀ, M = W − Ŵ S_yx S_x⁻¹.
LowRankFit update_low_rank(const MatrixD& weight, const MatrixD& quantized, const SiteStatistics& site, std::size_t rank, double alpha = 1,
                           const RangeFinding& finding = {});
std::vector<double> update_eigenvalues(const MatrixD& weight, const MatrixD& quantized, const SiteStatistics& site, double alpha = 1);
/// The best U for a given V (in, rank), for factors that were rounded: (W S_x − Ŵ S_yx) V (Vᵀ S_x V)⁻¹.
MatrixD best_u(const MatrixD& weight, const MatrixD& quantized, const MatrixD& v, const SiteStatistics& site, double alpha = 1);

/// What Update-Quant hands to GPTQ.
struct QuantizationTarget {
  MatrixD target, hessian;
};
/// Target (W − U Vᵀ) S_xy S_y⁻¹ with Hessian S_y.
QuantizationTarget retarget(const MatrixD& weight, const MatrixD& u, const MatrixD& v, const SiteStatistics& site, double alpha = 1);
/// U eliminated for this V: S_y' = S_y − S_yx V G Vᵀ S_xy, target W (S_xy − S_x V G Vᵀ S_xy) S_y'⁻¹, G = (Vᵀ S_x V)⁻¹.
/// Throws Error(numerical) when S_y' has no Cholesky factor.
QuantizationTarget deflated_retarget(const MatrixD& weight, const MatrixD& v, const SiteStatistics& site, const std::string& layer,
                                     double alpha = 1);

/// ‖A X − Ŵ Y‖² from the noise form, A = W − U Vᵀ. With drift in the moments ‖A X − Ŵ Y + α W D‖².
double output_error(const MatrixD& weight, const MatrixD& a, const MatrixD& quantized, const SecondMoments& moments, double alpha = 1);
double output_error(const MatrixD& a, const MatrixD& quantized, const SecondMoments& moments);
/// loss + ε_x ‖A‖² + ε_y ‖Ŵ‖².
double regularized(double loss, const MatrixD& a, const MatrixD& quantized, const SiteStatistics& site);

}  // namespace lrc

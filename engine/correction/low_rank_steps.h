#pragma once
// The closed forms of LRC (arXiv 2412.07902; derivation: methods.md 1.2 and 1.3), float64. Used by lrc.cpp and by the curves.
#include <cstddef>
#include <vector>

#include "correction/solve.h"
#include "tensor/matrix.h"

namespace lrc {

/// U (out, rank), V (in, rank), components by descending eigenvalue, and all min(out, in) eigenvalues of the problem behind them.
struct LowRankFit {
  MatrixD u, v;
  std::vector<double> eigenvalues;
};

/// Init-LR: the pair that minimises tr((W − U Vᵀ) S_{x|y} (W − U Vᵀ)ᵀ); eigenvalues of W S_{x|y} Wᵀ.
LowRankFit init_low_rank(const MatrixD& weight, const SiteStatistics& site, std::size_t rank);
/// The same eigenvalues without the pair.
std::vector<double> init_eigenvalues(const MatrixD& weight, const SiteStatistics& site);

/// Update-LR: the pair that minimises the regularized loss for this Ŵ; eigenvalues of M S_x Mᵀ, M = W − Ŵ S_yx S_x⁻¹.
LowRankFit update_low_rank(const MatrixD& weight, const MatrixD& quantized, const SiteStatistics& site, std::size_t rank);
std::vector<double> update_eigenvalues(const MatrixD& weight, const MatrixD& quantized, const SiteStatistics& site);

/// What Update-Quant hands to GPTQ.
struct QuantizationTarget {
  MatrixD target, hessian;
};
/// Target (W − U Vᵀ) S_xy S_y⁻¹ with Hessian S_y.
QuantizationTarget retarget(const MatrixD& weight, const MatrixD& u, const MatrixD& v, const SiteStatistics& site);
/// U eliminated for this V: S_y' = S_y − S_yx V G Vᵀ S_xy, target W (S_xy − S_x V G Vᵀ S_xy) S_y'⁻¹, G = (Vᵀ S_x V)⁻¹.
/// Throws Error(numerical) when S_y' has no Cholesky factor.
QuantizationTarget deflated_retarget(const MatrixD& weight, const MatrixD& v, const SiteStatistics& site, const std::string& layer);

/// ‖A X − Ŵ Y‖² from the noise form, A = W − U Vᵀ.
double output_error(const MatrixD& a, const MatrixD& quantized, const SecondMoments& moments);
/// loss + ε_x ‖A‖² + ε_y ‖Ŵ‖².
double regularized(double loss, const MatrixD& a, const MatrixD& quantized, const SiteStatistics& site);

}  // namespace lrc

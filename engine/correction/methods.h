#pragma once
// Inside the folder: what a method's solve function fills, and what solve.cpp does for all of them.
//
// A method returns scheme, weight, u and v in float64 (empty at rank 0), target, and, where it has them at hand,
// curves.eigenvalues and curves.same_codes_by_rank (the latter less its value at the layer's rank); a method of several rounds
// also losses.of_each_round and best_round. solve_layer rounds the factors and adds the losses and the missing curves.
#include <stop_token>

#include "correction/solve.h"

namespace lrc {

LayerSolution solve_rtn(const SolveRequest& request, std::stop_token stop);
LayerSolution solve_gptq(const SolveRequest& request, std::stop_token stop);
LayerSolution solve_lrc(const SolveRequest& request, std::stop_token stop);
LayerSolution solve_svd(const SolveRequest& request, std::stop_token stop);
LayerSolution solve_qera(const SolveRequest& request, std::stop_token stop);
LayerSolution solve_qera_diagonal(const SolveRequest& request, std::stop_token stop);
LayerSolution solve_eora(const SolveRequest& request, std::stop_token stop);
LayerSolution solve_lsi(const SolveRequest& request, std::stop_token stop);
LayerSolution solve_l2qer(const SolveRequest& request, std::stop_token stop);

/// L²QER's scale of each input channel (methods.md 2.2): a = max(largest mean of a batch, 1e-4), s = a / sqrt(min a · max a).
std::vector<double> l2qer_scales(const ChannelStatistics& channels, const std::string& layer);

/// The grid of `target` by the scheme's clip search, one that takes the layer's inputs included.
WeightGrid grid_for(const SolveRequest& request, const MatrixD& target);
/// Round to nearest on that grid.
QuantizedWeight plain_rtn(const SolveRequest& request);
/// GPTQ as published: target W, Hessian S_x.
QuantizedWeight plain_gptq(const SolveRequest& request);
/// Regularized loss by rank for fixed codes (rank 0…n), from its value at one rank and the eigenvalues of M S_x Mᵀ.
std::vector<double> loss_by_rank(double loss, std::size_t at_rank, const std::vector<double>& eigenvalues);

}  // namespace lrc

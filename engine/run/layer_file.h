#pragma once
// One solved layer as a safetensors file. Nothing in it depends on time, machine load or the number of threads: the same
// recipe gives the same bytes.
//   codes     U8 (out, ⌈in/2⌉) two codes a byte, element 2i in the low nibble (≤ 4 bits); else I8 (out, in). Symmetric: code + 8;
//             with zero points: the code; E2M1: its four bits
//   scales    F16 (out, groups); mxint and mxfp4: U8, exponent + 127; nvfp4: U8, E4M3, over tensor_scale F64 (1, 1)
//   zeros     U8 (out, groups), asymmetric grids only
//   u, v      F16 (out, rank), (in, rank); absent at rank 0. int8 and mxint: I8 codes, and u_scales, v_scales: F16 (1, rank), or U8
//             exponents + 127 of blocks (correction/low_rank_pair.h)
//   losses    F64 (1, 7 or 9): norm_wx, loss, loss_uncorrected, loss_regularized, lower_bound, weights_only, activations_only
//             and, when measured, held_out and held_out_norm; absolute sums of squares
//   rounds, eigenvalues, lower_bound_by_rank, same_codes_by_rank, weight_error_singular_values   F64 (1, n), absent when empty
// Metadata: format_version, layer, scheme (JSON), best_round.
#include <filesystem>
#include <string>

#include "correction/solve.h"

namespace lrc {

std::filesystem::path layer_path(const std::filesystem::path& run_folder, const std::string& layer);
/// Writes RUN/layers/NAME.safetensors whole or not at all; returns its SHA-256.
std::string write_layer(const std::filesystem::path& run_folder, const std::string& layer, const LayerSolution& solution);

/// Losses and curves alone, without unpacking codes: what a plot needs. Throws Error(bad_file) naming file and tensor.
struct LayerFacts {
  LayerScheme scheme;
  std::size_t out_features = 0, in_features = 0;
  LayerLosses losses;
  RankCurves curves;
};
LayerFacts read_layer_facts(const std::filesystem::path& run_folder, const std::string& layer);

}  // namespace lrc

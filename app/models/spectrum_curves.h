#pragma once
// Look-ups in a layer's curves: everything that moves with the rank cursor. Nothing is computed but sums and quantiles.
#include <QVector>
#include <optional>
#include <vector>

#include "run/spectra.h"

namespace lrc::app {

/// Share (0…1) of the whitened error that the first `rank` directions carry; nothing before a measurement.
std::optional<double> captured_share(const LayerSpectrum& spectrum, std::size_t rank);
std::optional<double> value_at(const std::vector<double>& by_rank, std::size_t rank);
/// first, first + 1, …: the abscissae of a curve.
QVector<double> ranks(std::size_t count, std::size_t first);
/// For a logarithmic axis, which has no zero: exact zeros (full rank) leave a gap.
QVector<double> in_per_cent(const std::vector<double>& values);
/// Factors U (out, rank) and V (in, rank).
double factor_bits_per_weight(const LayerScheme& scheme, std::size_t out_features, std::size_t in_features, std::size_t rank);
double factor_bytes(const LayerScheme& scheme, std::size_t out_features, std::size_t in_features, std::size_t rank);
/// Squared singular values of W − Ŵ as a share of ‖W − Ŵ‖²: comparable in shape, not in height, with the whitened error.
std::vector<double> weight_error_share(const LayerSpectrum& spectrum);
/// Of several curves, at each rank that all of them have.
std::vector<double> quantile_curve(const std::vector<const std::vector<double>*>& curves, double quantile);
/// The first rank at which the bound lies above the error of the same codes (beyond rounding): a numerical failure.
std::optional<std::size_t> first_contradiction(const LayerSpectrum& spectrum);

}  // namespace lrc::app

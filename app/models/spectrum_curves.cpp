#include "models/spectrum_curves.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace lrc::app {

std::optional<double> captured_share(const LayerSpectrum& spectrum, std::size_t rank) {
  const auto& values = spectrum.whitened_error;
  if (values.empty()) return {};
  const double total = std::accumulate(values.begin(), values.end(), 0.0);
  if (!(total > 0)) return {};
  return std::accumulate(values.begin(), values.begin() + std::ptrdiff_t(std::min(rank, values.size())), 0.0) / total;
}

std::optional<double> value_at(const std::vector<double>& by_rank, std::size_t rank) {
  if (rank >= by_rank.size()) return {};
  return by_rank[rank];
}

double factor_bits_per_weight(const LayerScheme& scheme, std::size_t out_features, std::size_t in_features, std::size_t rank) {
  LayerScheme at = scheme;
  at.rank = rank;
  return double(layer_size(at, out_features, in_features).factor_bits) / (double(out_features) * double(in_features));
}

double factor_bytes(const LayerScheme& scheme, std::size_t out_features, std::size_t in_features, std::size_t rank) {
  LayerScheme at = scheme;
  at.rank = rank;
  return double(layer_size(at, out_features, in_features).factor_bits) / 8;
}

std::vector<double> weight_error_share(const LayerSpectrum& spectrum) {
  double total = 0;
  for (const double value : spectrum.weight_error) total += value * value;
  std::vector<double> shares;
  if (!(total > 0)) return shares;
  for (const double value : spectrum.weight_error) shares.push_back(value * value / total);
  return shares;
}

std::vector<double> quantile_curve(const std::vector<const std::vector<double>*>& curves, double quantile) {
  std::vector<double> out;
  if (curves.empty()) return out;
  std::size_t length = curves.front()->size();
  for (const auto* curve : curves) length = std::min(length, curve->size());
  std::vector<double> column(curves.size());
  for (std::size_t rank = 0; rank < length; ++rank) {
    for (std::size_t i = 0; i < curves.size(); ++i) column[i] = (*curves[i])[rank];
    std::sort(column.begin(), column.end());
    const double position = quantile * double(column.size() - 1);
    const std::size_t low = std::size_t(position), high = std::min(low + 1, column.size() - 1);
    out.push_back(column[low] + (position - double(low)) * (column[high] - column[low]));
  }
  return out;
}

std::optional<std::size_t> first_contradiction(const LayerSpectrum& spectrum) {
  const std::size_t length = std::min(spectrum.lower_bound_by_rank.size(), spectrum.same_codes_by_rank.size());
  for (std::size_t rank = 0; rank < length; ++rank)
    // Near full rank both are differences of large sums: allow what float64 loses there.
    if (spectrum.lower_bound_by_rank[rank] > spectrum.same_codes_by_rank[rank] * (1 + 1e-6) + 1e-9) return rank;
  return {};
}

QVector<double> ranks(std::size_t count, std::size_t first) {
  QVector<double> out(static_cast<qsizetype>(count));
  for (std::size_t i = 0; i < count; ++i) out[qsizetype(i)] = double(i + first);
  return out;
}

QVector<double> in_per_cent(const std::vector<double>& values) {
  QVector<double> out;
  out.reserve(qsizetype(values.size()));
  for (const double value : values) out.push_back(value > 0 ? 100 * value : qQNaN());
  return out;
}

}  // namespace lrc::app

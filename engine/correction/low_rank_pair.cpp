#include "correction/low_rank_pair.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "correction/linalg.h"
#include "quantization/block_grid.h"
#include "tensor/dtype.h"

namespace lrc {
namespace {

constexpr int kHighestInt8 = 127;

/// Blocks lie along the rows of a factor (rows, rank) where entries of one row share an exponent.
bool blocks_in_rows(const FactorScheme& scheme, bool is_v) { return scheme.along_contraction != is_v; }

std::size_t blocks_of(std::size_t count, std::size_t block) { return (count + block - 1) / block; }

/// Index of the scale of an entry.
std::pair<std::size_t, std::size_t> place_of(const FactorScheme& scheme, bool is_v, std::size_t row, std::size_t component) {
  if (scheme.format == FactorFormat::int8) return {0, component};
  return blocks_in_rows(scheme, is_v) ? std::pair{row, component / scheme.block} : std::pair{row / scheme.block, component};
}

}  // namespace

std::string to_string(const FactorScheme& scheme) {
  if (scheme.format == FactorFormat::half) return "fp16";
  if (scheme.format == FactorFormat::int8) return "int8";
  std::string text = "mxint" + std::to_string(scheme.bits);
  if (scheme.block != 16 || !scheme.along_contraction) text += "/" + std::to_string(scheme.block);
  return text + (scheme.along_contraction ? "" : "-across");
}

std::optional<FactorScheme> factor_scheme(std::string_view text) {
  if (text == "fp16") return FactorScheme{};
  if (text == "int8") return FactorScheme{FactorFormat::int8, 8};
  if (!text.starts_with("mxint")) return {};
  FactorScheme scheme{FactorFormat::mxint, 0};
  text.remove_prefix(5);
  if (text.ends_with("-across")) {
    scheme.along_contraction = false;
    text.remove_suffix(7);
  }
  const auto slash = text.find('/');
  const auto whole = [](std::string_view digits, auto& value) {
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return code == std::errc() && end == digits.data() + digits.size();
  };
  if (!whole(text.substr(0, slash), scheme.bits) || scheme.bits < 2 || scheme.bits > 8) return {};
  if (slash != std::string_view::npos && !whole(text.substr(slash + 1), scheme.block)) return {};
  if (scheme.block < 2 || scheme.block > 1024) return {};
  return scheme;
}

std::pair<std::size_t, std::size_t> factor_scales_shape(const FactorScheme& scheme, std::size_t rows, std::size_t rank, bool is_v) {
  if (scheme.format == FactorFormat::half) return {0, 0};
  if (scheme.format == FactorFormat::int8) return {1, rank};
  return blocks_in_rows(scheme, is_v) ? std::pair{rows, blocks_of(rank, scheme.block)} : std::pair{blocks_of(rows, scheme.block), rank};
}

std::size_t factor_bits(const FactorScheme& scheme, std::size_t rank, std::size_t out_features, std::size_t in_features) {
  std::size_t bits = std::size_t(scheme.bits) * rank * (out_features + in_features);
  for (const auto& [rows, is_v] : {std::pair{out_features, false}, std::pair{in_features, true}}) {
    const auto [a, b] = factor_scales_shape(scheme, rows, rank, is_v);
    bits += a * b * (scheme.format == FactorFormat::int8 ? 16 : 8);
  }
  return bits;
}

FactorCodes encode_factor(const MatrixD& factor, const FactorScheme& scheme, bool is_v) {
  FactorCodes result;
  if (scheme.format == FactorFormat::half) return result;
  const std::size_t rows = factor.rows(), rank = factor.columns();
  const auto [a, b] = factor_scales_shape(scheme, rows, rank, is_v);
  MatrixD largest(a, b);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t k = 0; k < rank; ++k) {
      const auto [r, c] = place_of(scheme, is_v, i, k);
      largest(r, c) = std::max(largest(r, c), std::abs(factor(i, k)));
    }
  const int highest = scheme.format == FactorFormat::int8 ? kHighestInt8 : (1 << (scheme.bits - 1)) - 1;
  result.scales = MatrixF(a, b);
  for (std::size_t i = 0; i < largest.size(); ++i) {
    const double own = largest.data()[i];
    if (own == 0) continue;
    result.scales.data()[i] = scheme.format == FactorFormat::int8
                                  ? round_to_half(float(own / highest))
                                  : float(block_scale(NumberFormat::mxint, block_exponent(NumberFormat::mxint, own), scheme.bits));
  }
  result.codes.resize(factor.size());
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t k = 0; k < rank; ++k) {
      const auto [r, c] = place_of(scheme, is_v, i, k);
      const double scale = double(result.scales(r, c));
      const double code = scale == 0 ? 0.0 : std::clamp(std::nearbyint(factor(i, k) / scale), -double(highest), double(highest));
      result.codes[i * rank + k] = std::int8_t(code);
    }
  return result;
}

MatrixF decode_factor(const FactorCodes& codes, std::size_t rows, std::size_t rank, const FactorScheme& scheme, bool is_v) {
  MatrixF result(rows, rank);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t k = 0; k < rank; ++k) {
      const auto [r, c] = place_of(scheme, is_v, i, k);
      result(i, k) = round_to_half(float(codes.codes[i * rank + k]) * codes.scales(r, c));
    }
  return result;
}

MatrixD product(const LowRankPair& pair) { return linalg::multiply(convert<double>(pair.u), convert<double>(pair.v), false, true); }

}  // namespace lrc

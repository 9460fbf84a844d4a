#include "run/layer_tensors.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "quantization/block_grid.h"
#include "quantization/column_parts.h"

namespace lrc {
namespace {

constexpr int kExponentBias = 127;
constexpr std::array<int, 8> kE2m1 = {0, 1, 2, 3, 4, 6, 8, 12};  // doubled

bool is_packed(const WeightScheme& scheme) { return scheme.bits <= 4; }

void expect(const SafetensorsFile& file, const SafetensorsEntry& entry, DType dtype, const std::vector<std::size_t>& shape) {
  if (entry.dtype == dtype && entry.shape == shape) return;
  std::string text;
  for (const auto size : shape) text += (text.empty() ? "" : " × ") + std::to_string(size);
  damaged(file.path(), entry.name + " is not " + std::string(name(dtype)) + " of " + text);
}

template <typename Values>
void check_finite(const SafetensorsFile& file, const Values& values, const std::string& what) {
  for (const auto value : values.flat())
    if (!std::isfinite(value)) damaged(file.path(), what + " holds a value that is no number");
}

/// What a nibble holds less 8: pack_nibbles adds it.
std::int8_t to_nibble(std::int8_t code, const WeightScheme& scheme) {
  if (!scheme.symmetric) return std::int8_t(code - 8);
  if (!is_e2m1(scheme.format)) return code;
  const auto place = std::size_t(std::find(kE2m1.begin(), kE2m1.end(), std::abs(code)) - kE2m1.begin());
  return std::int8_t(int(place) + (code < 0 ? 8 : 0) - 8);
}

std::int8_t from_nibble(std::int8_t nibble, const WeightScheme& scheme) {
  if (!scheme.symmetric) return std::int8_t(nibble + 8);
  if (!is_e2m1(scheme.format)) return nibble;
  const int bits = nibble + 8;
  return std::int8_t(bits < 8 ? kE2m1[std::size_t(bits)] : -kE2m1[std::size_t(bits - 8)]);
}

void add_bytes(SafetensorsWriter& out, const std::string& name, const std::vector<std::size_t>& shape,
               const std::vector<std::uint8_t>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  out.add(name, DType::u8, shape, {bytes.begin(), bytes.end()});
}

/// Exponent bytes of power-of-two scales; `shift` is the exponent of the block less that of its scale.
template <typename Scales>
std::vector<std::uint8_t> exponents_of(const Scales& scales, int shift) {
  std::vector<std::uint8_t> bytes(scales.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const double scale = double(scales.data()[i]);
    bytes[i] = scale == 0 ? 0 : std::uint8_t(std::clamp(std::ilogb(scale) + shift + kExponentBias, 0, 255));
  }
  return bytes;
}

double scale_of_exponent(std::uint8_t byte, int shift) { return std::ldexp(1.0, int(byte) - kExponentBias - shift); }

/// Block exponent less scale exponent.
int shift_of(const WeightScheme& scheme) { return scheme.format == NumberFormat::mxint ? scheme.bits - 1 : 1; }

}  // namespace

const char* const layer_advice = "delete it and run lrc quantize again, the layer is then solved anew";

void damaged(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorKind::bad_file, file.string() + ": " + what + "; " + layer_advice + ".");
}

void write_row(SafetensorsWriter& out, const char* name, const std::vector<double>& values) {
  if (values.empty()) return;
  MatrixD row(1, values.size());
  std::copy(values.begin(), values.end(), row.data());
  out.add(name, row);
}

namespace {

void write_codes(SafetensorsWriter& out, const QuantizedWeight& weight) {
  const auto& scheme = weight.scheme;
  if (is_packed(scheme)) {
    std::vector<std::int8_t> nibbles = weight.codes;
    for (auto& code : nibbles) code = to_nibble(code, scheme);
    add_bytes(out, "codes", {weight.out_features, (weight.in_features + 1) / 2},
              pack_nibbles(nibbles.data(), weight.out_features, weight.in_features));
  } else {
    out.add_codes("codes", {weight.out_features, weight.in_features}, weight.codes);
  }
}

/// Throws Error(bad_file) where a code is none of the scheme's.
void check_codes(const SafetensorsFile& file, const char* name, const std::vector<std::int8_t>& codes, const WeightScheme& scheme) {
  if (is_e2m1(scheme.format)) return;
  const int highest = scheme.symmetric ? (1 << (scheme.bits - 1)) - 1 : (1 << scheme.bits) - 1;
  const int lowest = !scheme.symmetric ? 0 : scheme.format == NumberFormat::mxint ? -highest : -highest - 1;
  for (const auto code : codes)
    if (code > highest || code < lowest)
      damaged(file.path(), std::string(name) + " holds a value outside of " + std::to_string(scheme.bits) + " bits");
}

/// The codes of `weight`, whose scheme and shape stand.
void read_codes(const SafetensorsFile& file, QuantizedWeight& weight) {
  const auto& scheme = weight.scheme;
  if (is_packed(scheme)) {
    expect(file, file.get("codes"), DType::u8, {weight.out_features, (weight.in_features + 1) / 2});
    weight.codes = unpack_nibbles(file.raw<std::uint8_t>("codes").data(), weight.out_features, weight.in_features);
    for (auto& code : weight.codes) code = from_nibble(code, scheme);
  } else {
    expect(file, file.get("codes"), DType::i8, {weight.out_features, weight.in_features});
    const auto codes = file.raw<std::int8_t>("codes");
    weight.codes.assign(codes.begin(), codes.end());
  }
  check_codes(file, "codes", weight.codes, scheme);
}

/// Both parts of a weight with high columns: "codes" as ever for the low one, "codes_high" (out, high columns) I8.
void read_part_codes(const SafetensorsFile& file, QuantizedWeight& weight) {
  WeightParts parts;
  for (QuantizedWeight* part : {&parts.high, &parts.low}) part->out_features = weight.out_features;
  parts.high.in_features = high_width(weight.scheme.high, weight.in_features);
  parts.low.in_features = weight.in_features - parts.high.in_features;
  parts.high.scheme = high_part(weight.scheme);
  parts.low.scheme = low_part(weight.scheme);
  read_codes(file, parts.low);
  expect(file, file.get("codes_high"), DType::i8, {weight.out_features, parts.high.in_features});
  const auto codes = file.raw<std::int8_t>("codes_high");
  parts.high.codes.assign(codes.begin(), codes.end());
  check_codes(file, "codes_high", parts.high.codes, parts.high.scheme);
  weight.codes = put_together(parts, weight.scheme).codes;
}

}  // namespace

void write_weight(SafetensorsWriter& out, const QuantizedWeight& weight) {
  const auto& scheme = weight.scheme;
  if (scheme.high.any()) {
    const WeightParts parts = take_apart(weight);
    write_codes(out, parts.low);
    out.add_codes("codes_high", {parts.high.out_features, parts.high.in_features}, parts.high.codes);
  } else {
    write_codes(out, weight);
  }
  const std::vector<std::size_t> grid = {weight.out_features, weight.groups()};
  if (scheme.format == NumberFormat::integer) {
    out.add_half("scales", convert<float>(weight.scales));
  } else if (scheme.format == NumberFormat::nvfp4) {
    std::vector<std::uint8_t> bytes(weight.scales.size());
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = encode_e4m3(weight.scales.data()[i] * 2 * weight.tensor_scale);
    add_bytes(out, "scales", grid, bytes);
    out.add("tensor_scale", MatrixD(1, 1, weight.tensor_scale));
  } else {
    add_bytes(out, "scales", grid, exponents_of(weight.scales, shift_of(scheme)));
  }
  if (!weight.zeros.empty()) add_bytes(out, "zeros", grid, {weight.zeros.begin(), weight.zeros.end()});
}

void read_weight(const SafetensorsFile& file, QuantizedWeight& weight) {
  const auto& scheme = weight.scheme;
  if (scheme.high.any())
    read_part_codes(file, weight);
  else
    read_codes(file, weight);
  const std::vector<std::size_t> grid = {weight.out_features, weight.groups()};
  if (scheme.format == NumberFormat::integer) {
    expect(file, file.get("scales"), DType::f16, grid);
    weight.scales = file.read_double("scales");
  } else {
    expect(file, file.get("scales"), DType::u8, grid);
    const auto bytes = file.raw<std::uint8_t>("scales");
    weight.scales = MatrixD(grid[0], grid[1]);
    if (scheme.format == NumberFormat::nvfp4) {
      expect(file, file.get("tensor_scale"), DType::f64, {1, 1});
      weight.tensor_scale = file.read_double("tensor_scale")(0, 0);
      if (!(weight.tensor_scale > 0) || !std::isfinite(weight.tensor_scale)) damaged(file.path(), "tensor_scale is not above 0");
    }
    for (std::size_t i = 0; i < bytes.size(); ++i)
      weight.scales.data()[i] = scheme.format == NumberFormat::nvfp4 ? decode_e4m3(bytes[i]) / weight.tensor_scale / 2
                                                                     : scale_of_exponent(bytes[i], shift_of(scheme));
  }
  check_finite(file, weight.scales, "scales");
  if (scheme.symmetric) return;
  expect(file, file.get("zeros"), DType::u8, grid);
  for (const auto zero : file.raw<std::uint8_t>("zeros")) {
    if (zero >= 1 << scheme.bits) damaged(file.path(), "zeros holds a value outside of " + std::to_string(scheme.bits) + " bits");
    weight.zeros.push_back(std::int8_t(zero));
  }
}

namespace {

void write_factor(SafetensorsWriter& out, const std::string& name, const FactorCodes& factor, std::size_t rows,
                  const FactorScheme& scheme) {
  const std::size_t rank = factor.codes.size() / std::max<std::size_t>(1, rows);
  out.add_codes(name, {rows, rank}, factor.codes);
  if (scheme.format == FactorFormat::int8)
    out.add_half(name + "_scales", factor.scales);
  else
    add_bytes(out, name + "_scales", {factor.scales.rows(), factor.scales.columns()}, exponents_of(factor.scales, scheme.bits - 1));
}

FactorCodes read_factor(const SafetensorsFile& file, const std::string& name, std::size_t rows, std::size_t rank,
                        const FactorScheme& scheme, bool is_v) {
  FactorCodes factor;
  expect(file, file.get(name), DType::i8, {rows, rank});
  const auto codes = file.raw<std::int8_t>(name);
  factor.codes.assign(codes.begin(), codes.end());
  const int highest = scheme.format == FactorFormat::int8 ? 127 : (1 << (scheme.bits - 1)) - 1;
  for (const auto code : factor.codes)
    if (std::abs(code) > highest) damaged(file.path(), name + " holds a value outside of " + std::to_string(scheme.bits) + " bits");
  const auto [a, b] = factor_scales_shape(scheme, rows, rank, is_v);
  const std::string scales = name + "_scales";
  if (scheme.format == FactorFormat::int8) {
    expect(file, file.get(scales), DType::f16, {a, b});
    factor.scales = file.read_float(scales);
  } else {
    expect(file, file.get(scales), DType::u8, {a, b});
    const auto bytes = file.raw<std::uint8_t>(scales);
    factor.scales = MatrixF(a, b);
    for (std::size_t i = 0; i < bytes.size(); ++i) factor.scales.data()[i] = float(scale_of_exponent(bytes[i], scheme.bits - 1));
  }
  check_finite(file, factor.scales, scales);
  return factor;
}

}  // namespace

void write_pair(SafetensorsWriter& out, const LowRankPair& pair) {
  if (pair.empty()) return;
  if (pair.scheme.format == FactorFormat::half) {
    out.add_half("u", pair.u);
    out.add_half("v", pair.v);
    return;
  }
  write_factor(out, "u", pair.u_codes, pair.u.rows(), pair.scheme);
  write_factor(out, "v", pair.v_codes, pair.v.rows(), pair.scheme);
}

LowRankPair read_pair(const SafetensorsFile& file, const LayerFacts& facts) {
  LowRankPair pair;
  const std::size_t rank = facts.scheme.rank;
  pair.scheme = facts.scheme.factors;
  if (pair.scheme.format == FactorFormat::half) {
    expect(file, file.get("u"), DType::f16, {facts.out_features, rank});
    expect(file, file.get("v"), DType::f16, {facts.in_features, rank});
    pair.u = file.read_float("u");
    pair.v = file.read_float("v");
  } else {
    pair.u_codes = read_factor(file, "u", facts.out_features, rank, pair.scheme, false);
    pair.v_codes = read_factor(file, "v", facts.in_features, rank, pair.scheme, true);
    pair.u = decode_factor(pair.u_codes, facts.out_features, rank, pair.scheme, false);
    pair.v = decode_factor(pair.v_codes, facts.in_features, rank, pair.scheme, true);
  }
  check_finite(file, pair.u, "u");
  check_finite(file, pair.v, "v");
  return pair;
}

}  // namespace lrc

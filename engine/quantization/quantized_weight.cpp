#include "quantization/quantized_weight.h"

#include "base/error.h"
#include "base/parallel.h"
#include "quantization/activation.h"
#include "quantization/grid.h"

namespace lrc {
namespace {

constexpr std::size_t kRowsPerTask = 16;

void check_group(std::size_t group, std::size_t width, const std::string& layer, const char* what) {
  if (group != 0 && width % group != 0)
    throw Error(ErrorKind::bad_input, layer + ": " + what + " groups of " + std::to_string(group) + " do not divide its " +
                                          std::to_string(width) +
                                          " input features; choose a group size that divides them, or 0 for one scale a row.");
}

void check_format(NumberFormat format, int bits, bool symmetric, const std::string& layer, const char* what) {
  if (bits < 2 || bits > 8)
    throw Error(ErrorKind::bad_input, layer + ": " + what + " of " + std::to_string(bits) +
                                          " bits cannot be quantized; choose 2 to 8 bits, or leave the layer out.");
  if (!symmetric && format != NumberFormat::integer)
    throw Error(ErrorKind::bad_input, layer + ": " + what + " in the format " + std::string(name(format)) +
                                          " have no zero point; choose a symmetric grid or the format int.");
  if (!symmetric && bits > 7)
    throw Error(ErrorKind::unsupported, layer + ": asymmetric " + what + " of " + std::to_string(bits) +
                                            " bits are not available; a code less its zero point must fit 8 bits, so choose 2 to 7.");
  if (is_e2m1(format) && bits != 4)
    throw Error(ErrorKind::bad_input,
                layer + ": " + what + " in the format " + std::string(name(format)) + " have 4 bits, not " + std::to_string(bits) + ".");
}

}  // namespace

WholeNumbers::WholeNumbers(const WeightScheme& scheme) : e2m1(is_e2m1(scheme.format)) {
  if (scheme.format == NumberFormat::mxint) {
    highest = highest_code(scheme.bits);
    lowest = -highest;
  } else if (scheme.symmetric) {
    lowest = lowest_code(scheme.bits);
    highest = highest_code(scheme.bits);
  } else {
    highest = double((1 << scheme.bits) - 1);
  }
}

MatrixD QuantizedWeight::dequantize() const {
  MatrixD result(out_features, in_features);
  const std::size_t group = group_size();
  for (std::size_t r = 0; r < out_features; ++r)
    for (std::size_t c = 0; c < in_features; ++c) {
      const int zero = zeros.empty() ? 0 : zeros[r * groups() + c / group];
      result(r, c) = (codes[r * in_features + c] - zero) * scales(r, c / group);
    }
  return result;
}

std::vector<std::int8_t> QuantizedWeight::integers() const {
  std::vector<std::int8_t> result = codes;
  if (zeros.empty()) return result;
  const std::size_t group = group_size(), count = groups();
  for (std::size_t r = 0; r < out_features; ++r)
    for (std::size_t c = 0; c < in_features; ++c)
      result[r * in_features + c] = std::int8_t(result[r * in_features + c] - zeros[r * count + c / group]);
  return result;
}

void check_scheme(const WeightScheme& scheme, std::size_t in_features, const std::string& layer) {
  check_format(scheme.format, scheme.bits, scheme.symmetric, layer, "weights");
  check_group(scheme.group_size, in_features, layer, "weight");
}

void check_scheme(const ActivationScheme& scheme, std::size_t width, const std::string& layer) {
  if (scheme.off()) return;
  check_format(scheme.format, scheme.bits, scheme.symmetric, layer, "activations");
  check_group(scheme.group_size, width, layer, "activation");
}

QuantizedWeight empty_on_grid(std::size_t out_features, std::size_t in_features, const WeightScheme& scheme, WeightGrid grid) {
  QuantizedWeight result;
  result.scheme = scheme;
  result.out_features = out_features;
  result.in_features = in_features;
  result.codes.resize(out_features * in_features);
  result.scales = std::move(grid.scales);
  result.zeros = std::move(grid.zeros);
  result.tensor_scale = grid.tensor_scale;
  return result;
}

QuantizedWeight round_to_grid(const MatrixD& weight, const WeightScheme& scheme, WeightGrid grid) {
  QuantizedWeight result = empty_on_grid(weight.rows(), weight.columns(), scheme, std::move(grid));
  const WholeNumbers numbers(scheme);
  const std::size_t group = result.group_size(), groups = result.groups();
  parallel_for(weight.rows(), kRowsPerTask, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r)
      for (std::size_t c = 0; c < weight.columns(); ++c) {
        const double scale = result.scales(r, c / group);
        const double zero = result.zeros.empty() ? 0 : result.zeros[r * groups + c / group];
        const double whole = scale == 0 ? 0.0 : numbers.nearest(weight(r, c) / scale, zero);
        result.codes[r * weight.columns() + c] = std::int8_t(whole + zero);
      }
  });
  return result;
}

QuantizedWeight quantize_rtn(const MatrixD& weight, const WeightScheme& scheme, bool round_to_half) {
  return round_to_grid(weight, scheme, fit_grid(weight, scheme, round_to_half));
}

}  // namespace lrc

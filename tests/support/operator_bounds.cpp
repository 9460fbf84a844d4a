#include "support/operator_bounds.h"

#include <algorithm>

namespace lrc::test {

Bounds rms_norm_bounds(const std::vector<float>& expected, std::size_t width) {
  Bounds bounds;
  for (const float value : expected) bounds.push_back(std::fabs(double(value)) * sum_error(width));
  return bounds;
}

Bounds layer_norm_bounds(const std::vector<float>& x, const std::vector<float>& gain, const std::vector<float>& bias, float epsilon) {
  const std::size_t width = gain.size();
  Bounds bounds;
  for (std::size_t t = 0; t < x.size() / width; ++t) {
    double sum = 0, size = 0, squares = 0;
    for (std::size_t i = 0; i < width; ++i) {
      sum += double(x[t * width + i]);
      size += std::fabs(double(x[t * width + i]));
    }
    const double mean = sum / double(width), mean_error = size / double(width) * sum_error(width);
    for (std::size_t i = 0; i < width; ++i) squares += std::pow(double(x[t * width + i]) - mean, 2);
    const double factor = 1 / std::sqrt(squares / double(width) + double(epsilon));
    for (std::size_t i = 0; i < width; ++i) {
      const double scaled = std::fabs((double(x[t * width + i]) - mean) * factor * double(gain[i]));
      const double from_mean = (mean_error + std::fabs(double(x[t * width + i])) * 2 * kUnit) * factor * std::fabs(double(gain[i]));
      bounds.push_back(2 * from_mean + scaled * (sum_error(width) + 2 * mean_error * factor) + std::fabs(double(bias[i])) * 2 * kUnit);
    }
  }
  return bounds;
}

Bounds add_rows_bounds(const std::vector<float>& x, std::span<const std::uint32_t> rows, std::span<const float> weights, std::size_t width,
                       const std::vector<float>& before) {
  Bounds bounds(before.size(), 0.0);
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t c = 0; c < width; ++c) {
      const std::size_t at = rows[i] * width + c;
      bounds[at] = (std::fabs(double(before[at])) + std::fabs(double(weights[i]) * double(x[i * width + c]))) * 2 * kUnit;
    }
  return bounds;
}

Bounds silu_multiply_bounds(const std::vector<float>& gate, const std::vector<float>& up) {
  Bounds bounds;
  for (std::size_t i = 0; i < gate.size(); ++i) {
    // e^−g carries the rounding of its argument, |g| · u; below e^−87 a device may stop at the smallest normal numbers.
    const double g = gate[i], silu = g / (1 + std::exp(-g));
    bounds.push_back(std::fabs(silu * double(up[i])) * (16 + std::fabs(g)) * kUnit + 1e-33 * std::fabs(double(up[i])));
  }
  return bounds;
}

Bounds rope_bounds(const std::vector<float>& x, std::size_t tokens, std::size_t heads, std::size_t head_dim, float attention_factor) {
  const std::size_t width = heads * head_dim, half = head_dim / 2;
  Bounds bounds(tokens * width);
  for (std::size_t at = 0; at < bounds.size(); ++at) {
    // The partner in the head, and cos and sin, which come from the host.
    const double size = std::fabs(double(x[at])) + std::fabs(double(x[at % head_dim < half ? at + half : at - half]));
    bounds[at] = size * 8 * kUnit * double(attention_factor);
  }
  return bounds;
}

Bounds hadamard_bounds(const std::vector<float>& x, std::size_t order) {
  Bounds bounds;
  for (std::size_t t = 0; t < x.size() / order; ++t) {
    double sum = 0;
    for (std::size_t i = 0; i < order; ++i) sum += std::fabs(double(x[t * order + i]));
    bounds.insert(bounds.end(), order, sum_error(order) * sum / std::sqrt(double(order)));
  }
  return bounds;
}

Bounds multiply_bounds(const MatrixF& weight, const float* x, std::size_t tokens) {
  const std::size_t in = weight.columns();
  Bounds bounds;
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t r = 0; r < weight.rows(); ++r) {
      double size = 0;
      for (std::size_t i = 0; i < in; ++i) size += std::fabs(double(weight(r, i)) * double(x[t * in + i]));
      bounds.push_back(size * sum_error(in));
    }
  return bounds;
}

Bounds multiply_quantized_float_bounds(const QuantizedWeight& weight, const float* x, std::size_t tokens) {
  return multiply_bounds(convert<float>(weight.dequantize()), x, tokens);
}

Bounds multiply_quantized_bounds(const QuantizedWeight& weight, const std::vector<std::int8_t>& codes, const std::vector<float>& scales,
                                 std::size_t tokens) {
  const std::size_t in = weight.in_features, groups = scales.size() / tokens, group = in / groups;
  Bounds bounds;
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t r = 0; r < weight.out_features; ++r) {
      double size = 0;
      for (std::size_t i = 0; i < in; ++i)
        size += std::fabs(double(weight.codes[r * in + i]) * double(codes[t * in + i]) * weight.scales(r, i / weight.group_size()) *
                          double(scales[t * groups + i / group]));
      bounds.push_back(size * 4 * double(weight.groups() + groups + 2) * kUnit);
    }
  return bounds;
}

Bounds low_rank_bounds(const LowRankPair& pair, const float* x, const std::vector<float>& before, std::size_t tokens,
                       std::size_t components) {
  const std::size_t in = pair.v.rows(), out = pair.u.rows(), used = std::min(pair.rank(), components);
  Bounds bounds;
  for (std::size_t t = 0; t < tokens; ++t) {
    std::vector<double> s(used, 0.0);
    for (std::size_t i = 0; i < in; ++i)
      for (std::size_t k = 0; k < used; ++k) s[k] += std::fabs(double(x[t * in + i]) * double(pair.v(i, k)));
    for (std::size_t o = 0; o < out; ++o) {
      double size = 0;
      for (std::size_t k = 0; k < used; ++k) size += std::fabs(double(pair.u(o, k))) * s[k];
      bounds.push_back(size * (sum_error(in) + sum_error(used)) + std::fabs(double(before[t * out + o])) * 2 * kUnit);
    }
  }
  return bounds;
}

Bounds attention_bounds(const std::vector<float>& q, const std::vector<float>& k, const std::vector<float>& v, std::size_t first,
                        std::size_t tokens, const AttentionShape& shape) {
  const std::size_t d = shape.head_dim, end = first + tokens;
  const auto norm_of = [d](const float* vector) {
    double sum = 0;
    for (std::size_t i = 0; i < d; ++i) sum += double(vector[i]) * double(vector[i]);
    return std::sqrt(sum);
  };
  double k_norm = 0, v_most = 0;
  for (std::size_t i = 0; i < end * shape.kv_heads * d; ++i) v_most = std::max(v_most, std::fabs(double(v[i])));
  for (std::size_t p = 0; p < end * shape.kv_heads; ++p) k_norm = std::max(k_norm, norm_of(&k[p * d]));
  Bounds bounds;
  for (std::size_t h = 0; h < tokens * shape.heads; ++h) {
    const double score = norm_of(&q[h * d]) * k_norm / std::sqrt(double(d));
    bounds.insert(bounds.end(), d, v_most * (2 * score * sum_error(d) + sum_error(end) + 16 * kUnit));
  }
  return bounds;
}

}  // namespace lrc::test

#include "refinement/tuned_layer.h"

#include <cassert>
#include <cmath>

#include "base/error.h"
#include "tensor/dtype.h"

namespace lrc::refinement {
namespace {

// Rates by what is tuned: of factors and scales relative to their own size, of lsi's as in its layer-wise form.
constexpr double kPairRate = 1e-2, kScaleRate = 2e-3, kIncrementRate = 2e-3, kClipRate = 3e-2;

std::vector<float> column_sizes(const MatrixF& matrix) {
  std::vector<float> sizes(matrix.columns());
  for (std::size_t c = 0; c < matrix.columns(); ++c) {
    double sum = 0;
    for (std::size_t r = 0; r < matrix.rows(); ++r) sum += double(matrix(r, c)) * double(matrix(r, c));
    sizes[c] = float(std::sqrt(sum / double(matrix.rows())));
  }
  return sizes;
}

/// Each column times (or over) its number; columns of zeros stay zero.
MatrixF scaled(MatrixF matrix, const std::vector<float>& by, bool divide) {
  for (std::size_t r = 0; r < matrix.rows(); ++r)
    for (std::size_t c = 0; c < matrix.columns(); ++c)
      matrix(r, c) = divide ? (by[c] == 0 ? 0.0f : matrix(r, c) / by[c]) : matrix(r, c) * by[c];
  return matrix;
}

void add(MatrixF& sum, const MatrixF& part) {
  if (sum.empty()) sum = MatrixF(part.rows(), part.columns());
  for (std::size_t i = 0; i < part.size(); ++i) sum.data()[i] += part.data()[i];
}

}  // namespace

TunedLayer::TunedLayer(LayerSolution solution) : solved_(std::move(solution)) {
  const QuantizedWeight& weight = solved_.weight;
  if (!solved_.pair.empty()) {
    u_units_ = column_sizes(solved_.pair.u);
    v_units_ = column_sizes(solved_.pair.v);
    state_.u = scaled(solved_.pair.u, u_units_, true);
    state_.v = scaled(solved_.pair.v, v_units_, true);
  }
  if (solved_.increments) {
    state_.increments = *solved_.increments;
    double sum = 0;
    for (const float w : solved_.increments->base.flat()) sum += double(w) * double(w);
    increment_unit_ = std::sqrt(sum / double(std::max<std::size_t>(1, solved_.increments->increments.size())));
  } else if (weight.scheme.format == NumberFormat::integer) {
    scales_free_ = true;
    state_.log_scales = MatrixF(weight.out_features, weight.groups());
  }
  integers_ = weight.integers();
  best_ = state_;
}

MatrixD TunedLayer::scales() const {
  MatrixD scales = solved_.weight.scales;
  if (!scales_free_) return scales;
  for (std::size_t i = 0; i < scales.size(); ++i)
    scales.data()[i] = double(round_to_half(float(scales.data()[i] * std::exp(double(state_.log_scales.data()[i])))));
  return scales;
}

LowRankPair TunedLayer::pair() const {
  LowRankPair pair;
  pair.scheme = solved_.pair.scheme;
  if (state_.u.empty()) return pair;
  pair.u = scaled(state_.u, u_units_, false);
  pair.v = scaled(state_.v, v_units_, false);
  if (pair.scheme.format == FactorFormat::half) {
    for (float& value : pair.u.flat()) value = round_to_half(value);
    for (float& value : pair.v.flat()) value = round_to_half(value);
    return pair;
  }
  pair.u_codes = encode_factor(convert<double>(pair.u), pair.scheme, false);
  pair.v_codes = encode_factor(convert<double>(pair.v), pair.scheme, true);
  pair.u = decode_factor(pair.u_codes, pair.u.rows(), pair.u.columns(), pair.scheme, false);
  pair.v = decode_factor(pair.v_codes, pair.v.rows(), pair.v.columns(), pair.scheme, true);
  return pair;
}

void TunedLayer::scale(std::vector<float> columns, std::vector<float> rows) {
  assert(has_increments());
  columns_ = std::move(columns);
  rows_ = std::move(rows);
}

MatrixF TunedLayer::values() const {
  MatrixF values = incremented(*state_.increments);
  return columns_.empty() ? values : scaled(std::move(values), columns_, false);
}

QuantizedWeight TunedLayer::weight() const {
  if (!state_.touched) return solved_.weight;
  if (has_increments()) {
    QuantizedWeight weight = round_increments(*state_.increments, values());
    for (std::size_t r = 0; r < rows_.size(); ++r)
      for (std::size_t g = 0; g < weight.scales.columns(); ++g)
        weight.scales(r, g) = double(round_to_half(float(weight.scales(r, g) * double(rows_[r]))));
    return weight;
  }
  QuantizedWeight weight = solved_.weight;
  weight.scales = scales();
  return weight;
}

void TunedLayer::put(Linear<float>& linear) const {
  linear.activation = solved_.scheme.activation;
  linear.pair_input = solved_.scheme.pair_input;
  const std::size_t groups = solved_.weight.groups(), group = solved_.weight.group_size();
  linear.wants_row_gradient = scales_free_ && groups == 1;
  linear.wants_weight_gradient = has_increments() || (scales_free_ && groups > 1);
  const LowRankPair now = state_.touched ? pair() : solved_.pair;
  linear.u = now.u;
  linear.v = now.v;
  if (has_increments() && state_.touched) {
    linear.weight = convert<float>(weight().dequantize());
    return;
  }
  const MatrixD scales = state_.touched ? this->scales() : solved_.weight.scales;
  linear.weight = MatrixF(solved_.weight.out_features, solved_.weight.in_features);
  for (std::size_t r = 0; r < linear.weight.rows(); ++r)
    for (std::size_t g = 0; g < groups; ++g) {
      const float scale = float(scales(r, g));
      const std::size_t first = r * linear.weight.columns() + g * group;
      for (std::size_t i = first; i < first + group; ++i) linear.weight.data()[i] = float(integers_[i]) * scale;
    }
}

void TunedLayer::collect(const Linear<float>& linear) {
  if (!state_.u.empty()) {
    add(d_u_, linear.d_u);
    add(d_v_, linear.d_v);
  }
  if (has_increments()) {
    add(d_weight_, linear.d_weight);
  } else if (scales_free_) {
    const std::size_t groups = solved_.weight.groups(), group = solved_.weight.group_size();
    if (d_scales_.empty()) d_scales_ = MatrixF(solved_.weight.out_features, groups);
    for (std::size_t r = 0; r < d_scales_.rows(); ++r) {
      if (linear.wants_row_gradient) {
        d_scales_(r, 0) += linear.d_row[r];
        continue;
      }
      for (std::size_t g = 0; g < groups; ++g) {
        double sum = 0;
        for (std::size_t c = g * group; c < (g + 1) * group; ++c) sum += double(linear.d_weight(r, c)) * double(linear.weight(r, c));
        d_scales_(r, g) += float(sum);
      }
    }
  }
}

void TunedLayer::step(double part) {
  if (!tunable()) return;
  if (!state_.u.empty()) {
    of_u_.step(state_.u.flat(), scaled(std::move(d_u_), u_units_, false).flat(), part * kPairRate);
    of_v_.step(state_.v.flat(), scaled(std::move(d_v_), v_units_, false).flat(), part * kPairRate);
  }
  if (has_increments()) {
    IncrementedWeight& own = *state_.increments;
    const MatrixF now = values();
    for (std::size_t r = 0; r < rows_.size(); ++r)
      for (std::size_t c = 0; c < d_weight_.columns(); ++c) d_weight_(r, c) *= rows_[r];
    IncrementGradient slope;
    MatrixF through = clip_gradient(own, now, d_weight_, slope);
    if (!columns_.empty()) {
      std::vector<double> sums(columns_.size());
      for (std::size_t r = 0; r < now.rows(); ++r)
        for (std::size_t c = 0; c < now.columns(); ++c) sums[c] += double(through(r, c)) * double(now(r, c));
      d_columns_.assign(sums.begin(), sums.end());
      through = scaled(std::move(through), columns_, false);
    }
    project_gradient(own, through, slope);
    of_increments_.step(own.increments, slope.increments, part * kIncrementRate * increment_unit_);
    of_square_.step(own.square.flat(), slope.square.flat(), part * kIncrementRate * increment_unit_);
    of_high_.step(own.clip_high.flat(), slope.clip_high.flat(), part * kClipRate);
    of_low_.step(own.clip_low.flat(), slope.clip_low.flat(), part * kClipRate);
  } else if (scales_free_) {
    of_scales_.step(state_.log_scales.flat(), d_scales_.flat(), part * kScaleRate);
  }
  d_u_ = d_v_ = d_scales_ = d_weight_ = MatrixF();
  state_.touched = true;
}

LayerSolution TunedLayer::solution() const {
  LayerSolution solution = solved_;
  if (!state_.touched) return solution;
  solution.weight = weight();
  solution.pair = pair();
  for (const MatrixF* factor : {&solution.pair.u, &solution.pair.v})
    for (const float value : factor->flat())
      if (!std::isfinite(value))
        throw Error(ErrorKind::numerical, "A refined correction has entries beyond float16; take fewer steps, or none.");
  if (solution.increments) solution.increments = std::make_shared<IncrementedWeight>(*state_.increments);
  return solution;
}

}  // namespace lrc::refinement

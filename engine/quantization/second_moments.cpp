#include "quantization/second_moments.h"

#include <cblas.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "quantization/activation.h"
#include "quantization/blas.h"
#include "quantization/column_parts.h"

namespace lrc {
namespace {

// Tokens whose products are summed in float32 before they go into float64 (methods.md 1.4).
constexpr std::size_t kChunk = 2048;
// Tokens that are held quantized at a time: bounds the memory of a call with very many tokens.
constexpr std::size_t kBatch = 2 * kChunk;
constexpr std::size_t kTokensPerTask = 32;

void prepare(SecondMoments& moments, std::size_t width) {
  if (moments.s_y.empty()) {
    moments.s_y = moments.s_ey = moments.s_e = MatrixD(width, width);
    return;
  }
  if (moments.width() != width)
    throw Error(ErrorKind::bad_input, "Inputs " + std::to_string(width) + " wide cannot be added to second moments of width " +
                                          std::to_string(moments.width()) + ".");
}

void prepare_drift(SecondMoments& moments, std::size_t width) {
  if (!moments.has_drift()) moments.s_dx = moments.s_dy = moments.s_d = MatrixD(width, width);
}

// Of one batch. Cut into parts of channels, so that sums do not depend on the number of threads.
template <typename T>
ChannelStatistics statistics_of(const T* x, std::size_t tokens, std::size_t width) {
  ChannelStatistics result;
  result.sum_of_magnitudes.assign(width, 0.0);
  result.largest.assign(width, 0.0);
  parallel_for(width, 128, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t i = begin; i < end; ++i) {
        const double magnitude = std::abs(double(x[t * width + i]));
        result.sum_of_magnitudes[i] += magnitude;
        result.largest[i] = std::max(result.largest[i], magnitude);
      }
  });
  result.largest_batch_mean = result.sum_of_magnitudes;
  for (double& v : result.largest_batch_mean) v /= double(tokens);
  return result;
}

void check_finite(const float* x, std::size_t tokens, std::size_t width) {
  parallel_for(tokens, kTokensPerTask, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) {
      const float* row = x + t * width;
      if (std::isfinite(largest_magnitude(row, width))) continue;
      const std::size_t channel = std::size_t(std::find_if_not(row, row + width, [](float v) { return std::isfinite(v); }) - row);
      throw Error(ErrorKind::numerical, std::string("The input holds ") + (std::isnan(row[channel]) ? "NaN" : "infinity") + " at token " +
                                            std::to_string(t) + ", channel " + std::to_string(channel) +
                                            "; the model or the calibration text cannot be used in float32.");
    }
  });
}

// One square block of one of the matrices: a Aᵀ-like product over all tokens of the batch.
struct Tile {
  const float *a = nullptr, *b = nullptr;  // (tokens, width); the same for a symmetric matrix
  MatrixD* sum = nullptr;
  std::size_t row = 0, column = 0, rows = 0, columns = 0;
};

// Copies a tile of the upper triangle to its place in the lower one, in small squares that stay in cache.
void mirror(MatrixD& sum, std::size_t row, std::size_t column, std::size_t rows, std::size_t columns) {
  constexpr std::size_t square = 16;
  for (std::size_t i0 = row; i0 < row + rows; i0 += square)
    for (std::size_t j0 = column; j0 < column + columns; j0 += square)
      for (std::size_t j = j0; j < std::min(j0 + square, column + columns); ++j)
        for (std::size_t i = i0; i < std::min({i0 + square, row + rows, j}); ++i) sum.row(j)[i] = sum.row(i)[j];
}

void add_tile(const Tile& tile, std::size_t tokens, std::size_t width) {
  const bool symmetric = tile.a == tile.b, diagonal = symmetric && tile.row == tile.column;
  const int rows = int(tile.rows), columns = int(tile.columns), stride = int(width);
  const auto product = std::make_unique_for_overwrite<float[]>(tile.rows * tile.columns);
  for (std::size_t begin = 0; begin < tokens; begin += kChunk) {
    const int chunk = int(std::min(kChunk, tokens - begin));
    const float* a = tile.a + begin * width + tile.row;
    const float* b = tile.b + begin * width + tile.column;
    if (diagonal)
      cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, rows, chunk, 1.0f, a, stride, 0.0f, product.get(), columns);
    else
      cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rows, columns, chunk, 1.0f, a, stride, b, stride, 0.0f, product.get(), columns);
    for (std::size_t i = 0; i < tile.rows; ++i) {
      const float* from = product.get() + i * tile.columns;
      double* to = tile.sum->row(tile.row + i) + tile.column;
      for (std::size_t j = diagonal ? i : 0; j < tile.columns; ++j) to[j] += double(from[j]);
    }
  }
  if (symmetric) mirror(*tile.sum, tile.row, tile.column, tile.rows, tile.columns);
}

void add_tiles(std::vector<Tile>& tiles, const float* a, const float* b, std::size_t width, MatrixD& sum) {
  // Small widths are cut finer, so that a few processors share them evenly. The cut depends on the width alone.
  const std::size_t side = width <= 768 ? 288 : 384;
  for (std::size_t row = 0; row < width; row += side)
    for (std::size_t column = a == b ? row : 0; column < width; column += side)
      tiles.push_back({a, b, &sum, row, column, std::min(side, width - row), std::min(side, width - column)});
}

void add_batch(SecondMoments& moments, const float* x, const float* original, std::size_t tokens, std::size_t width,
               const ActivationScheme& scheme) {
  std::vector<Tile> tiles;
  std::unique_ptr<float[]> y, e, d;
  if (scheme.off()) {
    add_tiles(tiles, x, x, width, moments.s_y);
  } else {
    y = std::make_unique_for_overwrite<float[]>(tokens * width);
    e = std::make_unique_for_overwrite<float[]>(tokens * width);
    parallel_for(tokens, kTokensPerTask, [&](std::size_t begin, std::size_t end) {
      fake_quantize_activations(x + begin * width, end - begin, width, scheme, y.get() + begin * width);
      for (std::size_t i = begin * width; i < end * width; ++i) e[i] = y[i] - x[i];
    });
    add_tiles(tiles, e.get(), y.get(), width, moments.s_ey);
    add_tiles(tiles, y.get(), y.get(), width, moments.s_y);
    add_tiles(tiles, e.get(), e.get(), width, moments.s_e);
  }
  if (original) {
    d = std::make_unique_for_overwrite<float[]>(tokens * width);
    for (std::size_t i = 0; i < tokens * width; ++i) d[i] = original[i] - x[i];
    add_tiles(tiles, d.get(), x, width, moments.s_dx);
    if (y) add_tiles(tiles, d.get(), y.get(), width, moments.s_dy);
    add_tiles(tiles, d.get(), d.get(), width, moments.s_d);
  }
  parallel_for(tiles.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) add_tile(tiles[i], tokens, width);
  });
  moments.tokens += tokens;
}

// The decimal number behind a float32 setting: 0.9 rather than 0.899999976.
double as_written(float value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  double number = 0;
  std::from_chars(text, end, number);
  return number;
}

// Y and E in float64. The codes are those of the one quantizer; the scale of symmetric integers is taken in float64.
std::pair<MatrixD, MatrixD> quantized_in_double(const MatrixD& x, const MatrixF& single, const ActivationScheme& scheme) {
  if (scheme.high.any()) {
    const ColumnParts columns = column_parts(scheme.high, x.columns());
    std::pair<MatrixD, MatrixD> whole{MatrixD(x.rows(), x.columns()), MatrixD(x.rows(), x.columns())};
    for (const auto& [places, own] : {std::pair(columns.high, high_part(scheme)), std::pair(columns.low, low_part(scheme))}) {
      const auto [y, e] = quantized_in_double(take_columns(x, places), take_columns(single, places), own);
      put_columns(y, places, whole.first);
      put_columns(e, places, whole.second);
    }
    return whole;
  }
  const std::size_t tokens = x.rows(), width = x.columns(), group = scheme.group_size == 0 ? width : scheme.group_size;
  MatrixD y(tokens, width), e(tokens, width);
  std::vector<std::int8_t> codes(tokens * width);
  const std::size_t groups = std::max<std::size_t>(1, width / std::max<std::size_t>(1, group));
  std::vector<float> scales(tokens * groups);
  quantize_activations(single.data(), tokens, width, scheme, codes.data(), scales.data());
  const double factor = as_written(scheme.clip) / highest_code(scheme.bits);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t start = 0; start < width; start += group) {
      double scale = double(scales[t * groups + start / group]);
      if (has_plain_codes(scheme)) {
        double largest = 0;
        for (std::size_t i = start; i < start + group; ++i) largest = std::max(largest, std::abs(x(t, i)));
        scale = factor * largest;
      }
      for (std::size_t i = start; i < start + group; ++i) {
        y(t, i) = codes[t * width + i] * scale;
        e(t, i) = y(t, i) - x(t, i);
      }
    }
  return {std::move(y), std::move(e)};
}

// a bᵀ-like product over tokens in float64: aᵀ b with a, b (tokens, width).
MatrixD product_over_tokens(const MatrixD& a, const MatrixD& b) {
  use_one_blas_thread();
  MatrixD result(a.columns(), b.columns());
  const int rows = int(a.columns()), columns = int(b.columns()), tokens = int(a.rows());
  if (&a == &b) {
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, rows, tokens, 1.0, a.data(), rows, 0.0, result.data(), columns);
    for (std::size_t i = 0; i < result.rows(); ++i)
      for (std::size_t j = 0; j < i; ++j) result(i, j) = result(j, i);
  } else {
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rows, columns, tokens, 1.0, a.data(), rows, b.data(), columns, 0.0, result.data(),
                columns);
  }
  return result;
}

}  // namespace

MatrixD SecondMoments::s_x() const {
  MatrixD result(s_y.rows(), s_y.columns());
  constexpr std::size_t square = 16;  // S_ey is read both ways
  for (std::size_t i0 = 0; i0 < result.rows(); i0 += square)
    for (std::size_t j0 = 0; j0 <= i0; j0 += square)
      for (std::size_t i = i0; i < std::min(i0 + square, result.rows()); ++i)
        for (std::size_t j = j0; j < std::min(j0 + square, i + 1); ++j)
          result(i, j) = result(j, i) = s_y(i, j) - s_ey(i, j) - s_ey(j, i) + s_e(i, j);
  return result;
}

MatrixD SecondMoments::s_xy() const {
  MatrixD result = s_y;
  for (std::size_t i = 0; i < result.size(); ++i) result.data()[i] -= s_ey.data()[i];
  return result;
}

void SecondMoments::merge(const SecondMoments& other) {
  if (other.tokens == 0) return;
  prepare(*this, other.width());
  tokens += other.tokens;
  const auto add = [](MatrixD& to, const MatrixD& from) {
    for (std::size_t i = 0; i < to.size(); ++i) to.data()[i] += from.data()[i];
  };
  add(s_y, other.s_y);
  add(s_ey, other.s_ey);
  add(s_e, other.s_e);
  channels.merge(other.channels);
  if (!other.has_drift()) return;
  prepare_drift(*this, other.width());
  add(s_dx, other.s_dx);
  add(s_dy, other.s_dy);
  add(s_d, other.s_d);
}

void SecondMoments::scale(double factor) {
  tokens = std::size_t(std::llround(double(tokens) * factor));
  for (MatrixD* matrix : {&s_y, &s_ey, &s_e, &s_dx, &s_dy, &s_d})
    for (double& value : matrix->flat()) value *= factor;
  for (double& sum : channels.sum_of_magnitudes) sum *= factor;
}

void ChannelStatistics::merge(const ChannelStatistics& other) {
  if (other.largest.empty()) return;
  if (largest.empty()) {
    *this = other;
    return;
  }
  for (std::size_t i = 0; i < largest.size(); ++i) {
    sum_of_magnitudes[i] += other.sum_of_magnitudes[i];
    largest[i] = std::max(largest[i], other.largest[i]);
    largest_batch_mean[i] = std::max(largest_batch_mean[i], other.largest_batch_mean[i]);
  }
}

void accumulate(ChannelStatistics& channels, const float* x, std::size_t tokens, std::size_t width) {
  check_finite(x, tokens, width);
  if (tokens > 0) channels.merge(statistics_of(x, tokens, width));
}

void accumulate(SecondMoments& moments, const float* x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme) {
  accumulate(moments, x, nullptr, tokens, width, scheme);
}

void accumulate(SecondMoments& moments, const float* x, const float* original, std::size_t tokens, std::size_t width,
                const ActivationScheme& scheme) {
  use_one_blas_thread();
  if (moments.tokens > 0 && moments.has_drift() != (original != nullptr))
    throw Error(ErrorKind::bad_input, "Second moments with and without the drift of a quantized prefix cannot be mixed.");
  prepare(moments, width);
  check_finite(x, tokens, width);
  if (original) {
    check_finite(original, tokens, width);
    prepare_drift(moments, width);
  }
  if (tokens > 0) moments.channels.merge(statistics_of(x, tokens, width));
  for (std::size_t begin = 0; begin < tokens; begin += kBatch)
    add_batch(moments, x + begin * width, original ? original + begin * width : nullptr, std::min(kBatch, tokens - begin), width, scheme);
  // Without a quantizer Y is X̂.
  if (original && scheme.off()) moments.s_dy = moments.s_dx;
}

SecondMoments moments_in_double(const MatrixD& x, const ActivationScheme& scheme, std::size_t batches) {
  const std::size_t tokens = x.rows(), width = x.columns();
  const MatrixF single = convert<float>(x);
  check_finite(single.data(), tokens, width);
  SecondMoments moments;
  prepare(moments, width);
  moments.tokens = tokens;
  batches = std::clamp<std::size_t>(batches, 1, std::max<std::size_t>(1, tokens));
  for (std::size_t b = 0, begin = 0; b < batches && tokens > 0; ++b) {
    const std::size_t count = tokens / batches + (b < tokens % batches ? 1 : 0);
    moments.channels.merge(statistics_of(x.row(begin), count, width));
    begin += count;
  }
  if (scheme.off()) {
    moments.s_y = product_over_tokens(x, x);
    return moments;
  }
  const auto [y, e] = quantized_in_double(x, single, scheme);
  moments.s_y = product_over_tokens(y, y);
  moments.s_ey = product_over_tokens(e, y);
  moments.s_e = product_over_tokens(e, e);
  return moments;
}

SecondMoments moments_in_double(const MatrixD& x, const MatrixD& original, const ActivationScheme& scheme) {
  SecondMoments moments = moments_in_double(x, scheme);
  MatrixD d = original;
  for (std::size_t i = 0; i < d.size(); ++i) d.data()[i] -= x.data()[i];
  moments.s_dx = product_over_tokens(d, x);
  moments.s_dy = scheme.off() ? moments.s_dx : product_over_tokens(d, quantized_in_double(x, convert<float>(x), scheme).first);
  moments.s_d = product_over_tokens(d, d);
  return moments;
}

}  // namespace lrc

#pragma once
// An input whose columns are in two parts (scheme.h: HighColumns): which columns they are, what scheme either has, and how matrices
// are taken apart and put together. Each part is an ordinary matrix on an ordinary grid, so that no kernel knows of parts: a product
// is the sum of the parts' products.
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "quantization/quantized_weight.h"

namespace lrc {

struct ColumnParts {
  std::vector<std::uint32_t> high, low;  ///< ascending
};
ColumnParts column_parts(const HighColumns& high, std::size_t width);
/// How many of the columns are high; 0 without a high part.
std::size_t high_width(const HighColumns& high, std::size_t width);
/// For a share (0 to 1) of every `period` columns: a count of which all periods together have whole eights, the nearest to the share
/// but at least one such step, so that the kernels' wide paths take both parts; all of the period where that is nearer.
std::size_t high_count(double share, std::size_t width, std::size_t period);

WeightScheme high_part(const WeightScheme& scheme);
WeightScheme low_part(const WeightScheme& scheme);
ActivationScheme high_part(const ActivationScheme& scheme);
ActivationScheme low_part(const ActivationScheme& scheme);

/// The named columns of x (rows, width) in that order: (rows, columns.size()).
template <typename T>
Matrix<T> take_columns(const Matrix<T>& x, std::span<const std::uint32_t> columns) {
  Matrix<T> part(x.rows(), columns.size());
  for (std::size_t r = 0; r < x.rows(); ++r)
    for (std::size_t c = 0; c < columns.size(); ++c) part(r, c) = x(r, columns[c]);
  return part;
}
/// The reverse: columns of `part` to their places in `to`.
template <typename T>
void put_columns(const Matrix<T>& part, std::span<const std::uint32_t> columns, Matrix<T>& to) {
  for (std::size_t r = 0; r < part.rows(); ++r)
    for (std::size_t c = 0; c < columns.size(); ++c) to(r, columns[c]) = part(r, c);
}

/// The two parts of a weight with high columns, each a weight of its own.
struct WeightParts {
  QuantizedWeight high, low;
};
WeightParts take_apart(const QuantizedWeight& weight);
/// The reverse; `scheme` is that of the whole.
QuantizedWeight put_together(const WeightParts& parts, const WeightScheme& scheme);
/// Their grids as one, groups of the high part first.
WeightGrid join_grids(const WeightGrid& high, const WeightGrid& low);

}  // namespace lrc

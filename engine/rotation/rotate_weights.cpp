// Weights are rotated once, in float64, and rounded to float32 once.
#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "rotation/hadamard.h"

namespace lrc {
namespace {

constexpr std::size_t kRowsPerTask = 16;
// Columns are gathered a strip at a time: a cache line of float32.
constexpr std::size_t kColumnsPerTask = 16;

void require_multiple(std::size_t size, std::size_t order, const char* what) {
  if (order != 0 && size % order == 0) return;
  throw Error(ErrorKind::bad_input, std::string("A weight with ") + std::to_string(size) + " " + what +
                                        " cannot be rotated by a Hadamard matrix of order " + std::to_string(order) +
                                        "; choose another rotation for this model.");
}

// The residual rotation spans the whole stream; repeating it over a wider one would be a different rotation.
void require_residual(const ResidualRotation& rotation, std::size_t width) {
  if (rotation.hadamard.order == width && rotation.signs.size() == width) return;
  throw Error(ErrorKind::bad_input, "A weight whose side to the residual stream is " + std::to_string(width) +
                                        " wide cannot take a rotation of order " + std::to_string(rotation.hadamard.order) + " with " +
                                        std::to_string(rotation.signs.size()) + " signs.");
}

// Each row of `weight` is cut into vectors of the order, which are multiplied by diag(signs) · H / √n.
void rotate_rows(const HadamardOrder& hadamard, const std::int8_t* signs, MatrixF& weight) {
  require_multiple(weight.columns(), hadamard.order, "input features");
  const std::size_t n = hadamard.order, columns = weight.columns();
  parallel_for(weight.rows(), kRowsPerTask, [&](std::size_t begin, std::size_t end) {
    std::vector<double> buffer((end - begin) * columns);
    for (std::size_t i = 0; i < buffer.size(); ++i) {
      const double value = double(weight.row(begin)[i]);
      buffer[i] = signs ? value * signs[i % columns % n] : value;
    }
    apply_hadamard(hadamard, buffer.data(), buffer.size() / n);
    for (std::size_t i = 0; i < buffer.size(); ++i) weight.row(begin)[i] = float(buffer[i]);
  });
}

// The same for the columns: Qᵀ W transforms every column as a row vector by Q.
void rotate_columns(const HadamardOrder& hadamard, const std::int8_t* signs, MatrixF& weight) {
  require_multiple(weight.rows(), hadamard.order, "output features");
  const std::size_t n = hadamard.order, rows = weight.rows();
  parallel_for(weight.columns(), kColumnsPerTask, [&](std::size_t begin, std::size_t end) {
    const std::size_t strip = end - begin;
    std::vector<double> buffer(strip * rows);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < strip; ++c) {
        const double value = double(weight(r, begin + c));
        buffer[c * rows + r] = signs ? value * signs[r % n] : value;
      }
    apply_hadamard(hadamard, buffer.data(), buffer.size() / n);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < strip; ++c) weight(r, begin + c) = float(buffer[c * rows + r]);
  });
}

}  // namespace

void rotate_input_side(const ResidualRotation& rotation, MatrixF& weight) {
  require_residual(rotation, weight.columns());
  rotate_rows(rotation.hadamard, rotation.signs.data(), weight);
}
void rotate_output_side(const ResidualRotation& rotation, MatrixF& weight) {
  require_residual(rotation, weight.rows());
  rotate_columns(rotation.hadamard, rotation.signs.data(), weight);
}
void rotate_heads_input_side(const HadamardOrder& head, MatrixF& weight) { rotate_rows(head, nullptr, weight); }
void rotate_heads_output_side(const HadamardOrder& head, MatrixF& weight) { rotate_columns(head, nullptr, weight); }
void rotate_full_input_side(const HadamardOrder& hadamard, MatrixF& weight) { rotate_rows(hadamard, nullptr, weight); }

void fold_gain(const std::vector<float>& gain, MatrixF& weight) {
  if (gain.size() != weight.columns())
    throw Error(ErrorKind::bad_input, "A norm gain of " + std::to_string(gain.size()) + " entries does not fit a weight with " +
                                          std::to_string(weight.columns()) + " input features; the model's tensors contradict each other.");
  for (std::size_t r = 0; r < weight.rows(); ++r)
    for (std::size_t c = 0; c < gain.size(); ++c) weight(r, c) *= gain[c];
}

}  // namespace lrc

// Coordinate descent on a frozen grid: the monotone partner of GPTQ inside LRC (methods.md 1.3 and 4.20).
#include <cblas.h>

#include <cmath>

#include "base/parallel.h"
#include "quantization/blas.h"
#include "quantization/grid.h"

namespace lrc {
namespace {

constexpr std::size_t kRowsPerTask = 16;

// One sweep over a row; gradient = H (t − ŵ). Returns whether a code moved.
bool sweep(std::int8_t* codes, const double* scales, const std::int8_t* zeros, const ColumnGrid& columns,
           const MatrixD& hessian, double* gradient) {
  bool moved = false;
  for (std::size_t j = 0; j < hessian.rows(); ++j) {
    const std::size_t group = columns.group[j];
    const double scale = scales[group], curvature = hessian(j, j);
    if (scale == 0 || !(curvature > 0)) continue;
    const double zero = zeros ? zeros[group] : 0, now = codes[j] - zero;
    const double wanted = columns.numbers[j].nearest(now + gradient[j] / curvature / scale, zero);
    const double step = (wanted - now) * scale;
    // A tie changes nothing; only a true descent is taken, so that sweeps end.
    if (step == 0 || !(step * (step * curvature - 2 * gradient[j]) < 0)) continue;
    codes[j] = std::int8_t(wanted + zero);
    moved = true;
    const double* row = hessian.row(j);
    for (std::size_t i = 0; i < hessian.rows(); ++i) gradient[i] -= step * row[i];
  }
  return moved;
}

}  // namespace

void polish_codes(QuantizedWeight& weight, const MatrixD& target, const MatrixD& hessian, int sweeps) {
  use_one_blas_thread();
  const std::size_t n = weight.in_features, groups = weight.groups();
  const ColumnGrid columns = column_grid(weight.scheme, n);
  MatrixD difference = target;
  const MatrixD values = weight.dequantize();
  for (std::size_t i = 0; i < difference.size(); ++i) difference.data()[i] -= values.data()[i];
  parallel_for(weight.out_features, kRowsPerTask, [&](std::size_t begin, std::size_t end) {
    MatrixD gradient(end - begin, n);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, int(end - begin), int(n), int(n), 1.0, difference.row(begin), int(n),
                hessian.data(), int(n), 0.0, gradient.data(), int(n));
    for (std::size_t r = begin; r < end; ++r)
      for (int i = 0; i < sweeps; ++i)
        if (!sweep(weight.codes.data() + r * n, weight.scales.row(r), weight.zeros.empty() ? nullptr : weight.zeros.data() + r * groups,
                   columns, hessian, gradient.row(r - begin)))
          break;
  });
}

}  // namespace lrc

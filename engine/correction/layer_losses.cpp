#include "correction/layer_losses.h"

#include "correction/linalg.h"
#include "correction/low_rank_steps.h"

namespace lrc {

void measure_again(const MatrixD& weight, const SecondMoments& moments, const SecondMoments& held_out, LayerSolution& solution) {
  const LayerScheme& scheme = solution.scheme;
  LayerLosses& losses = solution.losses;
  const MatrixD correction = solution.pair.empty() ? MatrixD() : product(solution.pair);
  losses.loss = layer_loss(weight, solution.weight, correction, moments, scheme.pair_input);
  // As in solving: α of the drift is aimed at, and the damping counts both sides.
  MatrixD rest = weight, quantized = solution.weight.dequantize();
  if (!correction.empty()) {
    if (scheme.pair_input == PairInput::unquantized)
      rest = linalg::subtract(weight, correction);
    else
      for (std::size_t i = 0; i < quantized.size(); ++i) quantized.data()[i] += correction.data()[i];
  }
  const double aimed =
      moments.has_drift() && scheme.drift != 1 ? output_error(weight, rest, quantized, moments, scheme.drift) : losses.loss;
  // The dampings of prepare_site, which may have had to take more.
  const double n = double(moments.width()), of_x = scheme.damping * linalg::trace(moments.s_x()) / n;
  losses.loss_regularized = aimed;
  if (scheme.damping_toward == DampingToward::original)
    losses.loss_regularized += of_x * linalg::squared_norm(linalg::subtract(rest, quantized));
  else
    losses.loss_regularized +=
        of_x * linalg::squared_norm(rest) + scheme.damping * linalg::trace(moments.s_y) / n * linalg::squared_norm(quantized);
  if (held_out.tokens == 0) return;
  losses.held_out = layer_loss(weight, solution.weight, correction, held_out, scheme.pair_input);
  losses.held_out_norm = output_norm(weight, held_out);
}

}  // namespace lrc

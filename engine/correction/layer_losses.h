#pragma once
// Losses of a solution that was changed after it was solved.
#include "correction/solve.h"

namespace lrc {

/// Fills loss and loss_regularized anew from the layer's weight and its input's moments; with held-out moments (tokens above 0)
/// held_out and held_out_norm, too. What the codes alone or the input alone cost stays as it was solved, as do the curves.
void measure_again(const MatrixD& weight, const SecondMoments& moments, const SecondMoments& held_out, LayerSolution& solution);

}  // namespace lrc

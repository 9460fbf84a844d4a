// LSI with the layer's own loss (methods.md 3.2): no back-propagation, second moments alone.
//
// Ŵ acts on the quantized activation Y, so the loss is L = ‖W X − Ŵ Y‖² (columns are tokens) and
//   G = dL/dŴ = 2 (Ŵ S_y − W S_xy),   L = ‖W X‖² + ⟨Ŵ, Ŵ S_y − 2 W S_xy⟩.
// Behind a quantized prefix W takes X + α D: S_xy + α S_dy stands for S_xy.
#include <cmath>

#include "base/progress.h"
#include "correction/adam.h"
#include "correction/increments.h"
#include "correction/linalg.h"
#include "correction/methods.h"

namespace lrc {
namespace {

// The paper takes AdamW with 2e-4 on weights whose singular values are about 1 and some 2500 steps; here the rate goes with the
// weight's scale, and fewer steps are longer ones.
constexpr double kRate = 2e-4, kClipRate = 1e-2, kStepsOfPaper = 2560;

double mean_square_root(const MatrixD& weight) {
  return std::sqrt(linalg::squared_norm(weight) / double(std::min(weight.rows(), weight.columns())));
}

class LayerwiseTraining {
 public:
  LayerwiseTraining(const SolveRequest& request, std::stop_token stop) : request_(request), stop_(stop) {
    const SecondMoments& moments = request.site.moments;
    MatrixD cross = moments.s_xy();
    if (moments.has_drift())
      for (std::size_t i = 0; i < cross.size(); ++i) cross.data()[i] += request.scheme.drift * moments.s_dy.data()[i];
    target_ = convert<float>(linalg::multiply(request.weight, cross));
    s_y_ = convert<float>(moments.s_y);
  }

  LayerSolution run() {
    const LayerScheme& scheme = request_.scheme;
    LayerSolution solution;
    solution.scheme = scheme;
    solution.target = request_.weight;
    // What has to be beaten: plain rounding. Its loss counts from the same float32 sums.
    solution.weight = quantize_rtn(request_.weight, scheme.weight, scheme.store_rounded);
    double best = 0;
    MatrixF gradient = gradient_of(solution.weight, best);

    IncrementedWeight weight = start_increments(request_.weight, scheme.weight, scheme.square, scheme.store_rounded, request_.layer);
    auto learned = std::make_shared<IncrementedWeight>(weight);
    const double longer = std::max(1.0, kStepsOfPaper / double(scheme.steps));
    const double rate = kRate * longer * mean_square_root(request_.weight), clip_rate = kClipRate * std::sqrt(longer);
    Adam of_increments, of_square, of_high, of_low;
    for (int step = 0; step <= scheme.steps; ++step) {
      throw_if_stopped(stop_);
      const MatrixF values = incremented(weight);
      QuantizedWeight rounded = round_increments(weight, values);
      double loss = 0;
      gradient = gradient_of(rounded, loss);
      if (loss < best) {
        best = loss;
        solution.weight = std::move(rounded);
        *learned = weight;
      }
      if (step == scheme.steps) break;
      const IncrementGradient slope = increment_gradient(weight, values, gradient);
      const double part = cosine_decay(step, scheme.steps);
      of_increments.step(weight.increments, slope.increments, part * rate);
      of_square.step(weight.square.flat(), slope.square.flat(), part * rate);
      of_high.step(weight.clip_high.flat(), slope.clip_high.flat(), part * clip_rate);
      of_low.step(weight.clip_low.flat(), slope.clip_low.flat(), part * clip_rate);
    }
    solution.increments = std::move(learned);
    return solution;
  }

 private:
  /// G, and the loss less ‖W X‖².
  MatrixF gradient_of(const QuantizedWeight& rounded, double& loss) const {
    const MatrixF values = convert<float>(rounded.dequantize());
    MatrixF gradient = linalg::multiply(values, s_y_);
    loss = 0;
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      loss += double(values.data()[i]) * (double(gradient.data()[i]) - 2 * double(target_.data()[i]));
      gradient.data()[i] = 2 * (gradient.data()[i] - target_.data()[i]);
    }
    return gradient;
  }

  const SolveRequest& request_;
  std::stop_token stop_;
  MatrixF target_;  // W S_xy
  MatrixF s_y_;
};

}  // namespace

LayerSolution solve_lsi(const SolveRequest& request, std::stop_token stop) { return LayerwiseTraining(request, stop).run(); }

}  // namespace lrc

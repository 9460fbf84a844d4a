#include "refinement/refine.h"

#include <algorithm>
#include <cassert>

#include "base/error.h"
#include "base/progress.h"
#include "refinement/block_function.h"
#include "refinement/learned_scales.h"
#include "refinement/tuned_layer.h"

namespace lrc {
namespace {

using namespace refinement;

// A step sees pieces of two windows: different text in each, at the cost of one piece's queries and of the keys before it.
constexpr std::size_t kPieceTokens = 256, kPiecesPerStep = 2;
// How often the held-out windows are asked.
constexpr int kLooks = 8;

struct Piece {
  std::size_t window = 0, first = 0, count = 0;
};

/// All pieces of the training windows in an order that a seed decides.
std::vector<Piece> pieces_of(const RefineRequest& request) {
  std::vector<Piece> pieces;
  for (std::size_t w = 0; w < request.training_windows; ++w)
    for (std::size_t first = request.skipped_positions; first < request.context; first += kPieceTokens)
      pieces.push_back({w, first, std::min(kPieceTokens, request.context - first)});
  std::uint64_t state = request.seed;
  const auto next = [&state] {  // splitmix64
    std::uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  };
  for (std::size_t i = pieces.size(); i > 1; --i) std::swap(pieces[i - 1], pieces[next() % i]);
  return pieces;
}

class BlockTraining {
 public:
  BlockTraining(const RefineRequest& request, const std::vector<RefinedLayer>& layers, std::stop_token stop)
      : request_(request), stop_(stop), block_(request.config, request.block, request.down_hadamard, request.rotary, request.context) {
    for (const RefinedLayer& layer : layers) tuned_.emplace_back(layer.solution);
    for (const RefinedLayer& layer : layers) linears_.push_back(&block_.linear(layer.role));
    for (const RefinedLayer& layer : layers) roles_.push_back(layer.role);
    if (!request.learn_scales) return;
    scales_.emplace(request.config, request.block.linears, roles_);
    block_.want_channel_slopes();
  }

  RefineOutcome run() {
    const std::size_t held_out = request_.inputs.size() - request_.training_windows;
    const std::size_t compared = std::min(held_out, request_.training_windows);
    const auto on_held_out = [&] { return mean_loss(request_.training_windows, held_out); };
    RefineOutcome outcome;
    put();
    outcome.loss_before = mean_loss(0, compared);
    outcome.held_out_before = outcome.held_out_after = on_held_out();
    const auto pieces = pieces_of(request_);
    std::size_t next = 0;
    const int between = std::max(1, request_.steps / kLooks);
    for (int step = 1; step <= request_.steps; ++step) {
      for (std::size_t p = 0; p < std::min(kPiecesPerStep, pieces.size()); ++p) descend(pieces[next++ % pieces.size()]);
      for (TunedLayer& layer : tuned_) layer.step(cosine_decay(step - 1, request_.steps));
      if (scales_) scales_->step(cosine_decay(step - 1, request_.steps), tuned_, roles_);
      put();
      if (step % between != 0 && step != request_.steps) continue;
      const double loss = on_held_out();
      if (!(loss < outcome.held_out_after)) continue;
      outcome.held_out_after = loss;
      outcome.best_step = step;
      for (TunedLayer& layer : tuned_) layer.keep();
      if (scales_) scales_->keep();
    }
    for (TunedLayer& layer : tuned_) layer.restore();
    if (scales_) scales_->restore();
    if (scales_ && outcome.best_step > 0) outcome.scales = scales_->scales();
    put();
    outcome.loss_after = mean_loss(0, compared);
    return outcome;
  }

  LayerSolution solution(std::size_t layer) const { return tuned_[layer].solution(); }

 private:
  void put() {
    if (scales_) scales_->put(block_, tuned_, roles_);
    for (std::size_t l = 0; l < tuned_.size(); ++l) tuned_[l].put(*linears_[l]);
  }

  Rows<float> rows(const float* data, std::size_t count) const {
    return {data, count, request_.config.hidden_size, request_.config.hidden_size};
  }

  /// Sum over the tokens of ‖y − t‖² / ‖t‖²; with `d_output` its derivative times `part`.
  double loss_of(const MatrixF& output, Rows<float> target, double part, MatrixF* d_output) const {
    double sum = 0;
    for (std::size_t r = 0; r < output.rows(); ++r) {
      double error = 0, norm = 0;
      for (std::size_t c = 0; c < output.columns(); ++c) {
        const double t = double(target.row(r)[c]), e = double(output(r, c)) - t;
        error += e * e;
        norm += t * t;
      }
      if (norm == 0) continue;  // nothing can be relative to it
      sum += error / norm;
      if (!d_output) continue;
      const float factor = float(2 * part / norm);
      for (std::size_t c = 0; c < output.columns(); ++c) (*d_output)(r, c) = factor * (output(r, c) - target.row(r)[c]);
    }
    return sum;
  }

  double mean_loss(std::size_t first, std::size_t count) {
    double sum = 0;
    for (std::size_t w = first; w < first + count; ++w) {
      throw_if_stopped(stop_);
      const std::size_t first_position = request_.skipped_positions;
      const MatrixF output = block_.forward(rows(request_.inputs[w], request_.context), first_position, false);
      sum += loss_of(output, rows(request_.targets[w], request_.context).from(first_position), 0, nullptr);
    }
    return sum / double(count * (request_.context - request_.skipped_positions));
  }

  void descend(const Piece& piece) {
    throw_if_stopped(stop_);
    const std::size_t end = piece.first + piece.count;
    const MatrixF output = block_.forward(rows(request_.inputs[piece.window], end), piece.first);
    MatrixF d_output(output.rows(), output.columns());
    loss_of(output, rows(request_.targets[piece.window], end).from(piece.first), 1 / double(piece.count * kPiecesPerStep), &d_output);
    block_.backward(d_output);
    if (scales_) scales_->collect(block_);
    for (std::size_t l = 0; l < tuned_.size(); ++l)
      if (tuned_[l].tunable()) tuned_[l].collect(*linears_[l]);
  }

  const RefineRequest& request_;
  std::stop_token stop_;
  BlockFunction<float> block_;
  std::vector<TunedLayer> tuned_;
  std::vector<Linear<float>*> linears_;
  std::vector<Role> roles_;
  std::optional<LearnedScales> scales_;
};

}  // namespace

RefineOutcome refine_block(const RefineRequest& request, std::vector<RefinedLayer>& layers, std::stop_token stop) {
  assert(request.inputs.size() == request.targets.size());
  if (request.training_windows == 0 || request.inputs.size() <= request.training_windows)
    throw Error(ErrorKind::bad_input, "Refinement keeps the iterate that is best on held-out windows; set held_out_windows to 1 or more.");
  BlockTraining training(request, layers, stop);
  const RefineOutcome outcome = training.run();
  for (std::size_t l = 0; l < layers.size(); ++l) layers[l].solution = training.solution(l);
  return outcome;
}

}  // namespace lrc

#pragma once
// What a refinement may change of one solved layer: the pair and the scales of its codes, or, where lsi learned the weights, its
// increments and its clipping. The forward pass always sees the numbers as they will be stored; gradients pass the rounding straight.
#include <optional>
#include <vector>

#include "correction/adam.h"
#include "correction/increments.h"
#include "correction/solve.h"
#include "refinement/block_function.h"

namespace lrc::refinement {

class TunedLayer {
 public:
  explicit TunedLayer(LayerSolution solution);

  /// Whether there is anything to tune: a pair, scales that may take any value, or increments.
  bool tunable() const { return has_increments() || scales_free_ || !state_.u.empty(); }
  /// What channel scales make of it (LET, refinement/learned_scales.h): W(I) times `columns` by input channel before it is rounded, the
  /// rounded rows times `rows`; either may be empty. For layers with increments.
  void scale(std::vector<float> columns, std::vector<float> rows);
  std::size_t out_features() const { return solved_.weight.out_features; }
  /// Of the last step(): the derivative by the logarithm of each of `columns`, in the weight alone.
  const std::vector<float>& column_gradient() const { return d_columns_; }

  /// Puts the layer as it stands into a block.
  void put(Linear<float>& linear) const;
  /// Adds the gradients that a backward pass left there.
  void collect(const Linear<float>& linear);
  /// One AdamW step on what was collected; `part` of the full rates.
  void step(double part);

  /// The best state so far is the one of the last keep(); restore() goes back to it. The first is what was solved.
  void keep() { best_ = state_; }
  void restore() { state_ = best_; }
  /// The layer as it is stored now. What was solved, bit for bit, while nothing was kept.
  LayerSolution solution() const;

 private:
  struct State {
    MatrixF u, v;        ///< over the root mean square of each column at the start
    MatrixF log_scales;  ///< by how much the scales have grown
    std::optional<IncrementedWeight> increments;
    bool touched = false;
  };
  bool has_increments() const { return state_.increments.has_value(); }
  MatrixF values() const;  ///< of the increments, times the columns' factors
  MatrixD scales() const;
  LowRankPair pair() const;
  QuantizedWeight weight() const;

  LayerSolution solved_;
  bool scales_free_ = false;
  std::vector<std::int8_t> integers_;
  std::vector<float> u_units_, v_units_;
  double increment_unit_ = 0;
  std::vector<float> columns_, rows_, d_columns_;
  State state_, best_;
  // Gradients since the last step, and the averages of AdamW.
  MatrixF d_u_, d_v_, d_scales_, d_weight_;
  Adam of_u_, of_v_, of_scales_, of_increments_, of_square_, of_high_, of_low_;
};

}  // namespace lrc::refinement

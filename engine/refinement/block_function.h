#pragma once
// A transformer block as a function that can be derived: forward on one sequence, then the gradients of everything a refinement may
// tune. Mirrors Transformer::run_block (model/transformer.cpp); blocks with experts are not part of it.
#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "model/weights.h"
#include "refinement/operations.h"

namespace lrc::refinement {

/// A linear layer with numbers that may change between two passes: y = W Q_a(x) + U Vᵀ x + b.
template <typename T>
struct Linear {
  Role role = Role::q_proj;
  Matrix<T> weight;     ///< (out, in): float, or what codes and scales stand for
  Matrix<T> u, v;       ///< (out, rank), (in, rank); empty without a correction
  std::vector<T> bias;  ///< empty = none
  ActivationScheme activation{16};
  PairInput pair_input = PairInput::unquantized;
  // What the way back shall bring beside u and v.
  bool wants_weight_gradient = false, wants_row_gradient = false;

  // Filled by the passes.
  Matrix<T> output;     ///< of W alone, kept for row_gradient
  Matrix<T> projected;  ///< Vᵀ x
  Matrix<T> d_weight, d_u, d_v;
  std::vector<T> d_row;  ///< Σ over tokens and inputs of d_weight · weight, by row: the derivative by the logarithm of a row's scale
};

template <typename T>
class BlockFunction {
 public:
  /// Float layers of `weights` (those with a weight) are taken as they are; of quantized ones codes and pair are taken apart.
  /// `length`: of the sequences, for rotary frequencies that depend on it. Throws Error(unsupported) for blocks with experts.
  BlockFunction(const ModelConfig& config, const BlockWeights& weights, const std::optional<HadamardOrder>& down_hadamard, bool rotary,
                std::size_t length);

  std::vector<Linear<T>>& linears() { return linears_; }
  Linear<T>& linear(Role role);

  /// x (tokens, hidden) of one sequence from position 0: the block's output for tokens from `first` on, (tokens − first, hidden).
  /// `keep`: what backward() needs is kept. x must outlive it.
  Matrix<T> forward(Rows<T> x, std::size_t first = 0, bool keep = true);
  /// From the derivative by the output: fills the d_ of every layer. With `d_input` also that by x, (tokens, hidden).
  void backward(const Matrix<T>& d_output, Matrix<T>* d_input = nullptr);

  /// The gains and biases of the two norms over these factors, by channel; what channel scales do to them.
  void divide_norms(const std::vector<T>& attention, const std::vector<T>& mlp);
  /// The bias of a layer times these factors, by row; nothing where it has none.
  void scale_bias(Role role, const std::vector<T>& factors);
  /// From here on backward() also finds, for each channel x of the inputs that channel scales reach, Σ over tokens of x · dL/dx: less the
  /// derivative by the logarithm of a scale that divides the channel.
  void want_channel_slopes() { wants_channel_slopes_ = true; }
  /// attention_input, attention_output or mlp_input.
  const std::vector<T>& channel_slopes(SiteKind site) const { return channel_slopes_[std::size_t(site)]; }

 private:
  /// What the layers of one input share.
  struct Site {
    Rows<T> x;
    Matrix<T> y;
    std::vector<unsigned char> passes;
    ActivationScheme scheme{16};
  };
  void read(Site& site, Rows<T> x, std::initializer_list<const Linear<T>*> readers);
  Matrix<T> apply(Linear<T>& linear, const Site& site, std::size_t first, bool keep);
  /// d_x += of one layer that read rows from `first` on; `d_y` collects what goes through the quantizer.
  void derive(Linear<T>& linear, const Site& site, std::size_t first, Rows<T> d_output, Matrix<T>* d_x, Matrix<T>* d_y);
  void through_quantizer(const Site& site, const Matrix<T>& d_y, Matrix<T>& d_x) const;
  void normalise(Rows<T> x, const std::vector<T>& gain, const std::vector<T>& bias, T* out) const;
  void derive_norm(Rows<T> x, const std::vector<T>& gain, Rows<T> d_out, T* d_x) const;
  void note_slopes(SiteKind site, const Matrix<T>& x, const Matrix<T>& d_x);
  Linear<T>* find(Role role);
  Matrix<T> feed_forward(bool keep);
  void derive_feed_forward(const Matrix<T>& d_output, Matrix<T>& d_normed);

  ModelConfig config_;
  AttentionShape shape_;
  std::optional<RopeTable> rope_;
  std::optional<HadamardOrder> down_hadamard_;
  std::vector<T> attention_norm_, attention_norm_bias_, mlp_norm_, mlp_norm_bias_, query_norm_, key_norm_;
  std::vector<Linear<T>> linears_;
  struct NormValues {
    std::vector<T> attention, attention_bias, mlp, mlp_bias;
  };
  NormValues undivided_;
  std::vector<std::vector<T>> unscaled_biases_;  // by layer
  bool wants_channel_slopes_ = false;
  std::array<std::vector<T>, 4> channel_slopes_;  // by SiteKind

  // Of the last forward().
  Rows<T> x_;
  std::size_t first_ = 0;
  Matrix<T> normed_, q_raw_, k_raw_, q_, k_, v_, mixed_, middle_, middle_normed_, gate_, up_, hidden_;
  Site input_, mixed_site_, mlp_input_, mlp_hidden_;
  std::vector<Matrix<T>> probabilities_;
};

}  // namespace lrc::refinement

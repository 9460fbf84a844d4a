// Folding the norms and the rotations into the weights of a whole model (methods.md 1.6 and 4.3).
#include <algorithm>
#include <cassert>
#include <variant>

#include "base/error.h"
#include "base/parallel.h"
#include "correction/linalg.h"
#include "model/imported_rotations.h"
#include "model/weights.h"

namespace lrc {
namespace {

HadamardOrder hadamard_for(std::size_t width, const std::string& what) {
  auto order = find_hadamard(width);
  if (!order) {
    throw Error(ErrorKind::unsupported, "There is no Hadamard matrix of order " + std::to_string(width) + " for the rotation of the " +
                                            what + "; choose a recipe without that rotation.");
  }
  return *std::move(order);
}

/// A vector as a matrix of one row, changed by `apply`.
template <typename Change>
void change_row(std::vector<float>& values, const Change& apply) {
  if (values.empty()) return;
  MatrixF row(1, values.size());
  std::copy(values.begin(), values.end(), row.data());
  apply(row);
  std::copy_n(row.data(), values.size(), values.begin());
}

/// Layers that a run brings quantized have no float weight here; they were rotated before they were solved.
template <typename Change>
void change(LinearWeights& layer, const Change& apply) {
  if (!layer.weight.empty()) apply(layer.weight);
}

/// addend += W norm_bias: what the bias of a layer norm does in a layer behind it. W (out, in), norm_bias (in).
void fold_norm_bias(const MatrixF& weight, const std::vector<float>& norm_bias, std::vector<float>& addend) {
  if (addend.empty()) addend.assign(weight.rows(), 0.0f);
  for (std::size_t r = 0; r < weight.rows(); ++r) {
    double sum = double(addend[r]);
    for (std::size_t c = 0; c < norm_bias.size(); ++c) sum += double(weight(r, c)) * double(norm_bias[c]);
    addend[r] = float(sum);
  }
}

void fold_norm(const std::vector<float>& gain, const std::vector<float>& norm_bias, LinearWeights& layer) {
  if (layer.weight.empty()) {
    if (norm_bias.empty()) return;
    throw Error(ErrorKind::bad_input, "The bias of a layer norm cannot be folded into " + layer.info.name + " without its float weight.");
  }
  if (!norm_bias.empty()) fold_norm_bias(layer.weight, norm_bias, layer.bias);
  fold_gain(gain, layer.weight);
}

/// Each row of (vectors, hidden) loses its mean.
void remove_row_means(MatrixF& rows) {
  for (std::size_t r = 0; r < rows.rows(); ++r) {
    double sum = 0;
    for (std::size_t c = 0; c < rows.columns(); ++c) sum += double(rows(r, c));
    const double mean = sum / double(rows.columns());
    for (std::size_t c = 0; c < rows.columns(); ++c) rows(r, c) = float(double(rows(r, c)) - mean);
  }
}

/// What a layer adds to the stream loses its mean: each column of W (hidden, in).
void remove_column_means(MatrixF& weight) {
  std::vector<double> means(weight.columns(), 0.0);
  for (std::size_t r = 0; r < weight.rows(); ++r)
    for (std::size_t c = 0; c < weight.columns(); ++c) means[c] += double(weight(r, c));
  for (std::size_t r = 0; r < weight.rows(); ++r)
    for (std::size_t c = 0; c < weight.columns(); ++c) weight(r, c) = float(double(weight(r, c)) - means[c] / double(weight.rows()));
}

void set_to_one(std::vector<float>& gain, std::vector<float>& bias) {
  gain.assign(gain.size(), 1.0f);
  bias.clear();
}

void fold_norms(ModelWeights& weights) {
  const bool layer_norm = weights.config.norm == NormKind::layer;
  // The final norm moves into the head alone, so that a tied head must become a matrix of its own first.
  if (weights.head.empty()) weights.head = weights.embedding;
  weights.config.tied_embeddings = false;
  if (!weights.final_norm_bias.empty()) fold_norm_bias(weights.head, weights.final_norm_bias, weights.head_bias);
  fold_gain(weights.final_norm, weights.head);
  set_to_one(weights.final_norm, weights.final_norm_bias);
  if (layer_norm) {
    remove_row_means(weights.embedding);
    remove_row_means(weights.positions);
  }
  parallel_for(weights.blocks.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t b = begin; b < end; ++b) {
      BlockWeights& block = weights.blocks[b];
      for (LinearWeights& linear : block.linears) {
        const SiteKind site = site_of(linear.info.role);
        if (site == SiteKind::attention_input) fold_norm(block.attention_norm, block.attention_norm_bias, linear);
        if (site == SiteKind::mlp_input) fold_norm(block.mlp_norm, block.mlp_norm_bias, linear);
        if (!layer_norm || !writes_stream(linear.info.role)) continue;
        change(linear, remove_column_means);
        change_row(linear.bias, remove_row_means);
      }
      set_to_one(block.attention_norm, block.attention_norm_bias);
      set_to_one(block.mlp_norm, block.mlp_norm_bias);
    }
  });
  weights.config.norm = NormKind::rms;
}

/// Q of the stream or of a head: made of Hadamard matrices, or given (n, n), in float64 and rounded once like the others. Given ones
/// may be several, stacked (m · n, n): each for as many vectors in a row as the others.
using Rotation = std::variant<ResidualRotation, HadamardOrder, const MatrixD*>;

/// The m-th of stacked square matrices.
MatrixD matrix_of(const MatrixD& stacked, std::size_t m) {
  MatrixD matrix(stacked.columns(), stacked.columns());
  std::copy_n(stacked.data() + m * matrix.size(), matrix.size(), matrix.data());
  return matrix;
}

/// W ← W Q, rows cut into vectors as long as Q.
void turn_rows(const Rotation& rotation, MatrixF& weight) {
  if (const auto* residual = std::get_if<ResidualRotation>(&rotation)) return rotate_input_side(*residual, weight);
  if (const auto* head = std::get_if<HadamardOrder>(&rotation)) return rotate_heads_input_side(*head, weight);
  const MatrixD& matrices = *std::get<const MatrixD*>(rotation);
  const std::size_t order = matrices.columns(), count = matrices.rows() / order, width = weight.columns() / count;
  for (std::size_t m = 0; m < count; ++m) {
    MatrixD vectors(weight.rows() * (width / order), order);
    for (std::size_t r = 0; r < weight.rows(); ++r) std::copy_n(weight.row(r) + m * width, width, vectors.data() + r * width);
    vectors = linalg::multiply(vectors, matrix_of(matrices, m));
    for (std::size_t r = 0; r < weight.rows(); ++r)
      std::transform(vectors.data() + r * width, vectors.data() + (r + 1) * width, weight.row(r) + m * width,
                     [](double value) { return float(value); });
  }
}

/// W ← Qᵀ W, columns cut likewise.
void turn_columns(const Rotation& rotation, MatrixF& weight) {
  if (const auto* residual = std::get_if<ResidualRotation>(&rotation)) return rotate_output_side(*residual, weight);
  if (const auto* head = std::get_if<HadamardOrder>(&rotation)) return rotate_heads_output_side(*head, weight);
  const MatrixD& matrices = *std::get<const MatrixD*>(rotation);
  const std::size_t order = matrices.columns(), vectors_of_each = weight.rows() / matrices.rows();
  for (std::size_t first = 0; first < weight.rows(); first += order) {
    MatrixD part(order, weight.columns());
    std::copy_n(weight.row(first), part.size(), part.data());
    part = linalg::multiply(matrix_of(matrices, first / order / vectors_of_each), part, true);
    std::transform(part.flat().begin(), part.flat().end(), weight.row(first), [](double value) { return float(value); });
  }
}

void rotate_stream_side(const Rotation& rotation, LinearWeights& linear) {
  if (writes_stream(linear.info.role)) {
    change(linear, [&](MatrixF& weight) { turn_columns(rotation, weight); });
    change_row(linear.bias, [&](MatrixF& bias) { turn_rows(rotation, bias); });  // a vector of the stream
  } else {
    change(linear, [&](MatrixF& weight) { turn_rows(rotation, weight); });
  }
}

/// The values within each head. In a fused matrix they are the last rows.
void rotate_values(const Rotation& head, const ModelConfig& config, LinearWeights& linear) {
  const std::size_t values = config.kv_heads * config.head_dim, first = linear.info.out_features - values;
  change(linear, [&](MatrixF& weight) {
    MatrixF part(values, weight.columns());
    std::copy_n(weight.row(first), part.size(), part.data());
    turn_columns(head, part);
    std::copy_n(part.data(), part.size(), weight.row(first));
  });
  if (linear.bias.empty()) return;
  std::vector<float> part(linear.bias.begin() + std::ptrdiff_t(first), linear.bias.end());
  change_row(part, [&](MatrixF& bias) { turn_rows(head, bias); });
  std::copy(part.begin(), part.end(), linear.bias.begin() + std::ptrdiff_t(first));
}

}  // namespace

void rotate_weights(ModelWeights& weights, const RotationChoice& choice, const ImportedRotations* imported) {
  if (!choice.any()) return;
  assert((!choice.matrices() || imported) && "the matrices that the choice names");
  const ModelConfig& config = weights.config;
  // All orders first: an impossible choice leaves the weights as they were.
  std::optional<Rotation> residual, head;
  std::optional<HadamardOrder> feed_forward, query_key;
  if (choice.r1 && choice.matrices())
    residual = &imported->r1;
  else if (choice.r1)
    residual = ResidualRotation{hadamard_for(config.hidden_size, "residual stream (R1)"), random_signs(config.hidden_size, choice.seed)};
  if (choice.r2 && !choice.matrices()) head = hadamard_for(config.head_dim, "values within a head (R2)");
  if (choice.r3) query_key = hadamard_for(config.head_dim, "queries and keys (R3)");
  if (choice.r4) feed_forward = hadamard_for(config.feed_forward, "input of down_proj (R4)");

  if (residual) {
    fold_norms(weights);
    for (MatrixF* table : {&weights.embedding, &weights.positions, &weights.head})
      if (!table->empty()) turn_rows(*residual, *table);
  }
  parallel_for(weights.blocks.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t b = begin; b < end; ++b) {
      for (LinearWeights& linear : weights.blocks[b].linears) {
        const Role role = linear.info.role;
        if (residual) rotate_stream_side(*residual, linear);
        std::optional<Rotation> of_values = head;
        if (choice.r2 && choice.matrices()) of_values = &imported->r2.at(linear.info.block);
        if (of_values && (role == Role::v_proj || role == Role::qkv_proj)) rotate_values(*of_values, config, linear);
        if (of_values && role == Role::o_proj) change(linear, [&](MatrixF& weight) { turn_rows(*of_values, weight); });
        if (feed_forward && site_of(role) == SiteKind::mlp_hidden)
          change(linear, [&](MatrixF& weight) { rotate_full_input_side(*feed_forward, weight); });
      }
    }
  });
  weights.down_hadamard = std::move(feed_forward);
  weights.head_hadamard = std::move(query_key);
}

}  // namespace lrc

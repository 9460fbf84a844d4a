#include "refinement/block_function.h"

#include <algorithm>
#include <cassert>

#include "base/error.h"
#include "model/config.h"

namespace lrc::refinement {
namespace {

template <typename T>
std::vector<T> widened(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

template <typename T>
Matrix<T> columns_of(const Matrix<T>& from, std::size_t first, std::size_t count) {
  Matrix<T> part(from.rows(), count);
  for (std::size_t r = 0; r < from.rows(); ++r) std::copy_n(from.row(r) + first, count, part.row(r));
  return part;
}

template <typename T>
void put_columns(const Matrix<T>& part, Matrix<T>& to, std::size_t first_row, std::size_t first) {
  for (std::size_t r = 0; r < part.rows(); ++r) std::copy_n(part.row(r), part.columns(), to.row(first_row + r) + first);
}

void hadamard_transposed(const HadamardOrder& hadamard, double* x, std::size_t rows) { apply_hadamard_transposed(hadamard, x, rows); }
void hadamard_transposed(const HadamardOrder& hadamard, float* x, std::size_t rows) {
  std::vector<double> wide(x, x + rows * hadamard.order);
  apply_hadamard_transposed(hadamard, wide.data(), rows);
  std::copy(wide.begin(), wide.end(), x);
}

template <typename T>
Linear<T> linear_of(const LinearWeights& from) {
  Linear<T> linear;
  linear.role = from.info.role;
  linear.bias = widened<T>(from.bias);
  if (!from.quantized) {
    linear.weight = convert<T>(from.weight);
    return linear;
  }
  linear.weight = convert<T>(from.quantized->dequantize());
  linear.activation = from.activation;
  linear.pair_input = from.pair_input;
  linear.u = convert<T>(from.pair.u);
  linear.v = convert<T>(from.pair.v);
  return linear;
}

}  // namespace

template <typename T>
BlockFunction<T>::BlockFunction(const ModelConfig& config, const BlockWeights& weights, const std::optional<HadamardOrder>& down_hadamard,
                                bool rotary, std::size_t length)
    : config_(config),
      shape_{config.heads, config.kv_heads, config.head_dim, weights.window},
      down_hadamard_(down_hadamard),
      attention_norm_(widened<T>(weights.attention_norm)),
      attention_norm_bias_(widened<T>(weights.attention_norm_bias)),
      mlp_norm_(widened<T>(weights.mlp_norm)),
      mlp_norm_bias_(widened<T>(weights.mlp_norm_bias)),
      query_norm_(widened<T>(weights.query_norm)),
      key_norm_(widened<T>(weights.key_norm)) {
  if (config.experts > 0)
    throw Error(ErrorKind::unsupported, "The gradients of blocks with experts are not part of this version; use refine 0 for this model.");
  if (rotary) rope_ = make_rope(config, length);
  undivided_ = {attention_norm_, attention_norm_bias_, mlp_norm_, mlp_norm_bias_};
  for (const LinearWeights& linear : weights.linears) linears_.push_back(linear_of<T>(linear));
  for (const Linear<T>& linear : linears_) unscaled_biases_.push_back(linear.bias);
}

template <typename T>
Linear<T>* BlockFunction<T>::find(Role role) {
  const auto found = std::ranges::find_if(linears_, [&](const Linear<T>& linear) { return linear.role == role; });
  return found == linears_.end() ? nullptr : &*found;
}

template <typename T>
Linear<T>& BlockFunction<T>::linear(Role role) {
  Linear<T>* found = find(role);
  assert(found && "the block has no such layer");
  return *found;
}

template <typename T>
void BlockFunction<T>::divide_norms(const std::vector<T>& attention, const std::vector<T>& mlp) {
  const auto divided = [](std::vector<T> values, const std::vector<T>& by) {
    for (std::size_t c = 0; c < values.size() && !by.empty(); ++c) values[c] /= by[c];
    return values;
  };
  attention_norm_ = divided(undivided_.attention, attention);
  attention_norm_bias_ = divided(undivided_.attention_bias, attention);
  mlp_norm_ = divided(undivided_.mlp, mlp);
  mlp_norm_bias_ = divided(undivided_.mlp_bias, mlp);
}

template <typename T>
void BlockFunction<T>::scale_bias(Role role, const std::vector<T>& factors) {
  for (std::size_t l = 0; l < linears_.size(); ++l) {
    if (linears_[l].role != role) continue;
    for (std::size_t r = 0; r < linears_[l].bias.size(); ++r) linears_[l].bias[r] = unscaled_biases_[l][r] * factors[r];
  }
}

template <typename T>
void BlockFunction<T>::note_slopes(SiteKind site, const Matrix<T>& x, const Matrix<T>& d_x) {
  if (!wants_channel_slopes_) return;
  std::vector<double> sums(x.columns());
  for (std::size_t r = 0; r < x.rows(); ++r)
    for (std::size_t c = 0; c < x.columns(); ++c) sums[c] += double(x(r, c)) * double(d_x(r, c));
  channel_slopes_[std::size_t(site)].assign(sums.begin(), sums.end());
}

template <typename T>
void BlockFunction<T>::normalise(Rows<T> x, const std::vector<T>& gain, const std::vector<T>& bias, T* out) const {
  if (config_.norm == NormKind::layer)
    layer_norm(x, gain, bias, double(config_.norm_epsilon), out);
  else
    rms_norm(x, gain, double(config_.norm_epsilon), out);
}

template <typename T>
void BlockFunction<T>::derive_norm(Rows<T> x, const std::vector<T>& gain, Rows<T> d_out, T* d_x) const {
  if (config_.norm == NormKind::layer)
    layer_norm_backward(x, gain, double(config_.norm_epsilon), d_out, d_x);
  else
    rms_norm_backward(x, gain, double(config_.norm_epsilon), d_out, d_x);
}

template <typename T>
void BlockFunction<T>::read(Site& site, Rows<T> x, std::initializer_list<const Linear<T>*> readers) {
  site.x = x;
  site.scheme = ActivationScheme{16};
  // Layers that are quantized at one site are quantized alike; the others take the input as it is.
  for (const Linear<T>* reader : readers)
    if (reader && !reader->activation.off()) site.scheme = reader->activation;
  if (site.scheme.off()) return;
  site.y = Matrix<T>(x.rows, x.columns);
  quantize(x, site.scheme, site.y.data(), site.passes);
}

template <typename T>
Matrix<T> BlockFunction<T>::apply(Linear<T>& linear, const Site& site, std::size_t first, bool keep) {
  const Rows<T> x = site.x.from(first), input = linear.activation.off() ? x : Rows<T>(site.y).from(first);
  Matrix<T> out(x.rows, linear.weight.rows());
  multiply(input, false, Rows<T>(linear.weight), true, out.data());
  if (keep && linear.wants_row_gradient) linear.output = out;
  if (!linear.u.empty()) {
    linear.projected = Matrix<T>(x.rows, linear.v.columns());
    multiply(linear.pair_input == PairInput::quantized ? input : x, false, Rows<T>(linear.v), false, linear.projected.data());
    multiply(Rows<T>(linear.projected), false, Rows<T>(linear.u), true, out.data(), true);
  }
  if (!linear.bias.empty())
    for (std::size_t r = 0; r < out.rows(); ++r)
      for (std::size_t c = 0; c < out.columns(); ++c) out(r, c) += linear.bias[c];
  return out;
}

template <typename T>
void BlockFunction<T>::derive(Linear<T>& linear, const Site& site, std::size_t first, Rows<T> d_output, Matrix<T>* d_x, Matrix<T>* d_y) {
  const Rows<T> x = site.x.from(first), input = linear.activation.off() ? x : Rows<T>(site.y).from(first);
  Matrix<T>* d_input = linear.activation.off() ? d_x : d_y;
  if (d_input) multiply(d_output, false, Rows<T>(linear.weight), false, d_input->row(first), true);
  if (linear.wants_weight_gradient) {
    linear.d_weight = Matrix<T>(linear.weight.rows(), linear.weight.columns());
    multiply(d_output, true, input, false, linear.d_weight.data());
  }
  if (linear.wants_row_gradient) {
    linear.d_row.assign(linear.weight.rows(), T(0));
    for (std::size_t r = 0; r < d_output.rows; ++r)
      for (std::size_t c = 0; c < d_output.columns; ++c) linear.d_row[c] += d_output.row(r)[c] * linear.output(r, c);
  }
  if (linear.u.empty()) return;
  const bool on_codes = linear.pair_input == PairInput::quantized;
  Matrix<T> d_projected(d_output.rows, linear.u.columns());
  multiply(d_output, false, Rows<T>(linear.u), false, d_projected.data());
  linear.d_u = Matrix<T>(linear.u.rows(), linear.u.columns());
  multiply(d_output, true, Rows<T>(linear.projected), false, linear.d_u.data());
  linear.d_v = Matrix<T>(linear.v.rows(), linear.v.columns());
  multiply(on_codes ? input : x, true, Rows<T>(d_projected), false, linear.d_v.data());
  Matrix<T>* d_pair = on_codes ? d_input : d_x;
  if (d_pair) multiply(Rows<T>(d_projected), false, Rows<T>(linear.v), true, d_pair->row(first), true);
}

template <typename T>
void BlockFunction<T>::through_quantizer(const Site& site, const Matrix<T>& d_y, Matrix<T>& d_x) const {
  if (site.scheme.off()) return;
  for (std::size_t i = 0; i < d_x.size(); ++i)
    if (site.passes[i]) d_x.data()[i] += d_y.data()[i];
}

template <typename T>
Matrix<T> BlockFunction<T>::feed_forward(bool keep) {
  const Rows<T> normed(middle_normed_);
  if (Linear<T>* first = find(Role::fc1)) {
    read(mlp_input_, normed, {first});
    gate_ = apply(*first, mlp_input_, 0, keep);
    hidden_ = gate_;
    for (T& value : hidden_.flat()) value = std::max(value, T(0));
    if (down_hadamard_) apply_hadamard(*down_hadamard_, hidden_.data(), hidden_.rows());
    read(mlp_hidden_, Rows<T>(hidden_), {&linear(Role::fc2)});
    return apply(linear(Role::fc2), mlp_hidden_, 0, keep);
  }
  if (Linear<T>* both = find(Role::gate_up_proj)) {
    read(mlp_input_, normed, {both});
    const Matrix<T> together = apply(*both, mlp_input_, 0, keep);
    gate_ = columns_of(together, 0, config_.feed_forward);
    up_ = columns_of(together, config_.feed_forward, config_.feed_forward);
  } else {
    read(mlp_input_, normed, {&linear(Role::gate_proj), &linear(Role::up_proj)});
    gate_ = apply(linear(Role::gate_proj), mlp_input_, 0, keep);
    up_ = apply(linear(Role::up_proj), mlp_input_, 0, keep);
  }
  hidden_ = Matrix<T>(gate_.rows(), gate_.columns());
  silu_multiply(gate_.data(), up_.data(), gate_.size(), hidden_.data());
  if (down_hadamard_) apply_hadamard(*down_hadamard_, hidden_.data(), hidden_.rows());
  read(mlp_hidden_, Rows<T>(hidden_), {&linear(Role::down_proj)});
  return apply(linear(Role::down_proj), mlp_hidden_, 0, keep);
}

template <typename T>
Matrix<T> BlockFunction<T>::forward(Rows<T> x, std::size_t first, bool keep) {
  const std::size_t hidden = config_.hidden_size, tokens = x.rows, queries = tokens - first;
  const std::size_t query_width = config_.heads * config_.head_dim, key_width = config_.kv_heads * config_.head_dim;
  x_ = x;
  first_ = first;
  normed_ = Matrix<T>(tokens, hidden);
  normalise(x, attention_norm_, attention_norm_bias_, normed_.data());
  if (Linear<T>* all = find(Role::qkv_proj)) {
    read(input_, Rows<T>(normed_), {all});
    const Matrix<T> together = apply(*all, input_, 0, keep);
    Matrix<T> queries_only(queries, query_width);
    for (std::size_t r = 0; r < queries; ++r) std::copy_n(together.row(first + r), query_width, queries_only.row(r));
    q_raw_ = std::move(queries_only);
    k_raw_ = columns_of(together, query_width, key_width);
    v_ = columns_of(together, query_width + key_width, key_width);
  } else {
    read(input_, Rows<T>(normed_), {&linear(Role::q_proj), &linear(Role::k_proj), &linear(Role::v_proj)});
    q_raw_ = apply(linear(Role::q_proj), input_, first, keep);
    k_raw_ = apply(linear(Role::k_proj), input_, 0, keep);
    v_ = apply(linear(Role::v_proj), input_, 0, keep);
  }
  const auto norm_heads = [&](const Matrix<T>& raw, const std::vector<T>& gain) {
    if (gain.empty()) return raw;
    Matrix<T> out(raw.rows(), raw.columns());
    const std::size_t width = config_.head_dim;
    rms_norm(Rows<T>(raw.data(), raw.size() / width, width, width), gain, double(config_.norm_epsilon), out.data());
    return out;
  };
  q_ = norm_heads(q_raw_, query_norm_);
  k_ = norm_heads(k_raw_, key_norm_);
  if (rope_) {
    rope(q_.data(), queries, config_.heads, config_.head_dim, first, *rope_);
    rope(k_.data(), tokens, config_.kv_heads, config_.head_dim, 0, *rope_);
  }
  mixed_ = Matrix<T>(queries, query_width);
  attention(Rows<T>(q_), Rows<T>(k_), Rows<T>(v_), first, shape_, mixed_.data(), keep ? &probabilities_ : nullptr);
  read(mixed_site_, Rows<T>(mixed_), {&linear(Role::o_proj)});
  middle_ = apply(linear(Role::o_proj), mixed_site_, 0, keep);
  for (std::size_t r = 0; r < queries; ++r)
    for (std::size_t c = 0; c < hidden; ++c) middle_(r, c) += x.row(first + r)[c];

  middle_normed_ = Matrix<T>(queries, hidden);
  normalise(Rows<T>(middle_), mlp_norm_, mlp_norm_bias_, middle_normed_.data());
  Matrix<T> out = feed_forward(keep);
  for (std::size_t i = 0; i < out.size(); ++i) out.data()[i] += middle_.data()[i];
  return out;
}

template <typename T>
void BlockFunction<T>::derive_feed_forward(const Matrix<T>& d_output, Matrix<T>& d_normed) {
  Matrix<T> d_hidden(hidden_.rows(), hidden_.columns()), d_codes = d_hidden;
  Linear<T>* first = find(Role::fc1);
  derive(first ? linear(Role::fc2) : linear(Role::down_proj), mlp_hidden_, 0, Rows<T>(d_output), &d_hidden, &d_codes);
  through_quantizer(mlp_hidden_, d_codes, d_hidden);
  if (down_hadamard_) hadamard_transposed(*down_hadamard_, d_hidden.data(), d_hidden.rows());
  Matrix<T> d_normed_codes(d_normed.rows(), d_normed.columns());
  if (first) {
    for (std::size_t i = 0; i < d_hidden.size(); ++i)
      if (!(gate_.data()[i] > 0)) d_hidden.data()[i] = 0;
    derive(*first, mlp_input_, 0, Rows<T>(d_hidden), &d_normed, &d_normed_codes);
  } else {
    Matrix<T> d_gate(gate_.rows(), gate_.columns()), d_up = d_gate;
    silu_multiply_backward(gate_.data(), up_.data(), d_hidden.data(), d_hidden.size(), d_gate.data(), d_up.data());
    if (Linear<T>* both = find(Role::gate_up_proj)) {
      Matrix<T> together(gate_.rows(), 2 * gate_.columns());
      put_columns(d_gate, together, 0, 0);
      put_columns(d_up, together, 0, gate_.columns());
      derive(*both, mlp_input_, 0, Rows<T>(together), &d_normed, &d_normed_codes);
    } else {
      derive(linear(Role::gate_proj), mlp_input_, 0, Rows<T>(d_gate), &d_normed, &d_normed_codes);
      derive(linear(Role::up_proj), mlp_input_, 0, Rows<T>(d_up), &d_normed, &d_normed_codes);
    }
  }
  through_quantizer(mlp_input_, d_normed_codes, d_normed);
  note_slopes(SiteKind::mlp_input, middle_normed_, d_normed);
}

template <typename T>
void BlockFunction<T>::backward(const Matrix<T>& d_output, Matrix<T>* d_input) {
  const std::size_t hidden = config_.hidden_size, tokens = x_.rows, queries = tokens - first_;
  Matrix<T> d_middle = d_output;
  Matrix<T> d_normed(queries, hidden);
  derive_feed_forward(d_output, d_normed);
  derive_norm(Rows<T>(middle_), mlp_norm_, Rows<T>(d_normed), d_middle.data());

  Matrix<T> d_mixed(queries, mixed_.columns()), d_mixed_codes = d_mixed;
  derive(linear(Role::o_proj), mixed_site_, 0, Rows<T>(d_middle), &d_mixed, &d_mixed_codes);
  through_quantizer(mixed_site_, d_mixed_codes, d_mixed);
  note_slopes(SiteKind::attention_output, mixed_, d_mixed);
  AttentionGradient<T> d = attention_backward(Rows<T>(q_), Rows<T>(k_), Rows<T>(v_), first_, shape_, probabilities_, Rows<T>(d_mixed));
  if (rope_) {
    rope(d.q.data(), queries, config_.heads, config_.head_dim, first_, *rope_, true);
    rope(d.k.data(), tokens, config_.kv_heads, config_.head_dim, 0, *rope_, true);
  }
  const auto derive_heads = [&](const Matrix<T>& raw, const std::vector<T>& gain, Matrix<T>& gradient) {
    if (gain.empty()) return;
    const std::size_t width = config_.head_dim, rows = raw.size() / width;
    Matrix<T> through(gradient.rows(), gradient.columns());
    rms_norm_backward(Rows<T>(raw.data(), rows, width, width), gain, double(config_.norm_epsilon),
                      Rows<T>(gradient.data(), rows, width, width), through.data());
    gradient = std::move(through);
  };
  derive_heads(q_raw_, query_norm_, d.q);
  derive_heads(k_raw_, key_norm_, d.k);

  // Nothing is tuned before these layers: their inputs' derivatives are only needed where somebody asks.
  Matrix<T> d_attention_input, d_codes;
  const bool wanted = d_input || wants_channel_slopes_;
  if (wanted) d_attention_input = d_codes = Matrix<T>(tokens, hidden);
  Matrix<T>*to = wanted ? &d_attention_input : nullptr, *to_codes = wanted ? &d_codes : nullptr;
  if (Linear<T>* all = find(Role::qkv_proj)) {
    Matrix<T> together(tokens, all->weight.rows());
    put_columns(d.q, together, first_, 0);
    put_columns(d.k, together, 0, d.q.columns());
    put_columns(d.v, together, 0, d.q.columns() + d.k.columns());
    derive(*all, input_, 0, Rows<T>(together), to, to_codes);
  } else {
    derive(linear(Role::q_proj), input_, first_, Rows<T>(d.q), to, to_codes);
    derive(linear(Role::k_proj), input_, 0, Rows<T>(d.k), to, to_codes);
    derive(linear(Role::v_proj), input_, 0, Rows<T>(d.v), to, to_codes);
  }
  if (!wanted) return;
  through_quantizer(input_, d_codes, d_attention_input);
  note_slopes(SiteKind::attention_input, normed_, d_attention_input);
  if (!d_input) return;
  *d_input = Matrix<T>(tokens, hidden);
  put_columns(d_middle, *d_input, first_, 0);
  derive_norm(x_, attention_norm_, Rows<T>(d_attention_input), d_input->data());
}

template class BlockFunction<float>;
template class BlockFunction<double>;

}  // namespace lrc::refinement

#pragma once
// The operations of a block and what their gradients are, each as in backend/backend.h, on the host, in float32 (training) and
// float64 (the checks against finite differences). Rows are tokens. `d_` means the derivative of the loss by what follows.
#include <cstddef>
#include <vector>

#include "backend/backend.h"
#include "tensor/matrix.h"

namespace lrc::refinement {

/// A row-major matrix somewhere else; rows may be further apart than they are long.
template <typename T>
struct Rows {
  const T* data = nullptr;
  std::size_t rows = 0, columns = 0, stride = 0;
  Rows() = default;
  Rows(const T* at, std::size_t r, std::size_t c, std::size_t s) : data(at), rows(r), columns(c), stride(s) {}
  Rows(const Matrix<T>& m) : data(m.data()), rows(m.rows()), columns(m.columns()), stride(m.columns()) {}
  const T* row(std::size_t r) const { return data + r * stride; }
  /// From row `first` on.
  Rows from(std::size_t first) const { return {data + first * stride, rows - first, columns, stride}; }
  /// `count` columns from `first` on.
  Rows part(std::size_t first, std::size_t count) const { return {data + first, rows, count, stride}; }
};

/// c = op(a) op(b), or c += with `add`. c (m, n) with rows `stride` apart (0: n). One BLAS thread a block of rows, blocks side by side.
template <typename T>
void multiply(Rows<T> a, bool transpose_a, Rows<T> b, bool transpose_b, T* c, bool add = false, std::size_t stride = 0);

template <typename T>
void rms_norm(Rows<T> x, const std::vector<T>& gain, double epsilon, T* out);
/// d_x +=
template <typename T>
void rms_norm_backward(Rows<T> x, const std::vector<T>& gain, double epsilon, Rows<T> d_out, T* d_x);
template <typename T>
void layer_norm(Rows<T> x, const std::vector<T>& gain, const std::vector<T>& bias, double epsilon, T* out);
/// d_x +=
template <typename T>
void layer_norm_backward(Rows<T> x, const std::vector<T>& gain, double epsilon, Rows<T> d_out, T* d_x);

/// In place on x (tokens, heads · head_dim), positions from `first_position`. `backward` turns the other way: what a derivative does.
template <typename T>
void rope(T* x, std::size_t tokens, std::size_t heads, std::size_t head_dim, std::size_t first_position, const RopeTable& table,
          bool backward = false);

/// out = silu(gate) · up.
template <typename T>
void silu_multiply(const T* gate, const T* up, std::size_t count, T* out);
template <typename T>
void silu_multiply_backward(const T* gate, const T* up, const T* d_out, std::size_t count, T* d_gate, T* d_up);

/// Causal attention of the queries of positions first_query … first_query + q.rows − 1 over keys from position 0 on.
/// q (queries, heads · head_dim), k and v (positions, kv_heads · head_dim). `probabilities`, where given, is kept for the way back.
template <typename T>
void attention(Rows<T> q, Rows<T> k, Rows<T> v, std::size_t first_query, const AttentionShape& shape, T* out,
               std::vector<Matrix<T>>* probabilities = nullptr);
template <typename T>
struct AttentionGradient {
  Matrix<T> q, k, v;
};
template <typename T>
AttentionGradient<T> attention_backward(Rows<T> q, Rows<T> k, Rows<T> v, std::size_t first_query, const AttentionShape& shape,
                                        const std::vector<Matrix<T>>& probabilities, Rows<T> d_out);

/// y = what the activation quantizer makes of x; `passes` says where y follows x (not clipped): the derivative of straight-through
/// rounding is 1 there and 0 elsewhere.
template <typename T>
void quantize(Rows<T> x, const ActivationScheme& scheme, T* y, std::vector<unsigned char>& passes);

}  // namespace lrc::refinement

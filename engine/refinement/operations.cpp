#include "refinement/operations.h"

#include <cblas.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/parallel.h"
#include "quantization/activation.h"
#include "quantization/blas.h"

namespace lrc::refinement {
namespace {

// Rows of one task; fixed, so that sums do not depend on the number of threads.
constexpr std::size_t kProductRows = 128;
constexpr std::size_t kRows = 16;
constexpr std::size_t kCount = 16384;

void blas(bool ta, bool tb, int m, int n, int k, const float* a, int lda, const float* b, int ldb, float beta, float* c, int ldc) {
  cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n, k, 1.0f, a, lda, b, ldb, beta, c, ldc);
}
void blas(bool ta, bool tb, int m, int n, int k, const double* a, int lda, const double* b, int ldb, double beta, double* c, int ldc) {
  cblas_dgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n, k, 1.0, a, lda, b, ldb, beta, c, ldc);
}

template <typename T>
struct Statistics {
  T mean = 0, inverse = 0;  // 1 / sqrt(variance + epsilon)
};

template <typename T>
Statistics<T> statistics_of(const T* x, std::size_t width, double epsilon, bool centred) {
  double mean = 0, square = 0;
  if (centred) {
    for (std::size_t i = 0; i < width; ++i) mean += double(x[i]);
    mean /= double(width);
  }
  for (std::size_t i = 0; i < width; ++i) square += (double(x[i]) - mean) * (double(x[i]) - mean);
  return {T(mean), T(1 / std::sqrt(square / double(width) + epsilon))};
}

// With n = (x − mean) · inverse and g = gain · d_out: d_x = inverse (g − mean(g) − n mean(g n)); an RMS norm has no mean(g).
template <typename T>
void norm_backward(Rows<T> x, const std::vector<T>& gain, double epsilon, bool centred, Rows<T> d_out, T* d_x) {
  const std::size_t width = x.columns;
  parallel_for(x.rows, kRows, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      const auto [mean, inverse] = statistics_of(x.row(r), width, epsilon, centred);
      double of_g = 0, of_gn = 0;
      for (std::size_t i = 0; i < width; ++i) {
        const double g = double(gain[i]) * double(d_out.row(r)[i]);
        of_g += g;
        of_gn += g * double((x.row(r)[i] - mean) * inverse);
      }
      of_g = centred ? of_g / double(width) : 0;
      of_gn /= double(width);
      for (std::size_t i = 0; i < width; ++i) {
        const T n = (x.row(r)[i] - mean) * inverse;
        d_x[r * width + i] += inverse * (gain[i] * d_out.row(r)[i] - T(of_g) - n * T(of_gn));
      }
    }
  });
}

/// The keys that a query sees, [first, end).
struct Sight {
  std::size_t first, end;
};
Sight sight_of(std::size_t position, std::size_t window) {
  return {window == 0 || position + 1 <= window ? 0 : position + 1 - window, position + 1};
}

}  // namespace

template <typename T>
void multiply(Rows<T> a, bool transpose_a, Rows<T> b, bool transpose_b, T* c, bool add, std::size_t stride) {
  use_one_blas_thread();
  const std::size_t m = transpose_a ? a.columns : a.rows, k = transpose_a ? a.rows : a.columns, n = transpose_b ? b.rows : b.columns;
  assert(k == (transpose_b ? b.columns : b.rows));
  if (stride == 0) stride = n;
  if (m == 0 || n == 0) return;
  parallel_for(m, kProductRows, [&](std::size_t begin, std::size_t end) {
    blas(transpose_a, transpose_b, int(end - begin), int(n), int(k), transpose_a ? a.data + begin : a.row(begin), int(a.stride), b.data,
         int(b.stride), add ? T(1) : T(0), c + begin * stride, int(stride));
  });
}

template <typename T>
void rms_norm(Rows<T> x, const std::vector<T>& gain, double epsilon, T* out) {
  parallel_for(x.rows, kRows, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      const T inverse = statistics_of(x.row(r), x.columns, epsilon, false).inverse;
      for (std::size_t i = 0; i < x.columns; ++i) out[r * x.columns + i] = x.row(r)[i] * inverse * gain[i];
    }
  });
}

template <typename T>
void rms_norm_backward(Rows<T> x, const std::vector<T>& gain, double epsilon, Rows<T> d_out, T* d_x) {
  norm_backward(x, gain, epsilon, false, d_out, d_x);
}

template <typename T>
void layer_norm(Rows<T> x, const std::vector<T>& gain, const std::vector<T>& bias, double epsilon, T* out) {
  parallel_for(x.rows, kRows, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      const auto [mean, inverse] = statistics_of(x.row(r), x.columns, epsilon, true);
      for (std::size_t i = 0; i < x.columns; ++i) out[r * x.columns + i] = (x.row(r)[i] - mean) * inverse * gain[i] + bias[i];
    }
  });
}

template <typename T>
void layer_norm_backward(Rows<T> x, const std::vector<T>& gain, double epsilon, Rows<T> d_out, T* d_x) {
  norm_backward(x, gain, epsilon, true, d_out, d_x);
}

template <typename T>
void rope(T* x, std::size_t tokens, std::size_t heads, std::size_t head_dim, std::size_t first_position, const RopeTable& table,
          bool backward) {
  const std::size_t half = head_dim / 2;
  parallel_for(tokens, kRows, [&](std::size_t begin, std::size_t end) {
    std::vector<T> cosines(half), sines(half);
    for (std::size_t t = begin; t < end; ++t) {
      for (std::size_t i = 0; i < half; ++i) {
        const float angle = float(first_position + t) * table.inverse_frequencies[i];
        cosines[i] = T(std::cos(angle) * table.attention_factor);
        sines[i] = T(std::sin(angle) * table.attention_factor) * (backward ? T(-1) : T(1));
      }
      for (std::size_t h = 0; h < heads; ++h) {
        T* low = x + (t * heads + h) * head_dim;
        T* high = low + half;
        for (std::size_t i = 0; i < half; ++i) {
          const T a = low[i], b = high[i];
          low[i] = a * cosines[i] - b * sines[i];
          high[i] = b * cosines[i] + a * sines[i];
        }
      }
    }
  });
}

template <typename T>
void silu_multiply(const T* gate, const T* up, std::size_t count, T* out) {
  parallel_for(count, kCount, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) out[i] = gate[i] / (T(1) + std::exp(-gate[i])) * up[i];
  });
}

template <typename T>
void silu_multiply_backward(const T* gate, const T* up, const T* d_out, std::size_t count, T* d_gate, T* d_up) {
  parallel_for(count, kCount, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const T sigmoid = T(1) / (T(1) + std::exp(-gate[i])), silu = gate[i] * sigmoid, d = d_out[i];
      d_up[i] = d * silu;
      d_gate[i] = d * up[i] * (sigmoid + silu * (T(1) - sigmoid));
    }
  });
}

template <typename T>
void attention(Rows<T> q, Rows<T> k, Rows<T> v, std::size_t first_query, const AttentionShape& shape, T* out,
               std::vector<Matrix<T>>* probabilities) {
  use_one_blas_thread();
  const std::size_t width = shape.head_dim, queries = q.rows, stride = shape.heads * width;
  const T scale = T(1 / std::sqrt(double(width)));
  if (probabilities) probabilities->assign(shape.heads, Matrix<T>());
  parallel_for(shape.heads, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t h = begin; h < end; ++h) {
      const std::size_t of_keys = h / (shape.heads / shape.kv_heads) * width;
      Matrix<T> own(queries, first_query + queries);
      const int ld = int(own.columns());
      for (std::size_t first = 0; first < queries; first += kProductRows) {
        const std::size_t count = std::min(kProductRows, queries - first), keys = first_query + first + count;
        blas(false, true, int(count), int(keys), int(width), q.row(first) + h * width, int(q.stride), k.data + of_keys, int(k.stride), T(0),
             own.row(first), ld);
        for (std::size_t r = first; r < first + count; ++r) {
          const auto [from, to] = sight_of(first_query + r, shape.window);
          T* p = own.row(r);
          T largest = p[from] * scale;
          for (std::size_t j = from; j < to; ++j) largest = std::max(largest, p[j] *= scale);
          T sum = 0;
          for (std::size_t j = from; j < to; ++j) sum += p[j] = std::exp(p[j] - largest);
          const T inverse = T(1) / sum;
          std::fill(p, p + from, T(0));
          for (std::size_t j = from; j < to; ++j) p[j] *= inverse;
          std::fill(p + to, p + keys, T(0));
        }
        blas(false, false, int(count), int(width), int(keys), own.row(first), ld, v.data + of_keys, int(v.stride), T(0),
             out + first * stride + h * width, int(stride));
      }
      if (probabilities) (*probabilities)[h] = std::move(own);
    }
  });
}

template <typename T>
AttentionGradient<T> attention_backward(Rows<T> q, Rows<T> k, Rows<T> v, std::size_t first_query, const AttentionShape& shape,
                                        const std::vector<Matrix<T>>& probabilities, Rows<T> d_out) {
  use_one_blas_thread();
  const std::size_t width = shape.head_dim, queries = q.rows, positions = k.rows, sharing = shape.heads / shape.kv_heads;
  const T scale = T(1 / std::sqrt(double(width)));
  AttentionGradient<T> gradient{Matrix<T>(queries, shape.heads * width), Matrix<T>(positions, shape.kv_heads * width),
                                Matrix<T>(positions, shape.kv_heads * width)};
  // A task is a pair of key and value heads with all queries that share it: sums in one order.
  parallel_for(shape.kv_heads, 1, [&](std::size_t begin, std::size_t end) {
    Matrix<T> d_scores(kProductRows, first_query + queries);
    const int ld = int(d_scores.columns());
    for (std::size_t kv = begin; kv < end; ++kv)
      for (std::size_t h = kv * sharing; h < (kv + 1) * sharing; ++h) {
        const Matrix<T>& own = probabilities[h];
        for (std::size_t first = 0; first < queries; first += kProductRows) {
          const std::size_t count = std::min(kProductRows, queries - first), keys = first_query + first + count;
          const T* d = d_out.row(first) + h * width;
          blas(true, false, int(keys), int(width), int(count), own.row(first), int(own.columns()), d, int(d_out.stride), T(1),
               gradient.v.data() + kv * width, int(gradient.v.columns()));
          blas(false, true, int(count), int(keys), int(width), d, int(d_out.stride), v.data + kv * width, int(v.stride), T(0),
               d_scores.data(), ld);
          for (std::size_t r = 0; r < count; ++r) {
            const T* p = own.row(first + r);
            T* ds = d_scores.row(r);
            T sum = 0;
            for (std::size_t j = 0; j < keys; ++j) sum += ds[j] * p[j];
            for (std::size_t j = 0; j < keys; ++j) ds[j] = p[j] * (ds[j] - sum) * scale;
          }
          blas(false, false, int(count), int(width), int(keys), d_scores.data(), ld, k.data + kv * width, int(k.stride), T(0),
               gradient.q.row(first) + h * width, int(gradient.q.columns()));
          blas(true, false, int(keys), int(width), int(count), d_scores.data(), ld, q.row(first) + h * width, int(q.stride), T(1),
               gradient.k.data() + kv * width, int(gradient.k.columns()));
        }
      }
  });
  return gradient;
}

template <typename T>
void quantize(Rows<T> x, const ActivationScheme& scheme, T* y, std::vector<unsigned char>& passes) {
  const std::size_t width = x.columns, groups = scheme.group_size == 0 ? 1 : width / scheme.group_size, group = width / groups;
  passes.resize(x.rows * width);
  // Half the widest step of the format: what rounding alone moves a number by, at most. E2M1's last step is 4 of its doubled halves.
  const float reach = is_e2m1(scheme.format) ? 2.0f : 0.5f;
  parallel_for(x.rows, kRows, [&](std::size_t begin, std::size_t end) {
    std::vector<float> in(width), scales(groups);
    std::vector<std::int8_t> numbers(width);
    for (std::size_t r = begin; r < end; ++r) {
      std::copy_n(x.row(r), width, in.begin());
      quantize_activations(in.data(), 1, width, scheme, numbers.data(), scales.data());
      for (std::size_t i = 0; i < width; ++i) {
        const float scale = scales[i / group], value = float(numbers[i]) * scale;
        y[r * width + i] = T(value);
        passes[r * width + i] = std::abs(in[i] - value) <= reach * scale * 1.00001f;
      }
    }
  });
}

#define LRC_INSTANTIATE(T)                                                                                                \
  template void multiply<T>(Rows<T>, bool, Rows<T>, bool, T*, bool, std::size_t);                                         \
  template void rms_norm<T>(Rows<T>, const std::vector<T>&, double, T*);                                                  \
  template void rms_norm_backward<T>(Rows<T>, const std::vector<T>&, double, Rows<T>, T*);                                \
  template void layer_norm<T>(Rows<T>, const std::vector<T>&, const std::vector<T>&, double, T*);                         \
  template void layer_norm_backward<T>(Rows<T>, const std::vector<T>&, double, Rows<T>, T*);                              \
  template void rope<T>(T*, std::size_t, std::size_t, std::size_t, std::size_t, const RopeTable&, bool);                  \
  template void silu_multiply<T>(const T*, const T*, std::size_t, T*);                                                    \
  template void silu_multiply_backward<T>(const T*, const T*, const T*, std::size_t, T*, T*);                             \
  template void attention<T>(Rows<T>, Rows<T>, Rows<T>, std::size_t, const AttentionShape&, T*, std::vector<Matrix<T>>*); \
  template AttentionGradient<T> attention_backward<T>(Rows<T>, Rows<T>, Rows<T>, std::size_t, const AttentionShape&,      \
                                                      const std::vector<Matrix<T>>&, Rows<T>);                            \
  template void quantize<T>(Rows<T>, const ActivationScheme&, T*, std::vector<unsigned char>&);
LRC_INSTANTIATE(float)
LRC_INSTANTIATE(double)
#undef LRC_INSTANTIATE

}  // namespace lrc::refinement

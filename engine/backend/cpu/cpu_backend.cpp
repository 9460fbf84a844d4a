#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "backend/checks.h"
#include "base/error.h"
#include "quantization/activation.h"
#include "tensor/dtype.h"

namespace lrc::cpu {
namespace {

/// Parts of elementwise work: enough for a few microseconds each.
constexpr std::size_t kElements = 16384;

std::size_t rows_per_part(std::size_t width) { return std::max<std::size_t>(1, kElements / std::max<std::size_t>(1, width)); }

std::size_t rows_needed(std::span<const std::uint32_t> rows) {
  return rows.empty() ? 0 : std::size_t(*std::max_element(rows.begin(), rows.end())) + 1;
}

}  // namespace

CpuMatrix::CpuMatrix(const MatrixF& matrix, MatrixStorage storage, Arena& arena, const Meter& meter)
    : metered_(meter, matrix.size() * (storage == MatrixStorage::f16 ? 2 : 4)) {
  out_features = matrix.rows();
  in_features = matrix.columns();
  bytes = matrix.size() * (storage == MatrixStorage::f16 ? 2 : 4);
  if (storage == MatrixStorage::f16) {
    f16_ = arena.take<std::uint16_t>(matrix.size());
    std::uint16_t* to = f16_.get();
    for_parts(matrix.size(), 1 << 18, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) to[i] = float_to_half(matrix.data()[i]);
    });
  } else {
    f32_ = arena.take<float>(matrix.size());
    std::memcpy(f32_.get(), matrix.data(), bytes);
  }
}

CpuPair::CpuPair(const LowRankPair& pair, Arena& arena, const Meter& meter)
    : metered_(meter, (pair.u.rows() + pair.v.rows()) * pair.rank() * sizeof(std::uint16_t)) {
  check_pair(pair);
  out_features = pair.u.rows();
  in_features = pair.v.rows();
  rank = pair.rank();
  v_ = arena.take<std::uint16_t>(rank * in_features);
  std::uint16_t* v = v_.get();
  for (std::size_t i = 0; i < in_features; ++i)
    for (std::size_t k = 0; k < rank; ++k) v[k * in_features + i] = float_to_half(pair.v(i, k));
  u_ = arena.take<std::uint16_t>(panels() * rank * kPairPanel);
  std::uint16_t* u = u_.get();
  for (std::size_t o = 0; o < out_features; ++o)
    for (std::size_t k = 0; k < rank; ++k) u[((o / kPairPanel) * rank + k) * kPairPanel + o % kPairPanel] = float_to_half(pair.u(o, k));
  bytes = (rank * in_features + panels() * rank * kPairPanel) * sizeof(std::uint16_t);
}

CpuHadamard::CpuHadamard(const HadamardOrder& hadamard) : base_order(hadamard.base_order), power_of_two(hadamard.power_of_two) {
  check_hadamard(hadamard);
  order = hadamard.order;
  base.assign(hadamard.base.begin(), hadamard.base.end());
}

CpuBackend::CpuBackend(const Kernels& kernels, DeviceInfo info) : kernels_(kernels), info_(std::move(info)) { limit_blas_threads(); }

Buffer CpuBackend::allocate(std::size_t bytes) { return std::make_shared<CpuBuffer>(bytes, meter_); }

void CpuBackend::upload(const Buffer& to, std::size_t offset_bytes, std::span<const std::byte> from) {
  if (!from.empty()) std::memcpy(bytes_of(to, offset_bytes, from.size()), from.data(), from.size());
}

void CpuBackend::download(const Buffer& from, std::size_t offset_bytes, std::span<std::byte> to) {
  if (!to.empty()) std::memcpy(to.data(), bytes_of(from, offset_bytes, to.size()), to.size());
}

void CpuBackend::copy(const Buffer& from, std::size_t from_bytes, const Buffer& to, std::size_t to_bytes, std::size_t bytes) {
  std::memmove(bytes_of(to, to_bytes, bytes), bytes_of(from, from_bytes, bytes), bytes);
}

const float* CpuBackend::host_view(const Buffer& buffer) { return values_of<const float>(buffer, 0); }

std::unique_ptr<DeviceMatrix> CpuBackend::upload_matrix(const MatrixF& matrix, MatrixStorage storage) {
  return std::make_unique<CpuMatrix>(matrix, storage, arena_, meter_);
}
std::unique_ptr<DeviceQuantizedMatrix> CpuBackend::upload_quantized(const QuantizedWeight& weight) {
  return std::make_unique<CpuQuantizedMatrix>(weight, kernels_.packed, arena_, meter_);
}
std::unique_ptr<DevicePair> CpuBackend::upload_pair(const LowRankPair& pair) { return std::make_unique<CpuPair>(pair, arena_, meter_); }
std::unique_ptr<DeviceHadamard> CpuBackend::upload_hadamard(const HadamardOrder& hadamard) {
  return std::make_unique<CpuHadamard>(hadamard);
}

void CpuBackend::embed(const DeviceMatrix& table, std::span<const std::int32_t> ids, const Buffer& out) {
  const auto& matrix = own<CpuMatrix>(table);
  const std::size_t width = matrix.in_features;
  float* to = values_of<float>(out, ids.size() * width);
  for (const std::int32_t id : ids) {
    if (id < 0 || std::size_t(id) >= matrix.out_features)
      throw Error(ErrorKind::bad_input,
                  "Token " + std::to_string(id) + " is not in the vocabulary of " + std::to_string(matrix.out_features) + ".");
    if (matrix.f16())
      kernels_.widen(matrix.f16() + std::size_t(id) * width, width, to);
    else
      std::memcpy(to, matrix.f32() + std::size_t(id) * width, width * sizeof(float));
    to += width;
  }
}

void CpuBackend::rms_norm(const Buffer& x, const Buffer& gain, float epsilon, std::size_t tokens, std::size_t width, const Buffer& out) {
  const float* from = values_of<float>(x, tokens * width);
  const float* gains = values_of<float>(gain, width);
  float* to = values_of<float>(out, tokens * width);
  for_parts(tokens, rows_per_part(width), [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) kernels_.rms_norm(from + t * width, gains, epsilon, width, to + t * width);
  });
}

void CpuBackend::add(const Buffer& x, const Buffer& y, std::size_t count) {
  float* to = values_of<float>(x, count);
  const float* from = values_of<float>(y, count);
  for_parts(count, kElements, [&](std::size_t begin, std::size_t end) { kernels_.add(to + begin, from + begin, end - begin); });
}

void CpuBackend::layer_norm(const Buffer& x, const Buffer& gain, const Buffer& bias, float epsilon, std::size_t tokens, std::size_t width,
                            const Buffer& out) {
  const float *from = values_of<float>(x, tokens * width), *gains = values_of<float>(gain, width), *biases = values_of<float>(bias, width);
  float* to = values_of<float>(out, tokens * width);
  for_parts(tokens, rows_per_part(width), [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) kernels_.layer_norm(from + t * width, gains, biases, epsilon, width, to + t * width);
  });
}

void CpuBackend::relu(const Buffer& x, std::size_t count) {
  float* values = values_of<float>(x, count);
  for_parts(count, kElements, [&](std::size_t begin, std::size_t end) { kernels_.relu(values + begin, end - begin); });
}

void CpuBackend::add_bias(const Buffer& x, const Buffer& bias, std::size_t tokens, std::size_t width) {
  float* values = values_of<float>(x, tokens * width);
  const float* biases = values_of<float>(bias, width);
  for_parts(tokens, rows_per_part(width), [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) kernels_.add(values + t * width, biases, width);
  });
}

void CpuBackend::take_columns(const Buffer& x, std::size_t tokens, std::size_t width, std::size_t first, std::size_t count,
                              const Buffer& out) {
  const float* from = values_of<float>(x, tokens * width) + first;
  float* to = values_of<float>(out, tokens * count);
  for_parts(tokens, rows_per_part(count), [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) std::memcpy(to + t * count, from + t * width, count * sizeof(float));
  });
}

void CpuBackend::take_rows(const Buffer& x, std::span<const std::uint32_t> rows, std::size_t width, const Buffer& out) {
  const float* from = values_of<float>(x, rows_needed(rows) * width);
  float* to = values_of<float>(out, rows.size() * width);
  for_parts(rows.size(), rows_per_part(width), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) std::memcpy(to + i * width, from + rows[i] * width, width * sizeof(float));
  });
}

void CpuBackend::add_rows(const Buffer& x, std::span<const std::uint32_t> rows, std::span<const float> weights, std::size_t width,
                          const Buffer& to) {
  const float* from = values_of<float>(x, rows.size() * width);
  float* sums = values_of<float>(to, rows_needed(rows) * width);
  for_parts(rows.size(), rows_per_part(width), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) kernels_.add_scaled(sums + rows[i] * width, from + i * width, weights[i], width);
  });
}

void CpuBackend::silu_multiply(const Buffer& gate, const Buffer& up, std::size_t count, const Buffer& out) {
  const float *gates = values_of<float>(gate, count), *ups = values_of<float>(up, count);
  float* to = values_of<float>(out, count);
  for_parts(count, kElements / 4,
            [&](std::size_t begin, std::size_t end) { kernels_.silu_multiply(gates + begin, ups + begin, end - begin, to + begin); });
}

void CpuBackend::hadamard(const DeviceHadamard& hadamard, const Buffer& x, std::size_t tokens) {
  const auto& matrix = own<CpuHadamard>(hadamard);
  const std::size_t width = matrix.order;
  float* values = values_of<float>(x, tokens * width);
  const float scale = float(1.0 / std::sqrt(double(width)));
  for_parts(tokens, rows_per_part(width) / 2 + 1, [&](std::size_t begin, std::size_t end) {
    float* spare = scratch(0).of<float>(width);
    for (std::size_t t = begin; t < end; ++t)
      kernels_.hadamard(values + t * width, matrix.base_order, matrix.power_of_two, matrix.base.data(), scale, spare);
  });
}

void CpuBackend::rope(const Buffer& x, std::size_t tokens, std::size_t heads, std::size_t head_dim, std::size_t first_position,
                      const RopeTable& table) {
  const std::size_t half = head_dim / 2;
  check_rope(table, head_dim);
  float* values = values_of<float>(x, tokens * heads * head_dim);
  if (table.inverse_frequencies != rope_frequencies_ || table.attention_factor != rope_factor_) {
    rope_frequencies_ = table.inverse_frequencies;
    rope_factor_ = table.attention_factor;
    rope_positions_ = 0;
  }
  if (const std::size_t needed = first_position + tokens; needed > rope_positions_) {
    const std::size_t begin = rope_positions_, end = std::max(needed, 2 * rope_positions_);
    rope_cosines_.resize(end * half);
    rope_sines_.resize(end * half);
    for (std::size_t p = begin; p < end; ++p)
      for (std::size_t i = 0; i < half; ++i) {
        // The angle is a float32 product, as in the reference implementations.
        const double angle = double(float(p) * rope_frequencies_[i]);
        rope_cosines_[p * half + i] = float(std::cos(angle)) * rope_factor_;
        rope_sines_[p * half + i] = float(std::sin(angle)) * rope_factor_;
      }
    rope_positions_ = end;
  }
  for_parts(tokens, rows_per_part(heads * head_dim), [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t)
      for (std::size_t h = 0; h < heads; ++h)
        kernels_.rope(values + (t * heads + h) * head_dim, rope_cosines_.data() + (first_position + t) * half,
                      rope_sines_.data() + (first_position + t) * half, half);
  });
}

void CpuBackend::attention(const Buffer& q, const Buffer& k_cache, const Buffer& v_cache, std::size_t first_position, std::size_t tokens,
                           const AttentionShape& shape, const Buffer& out) {
  check_attention(shape);
  const std::size_t width = shape.heads * shape.head_dim, kv_width = shape.kv_heads * shape.head_dim, end = first_position + tokens;
  attend_all(kernels_, {.q = values_of<float>(q, tokens * width),
                        .k = values_of<float>(k_cache, end * kv_width),
                        .v = values_of<float>(v_cache, end * kv_width),
                        .out = values_of<float>(out, tokens * width),
                        .first_position = first_position,
                        .tokens = tokens,
                        .shape = shape});
}

}  // namespace lrc::cpu

#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/cpu_backend.h"

namespace lrc::cpu {
namespace {

constexpr std::size_t kQueries = 64, kKeys = 512;

/// The keys that position `p` sees: [first_key(p), p].
std::size_t first_key(std::size_t position, std::size_t window) { return window == 0 || position < window ? 0 : position + 1 - window; }

/// Query by query; the definition, and best for a few tokens.
void attend_one_by_one(const Kernels& kernels, const AttentionJob& job) {
  const auto& shape = job.shape;
  const std::size_t q_stride = shape.heads * shape.head_dim, kv_stride = shape.kv_heads * shape.head_dim;
  const float scale = 1.0f / std::sqrt(float(shape.head_dim));
  for_parts(job.tokens * shape.heads, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t token = i / shape.heads, head = i % shape.heads, kv_head = head / (shape.heads / shape.kv_heads);
      const std::size_t position = job.first_position + token, first = first_key(position, shape.window);
      const std::size_t keys = position + 1 - first, offset = first * kv_stride + kv_head * shape.head_dim;
      const std::size_t at = token * q_stride + head * shape.head_dim;
      kernels.attend(job.q + at, job.k + offset, job.v + offset, kv_stride, keys, shape.head_dim, scale, scratch(0).of<float>(keys),
                     job.out + at);
    }
  });
}

/// 64 queries of one head against runs of 512 keys: two matrix products and an online softmax.
void attend_block(const Kernels& kernels, const AttentionJob& job, std::size_t first_token, std::size_t queries, std::size_t head) {
  const auto& shape = job.shape;
  const std::size_t dim = shape.head_dim, q_stride = shape.heads * dim, kv_stride = shape.kv_heads * dim;
  const std::size_t kv_offset = head / (shape.heads / shape.kv_heads) * dim;
  const float scale = 1.0f / std::sqrt(float(dim));
  float* scores = scratch(0).of<float>(kQueries * kKeys);
  float* out = job.out + first_token * q_stride + head * dim;
  float maxima[kQueries], sums[kQueries];
  std::fill_n(maxima, queries, -std::numeric_limits<float>::infinity());
  std::fill_n(sums, queries, 0.0f);
  const std::size_t first_position = job.first_position + first_token, end_key = first_position + queries;
  bool begun = false;
  for (std::size_t key = first_key(first_position, shape.window); key < end_key; key += kKeys) {
    const std::size_t keys = std::min(kKeys, end_key - key);
    multiply_here({.x = job.q + first_token * q_stride + head * dim,
                   .x_stride = q_stride,
                   .w = job.k + key * kv_stride + kv_offset,
                   .w_stride = kv_stride,
                   .y = scores,
                   .y_stride = keys,
                   .tokens = queries,
                   .out = keys,
                   .in = dim});
    for (std::size_t i = 0; i < queries; ++i) {
      float* row = scores + i * keys;
      const std::size_t position = first_position + i;
      const std::size_t low = std::min(std::max(first_key(position, shape.window), key) - key, keys);
      const std::size_t high = std::min(position + 1 > key ? position + 1 - key : 0, keys);
      if (low >= high) {
        std::fill_n(row, keys, 0.0f);
        continue;
      }
      const float factor = kernels.softmax_step(row + low, high - low, scale, &maxima[i], &sums[i]);
      std::fill_n(row, low, 0.0f);
      std::fill(row + high, row + keys, 0.0f);
      if (begun && factor != 1.0f)
        for (std::size_t d = 0; d < dim; ++d) out[i * q_stride + d] *= factor;
    }
    multiply_here({.x = scores,
                   .x_stride = keys,
                   .w = job.v + key * kv_stride + kv_offset,
                   .w_stride = kv_stride,
                   .transposed = true,
                   .accumulate = begun,
                   .y = out,
                   .y_stride = q_stride,
                   .tokens = queries,
                   .out = dim,
                   .in = keys});
    begun = true;
  }
  for (std::size_t i = 0; i < queries; ++i) {
    const float inverse = 1.0f / sums[i];
    for (std::size_t d = 0; d < dim; ++d) out[i * q_stride + d] *= inverse;
  }
}

}  // namespace

void attend_all(const Kernels& kernels, const AttentionJob& job) {
  if (!kernels.packed || job.tokens < 8) return attend_one_by_one(kernels, job);
  const std::size_t blocks = (job.tokens + kQueries - 1) / kQueries;
  for_parts(blocks * job.shape.heads, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      // The longest rows first, so that no thread is left with one at the end.
      const std::size_t first = (blocks - 1 - i / job.shape.heads) * kQueries;
      attend_block(kernels, job, first, std::min(kQueries, job.tokens - first), i % job.shape.heads);
    }
  });
}

}  // namespace lrc::cpu

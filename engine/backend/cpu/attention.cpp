#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/cpu_backend.h"

namespace lrc::cpu {
namespace {

constexpr std::size_t kQueries = 64, kKeys = 512;
// Of the scratch of a thread; 0 holds scores.
constexpr std::size_t kKeySlot = 1, kValueSlot = 2;

/// The keys that position `p` sees: [first_key(p), p].
std::size_t first_key(std::size_t position, std::size_t window) { return window == 0 || position < window ? 0 : position + 1 - window; }

/// Rows of one head, as floats.
struct HeadRows {
  const float* rows = nullptr;
  std::size_t stride = 0;
};

/// Keys or values [first, first + count): where they lie, or what their codes stand for, in scratch.
HeadRows rows_of(const Kernels& kernels, const AttentionJob& job, std::size_t first, std::size_t count, std::size_t kv_head, bool values) {
  const std::size_t dim = job.shape.head_dim;
  if (!job.cache) {
    const std::size_t stride = job.shape.kv_heads * dim;
    return {(values ? job.v : job.k) + first * stride + kv_head * dim, stride};
  }
  float* out = scratch(values ? kValueSlot : kKeySlot).of<float>(count * dim);
  kernels.widen_cache(job.cache->tile(first, count, kv_head, dim, values), out);
  return {out, dim};
}

/// Query by query; the definition, and best for a few tokens over float keys.
void attend_one_by_one(const Kernels& kernels, const AttentionJob& job) {
  const auto& shape = job.shape;
  const std::size_t q_stride = shape.heads * shape.head_dim;
  const float scale = 1.0f / std::sqrt(float(shape.head_dim));
  for_parts(job.tokens * shape.heads, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t token = i / shape.heads, head = i % shape.heads, kv_head = head / (shape.heads / shape.kv_heads);
      const std::size_t position = job.first_position + token, first = first_key(position, shape.window);
      const std::size_t keys = position + 1 - first, at = token * q_stride + head * shape.head_dim;
      const HeadRows k = rows_of(kernels, job, first, keys, kv_head, false), v = rows_of(kernels, job, first, keys, kv_head, true);
      kernels.attend(job.q + at, k.rows, v.rows, k.stride, keys, shape.head_dim, scale, scratch(0).of<float>(keys), job.out + at);
    }
  });
}

/// Queries that share their keys and values: of one head at positions that follow each other, or of the heads of one group at one
/// position.
struct Queries {
  std::size_t at = 0, stride = 0, count = 0;  ///< in floats of q and of out
  std::size_t first_position = 0, step = 1;   ///< query i is at first_position + i · step
};

/// At most 64 queries against runs of 512 keys: two matrix products and an online softmax.
void attend_block(const Kernels& kernels, const AttentionJob& job, const Queries& queries, std::size_t kv_head) {
  const auto& shape = job.shape;
  const std::size_t dim = shape.head_dim, count = queries.count;
  const float scale = 1.0f / std::sqrt(float(dim));
  float* scores = scratch(0).of<float>(kQueries * kKeys);
  const float* q = job.q + queries.at;
  float* out = job.out + queries.at;
  float maxima[kQueries], sums[kQueries];
  std::fill_n(maxima, count, -std::numeric_limits<float>::infinity());
  std::fill_n(sums, count, 0.0f);
  const std::size_t end_key = queries.first_position + (count - 1) * queries.step + 1;
  bool begun = false;
  for (std::size_t key = first_key(queries.first_position, shape.window); key < end_key; key += kKeys) {
    const std::size_t keys = std::min(kKeys, end_key - key);
    const HeadRows k = rows_of(kernels, job, key, keys, kv_head, false);
    multiply_here({.x = q,
                   .x_stride = queries.stride,
                   .w = k.rows,
                   .w_stride = k.stride,
                   .y = scores,
                   .y_stride = keys,
                   .tokens = count,
                   .out = keys,
                   .in = dim});
    for (std::size_t i = 0; i < count; ++i) {
      float* row = scores + i * keys;
      const std::size_t position = queries.first_position + i * queries.step;
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
        for (std::size_t d = 0; d < dim; ++d) out[i * queries.stride + d] *= factor;
    }
    const HeadRows v = rows_of(kernels, job, key, keys, kv_head, true);
    multiply_here({.x = scores,
                   .x_stride = keys,
                   .w = v.rows,
                   .w_stride = v.stride,
                   .transposed = true,
                   .accumulate = begun,
                   .y = out,
                   .y_stride = queries.stride,
                   .tokens = count,
                   .out = dim,
                   .in = keys});
    begun = true;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const float inverse = 1.0f / sums[i];
    for (std::size_t d = 0; d < dim; ++d) out[i * queries.stride + d] *= inverse;
  }
}

/// A few tokens over a quantized cache: the heads of a group together, so that codes are widened once for all of them.
void attend_groups(const Kernels& kernels, const AttentionJob& job) {
  const auto& shape = job.shape;
  const std::size_t heads = shape.heads / shape.kv_heads, dim = shape.head_dim;
  for_parts(job.tokens * shape.kv_heads, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t token = i / shape.kv_heads, kv_head = i % shape.kv_heads;
      for (std::size_t head = 0; head < heads; head += kQueries)
        attend_block(kernels, job,
                     {.at = (token * shape.heads + kv_head * heads + head) * dim,
                      .stride = dim,
                      .count = std::min(kQueries, heads - head),
                      .first_position = job.first_position + token,
                      .step = 0},
                     kv_head);
    }
  });
}

}  // namespace

void attend_all(const Kernels& kernels, const AttentionJob& job) {
  if (!kernels.packed) return attend_one_by_one(kernels, job);
  if (job.tokens < 8) return job.cache ? attend_groups(kernels, job) : attend_one_by_one(kernels, job);
  const auto& shape = job.shape;
  const std::size_t blocks = (job.tokens + kQueries - 1) / kQueries;
  for_parts(blocks * shape.heads, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      // The longest rows first, so that no thread is left with one at the end.
      const std::size_t first = (blocks - 1 - i / shape.heads) * kQueries, head = i % shape.heads;
      attend_block(kernels, job,
                   {.at = (first * shape.heads + head) * shape.head_dim,
                    .stride = shape.heads * shape.head_dim,
                    .count = std::min(kQueries, job.tokens - first),
                    .first_position = job.first_position + first},
                   head / (shape.heads / shape.kv_heads));
    }
  });
}

}  // namespace lrc::cpu

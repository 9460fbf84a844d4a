#include "model/transformer.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"

namespace lrc {
namespace {

// Long prompts run in pieces, so that scratch memory does not grow with them.
constexpr std::size_t chunk_tokens = 512;
// The head is as wide as the vocabulary: logits are made a few rows at a time.
constexpr std::size_t chunk_logit_rows = 64;

struct DeviceLinear {
  std::size_t out_features = 0, in_features = 0;
  std::unique_ptr<DeviceMatrix> matrix;  // either this
  std::unique_ptr<DeviceQuantizedMatrix> quantized;
  std::unique_ptr<DevicePair> pair;  // beside `quantized`; none at rank 0
  ActivationScheme activation;
};

struct DeviceBlock {
  Buffer attention_norm, mlp_norm;
  std::array<DeviceLinear, 7> linears;
  const DeviceLinear& linear(Role role) const { return linears[std::size_t(role)]; }
};

/// A device buffer that grows to what is asked for and is used again.
class Scratch {
 public:
  const Buffer& of(Backend& backend, std::size_t floats) {
    const std::size_t bytes = floats * sizeof(float);
    if (!buffer_ || buffer_->bytes() < bytes) {
      buffer_.reset();
      buffer_ = backend.allocate(bytes);
    }
    return buffer_;
  }

 private:
  Buffer buffer_;
};

}  // namespace

struct Transformer::Parts {
  std::shared_ptr<Backend> backend;
  ModelConfig config;
  RopeTable rope;
  AttentionShape attention;
  std::unique_ptr<DeviceMatrix> embedding, head;  // head: none when tied
  Buffer final_norm;
  std::unique_ptr<DeviceHadamard> down_hadamard;
  std::vector<DeviceBlock> blocks;
  std::size_t weight_bytes = 0;

  Scratch chunk, normed, query, key, value, attended, projected, gate, up, head_rows, head_normed, logit_rows;
  DeviceActivation activation;
  Buffer last_hidden;  // of the last forward(), before the final norm
  std::size_t last_tokens = 0;
  std::vector<float> observed;

  std::size_t query_width() const { return config.heads * config.head_dim; }
  std::size_t key_width() const { return config.kv_heads * config.head_dim; }

  Buffer upload_vector(const std::vector<float>& values) {
    Buffer buffer = backend->allocate(values.size() * sizeof(float));
    backend->upload(buffer, 0, std::as_bytes(std::span(values)));
    weight_bytes += buffer->bytes();
    return buffer;
  }

  DeviceLinear upload_linear(const LinearWeights& linear) {
    DeviceLinear result;
    result.out_features = linear.info.out_features;
    result.in_features = linear.info.in_features;
    if (linear.quantized) {
      if (linear.quantized->out_features != result.out_features || linear.quantized->in_features != result.in_features) {
        throw Error(ErrorKind::bad_input, "The quantized weight of " + linear.info.name + " does not have the shape of that layer.");
      }
      result.quantized = backend->upload_quantized(*linear.quantized);
      result.activation = linear.activation;
      weight_bytes += result.quantized->bytes;
      if (!linear.pair.empty()) {
        if (linear.pair.u.rows() != result.out_features || linear.pair.v.rows() != result.in_features ||
            linear.pair.v.columns() != linear.pair.rank()) {
          throw Error(ErrorKind::bad_input, "The low-rank pair of " + linear.info.name + " does not have the shape of that layer.");
        }
        result.pair = backend->upload_pair(linear.pair);
        weight_bytes += result.pair->bytes;
      }
    } else {
      if (linear.weight.rows() != result.out_features || linear.weight.columns() != result.in_features) {
        throw Error(ErrorKind::bad_input, "There is no weight for " + linear.info.name + " of " + std::to_string(result.out_features) +
                                              " x " + std::to_string(result.in_features) + ".");
      }
      result.matrix = backend->upload_matrix(linear.weight);
      weight_bytes += result.matrix->bytes;
    }
    return result;
  }

  void observe(const SiteObserver& observer, const Site& site, const Buffer& x, std::size_t tokens, std::size_t width) {
    if (const float* host = backend->host_view(x)) {
      observer(site, host, tokens, width);
      return;
    }
    observed.resize(tokens * width);
    backend->download(x, 0, std::as_writable_bytes(std::span(observed)));
    observer(site, observed.data(), tokens, width);
  }

  /// The one place where linear layers read their input x (tokens, width): online rotation, listening, quantization (once for
  /// all layers of the site), then each layer's product and its pair, which takes the unquantized input.
  void run_site(const Site& site, const Buffer& x, std::size_t tokens, const BranchControl& branch, const SiteObserver& observer,
                std::initializer_list<std::pair<Role, Buffer>> outputs) {
    const DeviceBlock& block = blocks[site.block];
    const std::size_t width = block.linear(outputs.begin()->first).in_features;
    const bool mlp = site.kind == SiteKind::mlp_input || site.kind == SiteKind::mlp_hidden;
    const std::vector<bool>& muted = mlp ? branch.muted_mlp : branch.muted_attention;
    const bool bypass = branch.bypass || (site.block < muted.size() && muted[site.block]);

    if (site.kind == SiteKind::mlp_hidden && down_hadamard) backend->hadamard(*down_hadamard, x, tokens);
    if (observer) observe(observer, site, x, tokens, width);

    std::optional<ActivationScheme> quantized_by;
    for (const auto& [role, y] : outputs) {
      const DeviceLinear& linear = block.linear(role);
      if (linear.matrix) {
        backend->multiply(*linear.matrix, x, 0, tokens, y);
        continue;
      }
      if (linear.activation.off()) {
        backend->multiply_quantized_float(*linear.quantized, x, tokens, y);
      } else {
        if (quantized_by != linear.activation) backend->quantize(x, tokens, width, linear.activation, activation);
        quantized_by = linear.activation;
        backend->multiply_quantized(*linear.quantized, activation, y);
      }
      if (linear.pair && !bypass && branch.components > 0) {
        backend->add_low_rank(*linear.pair, x, tokens, y, std::min(branch.components, linear.pair->rank));
      }
    }
  }

  /// One block on x (tokens, hidden) in place, at positions from `first_position`. Without a cache the keys and values are
  /// those of these tokens alone.
  void run_block(std::size_t b, const Buffer& x, std::size_t tokens, std::size_t first_position, KvCache* cache,
                 const BranchControl& branch, const SiteObserver& observer) {
    Backend& device = *backend;
    const DeviceBlock& block = blocks[b];
    const std::size_t hidden = config.hidden_size;
    const Buffer& norm = normed.of(device, tokens * hidden);
    const Buffer& q = query.of(device, tokens * query_width());
    const Buffer& k = key.of(device, tokens * key_width());
    const Buffer& v = value.of(device, tokens * key_width());
    const Buffer& mixed = attended.of(device, tokens * query_width());
    const Buffer& sum = projected.of(device, tokens * hidden);

    device.rms_norm(x, block.attention_norm, config.norm_epsilon, tokens, hidden, norm);
    run_site({b, SiteKind::attention_input}, norm, tokens, branch, observer, {{Role::q_proj, q}, {Role::k_proj, k}, {Role::v_proj, v}});
    device.rope(q, tokens, config.heads, config.head_dim, first_position, rope);
    device.rope(k, tokens, config.kv_heads, config.head_dim, first_position, rope);
    if (cache) {
      const std::size_t row_bytes = key_width() * sizeof(float);
      device.copy(k, 0, cache->keys[b], first_position * row_bytes, tokens * row_bytes);
      device.copy(v, 0, cache->values[b], first_position * row_bytes, tokens * row_bytes);
    }
    device.attention(q, cache ? cache->keys[b] : k, cache ? cache->values[b] : v, first_position, tokens, attention, mixed);
    run_site({b, SiteKind::attention_output}, mixed, tokens, branch, observer, {{Role::o_proj, sum}});
    device.add(x, sum, tokens * hidden);

    const Buffer& wide = gate.of(device, tokens * config.feed_forward);
    const Buffer& wide_up = up.of(device, tokens * config.feed_forward);
    device.rms_norm(x, block.mlp_norm, config.norm_epsilon, tokens, hidden, norm);
    run_site({b, SiteKind::mlp_input}, norm, tokens, branch, observer, {{Role::gate_proj, wide}, {Role::up_proj, wide_up}});
    device.silu_multiply(wide, wide_up, tokens * config.feed_forward, wide);
    run_site({b, SiteKind::mlp_hidden}, wide, tokens, branch, observer, {{Role::down_proj, sum}});
    device.add(x, sum, tokens * hidden);
  }

  void check_ids(std::span<const std::int32_t> ids) const {
    for (const std::int32_t id : ids) {
      if (id < 0 || std::size_t(id) >= config.vocabulary) {
        throw Error(ErrorKind::bad_input, "Token id " + std::to_string(id) + " is outside of the vocabulary of " +
                                              std::to_string(config.vocabulary) + " tokens.");
      }
    }
  }
};

Transformer::Transformer(std::shared_ptr<Backend> backend, const ModelWeights& weights) : parts_(std::make_unique<Parts>()) {
  Parts& parts = *parts_;
  parts.backend = std::move(backend);
  parts.config = weights.config;
  const ModelConfig& config = parts.config;
  parts.rope = make_rope(config);
  parts.attention = {config.heads, config.kv_heads, config.head_dim, config.sliding_window};
  parts.embedding = parts.backend->upload_matrix(weights.embedding);
  parts.weight_bytes += parts.embedding->bytes;
  if (!weights.head.empty()) {
    // Every token reads the whole head: beside 4-bit layers a float32 one would take most of the time. A run stores float16.
    const bool any_quantized = std::ranges::any_of(weights.blocks, [](const BlockWeights& block) {
      return std::ranges::any_of(block.linears, [](const LinearWeights& linear) { return linear.quantized != nullptr; });
    });
    parts.head = parts.backend->upload_matrix(weights.head, any_quantized ? MatrixStorage::f16 : MatrixStorage::f32);
    parts.weight_bytes += parts.head->bytes;
  }
  parts.final_norm = parts.upload_vector(weights.final_norm);
  if (weights.down_hadamard) parts.down_hadamard = parts.backend->upload_hadamard(*weights.down_hadamard);
  parts.blocks.resize(weights.blocks.size());
  for (std::size_t b = 0; b < weights.blocks.size(); ++b) {
    const BlockWeights& from = weights.blocks[b];
    DeviceBlock& block = parts.blocks[b];
    block.attention_norm = parts.upload_vector(from.attention_norm);
    block.mlp_norm = parts.upload_vector(from.mlp_norm);
    for (const Role role : all_roles()) block.linears[std::size_t(role)] = parts.upload_linear(from.linear(role));
  }
}

Transformer::~Transformer() = default;

const ModelConfig& Transformer::config() const { return parts_->config; }
Backend& Transformer::backend() { return *parts_->backend; }
std::size_t Transformer::last_tokens() const { return parts_->last_tokens; }
std::size_t Transformer::weight_bytes() const { return parts_->weight_bytes; }

KvCache Transformer::make_cache(std::size_t capacity) {
  KvCache cache;
  cache.capacity = capacity;
  for (std::size_t b = 0; b < parts_->blocks.size(); ++b) {
    cache.keys.push_back(parts_->backend->allocate(capacity * parts_->key_width() * sizeof(float)));
    cache.values.push_back(parts_->backend->allocate(capacity * parts_->key_width() * sizeof(float)));
  }
  return cache;
}

void Transformer::grow_cache(KvCache& cache, std::size_t capacity) {
  if (capacity <= cache.capacity) return;
  KvCache larger = make_cache(capacity);
  const std::size_t bytes = cache.length * parts_->key_width() * sizeof(float);
  for (std::size_t b = 0; b < parts_->blocks.size() && bytes > 0; ++b) {
    parts_->backend->copy(cache.keys[b], 0, larger.keys[b], 0, bytes);
    parts_->backend->copy(cache.values[b], 0, larger.values[b], 0, bytes);
  }
  larger.length = cache.length;
  cache = std::move(larger);
}

void Transformer::forward(std::span<const std::int32_t> ids, KvCache& cache, const BranchControl& branch, const SiteObserver& observer) {
  Parts& parts = *parts_;
  if (ids.empty()) throw Error(ErrorKind::bad_input, "There are no tokens to run.");
  parts.check_ids(ids);
  if (ids.size() > cache.capacity - std::min(cache.length, cache.capacity)) {
    throw Error(ErrorKind::bad_input, "The text does not fit the context: " + std::to_string(cache.length) + " tokens are read, " +
                                          std::to_string(ids.size()) + " more were given, and there is room for " +
                                          std::to_string(cache.capacity) + ".");
  }
  Backend& device = *parts.backend;
  const std::size_t hidden = parts.config.hidden_size, row_bytes = hidden * sizeof(float);
  parts.last_tokens = 0;
  if (!parts.last_hidden || parts.last_hidden->bytes() < ids.size() * row_bytes) {
    parts.last_hidden.reset();
    parts.last_hidden = device.allocate(ids.size() * row_bytes);
  }
  for (std::size_t first = 0; first < ids.size(); first += chunk_tokens) {
    const std::size_t tokens = std::min(chunk_tokens, ids.size() - first);
    const Buffer& x = parts.chunk.of(device, tokens * hidden);
    device.embed(*parts.embedding, ids.subspan(first, tokens), x);
    for (std::size_t b = 0; b < parts.blocks.size(); ++b) parts.run_block(b, x, tokens, cache.length, &cache, branch, observer);
    device.copy(x, 0, parts.last_hidden, first * row_bytes, tokens * row_bytes);
    cache.length += tokens;
  }
  parts.last_tokens = ids.size();
}

MatrixF Transformer::logits(std::size_t first, std::size_t count) {
  assert(first + count <= parts_->last_tokens);
  return logits_of(parts_->last_hidden, first, count);
}

Buffer Transformer::embed(std::span<const std::int32_t> ids) {
  Parts& parts = *parts_;
  parts.check_ids(ids);
  Buffer hidden = parts.backend->allocate(ids.size() * parts.config.hidden_size * sizeof(float));
  parts.backend->embed(*parts.embedding, ids, hidden);
  return hidden;
}

void Transformer::run_block(std::size_t block, const Buffer& hidden, std::size_t tokens, const SiteObserver& observer) {
  parts_->run_block(block, hidden, tokens, 0, nullptr, {}, observer);
}

MatrixF Transformer::logits_of(const Buffer& hidden, std::size_t first, std::size_t count) {
  Parts& parts = *parts_;
  Backend& device = *parts.backend;
  const std::size_t width = parts.config.hidden_size, vocabulary = parts.config.vocabulary, row_bytes = width * sizeof(float);
  const DeviceMatrix& head = parts.head ? *parts.head : *parts.embedding;
  MatrixF result(count, vocabulary);
  for (std::size_t row = 0; row < count; row += chunk_logit_rows) {
    const std::size_t rows = std::min(chunk_logit_rows, count - row);
    const Buffer& x = parts.head_rows.of(device, rows * width);
    const Buffer& norm = parts.head_normed.of(device, rows * width);
    const Buffer& y = parts.logit_rows.of(device, rows * vocabulary);
    device.copy(hidden, (first + row) * row_bytes, x, 0, rows * row_bytes);
    device.rms_norm(x, parts.final_norm, parts.config.norm_epsilon, rows, width, norm);
    device.multiply(head, norm, 0, rows, y);
    device.download(y, 0, std::as_writable_bytes(std::span(result.row(row), rows * vocabulary)));
  }
  return result;
}

}  // namespace lrc

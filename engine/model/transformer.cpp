#include "model/transformer.h"

#include <algorithm>
#include <cassert>
#include <initializer_list>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "model/device_weights.h"
#include "model/expert_routing.h"
#include "quantization/column_parts.h"

namespace lrc {
namespace {

// Long prompts run in pieces, so that scratch memory does not grow with them.
constexpr std::size_t chunk_tokens = 512;
// The head is as wide as the vocabulary: logits are made a few rows at a time.
constexpr std::size_t chunk_logit_rows = 64;

}  // namespace

struct Transformer::Parts {
  std::shared_ptr<Backend> backend;
  ModelConfig config;
  std::optional<RopeTable> rope;                             // none with learned positions
  std::size_t rope_length = 0;                               // that it was made for, where that matters
  std::unique_ptr<DeviceMatrix> embedding, positions, head;  // positions: none when rotary; head: none when tied
  std::size_t position_offset = 0;
  DeviceNorm final_norm;
  Buffer head_bias;
  std::unique_ptr<DeviceHadamard> down_hadamard, head_hadamard;
  std::optional<CacheLayout> cache_layout;  // of a quantized cache
  DeviceCache passing;                      // keys and values of a pass without a cache
  std::vector<DeviceBlock> blocks;
  std::size_t weight_bytes = 0;

  Scratch chunk, placed, normed, query, key, value, fused, attended, projected, gate, up, routed, expert_in, expert_out;
  Scratch head_rows, head_normed, logit_rows, dequantized;
  DeviceActivation activation;
  Scratch high_columns, low_columns, high_product;  // of a site with high columns
  DeviceActivation high_activation, low_activation;
  Buffer last_hidden;  // of the last forward(), before the final norm
  std::size_t last_tokens = 0;
  std::vector<float> observed;

  std::size_t query_width() const { return config.heads * config.head_dim; }
  std::size_t key_width() const { return config.kv_heads * config.head_dim; }

  void observe(const SiteObserver& observer, const Site& site, const Buffer& x, std::size_t tokens, std::size_t width) {
    if (const float* host = backend->host_view(x)) {
      observer(site, host, tokens, width);
      return;
    }
    observed.resize(tokens * width);
    backend->download(x, 0, std::as_writable_bytes(std::span(observed)));
    observer(site, observed.data(), tokens, width);
  }

  /// The columns of x (tokens, width) that `high` names, and the others.
  void take_apart(const Buffer& x, std::size_t tokens, std::size_t width, const HighColumns& high) {
    // Heads are rows here: the columns of all of them are taken at once, in their order.
    const std::size_t period = high.period == 0 ? width : high.period, rows = tokens * (width / period), low = period - high.count;
    backend->take_columns(x, rows, period, 0, high.count, high_columns.of(*backend, rows * high.count));
    backend->take_columns(x, rows, period, high.count, low, low_columns.of(*backend, rows * low));
  }

  /// y (tokens, out) = the sum of what a layer's two parts make of theirs.
  void multiply_parts(const DeviceLinear& linear, std::size_t tokens, const Buffer& y) {
    const std::size_t count = tokens * linear.out_features, high = high_width(linear.high, linear.in_features);
    const Buffer& sum = high_product.of(*backend, count);
    if (linear.activation.off()) {
      backend->multiply_quantized_float(*linear.quantized, low_columns.of(*backend, tokens * (linear.in_features - high)), tokens, y);
      backend->multiply_quantized_float(*linear.quantized_high, high_columns.of(*backend, tokens * high), tokens, sum);
    } else {
      backend->multiply_quantized(*linear.quantized, low_activation, y);
      backend->multiply_quantized(*linear.quantized_high, high_activation, sum);
    }
    backend->add(y, sum, count);
  }

  /// The one place where linear layers read their input x (tokens, width): online rotation, listening, quantization (once for
  /// all layers of the site), then each layer's product, its pair, which takes the unquantized input, and its bias.
  void run_site(const Site& site, const Buffer& x, std::size_t tokens, const BranchControl& branch, const SiteObserver& observer,
                std::initializer_list<std::pair<const DeviceLinear*, Buffer>> outputs) {
    const std::size_t width = outputs.begin()->first->in_features;
    const bool mlp = site.kind == SiteKind::mlp_input || site.kind == SiteKind::mlp_hidden;
    const std::vector<bool>& muted = mlp ? branch.muted_mlp : branch.muted_attention;
    const bool bypass = branch.bypass || (site.block < muted.size() && muted[site.block]);

    if (site.kind == SiteKind::mlp_hidden && down_hadamard) backend->hadamard(*down_hadamard, x, tokens);
    if (observer) observe(observer, site, x, tokens, width);

    std::optional<ActivationScheme> quantized_by, dequantized_by;
    const HighColumns* taken_apart_by = nullptr;
    const ActivationScheme* parts_quantized_by = nullptr;
    for (const auto& [layer, y] : outputs) {
      const DeviceLinear& linear = *layer;
      if (linear.matrix) {
        backend->multiply(*linear.matrix, x, 0, tokens, y);
      } else {
        if (linear.quantized_high) {
          if (!taken_apart_by || *taken_apart_by != linear.high) {
            take_apart(x, tokens, width, linear.high);
            parts_quantized_by = nullptr;
          }
          taken_apart_by = &linear.high;
          if (!linear.activation.off() && (!parts_quantized_by || *parts_quantized_by != linear.activation)) {
            const std::size_t high = high_width(linear.high, width);
            backend->quantize(high_columns.of(*backend, tokens * high), tokens, high, high_part(linear.activation), high_activation);
            backend->quantize(low_columns.of(*backend, tokens * (width - high)), tokens, width - high, low_part(linear.activation),
                              low_activation);
            parts_quantized_by = &linear.activation;
          }
          multiply_parts(linear, tokens, y);
        } else if (linear.activation.off()) {
          backend->multiply_quantized_float(*linear.quantized, x, tokens, y);
        } else {
          if (quantized_by != linear.activation) backend->quantize(x, tokens, width, linear.activation, activation);
          quantized_by = linear.activation;
          backend->multiply_quantized(*linear.quantized, activation, y);
        }
        if (linear.pair && !bypass && branch.components > 0) {
          const bool on_codes = linear.pair_input == PairInput::quantized && !linear.activation.off();
          if (on_codes && dequantized_by != linear.activation) {
            backend->dequantize(activation, dequantized.of(*backend, tokens * width));
            dequantized_by = linear.activation;
          }
          backend->add_low_rank(*linear.pair, on_codes ? dequantized.of(*backend, tokens * width) : x, tokens, y,
                                std::min(branch.components, linear.pair->rank));
        }
      }
      if (linear.bias) backend->add_bias(y, linear.bias, tokens, linear.out_features);
    }
  }

  void normalise(const DeviceNorm& norm, const Buffer& x, std::size_t tokens, const Buffer& out) {
    const std::size_t hidden = config.hidden_size;
    if (config.norm == NormKind::layer)
      backend->layer_norm(x, norm.gain, norm.bias, config.norm_epsilon, tokens, hidden, out);
    else
      backend->rms_norm(x, norm.gain, config.norm_epsilon, tokens, hidden, out);
  }

  /// Frequencies for sequences of that length.
  void prepare_rope(std::size_t length) {
    if (!rope || rope_length == length || !rope_depends_on_length(config)) return;
    rope = make_rope(config, length);
    rope_length = length;
  }

  /// The embedding of ids at positions from `first_position`.
  void embed(std::span<const std::int32_t> ids, std::size_t first_position, const Buffer& out) {
    backend->embed(*embedding, ids, out);
    if (!positions) return;
    const std::size_t first_row = first_position + position_offset;
    if (first_row + ids.size() > positions->out_features) {
      throw Error(ErrorKind::bad_input, "Position " + std::to_string(first_position + ids.size() - 1) + " is beyond the " +
                                            std::to_string(positions->out_features - position_offset) +
                                            " that this model has learned; give a shorter text.");
    }
    std::vector<std::int32_t> rows(ids.size());
    std::iota(rows.begin(), rows.end(), std::int32_t(first_row));
    const Buffer& place = placed.of(*backend, ids.size() * config.hidden_size);
    backend->embed(*positions, rows, place);
    backend->add(out, place, ids.size() * config.hidden_size);
  }

  /// Fills q, k and v from the normed input: by three layers, or by one whose columns are then taken apart.
  void run_attention_input(std::size_t b, const Buffer& norm, std::size_t tokens, const BranchControl& branch, const SiteObserver& observer,
                           const Buffer& q, const Buffer& k, const Buffer& v) {
    const DeviceBlock& block = blocks[b];
    const Site site{b, SiteKind::attention_input};
    if (const DeviceLinear* all = block.find(Role::qkv_proj)) {
      const Buffer& together = fused.of(*backend, tokens * all->out_features);
      run_site(site, norm, tokens, branch, observer, {{all, together}});
      backend->take_columns(together, tokens, all->out_features, 0, query_width(), q);
      backend->take_columns(together, tokens, all->out_features, query_width(), key_width(), k);
      backend->take_columns(together, tokens, all->out_features, query_width() + key_width(), key_width(), v);
    } else {
      run_site(site, norm, tokens, branch, observer,
               {{&block.linear(Role::q_proj), q}, {&block.linear(Role::k_proj), k}, {&block.linear(Role::v_proj), v}});
    }
    const auto norm_heads = [&](const Buffer& heads, const Buffer& gain, std::size_t count) {
      if (gain) backend->rms_norm(heads, gain, config.norm_epsilon, tokens * count, config.head_dim, heads);
    };
    norm_heads(q, block.query_norm, config.heads);
    norm_heads(k, block.key_norm, config.kv_heads);
  }

  /// down(silu(gate x) · up x), or fc2(relu(fc1 x)).
  void run_feed_forward(std::size_t b, const Buffer& norm, std::size_t tokens, const BranchControl& branch, const SiteObserver& observer,
                        const Buffer& sum) {
    Backend& device = *backend;
    const DeviceBlock& block = blocks[b];
    const Site input{b, SiteKind::mlp_input}, hidden{b, SiteKind::mlp_hidden};
    const std::size_t count = tokens * config.feed_forward;
    const Buffer& wide = gate.of(device, count);
    if (const DeviceLinear* first = block.find(Role::fc1)) {
      run_site(input, norm, tokens, branch, observer, {{first, wide}});
      device.relu(wide, count);
      run_site(hidden, wide, tokens, branch, observer, {{&block.linear(Role::fc2), sum}});
      return;
    }
    const Buffer& wide_up = up.of(device, count);
    if (const DeviceLinear* both = block.find(Role::gate_up_proj)) {
      const Buffer& together = fused.of(device, tokens * both->out_features);
      run_site(input, norm, tokens, branch, observer, {{both, together}});
      device.take_columns(together, tokens, both->out_features, 0, config.feed_forward, wide);
      device.take_columns(together, tokens, both->out_features, config.feed_forward, config.feed_forward, wide_up);
    } else {
      run_site(input, norm, tokens, branch, observer, {{&block.linear(Role::gate_proj), wide}, {&block.linear(Role::up_proj), wide_up}});
    }
    device.silu_multiply(wide, wide_up, count, wide);
    run_site(hidden, wide, tokens, branch, observer, {{&block.linear(Role::down_proj), sum}});
  }

  /// Adds to x what the experts of each token say, weighted by the router; the router always works in float.
  void add_experts(std::size_t b, const Buffer& norm, std::size_t tokens, const BranchControl& branch, const SiteObserver& observer,
                   const Buffer& x) {
    Backend& device = *backend;
    const DeviceBlock& block = blocks[b];
    const std::size_t experts = block.experts.size(), hidden = config.hidden_size;
    const Buffer& choice = routed.of(device, tokens * experts);
    run_site({b, SiteKind::mlp_input}, norm, tokens, branch, observer, {{&block.linear(Role::router), choice}});
    std::vector<float> logits(tokens * experts);
    device.download(choice, 0, std::as_writable_bytes(std::span(logits)));
    const auto shares = route(logits.data(), tokens, experts, config.experts_per_token, b);
    for (std::size_t e = 0; e < experts; ++e) {
      const std::size_t rows = shares[e].rows.size(), count = rows * config.feed_forward;
      if (rows == 0) continue;
      const DeviceExpert& expert = block.experts[e];
      const Buffer& in = expert_in.of(device, rows * hidden);
      const Buffer& out = expert_out.of(device, rows * hidden);
      const Buffer& wide = gate.of(device, count);
      const Buffer& wide_up = up.of(device, count);
      device.take_rows(norm, shares[e].rows, hidden, in);
      run_site({b, SiteKind::mlp_input, e}, in, rows, branch, observer, {{&expert.gate, wide}, {&expert.up, wide_up}});
      device.silu_multiply(wide, wide_up, count, wide);
      run_site({b, SiteKind::mlp_hidden, e}, wide, rows, branch, observer, {{&expert.down, out}});
      device.add_rows(out, shares[e].rows, shares[e].weights, hidden, x);
    }
  }

  /// Puts keys and values into the cache and attends over what is in it then.
  void attend(std::size_t b, const Buffer& q, const Buffer& k, const Buffer& v, std::size_t tokens, std::size_t first_position,
              KvCache* cache, const Buffer& out) {
    Backend& device = *backend;
    const AttentionShape shape{config.heads, config.kv_heads, config.head_dim, blocks[b].window};
    if (cache_layout) {
      if (!cache && passing.capacity < tokens) passing = device.allocate_cache(*cache_layout, tokens);
      const DeviceCache& rows = cache ? cache->quantized[b] : passing;
      device.store_quantized(k, v, tokens, rows, first_position);
      device.attention_quantized(q, rows, first_position, tokens, shape, out);
      return;
    }
    if (cache) {
      const std::size_t row_bytes = key_width() * sizeof(float);
      device.copy(k, 0, cache->keys[b], first_position * row_bytes, tokens * row_bytes);
      device.copy(v, 0, cache->values[b], first_position * row_bytes, tokens * row_bytes);
    }
    device.attention(q, cache ? cache->keys[b] : k, cache ? cache->values[b] : v, first_position, tokens, shape, out);
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

    normalise(block.attention_norm, x, tokens, norm);
    run_attention_input(b, norm, tokens, branch, observer, q, k, v);
    if (rope) {
      device.rope(q, tokens, config.heads, config.head_dim, first_position, *rope);
      device.rope(k, tokens, config.kv_heads, config.head_dim, first_position, *rope);
    }
    if (head_hadamard) {
      device.hadamard(*head_hadamard, q, tokens * config.heads);
      device.hadamard(*head_hadamard, k, tokens * config.kv_heads);
    }
    attend(b, q, k, v, tokens, first_position, cache, mixed);
    run_site({b, SiteKind::attention_output}, mixed, tokens, branch, observer, {{&block.linear(Role::o_proj), sum}});
    device.add(x, sum, tokens * hidden);

    normalise(block.mlp_norm, x, tokens, norm);
    if (!block.experts.empty()) {
      add_experts(b, norm, tokens, branch, observer, x);
      return;
    }
    run_feed_forward(b, norm, tokens, branch, observer, sum);
    device.add(x, sum, tokens * hidden);
  }

  /// ids through all blocks in pieces, appended to the cache and left in last_hidden.
  void run_ids(std::span<const std::int32_t> ids, KvCache& cache, const BranchControl& branch, const SiteObserver& observer) {
    const std::size_t hidden = config.hidden_size, row_bytes = hidden * sizeof(float);
    for (std::size_t first = 0; first < ids.size(); first += chunk_tokens) {
      const std::size_t tokens = std::min(chunk_tokens, ids.size() - first);
      const Buffer& x = chunk.of(*backend, tokens * hidden);
      embed(ids.subspan(first, tokens), cache.length, x);
      for (std::size_t b = 0; b < blocks.size(); ++b) run_block(b, x, tokens, cache.length, &cache, branch, observer);
      backend->copy(x, 0, last_hidden, first * row_bytes, tokens * row_bytes);
      cache.length += tokens;
    }
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
  if (weights.positions.empty()) parts.rope = make_rope(parts.config);
  Uploader uploader(*parts.backend);
  parts.embedding = uploader.matrix(weights.embedding);
  parts.positions = uploader.matrix(weights.positions);
  parts.position_offset = weights.position_offset;
  // Every token reads the whole head: beside 4-bit layers a float32 one would take most of the time. A run stores float16.
  const bool any_quantized = std::ranges::any_of(weights.blocks, [](const BlockWeights& block) {
    return std::ranges::any_of(block.linears, [](const LinearWeights& linear) { return linear.quantized != nullptr; });
  });
  parts.head = uploader.matrix(weights.head, any_quantized ? MatrixStorage::f16 : MatrixStorage::f32);
  parts.head_bias = uploader.vector(weights.head_bias);
  parts.final_norm = {uploader.vector(weights.final_norm), uploader.vector(weights.final_norm_bias)};
  if (weights.down_hadamard) parts.down_hadamard = parts.backend->upload_hadamard(*weights.down_hadamard);
  if (weights.head_hadamard) parts.head_hadamard = parts.backend->upload_hadamard(*weights.head_hadamard);
  if (!weights.cache.off()) parts.cache_layout = cache_layout(weights.cache, parts.config.kv_heads, parts.config.head_dim);
  for (const BlockWeights& block : weights.blocks) parts.blocks.push_back(uploader.block(block));
  parts.weight_bytes = uploader.bytes();
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
    if (parts_->cache_layout) {
      cache.quantized.push_back(parts_->backend->allocate_cache(*parts_->cache_layout, capacity));
      continue;
    }
    cache.keys.push_back(parts_->backend->allocate(capacity * parts_->key_width() * sizeof(float)));
    cache.values.push_back(parts_->backend->allocate(capacity * parts_->key_width() * sizeof(float)));
  }
  return cache;
}

std::size_t Transformer::cache_bytes_per_token() const {
  const std::size_t row = parts_->cache_layout ? parts_->cache_layout->row_bytes() : parts_->key_width() * sizeof(float);
  return 2 * row * parts_->blocks.size();
}

void Transformer::grow_cache(KvCache& cache, std::size_t capacity) {
  if (capacity <= cache.capacity) return;
  KvCache larger = make_cache(capacity);
  const std::size_t bytes = cache.length * parts_->key_width() * sizeof(float);
  for (std::size_t b = 0; b < parts_->blocks.size() && bytes > 0; ++b) {
    if (parts_->cache_layout) {
      parts_->backend->copy_cache(cache.quantized[b], larger.quantized[b], cache.length);
      continue;
    }
    parts_->backend->copy(cache.keys[b], 0, larger.keys[b], 0, bytes);
    parts_->backend->copy(cache.values[b], 0, larger.values[b], 0, bytes);
  }
  larger.length = cache.length;
  larger.ids = std::move(cache.ids);
  larger.long_rope = cache.long_rope;
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
  const std::size_t length = cache.length + ids.size();
  parts.last_tokens = 0;
  const auto make_room = [&](std::size_t rows) {
    const std::size_t bytes = rows * parts.config.hidden_size * sizeof(float);
    if (parts.last_hidden && parts.last_hidden->bytes() >= bytes) return;
    parts.last_hidden.reset();
    parts.last_hidden = parts.backend->allocate(bytes);
  };
  parts.prepare_rope(length);
  cache.ids.resize(cache.length);
  const bool is_long = rope_is_long(parts.config, length);
  if (cache.length > 0 && is_long != cache.long_rope) {
    // The keys were made under the other set of frequencies.
    make_room(cache.length);
    cache.length = 0;
    parts.run_ids(cache.ids, cache, branch, {});
  }
  cache.long_rope = is_long;
  make_room(ids.size());
  parts.run_ids(ids, cache, branch, observer);
  cache.ids.insert(cache.ids.end(), ids.begin(), ids.end());
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
  parts.embed(ids, 0, hidden);
  return hidden;
}

void Transformer::run_block(std::size_t block, const Buffer& hidden, std::size_t tokens, const SiteObserver& observer) {
  parts_->prepare_rope(tokens);
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
    parts.normalise(parts.final_norm, x, rows, norm);
    device.multiply(head, norm, 0, rows, y);
    if (parts.head_bias) device.add_bias(y, parts.head_bias, rows, vocabulary);
    device.download(y, 0, std::as_writable_bytes(std::span(result.row(row), rows * vocabulary)));
  }
  return result;
}

}  // namespace lrc

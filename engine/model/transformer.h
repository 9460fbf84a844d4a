#pragma once
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "model/weights.h"

namespace lrc {

/// Keys and values of one sequence: (context, kv_heads · head_dim) float32 per block, or quantized.
struct KvCache {
  std::vector<Buffer> keys, values;
  std::vector<DeviceCache> quantized;  ///< per block, instead of keys and values
  std::size_t length = 0;              ///< positions filled; may be set back to keep a beginning
  std::size_t capacity = 0;
  // For models whose rotary frequencies change at a certain length: what the keys were made from.
  std::vector<std::int32_t> ids;
  bool long_rope = false;
};

/// Sees the input of each site (after online rotations, before quantization): x (tokens, width) on the host.
using SiteObserver = std::function<void(const Site& site, const float* x, std::size_t tokens, std::size_t width)>;

/// What a live comparison may change without loading again: the branch off, muted per block, or cut to its first components.
struct BranchControl {
  bool bypass = false;
  std::size_t components = SIZE_MAX;
  std::vector<bool> muted_attention = {}, muted_mlp = {};  ///< by block; empty = none
  bool operator==(const BranchControl&) const = default;
};

/// The forward pass, written once over a Backend; linear layers are float or quantized as the weights say. Weights are
/// uploaded once and immutable; a Transformer is used by one thread at a time (it owns scratch buffers).
class Transformer {
 public:
  Transformer(std::shared_ptr<Backend> backend, const ModelWeights& weights);
  ~Transformer();

  const ModelConfig& config() const;
  Backend& backend();
  std::size_t weight_bytes() const;  ///< on the device

  KvCache make_cache(std::size_t capacity);
  /// What one position takes in a cache: keys and values of all blocks.
  std::size_t cache_bytes_per_token() const;
  /// Makes room for `capacity` positions and keeps those that are filled.
  void grow_cache(KvCache& cache, std::size_t capacity);

  /// Runs ids through all blocks, appending to the cache; the hidden states (ids, hidden) before the final norm stay in an
  /// internal buffer for logits(). Throws Error(bad_input) when the cache is full or an id is out of range.
  void forward(std::span<const std::int32_t> ids, KvCache& cache, const BranchControl& branch = {}, const SiteObserver& observer = {});
  std::size_t last_tokens() const;  ///< rows that the last forward() left
  /// Logits of the rows [first, first + count) of the last forward() call, (count, vocabulary) on the host.
  MatrixF logits(std::size_t first, std::size_t count);

  // Block by block, for calibration: hidden (tokens, hidden) of one sequence starting at position 0, in place.
  Buffer embed(std::span<const std::int32_t> ids);
  void run_block(std::size_t block, const Buffer& hidden, std::size_t tokens, const SiteObserver& observer = {});
  MatrixF logits_of(const Buffer& hidden, std::size_t first, std::size_t count);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lrc

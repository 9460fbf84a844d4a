#pragma once
// The one interface of all compute devices. The forward pass is written once over it (model/transformer.h). Scalar kernels
// are the definition; AVX2, AVX-512 VNNI and Vulkan are claims about it, held by tests/backend (one parity harness).
//
// Buffers are opaque and belong to the backend that made them. Matrices of activations are row-major float32
// (tokens, width). A device may record operations and run them later: only download() and finish() promise completion.
// A backend object is used by one thread at a time; what it uploaded may be shared by several that hold it in turn.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "correction/low_rank_pair.h"
#include "quantization/cache_rows.h"
#include "quantization/quantized_weight.h"
#include "quantization/scheme.h"
#include "rotation/hadamard.h"
#include "tensor/matrix.h"

namespace lrc {

struct DeviceInfo {
  std::string id;    ///< "cpu", "vulkan:0"
  std::string name;  ///< "AMD EPYC", "llvmpipe (LLVM 15.0.6, 256 bits)"
  std::string type;  ///< "cpu", "discrete", "integrated", "virtual", "software"
  std::string driver;
  std::uint64_t memory_bytes = 0;
  std::vector<std::string> features;  ///< instruction sets; Vulkan: "int8-dot", "subgroup 8", "16-bit storage"
  std::string uuid;                   ///< remembered instead of the index
  bool usable = true;
  std::string why_not;
};

class DeviceBuffer {
 public:
  virtual ~DeviceBuffer() = default;
  std::size_t bytes() const { return bytes_; }

 protected:
  explicit DeviceBuffer(std::size_t bytes) : bytes_(bytes) {}
  std::size_t bytes_;
};
using Buffer = std::shared_ptr<DeviceBuffer>;

enum class MatrixStorage { f32, f16 };

/// A float matrix (out, in) on the device.
class DeviceMatrix {
 public:
  virtual ~DeviceMatrix() = default;
  std::size_t out_features = 0, in_features = 0, bytes = 0;
};
/// Packed codes and scales of a QuantizedWeight on the device.
class DeviceQuantizedMatrix {
 public:
  virtual ~DeviceQuantizedMatrix() = default;
  std::size_t out_features = 0, in_features = 0, group_size = 0, bytes = 0;
  int bits = 4;  ///< of the whole numbers that are multiplied (quantization/scheme.h: integer_bits)
};
/// U (out, rank) and Vᵀ (rank, in) on the device, as float16.
class DevicePair {
 public:
  virtual ~DevicePair() = default;
  std::size_t out_features = 0, in_features = 0, rank = 0, bytes = 0;
};
class DeviceHadamard {
 public:
  virtual ~DeviceHadamard() = default;
  std::size_t order = 0;
};

/// Quantized activations: whole numbers int8 (tokens, width) row-major, scales float32 (tokens, groups); value = number · scale in
/// every format.
struct DeviceActivation {
  Buffer codes, scales;
  std::size_t tokens = 0, width = 0, groups = 1;
  ActivationScheme scheme;
};

struct RopeTable {
  std::vector<float> inverse_frequencies;  ///< head_dim / 2, scaling applied
  float attention_factor = 1.0f;           ///< cos and sin are multiplied by it
};

struct AttentionShape {
  std::size_t heads = 0, kv_heads = 0, head_dim = 0;
  std::size_t window = 0;  ///< sliding window; 0 = none
};

/// Quantized keys and values of one block, for `capacity` positions: all rows of keys, then all rows of values, in each of the three
/// buffers. codes (2, capacity, code_bytes), scales (2, capacity, groups) float32, zeros (2, capacity, groups), one byte each.
struct DeviceCache {
  Buffer codes, scales, zeros;
  CacheLayout layout;
  std::size_t capacity = 0;
  std::size_t bytes() const { return 2 * capacity * layout.row_bytes(); }
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const DeviceInfo& info() const = 0;

  // Memory.
  virtual Buffer allocate(std::size_t bytes) = 0;
  virtual void upload(const Buffer& to, std::size_t offset_bytes, std::span<const std::byte> from) = 0;
  virtual void download(const Buffer& from, std::size_t offset_bytes, std::span<std::byte> to) = 0;
  virtual void copy(const Buffer& from, std::size_t from_bytes, const Buffer& to, std::size_t to_bytes, std::size_t bytes) = 0;
  virtual void finish() = 0;
  /// Host address of a buffer, or nullptr where the device's memory is not the host's. Complete (no pending work) on return.
  virtual const float* host_view(const Buffer&) { return nullptr; }
  virtual std::size_t allocated_bytes() const = 0;

  // Parameters.
  virtual std::unique_ptr<DeviceMatrix> upload_matrix(const MatrixF& matrix, MatrixStorage storage = MatrixStorage::f32) = 0;
  virtual std::unique_ptr<DeviceQuantizedMatrix> upload_quantized(const QuantizedWeight& weight) = 0;
  virtual std::unique_ptr<DevicePair> upload_pair(const LowRankPair& pair) = 0;
  virtual std::unique_ptr<DeviceHadamard> upload_hadamard(const HadamardOrder& hadamard) = 0;

  // Operations. tokens ≥ 1.
  /// out (ids, width) = rows of the table.
  virtual void embed(const DeviceMatrix& table, std::span<const std::int32_t> ids, const Buffer& out) = 0;
  /// out = x / sqrt(mean(x²) + epsilon) · gain, per token. gain (width) float32. out may be x.
  virtual void rms_norm(const Buffer& x, const Buffer& gain, float epsilon, std::size_t tokens, std::size_t width, const Buffer& out) = 0;
  /// out = (x − mean) / sqrt(variance + epsilon) · gain + bias, per token. gain, bias (width) float32.
  virtual void layer_norm(const Buffer& x, const Buffer& gain, const Buffer& bias, float epsilon, std::size_t tokens, std::size_t width,
                          const Buffer& out) = 0;
  /// x += y over `count` floats.
  virtual void add(const Buffer& x, const Buffer& y, std::size_t count) = 0;
  /// out = silu(gate) · up over `count` floats.
  virtual void silu_multiply(const Buffer& gate, const Buffer& up, std::size_t count, const Buffer& out) = 0;
  /// x = max(x, 0) over `count` floats.
  virtual void relu(const Buffer& x, std::size_t count) = 0;
  /// Each row of x (tokens, width) += bias (width).
  virtual void add_bias(const Buffer& x, const Buffer& bias, std::size_t tokens, std::size_t width) = 0;
  /// out (tokens, count) = columns [first, first + count) of x (tokens, width).
  virtual void take_columns(const Buffer& x, std::size_t tokens, std::size_t width, std::size_t first, std::size_t count,
                            const Buffer& out) = 0;
  /// out (rows, width) = the named rows of x (·, width).
  virtual void take_rows(const Buffer& x, std::span<const std::uint32_t> rows, std::size_t width, const Buffer& out) = 0;
  /// Row rows[i] of to (·, width) += weights[i] · row i of x. No row is named twice.
  virtual void add_rows(const Buffer& x, std::span<const std::uint32_t> rows, std::span<const float> weights, std::size_t width,
                        const Buffer& to) = 0;
  /// y (tokens, out) = x (tokens, in) Wᵀ. Rows of x start at `first_token`.
  virtual void multiply(const DeviceMatrix& weight, const Buffer& x, std::size_t first_token, std::size_t tokens, const Buffer& y) = 0;
  /// The one activation quantizer (quantization/activation.h). `out` is filled; its buffers are made or reused. Formats other than
  /// symmetric integers are made on the host by their definition.
  virtual void quantize(const Buffer& x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme, DeviceActivation& out) = 0;
  /// out (tokens, width) = what the codes stand for: the input of a correction on the quantized activation.
  virtual void dequantize(const DeviceActivation& x, const Buffer& out) = 0;
  /// y (tokens, out) = Ŵ · dequantized activations: exact integer dots per group, then scales.
  virtual void multiply_quantized(const DeviceQuantizedMatrix& weight, const DeviceActivation& x, const Buffer& y) = 0;
  /// The same on float activations (16-bit activations: the quantizer is off).
  virtual void multiply_quantized_float(const DeviceQuantizedMatrix& weight, const Buffer& x, std::size_t tokens, const Buffer& y) = 0;
  /// y += U (Vᵀ x), using the first `components` of the pair's components (all when ≥ rank).
  virtual void add_low_rank(const DevicePair& pair, const Buffer& x, std::size_t tokens, const Buffer& y, std::size_t components) = 0;
  /// x ← x H / √n per row, in place.
  virtual void hadamard(const DeviceHadamard& hadamard, const Buffer& x, std::size_t tokens) = 0;
  /// Rotary embedding, half-split layout, in place on x (tokens, heads · head_dim); positions first_position + t.
  virtual void rope(const Buffer& x, std::size_t tokens, std::size_t heads, std::size_t head_dim, std::size_t first_position,
                    const RopeTable& table) = 0;
  /// Causal attention. q (tokens, heads · head_dim); the caches are (context, kv_heads · head_dim) float32 and already hold
  /// the rows of positions < first_position + tokens. out as q. Scores scaled by 1/√head_dim.
  virtual void attention(const Buffer& q, const Buffer& k_cache, const Buffer& v_cache, std::size_t first_position, std::size_t tokens,
                         const AttentionShape& shape, const Buffer& out) = 0;
  /// Rows [first_position, first_position + tokens) of the cache become the codes of keys and values (tokens, kv_heads · head_dim),
  /// bit for bit those of quantization/cache_rows.h.
  virtual void store_quantized(const Buffer& keys, const Buffer& values, std::size_t tokens, const DeviceCache& cache,
                               std::size_t first_position) = 0;
  /// attention() over what the codes of the cache stand for.
  virtual void attention_quantized(const Buffer& q, const DeviceCache& cache, std::size_t first_position, std::size_t tokens,
                                   const AttentionShape& shape, const Buffer& out) = 0;

  DeviceCache allocate_cache(const CacheLayout& layout, std::size_t capacity);
  /// The first `rows` keys and values of one cache into another of the same layout.
  void copy_cache(const DeviceCache& from, const DeviceCache& to, std::size_t rows);
};

enum class InstructionSet { automatic, scalar, avx2, avx512_vnni };
bool cpu_has(InstructionSet set);
std::shared_ptr<Backend> make_cpu_backend(InstructionSet set = InstructionSet::automatic);

/// Defined by engine/vulkan, or by backend/no_vulkan.cpp in a build without it.
std::vector<DeviceInfo> list_vulkan_devices();
/// Throws Error(device) with the reason. Index as in list_vulkan_devices().
std::shared_ptr<Backend> make_vulkan_backend(std::size_t index);

/// The CPU first, then Vulkan devices (discrete first in preference, indices as the loader numbers them).
std::vector<DeviceInfo> list_devices();
/// "cpu", "cpu:scalar", "cpu:avx2", "cpu:avx512", "vulkan" (the best usable), "vulkan:INDEX". Throws Error(device or bad_input).
std::shared_ptr<Backend> make_backend(const std::string& id);

}  // namespace lrc

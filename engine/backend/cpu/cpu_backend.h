#pragma once
// The CPU behind the Backend interface. It cuts operations into fixed parts for parallel_for and calls one kernel table.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/memory.h"
#include "backend/cpu/packing.h"
#include "base/error.h"
#include "base/parallel.h"

namespace lrc::cpu {

/// parallel_for without the allocation that a std::function of a large lambda makes.
template <typename Body>
void for_parts(std::size_t count, std::size_t grain, Body&& body) {
  parallel_for(count, grain, std::ref(body));
}

/// The CPU's own object behind an interface. Throws Error(device) when it is another backend's.
template <typename Own, typename Base>
const Own& own(const Base& object) {
  const auto* found = dynamic_cast<const Own*>(&object);
  if (!found) throw Error(ErrorKind::device, "A parameter of another device was given to the CPU; this is a fault of the program.");
  return *found;
}

class CpuMatrix : public DeviceMatrix {
 public:
  CpuMatrix(const MatrixF& matrix, MatrixStorage storage, Arena& arena, const Meter& meter);
  const float* f32() const { return f32_.get(); }
  const std::uint16_t* f16() const { return f16_.get(); }

 private:
  std::shared_ptr<float> f32_;
  std::shared_ptr<std::uint16_t> f16_;
  Metered metered_;
};

/// Vᵀ (rank, in) as float16, row-major; U as panels of 64 rows of U: (panel, rank, 64), zero beyond the last row.
class CpuPair : public DevicePair {
 public:
  CpuPair(const LowRankPair& pair, Arena& arena, const Meter& meter);
  const std::uint16_t* v() const { return v_.get(); }
  const std::uint16_t* u_panel(std::size_t panel) const { return u_.get() + panel * rank * kPairPanel; }
  std::size_t panels() const { return (out_features + kPairPanel - 1) / kPairPanel; }

 private:
  std::shared_ptr<std::uint16_t> v_, u_;
  Metered metered_;
};

class CpuHadamard : public DeviceHadamard {
 public:
  explicit CpuHadamard(const HadamardOrder& hadamard);
  std::size_t base_order, power_of_two;
  std::vector<float> base;
};

/// y (tokens, out) = x (tokens, in) wᵀ (+ y) by single-threaded BLAS over fixed tiles. w is (out, in), or (in, out) when
/// `transposed`; strides in floats.
struct FloatProduct {
  const float* x = nullptr;
  std::size_t x_stride = 0;
  const float* w = nullptr;
  std::size_t w_stride = 0;
  bool transposed = false, accumulate = false;
  float* y = nullptr;
  std::size_t y_stride = 0;
  std::size_t tokens = 0, out = 0, in = 0;
};
void multiply_tiled(const FloatProduct& product);
/// The same in the calling thread, untiled.
void multiply_here(const FloatProduct& product);
/// BLAS keeps to one thread; parallelism is parallel_for's.
void limit_blas_threads();

/// A quantized cache on the host: keys, and from row `capacity` on values.
struct CacheRows {
  CacheLayout layout;
  std::size_t capacity = 0;
  std::uint8_t* codes = nullptr;
  float* scales = nullptr;
  std::uint8_t* zeros = nullptr;
  /// Rows [first, first + rows) of one head, of the keys or of the values.
  CacheTile tile(std::size_t first, std::size_t rows, std::size_t kv_head, std::size_t head_dim, bool values) const;
};

/// Operands of an attention call on the host: k and v, or `cache`.
struct AttentionJob {
  const float *q = nullptr, *k = nullptr, *v = nullptr;
  const CacheRows* cache = nullptr;
  float* out;
  std::size_t first_position, tokens;
  AttentionShape shape;
};
void attend_all(const Kernels& kernels, const AttentionJob& job);

class CpuBackend : public Backend {
 public:
  CpuBackend(const Kernels& kernels, DeviceInfo info);

  const DeviceInfo& info() const override { return info_; }
  Buffer allocate(std::size_t bytes) override;
  void upload(const Buffer& to, std::size_t offset_bytes, std::span<const std::byte> from) override;
  void download(const Buffer& from, std::size_t offset_bytes, std::span<std::byte> to) override;
  void copy(const Buffer& from, std::size_t from_bytes, const Buffer& to, std::size_t to_bytes, std::size_t bytes) override;
  void finish() override {}
  const float* host_view(const Buffer& buffer) override;
  std::size_t allocated_bytes() const override { return meter_->load(); }

  std::unique_ptr<DeviceMatrix> upload_matrix(const MatrixF& matrix, MatrixStorage storage) override;
  std::unique_ptr<DeviceQuantizedMatrix> upload_quantized(const QuantizedWeight& weight) override;
  std::unique_ptr<DevicePair> upload_pair(const LowRankPair& pair) override;
  std::unique_ptr<DeviceHadamard> upload_hadamard(const HadamardOrder& hadamard) override;

  void embed(const DeviceMatrix& table, std::span<const std::int32_t> ids, const Buffer& out) override;
  void rms_norm(const Buffer& x, const Buffer& gain, float epsilon, std::size_t tokens, std::size_t width, const Buffer& out) override;
  void layer_norm(const Buffer& x, const Buffer& gain, const Buffer& bias, float epsilon, std::size_t tokens, std::size_t width,
                  const Buffer& out) override;
  void add(const Buffer& x, const Buffer& y, std::size_t count) override;
  void relu(const Buffer& x, std::size_t count) override;
  void add_bias(const Buffer& x, const Buffer& bias, std::size_t tokens, std::size_t width) override;
  void take_columns(const Buffer& x, std::size_t tokens, std::size_t width, std::size_t first, std::size_t count,
                    const Buffer& out) override;
  void take_rows(const Buffer& x, std::span<const std::uint32_t> rows, std::size_t width, const Buffer& out) override;
  void add_rows(const Buffer& x, std::span<const std::uint32_t> rows, std::span<const float> weights, std::size_t width,
                const Buffer& to) override;
  void silu_multiply(const Buffer& gate, const Buffer& up, std::size_t count, const Buffer& out) override;
  void multiply(const DeviceMatrix& weight, const Buffer& x, std::size_t first_token, std::size_t tokens, const Buffer& y) override;
  void quantize(const Buffer& x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme, DeviceActivation& out) override;
  void dequantize(const DeviceActivation& x, const Buffer& out) override;
  void multiply_quantized(const DeviceQuantizedMatrix& weight, const DeviceActivation& x, const Buffer& y) override;
  void multiply_quantized_float(const DeviceQuantizedMatrix& weight, const Buffer& x, std::size_t tokens, const Buffer& y) override;
  void add_low_rank(const DevicePair& pair, const Buffer& x, std::size_t tokens, const Buffer& y, std::size_t components) override;
  void hadamard(const DeviceHadamard& hadamard, const Buffer& x, std::size_t tokens) override;
  void rope(const Buffer& x, std::size_t tokens, std::size_t heads, std::size_t head_dim, std::size_t first_position,
            const RopeTable& table) override;
  void attention(const Buffer& q, const Buffer& k_cache, const Buffer& v_cache, std::size_t first_position, std::size_t tokens,
                 const AttentionShape& shape, const Buffer& out) override;
  void store_quantized(const Buffer& keys, const Buffer& values, std::size_t tokens, const DeviceCache& cache,
                       std::size_t first_position) override;
  void attention_quantized(const Buffer& q, const DeviceCache& cache, std::size_t first_position, std::size_t tokens,
                           const AttentionShape& shape, const Buffer& out) override;

 private:
  bool by_blas(std::size_t tokens) const { return kernels_.packed && tokens > kVectorTokens; }

  const Kernels& kernels_;
  DeviceInfo info_;
  Arena arena_;
  Meter meter_ = std::make_shared<std::atomic<std::size_t>>(0);

  // Kept between calls so that a step of decoding allocates nothing.
  std::vector<Segment> segments_;
  Aligned packed_, offsets_, tile_scales_, widened_, components_;
  std::vector<float> rope_frequencies_;
  float rope_factor_ = 0;
  std::size_t rope_positions_ = 0;
  std::vector<float> rope_cosines_, rope_sines_;
};

}  // namespace lrc::cpu

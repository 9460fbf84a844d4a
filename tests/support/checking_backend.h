#pragma once
// A device under watch: whatever runs on it is run on the scalar definition too, on the very numbers that the device had, and
// the results are compared: codes and scales of activations bit for bit, everything else within the bounds of its operands.
// Since each operation begins with equal inputs on both sides, nothing flips and nothing adds up: the claim is as tight in the
// last block as in the first, and a wrong kernel shows at the operation that was wrong.
#include <map>
#include <memory>

#include "backend/backend.h"
#include "support/operator_bounds.h"

namespace lrc::test {

class CheckingBackend : public Backend {
 public:
  explicit CheckingBackend(std::shared_ptr<Backend> device);

  /// How often each operation was compared.
  const std::map<std::string, std::size_t>& compared() const { return compared_; }

  const DeviceInfo& info() const override { return device_->info(); }
  Buffer allocate(std::size_t bytes) override { return device_->allocate(bytes); }
  void upload(const Buffer& to, std::size_t offset, std::span<const std::byte> from) override { device_->upload(to, offset, from); }
  void download(const Buffer& from, std::size_t offset, std::span<std::byte> to) override { device_->download(from, offset, to); }
  void copy(const Buffer& from, std::size_t from_bytes, const Buffer& to, std::size_t to_bytes, std::size_t bytes) override {
    device_->copy(from, from_bytes, to, to_bytes, bytes);
  }
  void finish() override { device_->finish(); }
  std::size_t allocated_bytes() const override { return device_->allocated_bytes(); }
  std::unique_ptr<DeviceMatrix> upload_matrix(const MatrixF& matrix, MatrixStorage storage) override;
  std::unique_ptr<DeviceQuantizedMatrix> upload_quantized(const QuantizedWeight& weight) override;
  std::unique_ptr<DevicePair> upload_pair(const LowRankPair& pair) override;
  std::unique_ptr<DeviceHadamard> upload_hadamard(const HadamardOrder& hadamard) override;
  void embed(const DeviceMatrix& table, std::span<const std::int32_t> ids, const Buffer& out) override;
  void rms_norm(const Buffer& x, const Buffer& gain, float epsilon, std::size_t tokens, std::size_t width, const Buffer& out) override;
  void layer_norm(const Buffer& x, const Buffer& gain, const Buffer& bias, float epsilon, std::size_t tokens, std::size_t width,
                  const Buffer& out) override;
  void relu(const Buffer& x, std::size_t count) override;
  void add_bias(const Buffer& x, const Buffer& bias, std::size_t tokens, std::size_t width) override;
  void take_columns(const Buffer& x, std::size_t tokens, std::size_t width, std::size_t first, std::size_t count,
                    const Buffer& out) override;
  void take_rows(const Buffer& x, std::span<const std::uint32_t> rows, std::size_t width, const Buffer& out) override;
  void add_rows(const Buffer& x, std::span<const std::uint32_t> rows, std::span<const float> weights, std::size_t width,
                const Buffer& to) override;
  void add(const Buffer& x, const Buffer& y, std::size_t count) override;
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
  /// `result` and what the definition gives, as floats of `count`.
  void compare(const std::string& operation, const Buffer& result, const Buffer& expected, std::size_t count, const Bounds& bounds);
  std::vector<float> floats(const Buffer& buffer, std::size_t count);  ///< of the device
  Buffer twin(const Buffer& buffer, std::size_t count);                ///< the same numbers on the scalar backend
  std::shared_ptr<Backend> device_, scalar_;
  std::map<std::string, std::size_t> compared_;
};

}  // namespace lrc::test

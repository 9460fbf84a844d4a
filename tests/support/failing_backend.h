#pragma once
// A device that stops working: computes as the backend behind it does, until the n-th operation after arm(n), and never again.
#include <memory>

#include "backend/backend.h"
#include "base/error.h"

namespace lrc::test {

class FailingBackend : public Backend {
 public:
  explicit FailingBackend(std::shared_ptr<Backend> inner, ErrorKind kind = ErrorKind::device_lost)
      : inner_(std::move(inner)), kind_(kind) {}
  /// The n-th call from now fails, n ≥ 1, and all after it.
  void arm(std::size_t calls) { left_ = calls; }
  bool lost() const { return left_ == 0; }

  const DeviceInfo& info() const override { return inner_->info(); }
  Buffer allocate(std::size_t bytes) override { return alive().allocate(bytes); }
  void upload(const Buffer& to, std::size_t offset, std::span<const std::byte> from) override { alive().upload(to, offset, from); }
  void download(const Buffer& from, std::size_t offset, std::span<std::byte> to) override { alive().download(from, offset, to); }
  void copy(const Buffer& from, std::size_t from_bytes, const Buffer& to, std::size_t to_bytes, std::size_t bytes) override {
    alive().copy(from, from_bytes, to, to_bytes, bytes);
  }
  void finish() override { alive().finish(); }
  std::size_t allocated_bytes() const override { return inner_->allocated_bytes(); }
  std::unique_ptr<DeviceMatrix> upload_matrix(const MatrixF& matrix, MatrixStorage storage) override {
    return alive().upload_matrix(matrix, storage);
  }
  std::unique_ptr<DeviceQuantizedMatrix> upload_quantized(const QuantizedWeight& weight) override {
    return alive().upload_quantized(weight);
  }
  std::unique_ptr<DevicePair> upload_pair(const LowRankPair& pair) override { return alive().upload_pair(pair); }
  std::unique_ptr<DeviceHadamard> upload_hadamard(const HadamardOrder& hadamard) override { return alive().upload_hadamard(hadamard); }
  void embed(const DeviceMatrix& table, std::span<const std::int32_t> ids, const Buffer& out) override { alive().embed(table, ids, out); }
  void rms_norm(const Buffer& x, const Buffer& gain, float epsilon, std::size_t tokens, std::size_t width, const Buffer& out) override {
    alive().rms_norm(x, gain, epsilon, tokens, width, out);
  }
  void layer_norm(const Buffer& x, const Buffer& gain, const Buffer& bias, float epsilon, std::size_t tokens, std::size_t width,
                  const Buffer& out) override {
    alive().layer_norm(x, gain, bias, epsilon, tokens, width, out);
  }
  void relu(const Buffer& x, std::size_t count) override { alive().relu(x, count); }
  void add_bias(const Buffer& x, const Buffer& bias, std::size_t tokens, std::size_t width) override {
    alive().add_bias(x, bias, tokens, width);
  }
  void take_columns(const Buffer& x, std::size_t tokens, std::size_t width, std::size_t first, std::size_t count,
                    const Buffer& out) override {
    alive().take_columns(x, tokens, width, first, count, out);
  }
  void take_rows(const Buffer& x, std::span<const std::uint32_t> rows, std::size_t width, const Buffer& out) override {
    alive().take_rows(x, rows, width, out);
  }
  void add_rows(const Buffer& x, std::span<const std::uint32_t> rows, std::span<const float> weights, std::size_t width,
                const Buffer& to) override {
    alive().add_rows(x, rows, weights, width, to);
  }
  void add(const Buffer& x, const Buffer& y, std::size_t count) override { alive().add(x, y, count); }
  void silu_multiply(const Buffer& gate, const Buffer& up, std::size_t count, const Buffer& out) override {
    alive().silu_multiply(gate, up, count, out);
  }
  void multiply(const DeviceMatrix& weight, const Buffer& x, std::size_t first_token, std::size_t tokens, const Buffer& y) override {
    alive().multiply(weight, x, first_token, tokens, y);
  }
  void quantize(const Buffer& x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme, DeviceActivation& out) override {
    alive().quantize(x, tokens, width, scheme, out);
  }
  void dequantize(const DeviceActivation& x, const Buffer& out) override { alive().dequantize(x, out); }
  void multiply_quantized(const DeviceQuantizedMatrix& weight, const DeviceActivation& x, const Buffer& y) override {
    alive().multiply_quantized(weight, x, y);
  }
  void multiply_quantized_float(const DeviceQuantizedMatrix& weight, const Buffer& x, std::size_t tokens, const Buffer& y) override {
    alive().multiply_quantized_float(weight, x, tokens, y);
  }
  void add_low_rank(const DevicePair& pair, const Buffer& x, std::size_t tokens, const Buffer& y, std::size_t components) override {
    alive().add_low_rank(pair, x, tokens, y, components);
  }
  void hadamard(const DeviceHadamard& hadamard, const Buffer& x, std::size_t tokens) override { alive().hadamard(hadamard, x, tokens); }
  void rope(const Buffer& x, std::size_t tokens, std::size_t heads, std::size_t head_dim, std::size_t first_position,
            const RopeTable& table) override {
    alive().rope(x, tokens, heads, head_dim, first_position, table);
  }
  void attention(const Buffer& q, const Buffer& k_cache, const Buffer& v_cache, std::size_t first_position, std::size_t tokens,
                 const AttentionShape& shape, const Buffer& out) override {
    alive().attention(q, k_cache, v_cache, first_position, tokens, shape, out);
  }
  void store_quantized(const Buffer& keys, const Buffer& values, std::size_t tokens, const DeviceCache& cache,
                       std::size_t first_position) override {
    alive().store_quantized(keys, values, tokens, cache, first_position);
  }
  void attention_quantized(const Buffer& q, const DeviceCache& cache, std::size_t first_position, std::size_t tokens,
                           const AttentionShape& shape, const Buffer& out) override {
    alive().attention_quantized(q, cache, first_position, tokens, shape, out);
  }

 private:
  Backend& alive() {
    if (left_ <= 1) {
      left_ = 0;
      throw Error(kind_, "The test's device stopped working.");
    }
    --left_;
    return *inner_;
  }
  std::shared_ptr<Backend> inner_;
  ErrorKind kind_;
  std::size_t left_ = SIZE_MAX;
};

}  // namespace lrc::test

#pragma once
// The weights of a model on a device, as the forward pass uses them.
#include <array>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "model/weights.h"

namespace lrc {

struct DeviceLinear {
  std::size_t out_features = 0, in_features = 0;
  std::unique_ptr<DeviceMatrix> matrix;  // either this
  std::unique_ptr<DeviceQuantizedMatrix> quantized;
  std::unique_ptr<DeviceQuantizedMatrix> quantized_high;  // of the high columns; `quantized` then has the others
  HighColumns high;
  std::unique_ptr<DevicePair> pair;  // beside `quantized`; none at rank 0
  ActivationScheme activation;
  PairInput pair_input = PairInput::unquantized;
  Buffer bias;  // null when there is none
};

struct DeviceNorm {
  Buffer gain, bias;  // bias: of a layer norm
};

struct DeviceExpert {
  DeviceLinear gate, up, down;
};

struct DeviceBlock {
  DeviceNorm attention_norm, mlp_norm;
  Buffer query_norm, key_norm;  // null when there is none
  std::size_t window = 0;
  std::vector<DeviceExpert> experts;
  /// Null when the block has no such layer.
  const DeviceLinear* find(Role role) const { return present[std::size_t(role)] ? &linears[std::size_t(role)] : nullptr; }
  const DeviceLinear& linear(Role role) const { return linears[std::size_t(role)]; }

  std::array<DeviceLinear, role_count> linears;  // by Role; those of experts are in `experts`
  std::array<bool, role_count> present{};
};

/// Puts weights on a device and counts their bytes.
class Uploader {
 public:
  explicit Uploader(Backend& backend) : backend_(backend) {}
  std::size_t bytes() const { return bytes_; }

  /// Null for an empty vector.
  Buffer vector(const std::vector<float>& values);
  /// Null for an empty matrix.
  std::unique_ptr<DeviceMatrix> matrix(const MatrixF& matrix, MatrixStorage storage = MatrixStorage::f32);
  /// Throws Error(bad_input) naming the layer when weight, pair or bias do not have its shape.
  DeviceLinear linear(const LinearWeights& linear);
  DeviceBlock block(const BlockWeights& weights);

 private:
  Backend& backend_;
  std::size_t bytes_ = 0;
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

}  // namespace lrc

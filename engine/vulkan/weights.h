#pragma once
// Weights as the shaders read them, and how they get onto the device.
#include <cstdint>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "vulkan/transfer.h"

namespace lrc::vulkan {

struct Matrix : DeviceMatrix {
  struct Part {
    std::shared_ptr<GpuBuffer> buffer;
    std::uint32_t first_row, rows;
  };
  std::vector<Part> parts;
  bool half = false;
  std::uint32_t row_words = 0;
};

struct QuantizedMatrix : DeviceQuantizedMatrix {
  std::shared_ptr<GpuBuffer> packed;         // nibbles, or null
  mutable std::shared_ptr<GpuBuffer> codes;  // one byte each; beside `packed` only when an unusual activation group asked for it
  std::shared_ptr<GpuBuffer> scales;         // float32
  std::uint32_t row_words = 0, groups = 1;
};

struct Pair : DevicePair {
  std::unique_ptr<Matrix> v, u;  // (rank, in) and (out, rank)
};

struct Hadamard : DeviceHadamard {
  std::uint32_t base_order = 1, inner = 1;
  std::shared_ptr<GpuBuffer> base;
};

std::unique_ptr<Matrix> upload_matrix(Transfer& transfer, const MatrixF& matrix, MatrixStorage storage);
std::unique_ptr<QuantizedMatrix> upload_quantized(Transfer& transfer, const QuantizedWeight& weight);
std::unique_ptr<Pair> upload_pair(Transfer& transfer, const LowRankPair& pair);
std::unique_ptr<Hadamard> upload_hadamard(Transfer& transfer, const HadamardOrder& hadamard);

/// Makes `codes` from `packed`, for activation groups that cut through words; once.
void unpack(Transfer& transfer, const QuantizedMatrix& matrix);

}  // namespace lrc::vulkan

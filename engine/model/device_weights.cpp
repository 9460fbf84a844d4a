#include "model/device_weights.h"

#include <algorithm>

#include "base/error.h"
#include "quantization/column_parts.h"

namespace lrc {

Buffer Uploader::vector(const std::vector<float>& values) {
  if (values.empty()) return nullptr;
  Buffer buffer = backend_.allocate(values.size() * sizeof(float));
  backend_.upload(buffer, 0, std::as_bytes(std::span(values)));
  bytes_ += buffer->bytes();
  return buffer;
}

std::unique_ptr<DeviceMatrix> Uploader::matrix(const MatrixF& matrix, MatrixStorage storage) {
  if (matrix.empty()) return nullptr;
  auto result = backend_.upload_matrix(matrix, storage);
  bytes_ += result->bytes;
  return result;
}

DeviceLinear Uploader::linear(const LinearWeights& linear) {
  DeviceLinear result;
  result.out_features = linear.info.out_features;
  result.in_features = linear.info.in_features;
  if (!linear.bias.empty() && linear.bias.size() != result.out_features)
    throw Error(ErrorKind::bad_input, "The bias of " + linear.info.name + " does not have the shape of that layer.");
  result.bias = vector(linear.bias);
  if (linear.quantized) {
    if (linear.quantized->out_features != result.out_features || linear.quantized->in_features != result.in_features) {
      throw Error(ErrorKind::bad_input, "The quantized weight of " + linear.info.name + " does not have the shape of that layer.");
    }
    if (linear.quantized->scheme.high.any()) {
      const WeightParts parts = take_apart(*linear.quantized);
      result.quantized = backend_.upload_quantized(parts.low);
      result.quantized_high = backend_.upload_quantized(parts.high);
      result.high = linear.quantized->scheme.high;
      bytes_ += result.quantized_high->bytes;
    } else {
      result.quantized = backend_.upload_quantized(*linear.quantized);
    }
    result.activation = linear.activation;
    result.pair_input = linear.pair_input;
    bytes_ += result.quantized->bytes;
    if (!linear.pair.empty()) {
      if (linear.pair.u.rows() != result.out_features || linear.pair.v.rows() != result.in_features ||
          linear.pair.v.columns() != linear.pair.rank()) {
        throw Error(ErrorKind::bad_input, "The low-rank pair of " + linear.info.name + " does not have the shape of that layer.");
      }
      result.pair = backend_.upload_pair(linear.pair);
      bytes_ += result.pair->bytes;
    }
  } else {
    if (linear.weight.rows() != result.out_features || linear.weight.columns() != result.in_features) {
      throw Error(ErrorKind::bad_input, "There is no weight for " + linear.info.name + " of " + std::to_string(result.out_features) +
                                            " x " + std::to_string(result.in_features) + ".");
    }
    result.matrix = matrix(linear.weight);
  }
  return result;
}

DeviceBlock Uploader::block(const BlockWeights& weights) {
  DeviceBlock block;
  block.attention_norm = {vector(weights.attention_norm), vector(weights.attention_norm_bias)};
  block.mlp_norm = {vector(weights.mlp_norm), vector(weights.mlp_norm_bias)};
  block.query_norm = vector(weights.query_norm);
  block.key_norm = vector(weights.key_norm);
  block.window = weights.window;
  for (const LinearWeights& from : weights.linears) {
    if (!of_an_expert(from.info.role)) {
      block.linears[std::size_t(from.info.role)] = linear(from);
      block.present[std::size_t(from.info.role)] = true;
      continue;
    }
    block.experts.resize(std::max(block.experts.size(), from.info.expert + 1));
    DeviceExpert& expert = block.experts[from.info.expert];
    (from.info.role == Role::expert_gate ? expert.gate : from.info.role == Role::expert_up ? expert.up : expert.down) = linear(from);
  }
  return block;
}

}  // namespace lrc

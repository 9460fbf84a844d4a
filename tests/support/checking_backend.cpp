#include "support/checking_backend.h"

#include <algorithm>

#include "support/cache_parts.h"
#include "support/comparison.h"

namespace lrc::test {
namespace {

/// A parameter on both sides and, for its bounds, on the host.
template <typename Uploaded, typename Host>
struct Twin : Uploaded {
  Twin(std::unique_ptr<Uploaded> on_device, std::unique_ptr<Uploaded> on_scalar, const Host& from)
      : Uploaded(*on_device), device(std::move(on_device)), scalar(std::move(on_scalar)), host(from) {}
  std::unique_ptr<Uploaded> device, scalar;
  Host host;
};
using TwinMatrix = Twin<DeviceMatrix, MatrixF>;
using TwinQuantized = Twin<DeviceQuantizedMatrix, QuantizedWeight>;
using TwinPair = Twin<DevicePair, LowRankPair>;
using TwinHadamard = Twin<DeviceHadamard, HadamardOrder>;

}  // namespace

CheckingBackend::CheckingBackend(std::shared_ptr<Backend> device)
    : device_(std::move(device)), scalar_(make_cpu_backend(InstructionSet::scalar)) {}

std::vector<float> CheckingBackend::floats(const Buffer& buffer, std::size_t count) {
  return test::download<float>(*device_, buffer, count);
}

Buffer CheckingBackend::twin(const Buffer& buffer, std::size_t count) { return test::upload(*scalar_, floats(buffer, count)); }

void CheckingBackend::compare(const std::string& operation, const Buffer& result, const Buffer& expected, std::size_t count,
                              const Bounds& bounds) {
  const std::size_t number = ++compared_[operation];
  expect_within(floats(result, count), test::download<float>(*scalar_, expected, count), bounds,
                operation + ", call " + std::to_string(number));
}

std::unique_ptr<DeviceMatrix> CheckingBackend::upload_matrix(const MatrixF& matrix, MatrixStorage storage) {
  return std::make_unique<TwinMatrix>(device_->upload_matrix(matrix, storage), scalar_->upload_matrix(matrix, storage), matrix);
}

std::unique_ptr<DeviceQuantizedMatrix> CheckingBackend::upload_quantized(const QuantizedWeight& weight) {
  return std::make_unique<TwinQuantized>(device_->upload_quantized(weight), scalar_->upload_quantized(weight), weight);
}

std::unique_ptr<DevicePair> CheckingBackend::upload_pair(const LowRankPair& pair) {
  return std::make_unique<TwinPair>(device_->upload_pair(pair), scalar_->upload_pair(pair), pair);
}

std::unique_ptr<DeviceHadamard> CheckingBackend::upload_hadamard(const HadamardOrder& hadamard) {
  return std::make_unique<TwinHadamard>(device_->upload_hadamard(hadamard), scalar_->upload_hadamard(hadamard), hadamard);
}

void CheckingBackend::embed(const DeviceMatrix& table, std::span<const std::int32_t> ids, const Buffer& out) {
  const auto& both = dynamic_cast<const TwinMatrix&>(table);
  const std::size_t count = ids.size() * table.in_features;
  const Buffer expected = unwritten(*scalar_, count);
  device_->embed(*both.device, ids, out);
  scalar_->embed(*both.scalar, ids, expected);
  compare("embed", out, expected, count, Bounds(count, 0.0));
}

void CheckingBackend::rms_norm(const Buffer& x, const Buffer& gain, float epsilon, std::size_t tokens, std::size_t width,
                               const Buffer& out) {
  const Buffer expected = unwritten(*scalar_, tokens * width);
  scalar_->rms_norm(twin(x, tokens * width), twin(gain, width), epsilon, tokens, width, expected);
  device_->rms_norm(x, gain, epsilon, tokens, width, out);
  compare("rms_norm", out, expected, tokens * width, rms_norm_bounds(test::download<float>(*scalar_, expected, tokens * width), width));
}

void CheckingBackend::layer_norm(const Buffer& x, const Buffer& gain, const Buffer& bias, float epsilon, std::size_t tokens,
                                 std::size_t width, const Buffer& out) {
  const std::size_t count = tokens * width;
  const Buffer expected = unwritten(*scalar_, count);
  const Bounds bounds = layer_norm_bounds(floats(x, count), floats(gain, width), floats(bias, width), epsilon);
  scalar_->layer_norm(twin(x, count), twin(gain, width), twin(bias, width), epsilon, tokens, width, expected);
  device_->layer_norm(x, gain, bias, epsilon, tokens, width, out);
  compare("layer_norm", out, expected, count, bounds);
}

void CheckingBackend::relu(const Buffer& x, std::size_t count) {
  const Buffer expected = twin(x, count);
  scalar_->relu(expected, count);
  device_->relu(x, count);
  compare("relu", x, expected, count, Bounds(count, 0.0));
}

void CheckingBackend::add_bias(const Buffer& x, const Buffer& bias, std::size_t tokens, std::size_t width) {
  const Buffer expected = twin(x, tokens * width);
  scalar_->add_bias(expected, twin(bias, width), tokens, width);
  device_->add_bias(x, bias, tokens, width);
  compare("add_bias", x, expected, tokens * width, Bounds(tokens * width, 0.0));
}

void CheckingBackend::take_columns(const Buffer& x, std::size_t tokens, std::size_t width, std::size_t first, std::size_t count,
                                   const Buffer& out) {
  const Buffer expected = unwritten(*scalar_, tokens * count);
  scalar_->take_columns(twin(x, tokens * width), tokens, width, first, count, expected);
  device_->take_columns(x, tokens, width, first, count, out);
  compare("take_columns", out, expected, tokens * count, Bounds(tokens * count, 0.0));
}

void CheckingBackend::take_rows(const Buffer& x, std::span<const std::uint32_t> rows, std::size_t width, const Buffer& out) {
  const std::size_t count = rows.size() * width;
  if (count == 0) return device_->take_rows(x, rows, width, out);
  const Buffer expected = unwritten(*scalar_, count);
  scalar_->take_rows(twin(x, (*std::ranges::max_element(rows) + std::size_t(1)) * width), rows, width, expected);
  device_->take_rows(x, rows, width, out);
  compare("take_rows", out, expected, count, Bounds(count, 0.0));
}

void CheckingBackend::add_rows(const Buffer& x, std::span<const std::uint32_t> rows, std::span<const float> weights, std::size_t width,
                               const Buffer& to) {
  if (rows.empty()) return device_->add_rows(x, rows, weights, width, to);
  const std::size_t count = (*std::ranges::max_element(rows) + std::size_t(1)) * width;
  const Buffer expected = twin(to, count);
  const Bounds bounds = add_rows_bounds(floats(x, rows.size() * width), rows, weights, width, floats(to, count));
  scalar_->add_rows(twin(x, rows.size() * width), rows, weights, width, expected);
  device_->add_rows(x, rows, weights, width, to);
  compare("add_rows", to, expected, count, bounds);
}

void CheckingBackend::add(const Buffer& x, const Buffer& y, std::size_t count) {
  const Buffer expected = twin(x, count);
  scalar_->add(expected, twin(y, count), count);
  device_->add(x, y, count);
  compare("add", x, expected, count, Bounds(count, 0.0));
}

void CheckingBackend::silu_multiply(const Buffer& gate, const Buffer& up, std::size_t count, const Buffer& out) {
  const Buffer expected = unwritten(*scalar_, count);
  const Bounds bounds = silu_multiply_bounds(floats(gate, count), floats(up, count));
  scalar_->silu_multiply(twin(gate, count), twin(up, count), count, expected);
  device_->silu_multiply(gate, up, count, out);
  compare("silu_multiply", out, expected, count, bounds);
}

void CheckingBackend::multiply(const DeviceMatrix& weight, const Buffer& x, std::size_t first_token, std::size_t tokens, const Buffer& y) {
  const auto& both = dynamic_cast<const TwinMatrix&>(weight);
  const std::size_t count = tokens * weight.out_features, in = weight.in_features;
  const Buffer expected = unwritten(*scalar_, count);
  const auto input = floats(x, (first_token + tokens) * in);
  scalar_->multiply(*both.scalar, test::upload(*scalar_, input), first_token, tokens, expected);
  device_->multiply(*both.device, x, first_token, tokens, y);
  compare("multiply", y, expected, count, multiply_bounds(both.host, input.data() + first_token * in, tokens));
}

void CheckingBackend::quantize(const Buffer& x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme,
                               DeviceActivation& out) {
  DeviceActivation expected;
  scalar_->quantize(twin(x, tokens * width), tokens, width, scheme, expected);
  device_->quantize(x, tokens, width, scheme, out);
  const std::string what = "quantize, call " + std::to_string(++compared_["quantize"]);
  EXPECT_EQ(test::download<float>(*device_, out.scales, tokens * out.groups),
            test::download<float>(*scalar_, expected.scales, tokens * expected.groups))
      << what << ": scales";
  EXPECT_EQ(test::download<std::int8_t>(*device_, out.codes, tokens * width),
            test::download<std::int8_t>(*scalar_, expected.codes, tokens * width))
      << what << ": codes";
}

void CheckingBackend::dequantize(const DeviceActivation& x, const Buffer& out) {
  const std::size_t count = x.tokens * x.width;
  const Buffer expected = unwritten(*scalar_, count);
  DeviceActivation input = x;
  input.codes = test::upload(*scalar_, test::download<std::int8_t>(*device_, x.codes, count));
  input.scales = test::upload(*scalar_, test::download<float>(*device_, x.scales, x.tokens * x.groups));
  scalar_->dequantize(input, expected);
  device_->dequantize(x, out);
  compare("dequantize", out, expected, count, Bounds(count, 0.0));
}

void CheckingBackend::multiply_quantized(const DeviceQuantizedMatrix& weight, const DeviceActivation& x, const Buffer& y) {
  const auto& both = dynamic_cast<const TwinQuantized&>(weight);
  const std::size_t count = x.tokens * weight.out_features;
  const Buffer expected = unwritten(*scalar_, count);
  const auto codes = test::download<std::int8_t>(*device_, x.codes, x.tokens * x.width);
  const auto scales = test::download<float>(*device_, x.scales, x.tokens * x.groups);
  DeviceActivation input = x;
  input.codes = test::upload(*scalar_, codes);
  input.scales = test::upload(*scalar_, scales);
  scalar_->multiply_quantized(*both.scalar, input, expected);
  device_->multiply_quantized(*both.device, x, y);
  compare("multiply_quantized", y, expected, count, multiply_quantized_bounds(both.host, codes, scales, x.tokens));
}

void CheckingBackend::multiply_quantized_float(const DeviceQuantizedMatrix& weight, const Buffer& x, std::size_t tokens, const Buffer& y) {
  const auto& both = dynamic_cast<const TwinQuantized&>(weight);
  const std::size_t count = tokens * weight.out_features;
  const Buffer expected = unwritten(*scalar_, count);
  const auto input = floats(x, tokens * weight.in_features);
  scalar_->multiply_quantized_float(*both.scalar, test::upload(*scalar_, input), tokens, expected);
  device_->multiply_quantized_float(*both.device, x, tokens, y);
  compare("multiply_quantized_float", y, expected, count, multiply_quantized_float_bounds(both.host, input.data(), tokens));
}

void CheckingBackend::add_low_rank(const DevicePair& pair, const Buffer& x, std::size_t tokens, const Buffer& y, std::size_t components) {
  const auto& both = dynamic_cast<const TwinPair&>(pair);
  const std::size_t count = tokens * pair.out_features;
  const auto input = floats(x, tokens * pair.in_features), before = floats(y, count);
  const Buffer expected = test::upload(*scalar_, before);
  scalar_->add_low_rank(*both.scalar, test::upload(*scalar_, input), tokens, expected, components);
  device_->add_low_rank(*both.device, x, tokens, y, components);
  compare("add_low_rank", y, expected, count, low_rank_bounds(both.host, input.data(), before, tokens, components));
}

void CheckingBackend::hadamard(const DeviceHadamard& hadamard, const Buffer& x, std::size_t tokens) {
  const auto& both = dynamic_cast<const TwinHadamard&>(hadamard);
  const std::size_t count = tokens * hadamard.order;
  const Bounds bounds = hadamard_bounds(floats(x, count), hadamard.order);
  const Buffer expected = twin(x, count);
  scalar_->hadamard(*both.scalar, expected, tokens);
  device_->hadamard(*both.device, x, tokens);
  compare("hadamard", x, expected, count, bounds);
}

void CheckingBackend::rope(const Buffer& x, std::size_t tokens, std::size_t heads, std::size_t head_dim, std::size_t first_position,
                           const RopeTable& table) {
  const std::size_t count = tokens * heads * head_dim;
  const Bounds bounds = rope_bounds(floats(x, count), tokens, heads, head_dim, table.attention_factor);
  const Buffer expected = twin(x, count);
  scalar_->rope(expected, tokens, heads, head_dim, first_position, table);
  device_->rope(x, tokens, heads, head_dim, first_position, table);
  compare("rope", x, expected, count, bounds);
}

void CheckingBackend::attention(const Buffer& q, const Buffer& k_cache, const Buffer& v_cache, std::size_t first_position,
                                std::size_t tokens, const AttentionShape& shape, const Buffer& out) {
  const std::size_t count = tokens * shape.heads * shape.head_dim;
  const std::size_t cached = (first_position + tokens) * shape.kv_heads * shape.head_dim;
  const Buffer expected = unwritten(*scalar_, count);
  const Bounds bounds = attention_bounds(floats(q, count), floats(k_cache, cached), floats(v_cache, cached), first_position, tokens, shape);
  scalar_->attention(twin(q, count), twin(k_cache, cached), twin(v_cache, cached), first_position, tokens, shape, expected);
  device_->attention(q, k_cache, v_cache, first_position, tokens, shape, out);
  compare("attention", out, expected, count, bounds);
}

void CheckingBackend::store_quantized(const Buffer& keys, const Buffer& values, std::size_t tokens, const DeviceCache& cache,
                                      std::size_t first_position) {
  const CacheLayout& layout = cache.layout;
  const DeviceCache expected = scalar_->allocate_cache(layout, cache.capacity);
  scalar_->store_quantized(twin(keys, tokens * layout.width), twin(values, tokens * layout.width), tokens, expected, first_position);
  device_->store_quantized(keys, values, tokens, cache, first_position);
  const std::string what = "store_quantized, call " + std::to_string(++compared_["store_quantized"]);
  expect_same_rows(download_cache(*device_, cache), download_cache(*scalar_, expected), layout, cache.capacity, first_position, tokens,
                   what);
}

void CheckingBackend::attention_quantized(const Buffer& q, const DeviceCache& cache, std::size_t first_position, std::size_t tokens,
                                          const AttentionShape& shape, const Buffer& out) {
  const std::size_t count = tokens * shape.heads * shape.head_dim, end = first_position + tokens;
  const CacheParts parts = download_cache(*device_, cache);
  const Buffer expected = unwritten(*scalar_, count);
  const Bounds bounds = attention_bounds(floats(q, count), cached_floats(parts, cache.layout, cache.capacity, end, false),
                                         cached_floats(parts, cache.layout, cache.capacity, end, true), first_position, tokens, shape);
  scalar_->attention_quantized(twin(q, count), upload_cache(*scalar_, cache.layout, cache.capacity, parts), first_position, tokens, shape,
                               expected);
  device_->attention_quantized(q, cache, first_position, tokens, shape, out);
  compare("attention_quantized", out, expected, count, bounds);
}

}  // namespace lrc::test

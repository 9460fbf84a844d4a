// The Vulkan backend: every operation of Backend as one or two dispatches. Operations are recorded and run when somebody asks for a
// result. No subgroup size is assumed; storage bindings stay below the device's limit by splitting large matrices by rows.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/checks.h"
#include "base/error.h"
#include "quantization/activation.h"
#include "spirv/all.h"
#include "vulkan/weights.h"

namespace lrc::vulkan {
namespace {

constexpr std::uint32_t most_groups = 65535;  // in one dimension, on any device

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

std::uint32_t groups_of(std::size_t count, std::size_t size) { return std::uint32_t((count + size - 1) / size); }

/// Many small work items over two dimensions, each of at most 65535 groups.
std::pair<std::uint32_t, std::uint32_t> spread(std::size_t groups) {
  const auto x = std::uint32_t(std::min<std::size_t>(groups, most_groups));
  return {x, groups_of(groups, x)};
}

class VulkanBackend final : public Backend {
 public:
  explicit VulkanBackend(const PhysicalDevice& physical)
      : info_(physical.info), device_(std::make_shared<Device>(physical)), transfer_(device_), recorder_(transfer_.recorder()) {}

  const DeviceInfo& info() const override { return info_; }
  Buffer allocate(std::size_t bytes) override { return device_->allocate(bytes); }
  std::size_t allocated_bytes() const override { return device_->allocated_bytes(); }
  void finish() override { recorder_.finish(); }

  void upload(const Buffer& to, std::size_t offset, std::span<const std::byte> from) override { transfer_.upload(to, offset, from); }
  void download(const Buffer& from, std::size_t offset, std::span<std::byte> to) override { transfer_.download(from, offset, to); }
  void copy(const Buffer& from, std::size_t from_bytes, const Buffer& to, std::size_t to_bytes, std::size_t bytes) override {
    recorder_.copy(gpu(from), from_bytes, gpu(to), to_bytes, bytes);
  }

  std::unique_ptr<DeviceMatrix> upload_matrix(const MatrixF& matrix, MatrixStorage storage) override {
    return vulkan::upload_matrix(transfer_, matrix, storage);
  }
  std::unique_ptr<DeviceQuantizedMatrix> upload_quantized(const QuantizedWeight& weight) override {
    return vulkan::upload_quantized(transfer_, weight);
  }
  std::unique_ptr<DevicePair> upload_pair(const LowRankPair& pair) override { return vulkan::upload_pair(transfer_, pair); }
  std::unique_ptr<DeviceHadamard> upload_hadamard(const HadamardOrder& hadamard) override {
    return vulkan::upload_hadamard(transfer_, hadamard);
  }

  void embed(const DeviceMatrix& table, std::span<const std::int32_t> ids, const Buffer& out) override {
    const auto& m = static_cast<const Matrix&>(table);
    const auto list = transfer_.scratch(ids_, ids.size() * 4);
    transfer_.upload_list(list, std::as_bytes(ids));
    const auto& p = recorder_.pipeline(spirv::embed, 3, {m.half ? 1u : 0u});
    for (const auto& part : m.parts) {
      const std::uint32_t push[] = {std::uint32_t(ids.size()), std::uint32_t(m.in_features), part.first_row, part.rows};
      recorder_.dispatch(p, {{part.buffer}, {list}, {gpu(out), Access::write}}, bytes_of(push), groups_of(m.in_features, 64),
                         std::uint32_t(ids.size()));
    }
  }

  void rms_norm(const Buffer& x, const Buffer& gain, float epsilon, std::size_t tokens, std::size_t width, const Buffer& out) override {
    const struct {
      std::uint32_t tokens, width;
      float epsilon;
    } push = {std::uint32_t(tokens), std::uint32_t(width), epsilon};
    recorder_.dispatch(recorder_.pipeline(spirv::rms_norm, 3, {}), {{gpu(x)}, {gpu(gain)}, {gpu(out), Access::write}}, bytes_of(push),
                       std::uint32_t(tokens));
  }

  void layer_norm(const Buffer& x, const Buffer& gain, const Buffer& bias, float epsilon, std::size_t tokens, std::size_t width,
                  const Buffer& out) override {
    const struct {
      std::uint32_t width;
      float epsilon;
    } push = {std::uint32_t(width), epsilon};
    recorder_.dispatch(recorder_.pipeline(spirv::layer_norm, 4, {}), {{gpu(x)}, {gpu(gain)}, {gpu(bias)}, {gpu(out), Access::write}},
                       bytes_of(push), std::uint32_t(tokens));
  }

  void relu(const Buffer& x, std::size_t count) override {
    const auto push = std::uint32_t(count);
    recorder_.dispatch(recorder_.pipeline(spirv::relu, 1, {}), {{gpu(x), Access::read_write}}, bytes_of(push),
                       std::min(most_groups, groups_of(count, 64)));
  }

  void add_bias(const Buffer& x, const Buffer& bias, std::size_t tokens, std::size_t width) override {
    const std::uint32_t push[] = {std::uint32_t(tokens * width), std::uint32_t(width)};
    recorder_.dispatch(recorder_.pipeline(spirv::add_bias, 2, {}), {{gpu(x), Access::read_write}, {gpu(bias)}}, bytes_of(push),
                       std::min(most_groups, groups_of(tokens * width, 64)));
  }

  void take_columns(const Buffer& x, std::size_t tokens, std::size_t width, std::size_t first, std::size_t count,
                    const Buffer& out) override {
    const std::uint32_t push[] = {std::uint32_t(tokens * count), std::uint32_t(width), std::uint32_t(first), std::uint32_t(count)};
    recorder_.dispatch(recorder_.pipeline(spirv::take_columns, 2, {}), {{gpu(x)}, {gpu(out), Access::write}}, bytes_of(push),
                       std::min(most_groups, groups_of(tokens * count, 64)));
  }

  void take_rows(const Buffer& x, std::span<const std::uint32_t> rows, std::size_t width, const Buffer& out) override {
    const auto list = row_list(rows);
    const std::uint32_t push[] = {std::uint32_t(rows.size() * width), std::uint32_t(width)};
    recorder_.dispatch(recorder_.pipeline(spirv::take_rows, 3, {}), {{gpu(x)}, {list}, {gpu(out), Access::write}}, bytes_of(push),
                       std::min(most_groups, groups_of(rows.size() * width, 64)));
  }

  void add_rows(const Buffer& x, std::span<const std::uint32_t> rows, std::span<const float> weights, std::size_t width,
                const Buffer& to) override {
    const auto list = row_list(rows), factors = transfer_.scratch(factors_, weights.size() * 4);
    transfer_.upload_list(factors, std::as_bytes(weights));
    const std::uint32_t push[] = {std::uint32_t(rows.size() * width), std::uint32_t(width)};
    recorder_.dispatch(recorder_.pipeline(spirv::add_rows, 4, {}), {{gpu(x)}, {list}, {factors}, {gpu(to), Access::read_write}},
                       bytes_of(push), std::min(most_groups, groups_of(rows.size() * width, 64)));
  }

  void add(const Buffer& x, const Buffer& y, std::size_t count) override {
    const auto push = std::uint32_t(count);
    recorder_.dispatch(recorder_.pipeline(spirv::add, 2, {}), {{gpu(x), Access::read_write}, {gpu(y)}}, bytes_of(push),
                       std::min(most_groups, groups_of(count, 64)));
  }

  void silu_multiply(const Buffer& gate, const Buffer& up, std::size_t count, const Buffer& out) override {
    const auto push = std::uint32_t(count);
    recorder_.dispatch(recorder_.pipeline(spirv::silu_multiply, 3, {}), {{gpu(gate)}, {gpu(up)}, {gpu(out), Access::write}}, bytes_of(push),
                       std::min(most_groups, groups_of(count, 64)));
  }

  void multiply(const DeviceMatrix& weight, const Buffer& x, std::size_t first_token, std::size_t tokens, const Buffer& y) override {
    const auto& m = static_cast<const Matrix&>(weight);
    multiply_rows(m, m.in_features, m.out_features, gpu(x), first_token * m.in_features, m.in_features, tokens, gpu(y), m.out_features,
                  false);
  }

  void quantize(const Buffer& x, std::size_t tokens, std::size_t width, const ActivationScheme& scheme, DeviceActivation& out) override {
    const std::size_t group = activation_group(scheme, width);
    out.tokens = tokens;
    out.width = width;
    out.groups = width / group;
    out.scheme = scheme;
    transfer_.scratch(out.codes, (tokens * width + 3) / 4 * 4);
    transfer_.scratch(out.scales, tokens * out.groups * 4);
    if (!has_plain_codes(scheme)) {
      quantize_on_host(x, out);
      return;
    }
    const struct {
      std::uint32_t groups, group_size;
      float factor, lowest, highest;
    } push = {std::uint32_t(tokens * out.groups), std::uint32_t(group), activation_scale_factor(scheme), float(lowest_code(scheme.bits)),
              float(highest_code(scheme.bits))};
    const auto [gx, gy] = spread(tokens * out.groups);
    recorder_.dispatch(recorder_.pipeline(spirv::quantize, 3, {}),
                       {{gpu(x)}, {gpu(out.codes), Access::write}, {gpu(out.scales), Access::write}}, bytes_of(push), gx, gy);
  }

  void dequantize(const DeviceActivation& x, const Buffer& out) override {
    const std::uint32_t push[] = {std::uint32_t(x.tokens * x.width), std::uint32_t(x.width / x.groups)};
    recorder_.dispatch(recorder_.pipeline(spirv::dequantize, 3, {}), {{gpu(x.codes)}, {gpu(x.scales)}, {gpu(out), Access::write}},
                       bytes_of(push), std::min(most_groups, groups_of(x.tokens * x.width, 64)));
  }

  void multiply_quantized(const DeviceQuantizedMatrix& weight, const DeviceActivation& x, const Buffer& y) override {
    const auto& m = static_cast<const QuantizedMatrix&>(weight);
    const std::size_t in = m.in_features, activation_group = in / x.groups, sub = std::gcd(m.group_size, activation_group);
    const std::uint32_t gx = groups_of(m.out_features, 4), gy = groups_of(x.tokens, 8);
    if (m.packed && (sub == in || sub % 8 == 0)) {
      const std::uint32_t push[] = {std::uint32_t(m.out_features),
                                    m.row_words,
                                    std::uint32_t(in / 4),
                                    std::uint32_t(x.tokens),
                                    sub == in ? m.row_words : std::uint32_t(sub / 8),
                                    std::uint32_t(m.group_size / sub),
                                    std::uint32_t(activation_group / sub),
                                    m.groups,
                                    std::uint32_t(x.groups)};
      const auto& p = device_->physical().integer_dot ? recorder_.pipeline(spirv::multiply_quantized_dot, 5, {})
                                                      : recorder_.pipeline(spirv::multiply_quantized, 5, {});
      recorder_.dispatch(p, {{m.packed}, {m.scales}, {gpu(x.codes)}, {gpu(x.scales)}, {gpu(y), Access::write}}, bytes_of(push), gx, gy);
      return;
    }
    multiply_codes(m, sub, activation_group, x.groups, gpu(x.codes), gpu(x.scales), x.tokens, gpu(y), false);
  }

  void multiply_quantized_float(const DeviceQuantizedMatrix& weight, const Buffer& x, std::size_t tokens, const Buffer& y) override {
    const auto& m = static_cast<const QuantizedMatrix&>(weight);
    if (!m.packed) {
      multiply_codes(m, m.in_features, m.in_features, 1, gpu(x), gpu(x), tokens, gpu(y), true);
      return;
    }
    const std::uint32_t push[] = {std::uint32_t(m.out_features), m.row_words, std::uint32_t(m.in_features), std::uint32_t(tokens),
                                  std::uint32_t(m.group_size),   m.groups};
    recorder_.dispatch(recorder_.pipeline(spirv::multiply_nibbles_float, 4, {}),
                       {{m.packed}, {m.scales}, {gpu(x)}, {gpu(y), Access::write}}, bytes_of(push), groups_of(m.out_features, 4),
                       groups_of(tokens, 8));
  }

  void add_low_rank(const DevicePair& pair, const Buffer& x, std::size_t tokens, const Buffer& y, std::size_t components) override {
    const auto& p = static_cast<const Pair&>(pair);
    const std::size_t rank = std::min(components, p.rank);
    if (rank == 0) return;
    const auto t = transfer_.scratch(low_rank_, tokens * p.rank * 4);
    multiply_rows(*p.v, p.in_features, rank, gpu(x), 0, p.in_features, tokens, t, rank, false);
    multiply_rows(*p.u, rank, p.out_features, t, 0, rank, tokens, gpu(y), p.out_features, true);
  }

  void hadamard(const DeviceHadamard& hadamard, const Buffer& x, std::size_t tokens) override {
    const auto& h = static_cast<const Hadamard&>(hadamard);
    const float factor = 1.0f / std::sqrt(float(h.order));
    const std::size_t blocks = tokens * h.base_order;
    const struct {
      std::uint32_t blocks;
      float factor;
    } inner = {std::uint32_t(blocks), h.base_order == 1 ? factor : 1.0f};
    const auto [gx, gy] = spread(blocks);
    recorder_.dispatch(recorder_.pipeline(spirv::hadamard_inner, 1, {h.inner}), {{gpu(x), Access::read_write}}, bytes_of(inner), gx, gy);
    if (h.base_order == 1) return;
    const auto result = transfer_.scratch(hadamard_, tokens * h.order * 4);
    const struct {
      std::uint32_t rows, base_order, inner;
      float factor;
    } outer = {std::uint32_t(tokens), h.base_order, h.inner, factor};
    recorder_.dispatch(recorder_.pipeline(spirv::hadamard_outer, 3, {}), {{gpu(x)}, {h.base}, {result, Access::write}}, bytes_of(outer),
                       groups_of(h.order, 64), std::uint32_t(tokens));
    recorder_.copy(result, 0, gpu(x), 0, tokens * h.order * 4);
  }

  void rope(const Buffer& x, std::size_t tokens, std::size_t heads, std::size_t head_dim, std::size_t first_position,
            const RopeTable& table) override {
    check_rope(table, head_dim);
    const auto angles = rope_angles(tokens, head_dim, first_position, table);
    const std::uint32_t push[] = {std::uint32_t(tokens), std::uint32_t(heads), std::uint32_t(head_dim)};
    recorder_.dispatch(recorder_.pipeline(spirv::rope, 2, {}), {{gpu(x), Access::read_write}, {angles}}, bytes_of(push),
                       groups_of(tokens * heads * head_dim / 2, 64));
  }

  void attention(const Buffer& q, const Buffer& k_cache, const Buffer& v_cache, std::size_t first_position, std::size_t tokens,
                 const AttentionShape& shape, const Buffer& out) override {
    check_attention(shape);
    attend(recorder_.pipeline(spirv::attention, 4, {}), {{gpu(q)}, {gpu(out), Access::write}, {gpu(k_cache)}, {gpu(v_cache)}}, shape,
           first_position, tokens, {});
  }

  void store_quantized(const Buffer& keys, const Buffer& values, std::size_t tokens, const DeviceCache& cache,
                       std::size_t first_position) override {
    const CacheLayout& layout = cache.layout;
    check_cache(cache, {1, 1, layout.width, 0}, first_position + tokens);
    const int bits = layout.scheme.bits;
    const bool symmetric = layout.scheme.symmetric;
    const auto& pipeline = recorder_.pipeline(spirv::store_quantized, 4, {layout.nibbles ? 1u : 0u, symmetric ? 1u : 0u});
    const std::size_t total = tokens * layout.groups;
    const auto [gx, gy] = spread(total);
    for (const bool is_value : {false, true}) {
      const struct {
        std::uint32_t total, group_size, groups, first_row, code_bytes;
        float factor, clip, middle, highest;
      } push = {std::uint32_t(total),
                std::uint32_t(layout.group),
                std::uint32_t(layout.groups),
                std::uint32_t(first_position + (is_value ? cache.capacity : 0)),
                std::uint32_t(layout.code_bytes),
                activation_scale_factor(layout.scheme),
                layout.scheme.clip,
                float(1 << (bits - 1)),
                float((1 << bits) - 1)};
      recorder_.dispatch(pipeline,
                         {{gpu(is_value ? values : keys)},
                          {gpu(cache.codes), Access::write},
                          {gpu(cache.scales), Access::write},
                          {gpu(cache.zeros), Access::write}},
                         bytes_of(push), gx, gy);
    }
  }

  void attention_quantized(const Buffer& q, const DeviceCache& cache, std::size_t first_position, std::size_t tokens,
                           const AttentionShape& shape, const Buffer& out) override {
    check_cache(cache, shape, first_position + tokens);
    attend(recorder_.pipeline(spirv::attention_quantized, 5, {cache.layout.nibbles ? 1u : 0u}),
           {{gpu(q)}, {gpu(out), Access::write}, {gpu(cache.codes)}, {gpu(cache.scales)}, {gpu(cache.zeros)}}, shape, first_position,
           tokens, cache);
  }

 private:
  void attend(const Pipeline& pipeline, const std::vector<Binding>& bindings, const AttentionShape& shape, std::size_t first_position,
              std::size_t tokens, const DeviceCache& cache) {
    if (shape.head_dim > 256)
      throw Error(ErrorKind::unsupported,
                  "Attention heads of " + std::to_string(shape.head_dim) + " are wider than the Vulkan kernel takes (256); use the CPU.");
    const struct {
      std::uint32_t heads, kv_heads, head_dim, first_position, window;
      float factor;
      std::uint32_t capacity, code_bytes, groups, group;  // of a quantized cache
    } push = {std::uint32_t(shape.heads),         std::uint32_t(shape.kv_heads),
              std::uint32_t(shape.head_dim),      std::uint32_t(first_position),
              std::uint32_t(shape.window),        1.0f / std::sqrt(float(shape.head_dim)),
              std::uint32_t(cache.capacity),      std::uint32_t(cache.layout.code_bytes),
              std::uint32_t(cache.layout.groups), std::uint32_t(cache.layout.group)};
    recorder_.dispatch(pipeline, bindings, bytes_of(push), std::uint32_t(shape.heads), std::uint32_t(tokens));
  }

  /// The definition's codes, for formats without a shader.
  void quantize_on_host(const Buffer& x, DeviceActivation& out) {
    std::vector<float> values(out.tokens * out.width), scales(out.tokens * out.groups);
    std::vector<std::int8_t> codes((values.size() + 3) / 4 * 4);
    transfer_.download(x, 0, std::as_writable_bytes(std::span(values)));
    quantize_activations(values.data(), out.tokens, out.width, out.scheme, codes.data(), scales.data());
    transfer_.upload(out.codes, 0, std::as_bytes(std::span(codes)));
    transfer_.upload(out.scales, 0, std::as_bytes(std::span(scales)));
  }

  /// The first `rows` rows and `columns` columns of the matrix; x (tokens, x_stride) from `x_begin` on, y (tokens, y_columns).
  void multiply_rows(const Matrix& m, std::size_t columns, std::size_t rows, const std::shared_ptr<GpuBuffer>& x, std::size_t x_begin,
                     std::size_t x_stride, std::size_t tokens, const std::shared_ptr<GpuBuffer>& y, std::size_t y_columns,
                     bool accumulate) {
    const auto& p = recorder_.pipeline(spirv::multiply, 3, {m.half ? 1u : 0u});
    for (const auto& part : m.parts) {
      if (part.first_row >= rows) break;
      const std::size_t count = std::min<std::size_t>(part.rows, rows - part.first_row);
      const std::uint32_t push[] = {std::uint32_t(count),     std::uint32_t(columns), m.row_words,
                                    std::uint32_t(tokens),    std::uint32_t(x_begin), std::uint32_t(x_stride),
                                    std::uint32_t(y_columns), part.first_row,         std::uint32_t(accumulate)};
      recorder_.dispatch(p, {{part.buffer}, {x}, {y, accumulate ? Access::read_write : Access::write}}, bytes_of(push), groups_of(count, 4),
                         groups_of(tokens, 8));
    }
  }

  void multiply_codes(const QuantizedMatrix& m, std::size_t sub, std::size_t activation_group, std::size_t activation_groups,
                      const std::shared_ptr<GpuBuffer>& codes, const std::shared_ptr<GpuBuffer>& scales, std::size_t tokens,
                      const std::shared_ptr<GpuBuffer>& y, bool float_input) {
    if (!m.codes) unpack(transfer_, m);  // this activation group cuts through words
    const std::uint32_t push[] = {std::uint32_t(m.out_features),
                                  std::uint32_t(m.in_features),
                                  std::uint32_t(tokens),
                                  std::uint32_t(sub),
                                  std::uint32_t(m.group_size),
                                  std::uint32_t(activation_group),
                                  m.groups,
                                  std::uint32_t(activation_groups)};
    recorder_.dispatch(recorder_.pipeline(spirv::multiply_codes, 5, {float_input ? 1u : 0u}),
                       {{m.codes}, {m.scales}, {codes}, {scales}, {y, Access::write}}, bytes_of(push), groups_of(m.out_features, 4),
                       groups_of(tokens, 8));
  }

  std::shared_ptr<GpuBuffer> row_list(std::span<const std::uint32_t> rows) {
    auto list = transfer_.scratch(rows_, rows.size() * 4);
    transfer_.upload_list(list, std::as_bytes(rows));
    return list;
  }

  std::shared_ptr<GpuBuffer> rope_angles(std::size_t tokens, std::size_t head_dim, std::size_t first_position, const RopeTable& table) {
    const bool same = angles_ && angles_tokens_ == tokens && angles_first_ == first_position && angles_dim_ == head_dim &&
                      angles_table_.attention_factor == table.attention_factor &&
                      angles_table_.inverse_frequencies == table.inverse_frequencies;
    if (same) return gpu(angles_);
    std::vector<float> values(tokens * head_dim);
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t d = 0; d < head_dim / 2; ++d) {
        const double angle = double(float(first_position + t) * table.inverse_frequencies[d]);  // a float32 product
        values[t * head_dim + d] = float(std::cos(angle)) * table.attention_factor;
        values[t * head_dim + head_dim / 2 + d] = float(std::sin(angle)) * table.attention_factor;
      }
    const auto buffer = transfer_.scratch(angles_, values.size() * 4);
    transfer_.upload_list(buffer, std::as_bytes(std::span(values)));
    angles_tokens_ = tokens;
    angles_first_ = first_position;
    angles_dim_ = head_dim;
    angles_table_ = table;
    return buffer;
  }

  DeviceInfo info_;
  std::shared_ptr<Device> device_;
  Transfer transfer_;
  Recorder& recorder_;
  Buffer ids_, rows_, factors_, low_rank_, hadamard_, angles_;
  std::size_t angles_tokens_ = 0, angles_first_ = 0, angles_dim_ = 0;
  RopeTable angles_table_;
};

}  // namespace
}  // namespace lrc::vulkan

namespace lrc {

std::vector<DeviceInfo> list_vulkan_devices() {
  std::vector<DeviceInfo> list;
  if (const auto* instance = vulkan::Instance::get())
    for (const auto& device : instance->devices()) list.push_back(device.info);
  return list;
}

std::shared_ptr<Backend> make_vulkan_backend(std::size_t index) {
  const auto* instance = vulkan::Instance::get();
  if (!instance || instance->devices().empty())
    throw Error(ErrorKind::device,
                "There is no Vulkan device here (no driver was found); use the CPU, or install a driver such as mesa-vulkan-drivers.");
  if (index >= instance->devices().size())
    throw Error(ErrorKind::device, "There is no Vulkan device " + std::to_string(index) + "; lrc devices lists those that are there (" +
                                       std::to_string(instance->devices().size()) + ").");
  return std::make_shared<vulkan::VulkanBackend>(instance->devices()[index]);
}

}  // namespace lrc

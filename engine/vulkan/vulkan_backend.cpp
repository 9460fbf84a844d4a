// The Vulkan backend: every operation of Backend as one or two dispatches. Operations are recorded and run when somebody asks for a
// result. No subgroup size is assumed; storage bindings stay below the device's limit by splitting large matrices by rows.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "backend/checks.h"
#include "base/error.h"
#include "quantization/activation.h"
#include "spirv/all.h"
#include "tensor/dtype.h"
#include "vulkan/recorder.h"

namespace lrc::vulkan {
namespace {

constexpr std::size_t update_bytes = 65536;  // what vkCmdUpdateBuffer takes
constexpr std::size_t staging_bytes = 16u << 20;
constexpr std::uint32_t most_groups = 65535;  // in one dimension, on any device

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

std::shared_ptr<GpuBuffer> gpu(const Buffer& buffer) {
  auto result = std::dynamic_pointer_cast<GpuBuffer>(buffer);
  if (!result) throw Error(ErrorKind::device, "A buffer of another device was given to the Vulkan backend.");
  return result;
}

std::uint32_t groups_of(std::size_t count, std::size_t size) { return std::uint32_t((count + size - 1) / size); }

/// Many small work items over two dimensions, each of at most 65535 groups.
std::pair<std::uint32_t, std::uint32_t> spread(std::size_t groups) {
  const auto x = std::uint32_t(std::min<std::size_t>(groups, most_groups));
  return {x, groups_of(groups, x)};
}

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

class VulkanBackend final : public Backend {
 public:
  explicit VulkanBackend(const PhysicalDevice& physical)
      : info_(physical.info),
        device_(std::make_shared<Device>(physical)),
        recorder_(device_),
        staging_(device_->allocate_staging(staging_bytes)) {}

  const DeviceInfo& info() const override { return info_; }
  Buffer allocate(std::size_t bytes) override { return device_->allocate(bytes); }
  std::size_t allocated_bytes() const override { return device_->allocated_bytes(); }
  void finish() override { recorder_.finish(); }

  void upload(const Buffer& to, std::size_t offset, std::span<const std::byte> from) override {
    const auto target = gpu(to);
    if (from.size() <= update_bytes && from.size() % 4 == 0 && offset % 4 == 0) {
      if (!from.empty()) recorder_.update(target, offset, from);
      return;
    }
    recorder_.finish();  // the staging buffer may be waiting to be read
    while (!from.empty()) {
      const std::size_t count = std::min(from.size(), staging_bytes);
      std::memcpy(staging_->mapped(), from.data(), count);
      recorder_.copy(staging_, 0, target, offset, count);
      recorder_.finish();
      from = from.subspan(count);
      offset += count;
    }
  }

  void download(const Buffer& from, std::size_t offset, std::span<std::byte> to) override {
    const auto source = gpu(from);
    recorder_.finish();
    while (!to.empty()) {
      const std::size_t count = std::min(to.size(), staging_bytes);
      recorder_.copy(source, offset, staging_, 0, count);
      recorder_.finish();
      std::memcpy(to.data(), staging_->mapped(), count);
      to = to.subspan(count);
      offset += count;
    }
  }

  void copy(const Buffer& from, std::size_t from_bytes, const Buffer& to, std::size_t to_bytes, std::size_t bytes) override {
    recorder_.copy(gpu(from), from_bytes, gpu(to), to_bytes, bytes);
  }

  std::unique_ptr<DeviceMatrix> upload_matrix(const MatrixF& matrix, MatrixStorage storage) override {
    return make_matrix(matrix, storage);
  }

  std::unique_ptr<DeviceQuantizedMatrix> upload_quantized(const QuantizedWeight& weight) override {
    check_weight(weight);
    auto m = std::make_unique<QuantizedMatrix>();
    m->out_features = weight.out_features;
    m->in_features = weight.in_features;
    m->group_size = weight.group_size();
    m->bits = integer_bits(weight.scheme);
    const std::vector<std::int8_t> integers = weight.integers();
    m->groups = std::uint32_t(weight.groups());
    const MatrixF scales = convert<float>(weight.scales);
    m->scales = device_->allocate(scales.size() * 4);
    upload(m->scales, 0, std::as_bytes(scales.flat()));
    const std::size_t in = weight.in_features;
    if (m->bits <= 4 && in % 4 == 0 && (m->group_size == in || m->group_size % 8 == 0)) {
      m->row_words = groups_of(in, 8);
      std::vector<std::uint32_t> words(weight.out_features * m->row_words, 0x88888888u);  // code 0 as a nibble
      for (std::size_t r = 0; r < weight.out_features; ++r)
        for (std::size_t c = 0; c < in; ++c) {
          // In a word of 8: the low nibbles of its bytes are elements 0…3, the high nibbles 4…7.
          const unsigned shift = unsigned(8 * (c % 4) + (c % 8 < 4 ? 0 : 4));
          std::uint32_t& word = words[r * m->row_words + c / 8];
          word = (word & ~(15u << shift)) | (std::uint32_t(integers[r * in + c] + 8) & 15u) << shift;
        }
      m->packed = device_->allocate(words.size() * 4);
      upload(m->packed, 0, std::as_bytes(std::span(words)));
      m->bytes = words.size() * 4 + scales.size() * 4;
    } else {
      m->codes = upload_codes(integers);
      m->bytes = integers.size() + scales.size() * 4;
    }
    return m;
  }

  std::unique_ptr<DevicePair> upload_pair(const LowRankPair& pair) override {
    check_pair(pair);
    auto result = std::make_unique<Pair>();
    result->rank = pair.rank();
    result->out_features = pair.u.rows();
    result->in_features = pair.v.rows();
    MatrixF transposed(pair.v.columns(), pair.v.rows());
    for (std::size_t r = 0; r < transposed.rows(); ++r)
      for (std::size_t c = 0; c < transposed.columns(); ++c) transposed(r, c) = pair.v(c, r);
    result->v = make_matrix(transposed, MatrixStorage::f16);
    result->u = make_matrix(pair.u, MatrixStorage::f16);
    result->bytes = result->v->bytes + result->u->bytes;
    return result;
  }

  std::unique_ptr<DeviceHadamard> upload_hadamard(const HadamardOrder& hadamard) override {
    check_hadamard(hadamard);
    auto result = std::make_unique<Hadamard>();
    result->order = hadamard.order;
    // H_m ⊗ H_{2^a} ⊗ H_{2^b}: what does not fit into shared memory joins the outer factor.
    std::size_t inner = hadamard.power_of_two, outer = 1;
    while (inner * 4 > std::min<std::size_t>(device_->physical().max_shared_bytes, 32768)) {
      inner /= 2;
      outer *= 2;
    }
    const std::size_t m = hadamard.base_order, order = m * outer;
    std::vector<std::int8_t> base((order * order + 3) / 4 * 4, 0);
    for (std::size_t i = 0; i < order; ++i)
      for (std::size_t j = 0; j < order; ++j) {
        const int left = m == 1 ? 1 : hadamard.base[(i / outer) * m + j / outer];
        const int right = __builtin_popcountll((i % outer) & (j % outer)) % 2 == 0 ? 1 : -1;
        base[i * order + j] = std::int8_t(left * right);
      }
    result->base_order = std::uint32_t(order);
    result->inner = std::uint32_t(inner);
    result->base = device_->allocate(base.size());
    upload(result->base, 0, std::as_bytes(std::span(base)));
    return result;
  }

  void embed(const DeviceMatrix& table, std::span<const std::int32_t> ids, const Buffer& out) override {
    const auto& m = static_cast<const Matrix&>(table);
    const auto list = scratch(ids_, ids.size() * 4);
    upload_list(list, std::as_bytes(ids));
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
    const auto list = row_list(rows), factors = scratch(factors_, weights.size() * 4);
    upload_list(factors, std::as_bytes(weights));
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
    scratch(out.codes, (tokens * width + 3) / 4 * 4);
    scratch(out.scales, tokens * out.groups * 4);
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
    const auto t = scratch(low_rank_, tokens * p.rank * 4);
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
    const auto result = scratch(hadamard_, tokens * h.order * 4);
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

  std::unique_ptr<Matrix> make_matrix(const MatrixF& matrix, MatrixStorage storage) {
    auto m = std::make_unique<Matrix>();
    m->out_features = matrix.rows();
    m->in_features = matrix.columns();
    m->half = storage == MatrixStorage::f16;
    m->row_words = std::uint32_t(m->half ? (matrix.columns() + 1) / 2 : matrix.columns());
    m->bytes = std::size_t(m->row_words) * 4 * matrix.rows();
    const std::size_t limit = std::min<std::size_t>(device_->physical().max_buffer_range, 120u << 20);
    const std::size_t rows_in_a_part = std::max<std::size_t>(1, limit / (std::size_t(m->row_words) * 4));
    for (std::size_t first = 0; first < matrix.rows(); first += rows_in_a_part) {
      const std::size_t rows = std::min(rows_in_a_part, matrix.rows() - first);
      const auto buffer = device_->allocate(rows * m->row_words * 4);
      if (m->half) {
        std::vector<std::uint16_t> halves(rows * m->row_words * 2, 0);
        for (std::size_t r = 0; r < rows; ++r)
          for (std::size_t c = 0; c < matrix.columns(); ++c) halves[r * m->row_words * 2 + c] = float_to_half(matrix(first + r, c));
        upload(buffer, 0, std::as_bytes(std::span(halves)));
      } else {
        upload(buffer, 0, std::as_bytes(std::span(matrix.row(first), rows * matrix.columns())));
      }
      m->parts.push_back({buffer, std::uint32_t(first), std::uint32_t(rows)});
    }
    return m;
  }

  /// The definition's codes, for formats without a shader.
  void quantize_on_host(const Buffer& x, DeviceActivation& out) {
    std::vector<float> values(out.tokens * out.width), scales(out.tokens * out.groups);
    std::vector<std::int8_t> codes((values.size() + 3) / 4 * 4);
    download(x, 0, std::as_writable_bytes(std::span(values)));
    quantize_activations(values.data(), out.tokens, out.width, out.scheme, codes.data(), scales.data());
    upload(out.codes, 0, std::as_bytes(std::span(codes)));
    upload(out.scales, 0, std::as_bytes(std::span(scales)));
  }

  std::shared_ptr<GpuBuffer> upload_codes(std::vector<std::int8_t> codes) {
    codes.resize((codes.size() + 3) / 4 * 4);
    auto buffer = device_->allocate(codes.size());
    upload(buffer, 0, std::as_bytes(std::span(codes)));
    return buffer;
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
    if (!m.codes) {  // packed, but this activation group cuts through words: an unpacked copy, once
      std::vector<std::uint32_t> words(m.out_features * m.row_words);
      download(m.packed, 0, std::as_writable_bytes(std::span(words)));
      std::vector<std::int8_t> unpacked(m.out_features * m.in_features);
      for (std::size_t r = 0; r < m.out_features; ++r)
        for (std::size_t c = 0; c < m.in_features; ++c)
          unpacked[r * m.in_features + c] =
              std::int8_t(int(words[r * m.row_words + c / 8] >> (8 * (c % 4) + (c % 8 < 4 ? 0 : 4)) & 15u) - 8);
      m.codes = upload_codes(std::move(unpacked));
    }
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

  /// Travels inside the command stream, whatever its length.
  void upload_list(const std::shared_ptr<GpuBuffer>& to, std::span<const std::byte> bytes) {
    for (std::size_t begin = 0; begin < bytes.size(); begin += update_bytes)
      recorder_.update(to, begin, bytes.subspan(begin, std::min(bytes.size() - begin, update_bytes)));
  }

  std::shared_ptr<GpuBuffer> row_list(std::span<const std::uint32_t> rows) {
    auto list = scratch(rows_, rows.size() * 4);
    upload_list(list, std::as_bytes(rows));
    return list;
  }

  /// A buffer that grows and is used again.
  std::shared_ptr<GpuBuffer> scratch(Buffer& slot, std::size_t bytes) {
    if (!slot || slot->bytes() < bytes) slot = device_->allocate(bytes);
    return gpu(slot);
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
    const auto buffer = scratch(angles_, values.size() * 4);
    upload_list(buffer, std::as_bytes(std::span(values)));
    angles_tokens_ = tokens;
    angles_first_ = first_position;
    angles_dim_ = head_dim;
    angles_table_ = table;
    return buffer;
  }

  DeviceInfo info_;
  std::shared_ptr<Device> device_;
  Recorder recorder_;
  std::shared_ptr<GpuBuffer> staging_;
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

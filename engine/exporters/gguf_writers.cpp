// Both files, tensor by tensor. Codes are put into ggml's blocks as they are: no number is quantized a second time.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "exporters/gguf_parts.h"
#include "formats/gguf_names.h"

namespace lrc::gguf_export {
namespace {

constexpr std::size_t block = 32;
/// Family and what its files call themselves.
constexpr std::pair<std::string_view, std::string_view> families[] = {
    {"llama", "llama"}, {"mistral", "llama"}, {"qwen2", "qwen2"}, {"qwen3", "qwen3"}, {"phi3", "phi3"}};

std::string tensor_name(const Model& model, const std::string& module, const char* suffix = ".weight") {
  auto name = gguf_name(module + suffix, gguf_architecture(model).value());
  assert(name && "a module that these files do not have");
  return *std::move(name);
}

void put_half(std::byte*& p, double value, const std::string& tensor) {
  const std::uint16_t bits = float_to_half(float(value));
  if (double(half_to_float(bits)) != value)
    throw Error(ErrorKind::bad_input,
                "The scale " + std::to_string(value) + " of " + tensor +
                    " is no float16 number, so its codes would not survive in a GGUF file; export a run that was saved by this program.");
  std::memcpy(p, &bits, 2);
  p += 2;
}

/// One row of codes as blocks of 32; the scale of a longer group is repeated in each of its blocks.
void encode_row(const QuantizedWeight& weight, std::size_t row, DType type, const std::string& tensor, std::byte* p) {
  const std::int8_t* codes = weight.codes.data() + row * weight.in_features;
  for (std::size_t first = 0; first < weight.in_features; first += block) {
    const double scale = weight.scales(row, first / weight.group_size());
    put_half(p, scale, tensor);
    if (type == DType::q8_0) {
      std::memcpy(p, codes + first, block);
      p += block;
      continue;
    }
    if (type == DType::q4_1) put_half(p, -8.0 * scale, tensor);
    for (std::size_t j = 0; j < block / 2; ++j) {
      const unsigned low = unsigned(codes[first + j] + 8), high = unsigned(codes[first + j + block / 2] + 8);
      assert(low < 16 && high < 16);
      *p++ = std::byte(low | high << 4);
    }
  }
}

std::size_t stored_row(const LayerPlan& plan, std::size_t row) { return plan.head_dim == 0 ? row : permuted_row(row, plan.head_dim); }

std::vector<std::byte> layer_bytes(const LayerPlan& plan, const LinearWeights& linear) {
  const std::size_t rows = plan.info->out_features, columns = plan.info->in_features;
  if (plan.quantized != bool(linear.quantized))
    throw Error(ErrorKind::bad_input,
                "The weights of " + plan.info->name + " do not fit its scheme; finish the run before it is exported.");
  const std::size_t row_bytes = columns / block_elements(plan.type) * block_bytes(plan.type);
  std::vector<std::byte> bytes(rows * row_bytes);
  parallel_for(rows, 64, [&](std::size_t begin, std::size_t end) {
    std::vector<float> values(columns);
    for (std::size_t row = begin; row < end; ++row) {
      std::byte* to = bytes.data() + stored_row(plan, row) * row_bytes;
      if (plan.exact()) {
        encode_row(*linear.quantized, row, plan.type, plan.tensor, to);
        continue;
      }
      if (linear.quantized) {
        for (std::size_t c = 0; c < columns; ++c)
          values[c] =
              float(double(linear.quantized->codes[row * columns + c]) * linear.quantized->scales(row, c / linear.quantized->group_size()));
      } else {
        std::copy_n(linear.weight.row(row), columns, values.begin());
      }
      const auto encoded = encode_blocks(DType::f16, values.data(), columns);
      std::memcpy(to, encoded.data(), row_bytes);
    }
  });
  return bytes;
}

std::vector<std::byte> float_bytes(DType type, std::span<const float> values, const std::string& tensor) {
  try {
    return encode_blocks(type, values.data(), values.size());
  } catch (const Error& error) {
    throw Error(error.kind(), tensor + ": " + error.what());
  }
}

/// A = Vᵀ (stored rank, in) and B = U (out, stored rank), padded with zeros; rows of B stand where the base has its rows.
std::vector<std::byte> factor_a(const LayerPlan& plan, const LowRankPair& pair) {
  MatrixF a(plan.stored_rank, plan.info->in_features);
  for (std::size_t k = 0; k < plan.rank; ++k)
    for (std::size_t c = 0; c < a.columns(); ++c) a(k, c) = pair.v(c, k);
  return float_bytes(DType::f16, a.flat(), plan.tensor + ".lora_a");
}
std::vector<std::byte> factor_b(const LayerPlan& plan, const LowRankPair& pair) {
  MatrixF b(plan.info->out_features, plan.stored_rank);
  for (std::size_t row = 0; row < b.rows(); ++row) std::copy_n(pair.u.row(row), plan.rank, b.row(stored_row(plan, row)));
  return float_bytes(DType::f16, b.flat(), plan.tensor + ".lora_b");
}

}  // namespace

std::optional<std::string_view> gguf_architecture(const Model& model) {
  for (const auto& [family, architecture] : families)
    if (family == model.architecture().name) return architecture;
  return std::nullopt;
}

std::string exportable_families() {
  std::string text;
  for (const auto& [family, architecture] : families) text += (text.empty() ? "" : ", ") + std::string(family);
  return text;
}

DType base_type(const ExportOptions& options) {
  if (options.base_type == "q4_0") return DType::q4_0;
  if (options.base_type == "q4_1") return DType::q4_1;
  throw Error(ErrorKind::bad_input, "The base type \"" + options.base_type + "\" is not one of q4_0, q4_1.");
}

bool has_head(const ExportSource& source) { return !source.model.config().tied_embeddings || source.rotation.r1; }

std::vector<LayerPlan> plan_layers(const ExportSource& source, const ExportOptions& options) {
  const DType narrow = base_type(options);
  const std::size_t multiple = std::max<std::size_t>(1, options.pad_rank_to);
  std::vector<LayerPlan> plans;
  for (const auto& [info, scheme] : source.layers) {
    LayerPlan plan;
    plan.info = &info;
    plan.scheme = &scheme;
    plan.tensor = tensor_name(source.model, info.name);
    if (source.model.checkpoint().find(info.name + ".bias")) plan.bias_tensor = tensor_name(source.model, info.name, ".bias");
    plan.quantized = !scheme.skipped && scheme.weight.bits < 16;
    const std::size_t group = scheme.weight.group_size == 0 ? info.in_features : scheme.weight.group_size;
    if (plan.quantized && info.in_features % block == 0 && group % block == 0) plan.type = scheme.weight.bits <= 4 ? narrow : DType::q8_0;
    plan.rank = plan.quantized && find_method(scheme.method).uses_rank ? scheme.rank : 0;
    plan.stored_rank = (plan.rank + multiple - 1) / multiple * multiple;
    plan.head_dim = has_permuted_rows(plan.tensor, gguf_architecture(source.model).value()) ? source.model.config().head_dim : 0;
    plans.push_back(std::move(plan));
  }
  return plans;
}

GgufWriter base_file(const ExportSource& source, const ExportOptions& options, const OnTensor& on_tensor) {
  GgufWriter writer;
  add_metadata(writer, source, options);
  const auto& config = source.model.config();
  const auto& names = source.model.architecture();
  const auto* weights = source.weights;
  const auto add_floats = [&](const std::string& module, DType type, std::vector<std::size_t> shape,
                              std::function<std::span<const float>()> values) {
    const auto tensor = tensor_name(source.model, module);
    writer.add(tensor, type, std::move(shape), [=] {
      on_tensor(tensor);
      return float_bytes(type, values(), tensor);
    });
  };
  add_floats(std::string(names.embedding_name), DType::f16, {config.vocabulary, config.hidden_size},
             [=] { return weights->embedding.flat(); });
  for (std::size_t b = 0; b < config.blocks; ++b) {
    add_floats(names.attention_norm_name(b), DType::f32, {config.hidden_size},
               [=] { return std::span<const float>(weights->blocks[b].attention_norm); });
    add_floats(names.mlp_norm_name(b), DType::f32, {config.hidden_size},
               [=] { return std::span<const float>(weights->blocks[b].mlp_norm); });
    if (!names.query_key_norm) continue;
    add_floats(names.query_norm_name(b), DType::f32, {config.head_dim},
               [=] { return std::span<const float>(weights->blocks[b].query_norm); });
    add_floats(names.key_norm_name(b), DType::f32, {config.head_dim}, [=] { return std::span<const float>(weights->blocks[b].key_norm); });
  }
  for (auto& plan : plan_layers(source, options)) {
    writer.add(plan.tensor, plan.type, {plan.info->out_features, plan.info->in_features}, [=] {
      on_tensor(plan.tensor);
      return layer_bytes(plan, weights->blocks[plan.info->block].linear(plan.info->role));
    });
    if (plan.bias_tensor.empty()) continue;
    writer.add(plan.bias_tensor, DType::f32, {plan.info->out_features}, [=] {
      on_tensor(plan.bias_tensor);
      const auto& bias = weights->blocks[plan.info->block].linear(plan.info->role).bias;
      std::vector<float> stored(bias.size());
      for (std::size_t row = 0; row < bias.size(); ++row) stored[stored_row(plan, row)] = bias[row];
      return float_bytes(DType::f32, stored, plan.bias_tensor);
    });
  }
  add_floats(std::string(names.final_norm_name), DType::f32, {config.hidden_size},
             [=] { return std::span<const float>(weights->final_norm); });
  if (has_head(source))
    add_floats(std::string(names.head_name), DType::f16, {config.vocabulary, config.hidden_size}, [=] { return weights->head.flat(); });
  if (const auto factors = rope_factors(source); !factors.empty())
    writer.add("rope_freqs.weight", DType::f32, {factors.size()}, float_bytes(DType::f32, factors, "rope_freqs.weight"));
  return writer;
}

GgufWriter adapter_file(const ExportSource& source, const ExportOptions& options, const OnTensor& on_tensor) {
  GgufWriter writer;
  writer.set("general.architecture", std::string(gguf_architecture(source.model).value()));
  writer.set("general.type", "adapter");
  writer.set("general.name", source.model.display_name() + " · " + source.run_name);
  writer.set("general.description", "Low-rank correction of the base file that was exported with it. Neither is of use without the other.");
  writer.set("adapter.type", "lora");
  // 0 makes the factor 1 for pairs of any rank; with another value it would depend on each pair's own rank.
  writer.set_f32("adapter.lora.alpha", 0.0f);
  const auto* weights = source.weights;
  for (const auto& plan : plan_layers(source, options)) {
    if (plan.rank == 0) continue;
    const auto checked_pair = [=]() -> const LowRankPair& {
      const auto& pair = weights->blocks[plan.info->block].linear(plan.info->role).pair;
      if (pair.rank() != plan.rank || pair.v.columns() != plan.rank || pair.u.rows() != plan.info->out_features ||
          pair.v.rows() != plan.info->in_features)
        throw Error(ErrorKind::bad_input, "The pair of " + plan.info->name + " does not have the rank " + std::to_string(plan.rank) +
                                              " of its scheme; finish the run before it is exported.");
      return pair;
    };
    writer.add(plan.tensor + ".lora_a", DType::f16, {plan.stored_rank, plan.info->in_features}, [=] {
      on_tensor(plan.tensor + ".lora_a");
      return factor_a(plan, checked_pair());
    });
    writer.add(plan.tensor + ".lora_b", DType::f16, {plan.info->out_features, plan.stored_rank}, [=] {
      on_tensor(plan.tensor + ".lora_b");
      return factor_b(plan, checked_pair());
    });
  }
  return writer;
}

}  // namespace lrc::gguf_export

// The proof: a written file is opened like anybody's file and compared number by number with what the run holds. Blocks are
// taken apart here, not by the code that put them together.
#include <cstring>
#include <set>

#include "base/error.h"
#include "exporters/gguf_parts.h"
#include "formats/gguf_names.h"

namespace lrc::gguf_export {
namespace {

class Proof {
 public:
  Proof(const std::filesystem::path& path, const OnTensor& on_tensor)
      : name_(path.string()), file_(GgufFile::open(path)), on_tensor_(on_tensor) {}

  const GgufFile& file() const { return file_; }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::bad_file, name_ + " is not what was to be written: " + what + ".");
  }

  /// The tensor, of the right type and shape; each may be asked for once.
  const std::uint8_t* tensor(const std::string& tensor, DType type, const std::vector<std::size_t>& shape) {
    on_tensor_(tensor);
    const auto* found = file_.find(tensor);
    if (!found) fail("the tensor " + tensor + " is missing");
    if (found->dtype != type || found->shape != shape) fail("the tensor " + tensor + " has another type or shape");
    seen_.insert(tensor);
    return reinterpret_cast<const std::uint8_t*>(found->bytes.data());
  }

  void finish() const {
    for (const auto& tensor : file_.tensors())
      if (!seen_.contains(tensor.name)) fail("the tensor " + tensor.name + " does not belong there");
  }

  void halves(const std::string& name, const std::uint8_t* stored, std::size_t count,
              const std::function<float(std::size_t)>& expected) const {
    for (std::size_t i = 0; i < count; ++i) {
      std::uint16_t bits;
      std::memcpy(&bits, stored + 2 * i, 2);
      if (bits != float_to_half(expected(i))) fail("number " + std::to_string(i) + " of the tensor " + name + " differs");
    }
  }

 private:
  std::string name_;
  GgufFile file_;
  const OnTensor& on_tensor_;
  std::set<std::string> seen_;
};

float half_at(const std::uint8_t* p) {
  std::uint16_t bits;
  std::memcpy(&bits, p, 2);
  return half_to_float(bits);
}

std::size_t stored_row(const LayerPlan& plan, std::size_t row) { return plan.head_dim == 0 ? row : permuted_row(row, plan.head_dim); }

/// Code j of a block, as a signed number.
int code_at(DType type, const std::uint8_t* block, std::size_t j) {
  if (type == DType::q8_0) return std::int8_t(block[2 + j]);
  const std::uint8_t byte = block[(type == DType::q4_1 ? 4 : 2) + j % 16];
  return int(j < 16 ? byte & 15 : byte >> 4) - 8;
}

void compare_codes(const Proof& proof, const LayerPlan& plan, const QuantizedWeight& weight, const std::uint8_t* stored) {
  const std::size_t columns = weight.in_features, bytes = block_bytes(plan.type), row_bytes = columns / 32 * bytes;
  for (std::size_t row = 0; row < weight.out_features; ++row) {
    const std::uint8_t* line = stored + stored_row(plan, row) * row_bytes;
    for (std::size_t c = 0; c < columns; ++c) {
      const std::uint8_t* block = line + c / 32 * bytes;
      const double scale = weight.scales(row, c / weight.group_size());
      const auto place = [&] {
        return " of row " + std::to_string(row) + ", column " + std::to_string(c) + " of the tensor " + plan.tensor;
      };
      if (double(half_at(block)) != scale) proof.fail("the scale" + place() + " differs");
      if (plan.type == DType::q4_1 && double(half_at(block + 2)) != -8.0 * scale) proof.fail("the minimum" + place() + " differs");
      if (code_at(plan.type, block, c % 32) != weight.codes[row * columns + c]) proof.fail("the code" + place() + " differs");
    }
  }
}

/// Whether the two files hold the same words and rules, key by key.
void compare_tokenizers(const Proof& proof, const ExportSource& source, std::vector<std::string>& facts) {
  const auto& checkpoint = source.model.checkpoint();
  if (checkpoint.is_gguf()) {
    const auto original = GgufFile::open(checkpoint.path());
    std::size_t keys = 0;
    for (const auto& [key, value] : original.metadata()) {
      if (!key.starts_with("tokenizer.")) continue;
      const auto* copy = proof.file().find_value(key);
      if (!copy || copy->type != value.type || copy->element_type != value.element_type || copy->value != value.value)
        proof.fail("the metadata key " + key + " differs");
      ++keys;
    }
    facts.push_back("tokenizer: all " + std::to_string(keys) + " entries of the original");
  }
  if (source.model.tokenizer_problem()) return;
  const auto written = Model::open(proof.file().path())->tokenizer();
  const auto ours = source.model.tokenizer();
  const std::string texts[] = {"Once upon a time, there was a little girl named Lily.",
                               "The year 1984 had 366 days; 3.14159 is not 22/7.",
                               "  leading, trailing  and   inner spaces \n\n\ttabs\r\n",
                               "for (int i = 0; i < n; ++i) { x[i] *= 2.5e-3; }",
                               "Grüße, naïve café — 東京, Привет, שלום, \xF0\x9F\x99\x82",
                               "<s>not a control token</s> <|im_start|>user\nHello!<|im_end|>",
                               "I'm you're THEY'LL don't",
                               ""};
  for (const auto& text : texts) {
    for (const bool special : {false, true}) {
      const auto ids = ours->encode(text, special);
      if (written->encode(text, special) != ids) proof.fail("its tokenizer splits a test sentence into other tokens");
      if (written->decode_bytes(ids, false) != ours->decode_bytes(ids, false))
        proof.fail("its tokenizer turns tokens back into other text");
    }
  }
  facts.push_back("tokenizer: " + std::to_string(std::size(texts)) + " test sentences give the same tokens and come back the same");
}

std::string count_of(std::size_t count, const std::string& what) {
  return std::to_string(count) + " of " + std::to_string(count) + " " + what;
}

}  // namespace

std::vector<std::string> verify_base(const std::filesystem::path& file, const ExportSource& source, const ExportOptions& options,
                                     const OnTensor& on_tensor) {
  Proof proof(file, on_tensor);
  const std::string_view architecture = gguf_architecture(source.model).value();
  if (proof.file().text("general.architecture") != architecture) proof.fail("its architecture differs");
  const auto& config = source.model.config();
  const auto& names = source.model.architecture();
  const auto& weights = *source.weights;
  const auto tensor_name = [&](const std::string& module) { return gguf_name(module + ".weight", architecture).value(); };
  const auto compare_vector = [&](const std::string& tensor, std::span<const float> values) {
    if (std::memcmp(proof.tensor(tensor, DType::f32, {values.size()}), values.data(), values.size_bytes()) != 0)
      proof.fail("the tensor " + tensor + " differs");
  };
  const auto compare_table = [&](const std::string& tensor, const MatrixF& table) {
    const auto* stored = proof.tensor(tensor, DType::f16, {config.vocabulary, config.hidden_size});
    proof.halves(tensor, stored, table.size(), [&](std::size_t i) { return table.data()[i]; });
  };

  std::size_t exact = 0, rounded = 0, biases = 0;
  for (const auto& plan : plan_layers(source, options)) {
    const auto& linear = weights.blocks[plan.info->block].linear(plan.info->role);
    const std::size_t rows = plan.info->out_features, columns = plan.info->in_features;
    if (!plan.bias_tensor.empty()) {
      std::vector<float> stored_bias(rows);
      for (std::size_t row = 0; row < rows; ++row) stored_bias[stored_row(plan, row)] = linear.bias.at(row);
      compare_vector(plan.bias_tensor, stored_bias);
      ++biases;
    }
    const auto* stored = proof.tensor(plan.tensor, plan.type, {rows, columns});
    if (plan.exact()) {
      compare_codes(proof, plan, *linear.quantized, stored);
      ++exact;
      continue;
    }
    for (std::size_t row = 0; row < rows; ++row) {
      proof.halves(plan.tensor, stored + stored_row(plan, row) * columns * 2, columns, [&](std::size_t c) {
        if (!linear.quantized) return linear.weight(row, c);
        return float(double(linear.quantized->codes[row * columns + c]) *
                     linear.quantized->scales(row, c / linear.quantized->group_size()));
      });
    }
    ++rounded;
  }
  compare_table(tensor_name(std::string(names.embedding_name)), weights.embedding);
  if (has_head(source)) compare_table(tensor_name(std::string(names.head_name)), weights.head);
  for (std::size_t b = 0; b < config.blocks; ++b) {
    compare_vector(tensor_name(names.attention_norm_name(b)), weights.blocks[b].attention_norm);
    compare_vector(tensor_name(names.mlp_norm_name(b)), weights.blocks[b].mlp_norm);
    if (!names.query_key_norm) continue;
    compare_vector(tensor_name(names.query_norm_name(b)), weights.blocks[b].query_norm);
    compare_vector(tensor_name(names.key_norm_name(b)), weights.blocks[b].key_norm);
  }
  compare_vector(tensor_name(std::string(names.final_norm_name)), weights.final_norm);
  if (const auto factors = rope_factors(source); !factors.empty()) compare_vector("rope_freqs.weight", factors);
  proof.finish();

  std::vector<std::string> facts;
  if (exact != 0) facts.push_back(count_of(exact, "quantized matrices: every code and scale equal"));
  if (rounded != 0) facts.push_back(count_of(rounded, "matrices in F16: every value the nearest float16"));
  if (biases != 0) facts.push_back(count_of(biases, "biases equal (float32)"));
  facts.push_back(has_head(source) ? "embedding, head and norms equal (float16 and float32)"
                                   : "embedding and norms equal (float16 and float32)");
  compare_tokenizers(proof, source, facts);
  return facts;
}

std::vector<std::string> verify_adapter(const std::filesystem::path& file, const ExportSource& source, const ExportOptions& options,
                                        const OnTensor& on_tensor) {
  Proof proof(file, on_tensor);
  if (proof.file().text("general.architecture") != gguf_architecture(source.model).value() ||
      proof.file().text("general.type") != "adapter" || proof.file().text("adapter.type") != "lora")
    proof.fail("its architecture or type differs");
  if (proof.file().number("adapter.lora.alpha") != 0.0) proof.fail("adapter.lora.alpha is not 0");
  std::size_t pairs = 0;
  for (const auto& plan : plan_layers(source, options)) {
    if (plan.rank == 0) continue;
    const auto& pair = source.weights->blocks[plan.info->block].linear(plan.info->role).pair;
    const std::size_t rows = plan.info->out_features, columns = plan.info->in_features;
    const auto a = plan.tensor + ".lora_a", b = plan.tensor + ".lora_b";
    const auto* stored_a = proof.tensor(a, DType::f16, {plan.stored_rank, columns});
    for (std::size_t k = 0; k < plan.stored_rank; ++k)
      proof.halves(a, stored_a + k * columns * 2, columns, [&](std::size_t c) { return k < plan.rank ? pair.v(c, k) : 0.0f; });
    const auto* stored_b = proof.tensor(b, DType::f16, {rows, plan.stored_rank});
    for (std::size_t row = 0; row < rows; ++row)
      proof.halves(b, stored_b + stored_row(plan, row) * plan.stored_rank * 2, plan.stored_rank,
                   [&](std::size_t k) { return k < plan.rank ? pair.u(row, k) : 0.0f; });
    ++pairs;
  }
  proof.finish();
  return {count_of(pairs, "pairs: every factor equal")};
}

}  // namespace lrc::gguf_export

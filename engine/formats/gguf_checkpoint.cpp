// A GGUF file as a Checkpoint: metadata become the keys of config.json, names and row orders those of Hugging Face.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "formats/checkpoint_kinds.h"
#include "formats/gguf.h"
#include "formats/gguf_names.h"
#include "formats/messages.h"

namespace lrc {
namespace {

// More are no model's: a damaged count must not become as many names.
constexpr std::size_t most_experts = 1024;

class Metadata {
 public:
  Metadata(const GgufFile& file, std::string architecture) : file_(file), architecture_(std::move(architecture)) {}

  std::string own(const std::string& key) const { return architecture_ + "." + key; }

  std::optional<std::int64_t> integer(const std::string& key) const { return file_.integer(own(key)); }
  std::optional<double> number(const std::string& key) const { return file_.number(own(key)); }
  std::optional<std::string> text(const std::string& key) const { return file_.text(own(key)); }

  void copy_integer(Json& config, const char* name, const std::string& key) const {
    if (const auto value = integer(key)) config[name] = *value;
  }
  void copy_number(Json& config, const char* name, const std::string& key) const {
    if (const auto value = number(key)) config[name] = *value;
  }

 private:
  const GgufFile& file_;
  std::string architecture_;
};

Json rope_scaling(const Metadata& metadata) {
  auto type = metadata.text("rope.scaling.type");
  auto factor = metadata.number("rope.scaling.factor");
  if (!type && !factor) {
    factor = metadata.number("rope.scale_linear");  // files of before the scaling keys
    if (!factor || *factor == 1.0) return nullptr;
  }
  const std::string kind = valid_utf8(type.value_or("linear"));
  if (kind == "none" || kind.empty()) return nullptr;
  Json scaling = {{"rope_type", kind}};
  if (factor) scaling["factor"] = *factor;
  metadata.copy_integer(scaling, "original_max_position_embeddings", "rope.scaling.original_context_length");
  metadata.copy_number(scaling, "attention_factor", "rope.scaling.attn_factor");
  return scaling;
}

/// The factors of each frequency, as files of Phi-3 with a long context bring them: two tensors beside the weights.
void add_longrope(Json& config, const Metadata& metadata, const GgufFile& file) {
  const auto* slow = file.find("rope_factors_long.weight");
  const auto* fast = file.find("rope_factors_short.weight");
  if (!slow || !fast) return;
  const auto numbers = [&](const GgufTensor& tensor) {
    if (tensor.dtype != DType::f32 || tensor.shape.size() != 1)
      throw Error(ErrorKind::bad_file, file.path().string() + ": the tensor " + in_quotes(tensor.name) + " is no list of float32 numbers.");
    std::vector<float> values(tensor.shape[0]);
    to_float(tensor.dtype, tensor.bytes.data(), values.size(), values.data());
    return values;
  };
  Json scaling = {{"rope_type", "longrope"}, {"long_factor", numbers(*slow)}, {"short_factor", numbers(*fast)}};
  metadata.copy_integer(scaling, "original_max_position_embeddings", "rope.scaling.original_context_length");
  metadata.copy_number(scaling, "attention_factor", "rope.scaling.attn_factor");
  config["rope_scaling"] = std::move(scaling);
}

void add_token_ids(Json& config, const GgufFile& file) {
  const auto id = [&](const char* key) -> std::optional<std::int64_t> {
    const auto value = file.integer(key);
    return value && *value >= 0 ? value : std::nullopt;
  };
  if (const auto bos = id("tokenizer.ggml.bos_token_id")) config["bos_token_id"] = *bos;
  const auto eos = id("tokenizer.ggml.eos_token_id"), turn_end = id("tokenizer.ggml.eot_token_id");
  if (eos && turn_end && *eos != *turn_end)
    config["eos_token_id"] = {*eos, *turn_end};
  else if (eos || turn_end)
    config["eos_token_id"] = eos ? *eos : *turn_end;
}

/// The metadata in the words of config.json.
Json make_config(const GgufFile& file, const std::string& architecture) {
  const Metadata metadata(file, architecture);
  Json config = Json::object();
  if (const auto name = file.text("general.name")) config["general.name"] = valid_utf8(*name);
  // Mixtral files call themselves llama; what tells them apart is that they have experts.
  const auto experts = metadata.integer("expert_count");
  const bool mixture = architecture == "llama" && experts.value_or(0) > 0;
  config["model_type"] = mixture ? "mixtral" : valid_utf8(architecture);
  metadata.copy_integer(config, "hidden_size", "embedding_length");
  metadata.copy_integer(config, "num_hidden_layers", "block_count");
  metadata.copy_integer(config, "intermediate_size", "feed_forward_length");
  metadata.copy_integer(config, "num_attention_heads", "attention.head_count");
  metadata.copy_integer(config, "num_key_value_heads", "attention.head_count_kv");
  if (!config.contains("num_key_value_heads") && config.contains("num_attention_heads"))
    config["num_key_value_heads"] = config["num_attention_heads"];
  const auto rotary = metadata.integer("rope.dimension_count");
  const auto head_dim = metadata.integer("attention.key_length");
  const auto hidden = metadata.integer("embedding_length"), heads = metadata.integer("attention.head_count");
  if (head_dim || rotary)
    config["head_dim"] = head_dim ? *head_dim : *rotary;
  else if (hidden && heads && *heads > 0 && *hidden > 0 && *hidden % *heads == 0)
    config["head_dim"] = *hidden / *heads;
  if (head_dim && rotary && *head_dim > 0 && *head_dim != *rotary) config["partial_rotary_factor"] = double(*rotary) / double(*head_dim);
  metadata.copy_integer(config, "max_position_embeddings", "context_length");
  metadata.copy_number(config, "rms_norm_eps", "attention.layer_norm_rms_epsilon");
  metadata.copy_number(config, "layer_norm_eps", "attention.layer_norm_epsilon");
  config["rope_theta"] = metadata.number("rope.freq_base").value_or(10000.0);
  config["rope_scaling"] = rope_scaling(metadata);
  add_longrope(config, metadata, file);
  if (metadata.integer("attention.sliding_window").value_or(0) > 0)
    metadata.copy_integer(config, "sliding_window", "attention.sliding_window");
  if (experts.value_or(0) > 0) {
    config["num_local_experts"] = *experts;
    metadata.copy_integer(config, "num_experts_per_tok", "expert_used_count");
  }
  // The table itself counts: vocab_size is absent from many files.
  const auto* embedding = file.find("token_embd.weight");
  if (embedding && embedding->shape.size() == 2)
    config["vocab_size"] = embedding->shape[0];
  else
    metadata.copy_integer(config, "vocab_size", "vocab_size");
  config["tie_word_embeddings"] = file.find("output.weight") == nullptr;
  add_token_ids(config, file);
  return config;
}

template <typename Wanted>
std::vector<Wanted> list(const GgufFile& file, const std::string& key) {
  const auto* value = file.find_value(key);
  if (!value) return {};
  const auto* array = std::get_if<GgufValue::Array>(&value->value);
  std::vector<Wanted> result;
  const bool fits = array && std::visit(
                                 [&](const auto& elements) {
                                   using Element = typename std::decay_t<decltype(elements)>::value_type;
                                   constexpr bool strings = std::is_same_v<Wanted, std::string>;
                                   if constexpr (strings == std::is_same_v<Element, std::string>) {
                                     result.reserve(elements.size());
                                     for (const auto& element : elements) result.push_back(Wanted(element));
                                     return true;
                                   } else {
                                     return elements.empty();
                                   }
                                 },
                                 *array);
  if (!fits)
    throw Error(ErrorKind::bad_file, file.path().string() + " is not a usable GGUF file: its " + key + " is not a list of " +
                                         (std::is_same_v<Wanted, std::string> ? "texts." : "numbers."));
  return result;
}

std::optional<GgufVocabulary> read_vocabulary(const GgufFile& file) {
  const std::string prefix = "tokenizer.ggml.";
  const auto model = file.text(prefix + "model");
  if (!model) return std::nullopt;
  GgufVocabulary vocabulary;
  vocabulary.model = *model;
  vocabulary.pre = file.text(prefix + "pre").value_or("");
  vocabulary.tokens = list<std::string>(file, prefix + "tokens");
  vocabulary.types = list<std::int32_t>(file, prefix + "token_type");
  vocabulary.scores = list<float>(file, prefix + "scores");
  vocabulary.merges = list<std::string>(file, prefix + "merges");
  vocabulary.bos = file.integer(prefix + "bos_token_id");
  vocabulary.eos = file.integer(prefix + "eos_token_id");
  vocabulary.unknown = file.integer(prefix + "unknown_token_id");
  vocabulary.padding = file.integer(prefix + "padding_token_id");
  vocabulary.eot = file.integer(prefix + "eot_token_id");
  const auto add_bos = file.boolean(prefix + "add_bos_token");
  vocabulary.has_add_bos = add_bos.has_value();
  vocabulary.add_bos = add_bos.value_or(false);
  vocabulary.add_eos = file.boolean(prefix + "add_eos_token").value_or(false);
  vocabulary.add_space_prefix = file.boolean(prefix + "add_space_prefix").value_or(true);
  return vocabulary;
}

class GgufCheckpoint final : public Checkpoint {
 public:
  explicit GgufCheckpoint(GgufFile opened) : file_(std::move(opened)) {
    path_ = file_.path();
    gguf_ = true;
    const auto architecture = file_.text("general.architecture");
    if (!architecture)
      throw Error(ErrorKind::bad_file, path_.string() + " does not say which architecture it holds (general.architecture is missing).");
    if (const auto type = file_.text("general.type"); type && *type != "model")
      throw Error(ErrorKind::bad_input,
                  path_.string() + " holds no model but " + in_quotes(*type) + " (general.type); open the model's own file.");
    config_ = make_config(file_, *architecture);
    for (const auto& tensor : file_.tensors()) {
      const auto stored = valid_utf8(tensor.name);
      if (tensor.shape.size() == 3 && tensor.shape[0] <= most_experts && expert_name(stored, 0)) {
        for (std::size_t e = 0; e < tensor.shape[0]; ++e) {
          tensors_.push_back(
              {*expert_name(stored, e), tensor.dtype, {tensor.shape[1], tensor.shape[2]}, path_.filename().string(), stored});
          stored_[tensors_.back().name] = {&tensor, 0, e * tensor.shape[1]};
        }
        continue;
      }
      tensors_.push_back({huggingface_name(stored, *architecture), tensor.dtype, tensor.shape, path_.filename().string(), stored});
      stored_[tensors_.back().name] = {&tensor, head_size(tensor, *architecture), 0};
    }
    tokenizer_.gguf = read_vocabulary(file_);
    if (const auto text = file_.text("tokenizer.chat_template")) tokenizer_.chat_template = *text;
    file_bytes_ = std::filesystem::file_size(path_);
    hashed_files_ = {path_};
  }

  void read_rows(const TensorInfo& tensor, std::size_t first, std::size_t count, float* destination) const override {
    check_rows(tensor, first, count);
    const auto& [stored, head, above] = stored_.at(tensor.name);
    const std::size_t columns = tensor.columns(), row_bytes = columns / block_elements(tensor.dtype) * block_bytes(tensor.dtype);
    if (head == 0) {
      const auto part = stored->bytes.subspan((above + first) * row_bytes, count * row_bytes);
      to_float(tensor.dtype, part.data(), count * columns, destination);
      forget_pages(part);
    } else if (tensor.shape.size() == 1) {
      std::vector<float> values(columns);
      to_float(tensor.dtype, stored->bytes.data(), columns, values.data());
      for (std::size_t i = 0; count != 0 && i < columns; ++i) destination[i] = values[permuted_row(i, head)];
    } else {
      for (std::size_t row = 0; row < count; ++row)
        to_float(tensor.dtype, stored->bytes.data() + permuted_row(first + row, head) * row_bytes, columns, destination + row * columns);
      if (first + count == tensor.rows()) forget_pages(stored->bytes);
    }
    check_finite(tensor, {destination, count * columns});
  }

 private:
  /// Rows of one head where they are permuted, 0 where they are not.
  std::size_t head_size(const GgufTensor& tensor, const std::string& architecture) const {
    if (!has_permuted_rows(tensor.name, architecture)) return 0;
    const bool key = tensor.name.find(".attn_k.") != std::string::npos;
    const auto heads = config_.find(key ? "num_key_value_heads" : "num_attention_heads");
    const std::size_t rows = tensor.shape.empty() ? 1 : tensor.shape[0];
    const std::int64_t count = heads == config_.end() ? 0 : heads->get<std::int64_t>();
    if (count < 1 || rows % std::size_t(count) != 0 || rows / std::size_t(count) % 2 != 0)
      throw Error(ErrorKind::bad_file, path_.string() + ": the tensor " + in_quotes(tensor.name) + " has " + std::to_string(rows) +
                                           " rows, which do not divide into its heads (" + std::to_string(count) + " by the metadata).");
    return rows / std::size_t(count);
  }

  struct Stored {
    const GgufTensor* tensor;
    std::size_t head;       ///< rows of one head where they are permuted, else 0
    std::size_t first_row;  ///< of this expert in a merged tensor, else 0
  };
  GgufFile file_;
  std::map<std::string, Stored, std::less<>> stored_;
};

}  // namespace

std::shared_ptr<const Checkpoint> open_gguf_checkpoint(const std::filesystem::path& file) {
  return std::make_shared<GgufCheckpoint>(GgufFile::open(file));
}

}  // namespace lrc

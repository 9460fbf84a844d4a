#include "model/model.h"

#include <tuple>

#include "base/error.h"
#include "model/load_tokenizer.h"

namespace lrc {
namespace {

constexpr const char* rope_factor_tensor = "rope_freqs.weight";

std::string shape_text(const TensorInfo& tensor) {
  std::string text;
  for (const std::size_t size : tensor.shape) text += (text.empty() ? "" : " x ") + std::to_string(size);
  return text.empty() ? "a single number" : text;
}

/// The file's own name for a tensor beside ours, where they differ.
std::string tensor_text(const TensorInfo& tensor) {
  return tensor.name + (tensor.stored_name.empty() || tensor.stored_name == tensor.name ? "" : " (" + tensor.stored_name + ")");
}

const TensorInfo& checked_tensor(const Checkpoint& checkpoint, const std::string& name, const std::vector<std::size_t>& shape,
                                 const std::string& because) {
  const TensorInfo& tensor = checkpoint.get(name);
  if (tensor.shape != shape) {
    TensorInfo expected;
    expected.shape = shape;
    throw Error(ErrorKind::bad_file, tensor.file_name + ": tensor " + tensor_text(tensor) + " is " + shape_text(tensor) +
                                         ", but the configuration (" + because + ") asks for " + shape_text(expected) + ".");
  }
  if (!is_float_like(tensor.dtype)) {
    throw Error(ErrorKind::unsupported, tensor.file_name + ": tensor " + tensor_text(tensor) + " holds " +
                                            std::string(lrc::name(tensor.dtype)) +
                                            " values; a weight of a floating-point or GGUF block type is needed.");
  }
  return tensor;
}

std::string setting(const char* key, std::size_t value) { return std::string(key) + " " + std::to_string(value); }

std::string sizes_behind(const ModelConfig& config, Role role) {
  const std::string hidden = setting("hidden_size", config.hidden_size);
  const std::string head = setting("head_dim", config.head_dim);
  switch (role) {
    case Role::q_proj:
    case Role::o_proj:
      return hidden + ", " + setting("num_attention_heads", config.heads) + ", " + head;
    case Role::k_proj:
    case Role::v_proj:
      return hidden + ", " + setting("num_key_value_heads", config.kv_heads) + ", " + head;
    default:
      return hidden + ", " + setting("intermediate_size", config.feed_forward);
  }
}

std::vector<LayerInfo> checked_layers(const Checkpoint& checkpoint, const ModelConfig& config, const Architecture& architecture) {
  std::vector<LayerInfo> layers;
  const std::string hidden = setting("hidden_size", config.hidden_size);
  for (std::size_t block = 0; block < config.blocks; ++block) {
    for (const std::string& norm : {architecture.attention_norm_name(block), architecture.mlp_norm_name(block)}) {
      checked_tensor(checkpoint, norm + ".weight", {config.hidden_size}, hidden);
    }
    for (const Role role : all_roles()) {
      LayerInfo layer;
      layer.name = architecture.layer_name(block, role);
      layer.block = block;
      layer.role = role;
      std::tie(layer.out_features, layer.in_features) = architecture.layer_shape(config, role);
      layer.dtype =
          checked_tensor(checkpoint, layer.name + ".weight", {layer.out_features, layer.in_features}, sizes_behind(config, role)).dtype;
      if (const TensorInfo* bias = checkpoint.find(layer.name + ".bias")) {
        throw Error(ErrorKind::unsupported,
                    bias->file_name + ": " + tensor_text(*bias) + " is a bias, and linear layers with biases are not supported.");
      }
      layers.push_back(std::move(layer));
    }
  }
  return layers;
}

}  // namespace

std::shared_ptr<const Model> Model::open(const std::filesystem::path& path) {
  auto model = std::make_shared<Model>();
  model->checkpoint_ = open_checkpoint(path);
  const Checkpoint& checkpoint = *model->checkpoint_;
  ModelConfig& config = model->config_;
  config = read_config(checkpoint.config(), path.string());
  model->architecture_ = &find_architecture(config.architecture);
  const Architecture& architecture = *model->architecture_;

  const std::string embedding = std::string(architecture.embedding_name) + ".weight",
                    head = std::string(architecture.head_name) + ".weight";
  const std::vector<std::size_t> table = {config.vocabulary, config.hidden_size};
  const std::string hidden = setting("hidden_size", config.hidden_size);
  const std::string sizes = setting("vocab_size", config.vocabulary) + ", " + hidden;
  checked_tensor(checkpoint, embedding, table, sizes);
  if (!config.tying_is_said) config.tied_embeddings = checkpoint.find(head) == nullptr;
  if (!config.tied_embeddings) checked_tensor(checkpoint, head, table, sizes);
  checked_tensor(checkpoint, std::string(architecture.final_norm_name) + ".weight", {config.hidden_size}, hidden);
  model->layers_ = checked_layers(checkpoint, config, architecture);

  if (checkpoint.find(rope_factor_tensor)) {
    checked_tensor(checkpoint, rope_factor_tensor, {config.head_dim / 2}, setting("head_dim", config.head_dim));
    config.rope_factors = checkpoint.read_vector(rope_factor_tensor);
    make_rope(config);  // checks the values
  }
  return model;
}

const LayerInfo* Model::find_layer(std::string_view name) const {
  for (const LayerInfo& layer : layers_) {
    if (layer.name == name) return &layer;
  }
  return nullptr;
}

std::size_t Model::parameters() const {
  std::size_t sum = 0;
  for (const TensorInfo& tensor : checkpoint_->tensors()) sum += tensor.elements();
  return sum;
}

std::size_t Model::linear_parameters() const {
  std::size_t sum = 0;
  for (const LayerInfo& layer : layers_) sum += layer.parameters();
  return sum;
}

std::string Model::display_name() const {
  // People know a model by the file that they opened; general.name often is what a trainer called a checkpoint.
  const std::filesystem::path path = checkpoint_->path().has_filename() ? checkpoint_->path() : checkpoint_->path().parent_path();
  return checkpoint_->is_gguf() ? path.stem().string() : path.filename().string();
}

MatrixF Model::layer_weight(const LayerInfo& layer) const { return checkpoint_->read_matrix(layer.name + ".weight"); }

std::shared_ptr<const Tokenizer> Model::tokenizer() const {
  if (const auto problem = tokenizer_problem()) throw Error(ErrorKind::unsupported, *problem);
  return tokenizer_;
}

std::optional<std::string> Model::tokenizer_problem() const {
  std::call_once(tokenizer_once_, [this] {
    // A model without a usable tokenizer is still good for looking and for solving with given ids: the sentence is kept.
    try {
      tokenizer_ = make_tokenizer(tokenizer_spec(checkpoint_->tokenizer_source(), config_, checkpoint_->path().string()));
    } catch (const Error& error) {
      tokenizer_error_ = error.what();
    }
  });
  if (tokenizer_) return std::nullopt;
  return tokenizer_error_;
}

std::string Model::chat_template() const { return checkpoint_->tokenizer_source().chat_template.value_or(std::string()); }

}  // namespace lrc

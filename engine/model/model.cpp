#include "model/model.h"

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

std::string sizes_behind(const ModelConfig& config, const Architecture& architecture, Role role) {
  const std::string hidden = setting("hidden_size", config.hidden_size), head = setting("head_dim", config.head_dim);
  const std::string heads = setting("num_attention_heads", config.heads), kv_heads = setting("num_key_value_heads", config.kv_heads);
  const std::string wide = setting(std::string(architecture.feed_forward_key).c_str(), config.feed_forward);
  switch (role) {
    case Role::q_proj:
    case Role::o_proj:
      return hidden + ", " + heads + ", " + head;
    case Role::k_proj:
    case Role::v_proj:
      return hidden + ", " + kv_heads + ", " + head;
    case Role::qkv_proj:
      return hidden + ", " + heads + ", " + kv_heads + ", " + head;
    case Role::router:
      return hidden + ", " + setting("num_local_experts", config.experts);
    default:
      return hidden + ", " + wide;
  }
}

void check_norm(const Checkpoint& checkpoint, const std::string& name, NormKind kind, std::size_t width, const std::string& because) {
  checked_tensor(checkpoint, name + ".weight", {width}, because);
  if (kind == NormKind::layer) checked_tensor(checkpoint, name + ".bias", {width}, because);
}

void check_bias(const Checkpoint& checkpoint, const LayerInfo& layer, Architecture::Bias expected, const std::string& because) {
  const std::string name = layer.name + ".bias";
  const TensorInfo* bias = checkpoint.find(name);
  if (expected == Architecture::Bias::present || (bias && expected == Architecture::Bias::as_in_file))
    checked_tensor(checkpoint, name, {layer.out_features}, because);
  else if (bias)
    throw Error(ErrorKind::bad_file,
                bias->file_name + ": there is a tensor " + tensor_text(*bias) +
                    ", but by the configuration this layer has no bias (attention_bias, mlp_bias or the architecture).");
}

std::vector<LayerInfo> checked_layers(const Checkpoint& checkpoint, const ModelConfig& config, const Architecture& architecture) {
  std::vector<LayerInfo> layers;
  const std::string hidden = setting("hidden_size", config.hidden_size), head = setting("head_dim", config.head_dim);
  for (std::size_t block = 0; block < config.blocks; ++block) {
    for (const std::string& norm : {architecture.attention_norm_name(block), architecture.mlp_norm_name(block)})
      check_norm(checkpoint, norm, architecture.norm, config.hidden_size, hidden);
    if (architecture.query_key_norm)
      for (const std::string& norm : {architecture.query_norm_name(block), architecture.key_norm_name(block)})
        checked_tensor(checkpoint, norm + ".weight", {config.head_dim}, head);
    for (LayerInfo& layer : architecture.block_layers(config, block)) {
      const std::string because = sizes_behind(config, architecture, layer.role);
      layer.dtype = checked_tensor(checkpoint, layer.name + ".weight", {layer.out_features, layer.in_features}, because).dtype;
      check_bias(checkpoint, layer, architecture.bias(config, layer.role), because);
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
  check_norm(checkpoint, std::string(architecture.final_norm_name), architecture.norm, config.hidden_size, hidden);
  if (architecture.learned_positions)
    checked_tensor(checkpoint, std::string(architecture.positions_name) + ".weight",
                   {config.context + architecture.position_offset, config.hidden_size},
                   setting("max_position_embeddings", config.context) + ", " + hidden);
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

std::size_t Model::other_parameters() const {
  const std::size_t table = config_.vocabulary * config_.hidden_size;
  const std::size_t norm = config_.hidden_size * (architecture_->norm == NormKind::layer ? 2 : 1);
  std::size_t sum = table * (config_.tied_embeddings ? 1 : 2) + norm * (2 * config_.blocks + 1);
  if (architecture_->query_key_norm) sum += 2 * config_.blocks * config_.head_dim;
  if (architecture_->learned_positions) sum += (config_.context + architecture_->position_offset) * config_.hidden_size;
  for (const LayerInfo& layer : layers_)
    if (checkpoint_->find(layer.name + ".bias")) sum += layer.out_features;
  return sum;
}

std::string Model::display_name() const {
  // People know a model by the file that they opened; general.name often is what a trainer called a checkpoint.
  const std::filesystem::path path = checkpoint_->path().has_filename() ? checkpoint_->path() : checkpoint_->path().parent_path();
  return checkpoint_->is_gguf() ? path.stem().string() : path.filename().string();
}

MatrixF Model::layer_weight(const LayerInfo& layer) const { return checkpoint_->read_matrix(layer.name + ".weight"); }

std::vector<float> Model::layer_bias(const LayerInfo& layer) const {
  const std::string name = layer.name + ".bias";
  return checkpoint_->find(name) ? checkpoint_->read_vector(name) : std::vector<float>();
}

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

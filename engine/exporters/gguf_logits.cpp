// The last part of the proof: the written files, opened by our reader as anybody's model and adapter, say what the run says.
// The files' numbers were compared one by one; this shows that they mean the same: names, row orders, sizes, rotary
// frequencies and the way in which the pair is applied.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "exporters/gguf_parts.h"
#include "formats/gguf_names.h"
#include "model/transformer.h"

namespace lrc::gguf_export {
namespace {

constexpr std::size_t most_tokens = 24;
// Both sides compute in float32 in another order: the rounding of some thousand operations, far below what a swapped row makes.
constexpr double tolerance = 5e-4;

std::vector<TokenId> prompt_of(const Model& model) {
  std::vector<TokenId> ids;
  if (!model.tokenizer_problem())
    ids =
        model.tokenizer()->encode("The quick brown fox jumps over the lazy dog, and in 1984 nobody in town had seen a better one.", false);
  // Without a tokenizer any ids do.
  for (std::size_t i = ids.size(); i < most_tokens; ++i) ids.push_back(TokenId(i * 7919 % model.config().vocabulary));
  ids.resize(most_tokens);
  return ids;
}

void round_all_to_half(MatrixF& matrix) {
  for (float& value : matrix.flat()) value = round_to_half(value);
}

MatrixF rows_of(const MatrixF& table, const std::vector<TokenId>& ids) {
  MatrixF rows(ids.size(), table.columns());
  for (std::size_t i = 0; i < ids.size(); ++i) std::copy_n(table.row(std::size_t(ids[i])), table.columns(), rows.row(i));
  return rows;
}

/// weight += u vᵀ; (out, in), (out, rank), (in, rank).
void add_product(Backend& backend, MatrixF& weight, const MatrixF& u, const MatrixF& v) {
  const auto right = backend.upload_matrix(v);
  const Buffer left = backend.allocate(u.size() * sizeof(float)), result = backend.allocate(weight.size() * sizeof(float));
  backend.upload(left, 0, std::as_bytes(u.flat()));
  backend.multiply(*right, left, 0, u.rows(), result);
  MatrixF product(weight.rows(), weight.columns());
  backend.download(result, 0, std::as_writable_bytes(product.flat()));
  for (std::size_t i = 0; i < product.size(); ++i) weight.data()[i] += product.data()[i];
}

/// A model of at most one block: the walk needs no more at a time.
ModelWeights frame_of(const ModelConfig& config) {
  ModelWeights weights;
  weights.config = config;
  weights.embedding = MatrixF(1, config.hidden_size);
  weights.final_norm.assign(config.hidden_size, 1.0f);
  return weights;
}

class Walk {
 public:
  Walk(std::shared_ptr<Backend> backend, const ModelConfig& config, const MatrixF& embedded)
      : backend_(std::move(backend)),
        config_(config),
        tokens_(embedded.rows()),
        hidden_(backend_->allocate(embedded.size() * sizeof(float))) {
    backend_->upload(hidden_, 0, std::as_bytes(embedded.flat()));
  }
  void run(BlockWeights block) {
    auto weights = frame_of(config_);
    weights.blocks.push_back(std::move(block));
    Transformer(backend_, weights).run_block(0, hidden_, tokens_);
  }
  MatrixF logits(std::vector<float> final_norm, MatrixF head) {
    auto weights = frame_of(config_);
    weights.final_norm = std::move(final_norm);
    weights.head = std::move(head);
    return Transformer(backend_, weights).logits_of(hidden_, 0, tokens_);
  }

 private:
  std::shared_ptr<Backend> backend_;
  const ModelConfig& config_;
  std::size_t tokens_;
  Buffer hidden_;
};

/// The run's block with float activations; what the base holds as F16 is rounded as it is there.
BlockWeights block_of_run(Backend& backend, const ExportSource& source, const std::vector<LayerPlan>& plans, std::size_t block) {
  BlockWeights weights = source.weights->blocks[block];
  for (auto& linear : weights.linears) {
    linear.activation.bits = 16;
    const auto plan = std::ranges::find_if(plans, [&](const LayerPlan& p) { return p.info->name == linear.info.name; });
    if (plan == plans.end() || plan->exact()) continue;
    if (linear.quantized) linear.weight = convert<float>(linear.quantized->dequantize());
    linear.quantized = nullptr;
    round_all_to_half(linear.weight);
    // A float layer has no pair beside it.
    if (!linear.pair.empty()) add_product(backend, linear.weight, linear.pair.u, linear.pair.v);
    linear.pair = {};
  }
  return weights;
}

/// Both files together: W = base + B A, the factor being alpha / rank, or 1 where alpha is 0.
class ReadBack {
 public:
  ReadBack(const std::filesystem::path& base, const std::filesystem::path& adapter, std::shared_ptr<Backend> backend)
      : model_(Model::open(base)), backend_(std::move(backend)) {
    if (!adapter.empty()) adapter_ = GgufFile::open(adapter);
  }
  const Model& model() const { return *model_; }
  std::string weight_name(std::string_view module) const { return std::string(module) + ".weight"; }

  /// `like` says which layers a block has.
  BlockWeights block(const BlockWeights& like, std::size_t index) const {
    BlockWeights weights = like;
    const auto& names = model_->architecture();
    weights.attention_norm = model_->checkpoint().read_vector(weight_name(names.attention_norm_name(index)));
    weights.mlp_norm = model_->checkpoint().read_vector(weight_name(names.mlp_norm_name(index)));
    if (names.query_key_norm) {
      weights.query_norm = model_->checkpoint().read_vector(weight_name(names.query_norm_name(index)));
      weights.key_norm = model_->checkpoint().read_vector(weight_name(names.key_norm_name(index)));
    }
    for (auto& linear : weights.linears) {
      linear.weight = model_->layer_weight(linear.info);
      linear.bias = model_->layer_bias(linear.info);
      linear.quantized = nullptr;
      linear.pair = {};
      add_pair(linear);
    }
    return weights;
  }

 private:
  MatrixF factor(const GgufTensor& tensor) const {
    MatrixF matrix(tensor.shape.at(0), tensor.shape.at(1));
    to_float(tensor.dtype, tensor.bytes.data(), matrix.size(), matrix.data());
    return matrix;
  }

  void add_pair(LinearWeights& linear) const {
    if (!adapter_) return;
    const auto architecture = gguf_architecture(*model_).value();
    const auto name = gguf_name(linear.info.name + ".weight", architecture).value();
    const auto *stored_a = adapter_->find(name + ".lora_a"), *stored_b = adapter_->find(name + ".lora_b");
    if (!stored_a || !stored_b) return;
    const MatrixF a = factor(*stored_a), b = factor(*stored_b);
    const std::size_t rank = a.rows(), in = a.columns(), out = b.rows();
    const double alpha = adapter_->number("adapter.lora.alpha").value_or(0.0);
    const auto scale = float(alpha == 0 ? 1.0 : alpha / double(rank));
    const bool permuted = has_permuted_rows(name, architecture);
    MatrixF a_transposed(in, rank), b_in_order(out, rank);
    for (std::size_t k = 0; k < rank; ++k)
      for (std::size_t c = 0; c < in; ++c) a_transposed(c, k) = a(k, c);
    for (std::size_t row = 0; row < out; ++row)
      for (std::size_t k = 0; k < rank; ++k)
        b_in_order(row, k) = scale * b(permuted ? permuted_row(row, model_->config().head_dim) : row, k);
    add_product(*backend_, linear.weight, b_in_order, a_transposed);
  }

  std::shared_ptr<const Model> model_;
  std::shared_ptr<Backend> backend_;
  std::optional<GgufFile> adapter_;
};

}  // namespace

std::vector<std::string> verify_logits(const std::filesystem::path& base, const std::filesystem::path& adapter, const ExportSource& source,
                                       const ExportOptions& options, const OnTensor& on_tensor) {
  const auto backend = make_cpu_backend();
  const ReadBack files(base, adapter, backend);
  const auto& written = files.model();
  const auto& weights = *source.weights;
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorKind::bad_file, base.string() + (adapter.empty() ? " is" : " with " + adapter.string() + " is") +
                                         " not the run that was to be written: " + what + ".");
  };
  if (written.config().blocks != weights.blocks.size() || written.config().vocabulary != weights.config.vocabulary ||
      written.config().hidden_size != weights.config.hidden_size)
    fail("its sizes differ");
  const auto ids = prompt_of(source.model);
  const auto plans = plan_layers(source, options);

  MatrixF embedded = rows_of(weights.embedding, ids);
  round_all_to_half(embedded);
  Walk here(backend, weights.config, embedded);
  const auto& names = written.architecture();
  const auto table = written.checkpoint().read_matrix(files.weight_name(names.embedding_name));
  Walk there(backend, written.config(), rows_of(table, ids));
  for (std::size_t b = 0; b < weights.blocks.size(); ++b) {
    on_tensor("logits, block " + std::to_string(b));
    here.run(block_of_run(*backend, source, plans, b));
    there.run(files.block(weights.blocks[b], b));
  }
  MatrixF head = weights.head.empty() ? weights.embedding : weights.head;
  round_all_to_half(head);
  const MatrixF expected = here.logits(weights.final_norm, std::move(head));
  const MatrixF logits =
      there.logits(written.checkpoint().read_vector(files.weight_name(names.final_norm_name)),
                   written.config().tied_embeddings ? table : written.checkpoint().read_matrix(files.weight_name(names.head_name)));

  double square = 0, worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double value = expected.data()[i], difference = std::fabs(double(logits.data()[i]) - value);
    square += value * value;
    // A value that is no number compares with nothing.
    if (!(difference <= worst)) worst = difference;
  }
  const double size = std::sqrt(square / double(expected.size()));
  char text[160];
  std::snprintf(text, sizeof text,
                "logits of %zu tokens agree with the run's own at float activations: at most %.1e apart, their size is %.1f", ids.size(),
                worst, size);
  if (!(worst <= tolerance * size)) {
    std::snprintf(text, sizeof text, "its logits are up to %.2e away from the run's own, whose size is %.1f", worst, size);
    fail(text);
  }
  return {text};
}

}  // namespace lrc::gguf_export

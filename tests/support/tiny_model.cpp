#include "support/tiny_model.h"

#include <cmath>
#include <limits>

#include "base/files.h"
#include "formats/safetensors.h"
#include "model/probabilities.h"

namespace lrc::test {

std::uint64_t Random::next() {
  state_ = state_ * 6364136223846793005u + 1442695040888963407u;
  std::uint64_t mixed = state_ ^ (state_ >> 29);
  mixed *= 0xBF58476D1CE4E5B9u;
  return mixed ^ (mixed >> 32);
}

double Random::uniform(double low, double high) { return low + (high - low) * double(next() >> 11) * 0x1.0p-53; }

double Random::normal() {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += uniform(0, 1);
  return sum;
}

MatrixF Random::matrix(std::size_t rows, std::size_t columns, double deviation) {
  MatrixF result(rows, columns);
  for (float& value : result.flat()) value = float(deviation * normal());
  return result;
}

ModelConfig tiny_config(const TinySizes& sizes) {
  ModelConfig config;
  config.architecture = "llama";
  config.hidden_size = sizes.hidden;
  config.blocks = sizes.blocks;
  config.heads = sizes.heads;
  config.kv_heads = sizes.kv_heads;
  config.head_dim = sizes.head_dim;
  config.feed_forward = sizes.feed_forward;
  config.vocabulary = sizes.vocabulary;
  config.context = sizes.context;
  config.tied_embeddings = sizes.tied;
  return config;
}

ModelWeights tiny_weights(const TinySizes& sizes, std::uint64_t seed) {
  Random random(seed);
  const auto gains = [&] {
    std::vector<float> values(sizes.hidden);
    for (float& value : values) value = float(random.uniform(0.5, 1.5));
    return values;
  };
  const Architecture& architecture = find_architecture("llama");
  ModelWeights weights;
  weights.config = tiny_config(sizes);
  weights.embedding = random.matrix(sizes.vocabulary, sizes.hidden, 1.0);
  if (!sizes.tied) weights.head = random.matrix(sizes.vocabulary, sizes.hidden, 1.0);
  weights.final_norm = gains();
  weights.blocks.resize(sizes.blocks);
  for (std::size_t b = 0; b < sizes.blocks; ++b) {
    weights.blocks[b].attention_norm = gains();
    weights.blocks[b].mlp_norm = gains();
    for (LayerInfo& layer : architecture.block_layers(weights.config, b)) {
      LinearWeights& linear = weights.blocks[b].linears.emplace_back();
      const double gain = layer.role == Role::q_proj || layer.role == Role::k_proj ? 1.5 : 1.0;
      linear.weight = random.matrix(layer.out_features, layer.in_features, gain / std::sqrt(double(layer.in_features)));
      linear.info = std::move(layer);
    }
  }
  return weights;
}

void write_checkpoint(const std::filesystem::path& folder, const ModelWeights& weights, const std::function<void(Json&)>& change) {
  const ModelConfig& sizes = weights.config;
  const Architecture& architecture = find_architecture(sizes.architecture);
  Json config = {{"architectures", {"LlamaForCausalLM"}},
                 {"model_type", sizes.architecture},
                 {"hidden_size", sizes.hidden_size},
                 {"num_hidden_layers", sizes.blocks},
                 {"num_attention_heads", sizes.heads},
                 {"num_key_value_heads", sizes.kv_heads},
                 {"head_dim", sizes.head_dim},
                 {"intermediate_size", sizes.feed_forward},
                 {"vocab_size", sizes.vocabulary},
                 {"max_position_embeddings", sizes.context},
                 {"rms_norm_eps", sizes.norm_epsilon},
                 {"rope_theta", sizes.rope_theta},
                 {"hidden_act", "silu"},
                 {"tie_word_embeddings", sizes.tied_embeddings}};
  if (change) change(config);
  write_file_atomically(folder / "config.json", config.dump(1));
  SafetensorsWriter writer;
  const auto add_vector = [&](std::string_view name, const std::vector<float>& values) {
    const auto bytes = std::as_bytes(std::span(values));
    writer.add(std::string(name) + ".weight", DType::f32, {values.size()}, {bytes.begin(), bytes.end()});
  };
  writer.add(std::string(architecture.embedding_name) + ".weight", weights.embedding);
  if (!weights.head.empty()) writer.add(std::string(architecture.head_name) + ".weight", weights.head);
  add_vector(architecture.final_norm_name, weights.final_norm);
  for (std::size_t b = 0; b < weights.blocks.size(); ++b) {
    add_vector(architecture.attention_norm_name(b), weights.blocks[b].attention_norm);
    add_vector(architecture.mlp_norm_name(b), weights.blocks[b].mlp_norm);
    for (const LinearWeights& linear : weights.blocks[b].linears) writer.add(linear.info.name + ".weight", linear.weight);
  }
  writer.write(folder / "model.safetensors");
}

ModelWeights quantized(const ModelWeights& weights, const WeightScheme& weight, const ActivationScheme& activation, std::size_t rank) {
  ModelWeights result = weights;
  Random random(77);
  for (BlockWeights& block : result.blocks) {
    for (LinearWeights& linear : block.linears) {
      linear.quantized = std::make_shared<const QuantizedWeight>(quantize_rtn(convert<double>(linear.weight), weight, true));
      linear.activation = activation;
      if (rank > 0) {
        // Components of falling size.
        linear.pair.u = random.matrix(linear.info.out_features, rank, 0.1);
        linear.pair.v = random.matrix(linear.info.in_features, rank, 0.1);
        for (std::size_t r = 0; r < linear.pair.u.rows(); ++r) {
          for (std::size_t k = 0; k < rank; ++k) linear.pair.u(r, k) /= float(k + 1);
        }
      }
      linear.weight = MatrixF();
    }
  }
  return result;
}

Transformer on_cpu(const ModelWeights& weights, InstructionSet set) { return Transformer(make_cpu_backend(set), weights); }

std::vector<TokenId> random_ids(std::size_t count, std::size_t vocabulary, std::uint64_t seed) {
  Random random(seed);
  std::vector<TokenId> ids(count);
  for (TokenId& id : ids) id = TokenId(random.next() % vocabulary);
  return ids;
}

MatrixF all_logits(Transformer& transformer, std::span<const TokenId> ids, const BranchControl& branch) {
  KvCache cache = transformer.make_cache(ids.size());
  transformer.forward(ids, cache, branch);
  return transformer.logits(0, ids.size());
}

double largest_difference(const MatrixF& a, const MatrixF& b) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (a.rows() != b.rows() || a.columns() != b.columns()) return infinity;
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(double(a.data()[i]) - double(b.data()[i]));
    if (!(difference <= largest)) largest = std::isnan(difference) ? infinity : difference;
  }
  return largest;
}

std::vector<TokenId> greedy(Transformer& transformer, std::vector<TokenId> ids, std::size_t count) {
  KvCache cache = transformer.make_cache(ids.size() + count);
  std::vector<TokenId> answer;
  while (answer.size() < count) {
    transformer.forward(ids, cache);
    const MatrixF logits = transformer.logits(transformer.last_tokens() - 1, 1);
    ids = {TokenId(likeliest(logits.data(), logits.columns()))};
    answer.push_back(ids.front());
  }
  return answer;
}

}  // namespace lrc::test

#pragma once
// Tiny random models: weights in memory and checkpoint folders, the same on every machine for a seed.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "model/transformer.h"
#include "model/weights.h"

namespace lrc::test {

/// Uniform numbers from a seed, the same everywhere (the standard library's distributions are not).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  double uniform(double low, double high);
  double normal();  ///< near enough: the sum of twelve uniform numbers
  MatrixF matrix(std::size_t rows, std::size_t columns, double deviation);

 private:
  std::uint64_t state_;
};

/// Sizes that differ from each other wherever they may, all with Hadamard orders.
struct TinySizes {
  std::size_t hidden = 48, blocks = 3, heads = 6, kv_heads = 2, head_dim = 16, feed_forward = 80, vocabulary = 120, context = 700;
  bool tied = true;
};

/// Of Llama, in the order of its layers.
inline constexpr Role llama_roles[] = {Role::q_proj,    Role::k_proj,  Role::v_proj,   Role::o_proj,
                                       Role::gate_proj, Role::up_proj, Role::down_proj};

ModelConfig tiny_config(const TinySizes& sizes = {});
/// Norm gains in [0.5, 1.5]; queries and keys large enough for attention that is far from uniform.
ModelWeights tiny_weights(const TinySizes& sizes = {}, std::uint64_t seed = 1);
/// Config.json and model.safetensors of the weights in a folder; `change` may alter the configuration before it is written.
void write_checkpoint(const std::filesystem::path& folder, const ModelWeights& weights, const std::function<void(Json&)>& change = {});

/// Rounds all linear layers to nearest; with a rank above 0 also a random pair, components of falling size.
ModelWeights quantized(const ModelWeights& weights, const WeightScheme& weight, const ActivationScheme& activation, std::size_t rank);
/// A transformer on the CPU by one instruction set.
Transformer on_cpu(const ModelWeights& weights, InstructionSet set = InstructionSet::automatic);

std::vector<TokenId> random_ids(std::size_t count, std::size_t vocabulary, std::uint64_t seed);
/// Logits of all ids in one pass, (ids, vocabulary).
MatrixF all_logits(Transformer& transformer, std::span<const TokenId> ids, const BranchControl& branch = {});
/// The largest |a − b|; infinity when the shapes differ or a value is not a number.
double largest_difference(const MatrixF& a, const MatrixF& b);
/// Greedy continuation with the cache.
std::vector<TokenId> greedy(Transformer& transformer, std::vector<TokenId> ids, std::size_t count);

}  // namespace lrc::test

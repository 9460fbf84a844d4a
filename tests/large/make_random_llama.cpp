// Writes a Llama checkpoint of random weights as a folder of shards: something of a real model's size to try a run's memory and
// time on where no such model is at hand. The default is 1.1 billion parameters (22 blocks, 2048 wide). The same bytes on every
// machine for a seed.
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>

#include "base/error.h"
#include "base/files.h"
#include "base/parallel.h"
#include "formats/safetensors.h"
#include "model/architecture.h"
#include "model/model.h"
#include "support/test_data.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

constexpr std::size_t kShardBytes = 512u << 20;

struct Sizes {
  std::size_t hidden = 2048, feed_forward = 5632, blocks = 22, heads = 32, kv_heads = 4, vocabulary = 32000, context = 2048, seed = 1;
  bool bfloat16 = false;
};

/// Near enough to normal: four independent 16-bit numbers of one draw.
double noise(Random& random) {
  const std::uint64_t draw = random.next();
  double sum = -2;
  for (int part = 0; part < 4; ++part) sum += double((draw >> (16 * part)) & 0xFFFF) / 65535.0;
  return sum * std::sqrt(3.0);
}

class Folder {
 public:
  Folder(std::filesystem::path path, const Sizes& sizes) : path_(std::move(path)), sizes_(sizes) {}

  /// `mean` + normal numbers of that deviation; each row has a seed of its own, so that rows can be made side by side.
  void add(const std::string& name, std::size_t rows, std::size_t columns, double deviation, double mean = 0) {
    std::vector<std::byte> bytes(rows * columns * 2);
    const std::uint64_t first_seed = sizes_.seed * 0x9E3779B97F4A7C15u + rows_written_;
    parallel_for(rows, 16, [&](std::size_t begin, std::size_t end) {
      for (std::size_t r = begin; r < end; ++r) {
        Random random((first_seed + r) * 0xD1B54A32D192ED03u);
        for (std::size_t c = 0; c < columns; ++c) {
          const float value = float(mean + deviation * noise(random));
          const std::uint16_t stored = sizes_.bfloat16 ? float_to_bfloat16(value) : float_to_half(value);
          std::memcpy(bytes.data() + 2 * (r * columns + c), &stored, 2);
        }
      }
    });
    rows_written_ += rows;
    held_ += bytes.size();
    total_ += bytes.size();
    names_.push_back(name);
    std::vector<std::size_t> shape = {rows, columns};
    if (rows == 1) shape.erase(shape.begin());
    writer_.add(name, sizes_.bfloat16 ? DType::bf16 : DType::f16, std::move(shape), std::move(bytes));
    if (held_ >= kShardBytes) flush();
  }

  /// The names of shards say how many there are, which is known at the end.
  void finish() {
    if (held_ > 0) flush();
    Json map = Json::object();
    for (std::size_t s = 0; s < shards_.size(); ++s) {
      const std::string name = shard_name(s, shards_.size());
      std::filesystem::rename(path_ / shard_name(s, 0), path_ / name);
      for (const auto& tensor : shards_[s]) map[tensor] = name;
    }
    write_file_atomically(path_ / "model.safetensors.index.json",
                          Json({{"metadata", {{"total_size", total_}}}, {"weight_map", map}}).dump(1) + "\n");
  }

 private:
  static std::string shard_name(std::size_t shard, std::size_t shards) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "model-%05zu-of-%05zu.safetensors", shard + 1, shards);
    return text.data();
  }
  void flush() {
    writer_.set_metadata("format", "pt");
    writer_.write(path_ / shard_name(shards_.size(), 0));
    shards_.push_back(std::move(names_));
    names_.clear();
    writer_ = SafetensorsWriter();
    held_ = 0;
  }

  std::filesystem::path path_;
  const Sizes& sizes_;
  SafetensorsWriter writer_;
  std::vector<std::string> names_;
  std::vector<std::vector<std::string>> shards_;
  std::size_t held_ = 0, total_ = 0;
  std::uint64_t rows_written_ = 0;
};

void write_model(const std::filesystem::path& path, const Sizes& sizes) {
  std::filesystem::create_directories(path);
  const Json config = {{"architectures", {"LlamaForCausalLM"}},
                       {"model_type", "llama"},
                       {"hidden_size", sizes.hidden},
                       {"num_hidden_layers", sizes.blocks},
                       {"num_attention_heads", sizes.heads},
                       {"num_key_value_heads", sizes.kv_heads},
                       {"intermediate_size", sizes.feed_forward},
                       {"vocab_size", sizes.vocabulary},
                       {"max_position_embeddings", sizes.context},
                       {"rms_norm_eps", 1e-5},
                       {"rope_theta", 10000.0},
                       {"hidden_act", "silu"},
                       {"tie_word_embeddings", false},
                       {"torch_dtype", sizes.bfloat16 ? "bfloat16" : "float16"}};
  write_file_atomically(path / "config.json", config.dump(1) + "\n");
  // A small vocabulary; the rows behind it are never looked up.
  for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
    write_file_atomically(path / file, read_file(data("stories260K/hf") / file));

  TinySizes tiny;
  tiny.hidden = sizes.hidden;
  tiny.feed_forward = sizes.feed_forward;
  tiny.blocks = sizes.blocks;
  tiny.heads = sizes.heads;
  tiny.kv_heads = sizes.kv_heads;
  tiny.head_dim = sizes.hidden / sizes.heads;
  tiny.vocabulary = sizes.vocabulary;
  tiny.context = sizes.context;
  tiny.tied = false;
  const ModelConfig model = tiny_config(tiny);
  const Architecture& architecture = find_architecture("llama");
  Folder folder(path, sizes);
  const auto weight = [](std::string_view module) { return std::string(module) + ".weight"; };
  folder.add(weight(architecture.embedding_name), sizes.vocabulary, sizes.hidden, 1.0);
  for (std::size_t b = 0; b < sizes.blocks; ++b) {
    folder.add(weight(architecture.attention_norm_name(b)), 1, sizes.hidden, 0.2, 1.0);
    folder.add(weight(architecture.mlp_norm_name(b)), 1, sizes.hidden, 0.2, 1.0);
    for (const LayerInfo& layer : architecture.block_layers(model, b)) {
      // What goes back into the residual stream is smaller, so that it neither vanishes nor grows with the depth.
      const bool back = layer.role == Role::o_proj || layer.role == Role::down_proj;
      const double gain = back ? 2 / std::sqrt(2.0 * double(sizes.blocks)) : 1.2;
      folder.add(weight(layer.name), layer.out_features, layer.in_features, gain / std::sqrt(double(layer.in_features)));
    }
  }
  folder.add(weight(architecture.final_norm_name), 1, sizes.hidden, 0.2, 1.0);
  folder.add(weight(architecture.head_name), sizes.vocabulary, sizes.hidden, 1 / std::sqrt(double(sizes.hidden)));
  folder.finish();
}

constexpr const char* kUsage =
    "make_random_llama FOLDER [--hidden 2048] [--feed-forward 5632] [--blocks 22] [--heads 32] [--kv-heads 4]\n"
    "                  [--vocabulary 32000] [--context 2048] [--seed 1] [--bf16]\n";

int run(int count, char** arguments) {
  Sizes sizes;
  const std::map<std::string, std::size_t*> numbers = {
      {"--hidden", &sizes.hidden},     {"--feed-forward", &sizes.feed_forward}, {"--blocks", &sizes.blocks},   {"--heads", &sizes.heads},
      {"--kv-heads", &sizes.kv_heads}, {"--vocabulary", &sizes.vocabulary},     {"--context", &sizes.context}, {"--seed", &sizes.seed}};
  std::filesystem::path folder;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    if (const auto found = numbers.find(argument); found != numbers.end()) {
      const std::string value = i + 1 < count ? arguments[++i] : "";
      const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), *found->second);
      if (value.empty() || code != std::errc() || end != value.data() + value.size() || *found->second == 0)
        throw Error(ErrorKind::bad_input, argument + " takes a whole number above 0.");
    } else if (argument == "--bf16") {
      sizes.bfloat16 = true;
    } else if (!argument.starts_with("--") && folder.empty()) {
      folder = argument;
    } else {
      throw Error(ErrorKind::bad_input, "\"" + argument + "\" is not understood.\n" + kUsage);
    }
  }
  if (folder.empty()) throw Error(ErrorKind::bad_input, std::string("Give the folder to write.\n") + kUsage);
  if (sizes.hidden % sizes.heads != 0 || sizes.heads % sizes.kv_heads != 0 || sizes.vocabulary < 512)
    throw Error(ErrorKind::bad_input, "The heads must divide the hidden size, the kv heads the heads, and the tokenizer has 512 tokens.");
  write_model(folder, sizes);
  return 0;
}

}  // namespace
}  // namespace lrc::test

int main(int count, char** arguments) {
  try {
    return lrc::test::run(count, arguments);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}

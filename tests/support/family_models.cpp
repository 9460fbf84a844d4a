#include "support/family_models.h"

#include "base/files.h"
#include "base/json.h"
#include "formats/safetensors.h"

namespace lrc::test {
namespace {

/// A byte-level vocabulary that fits any model of at least 256 tokens.
Json byte_tokenizer() {
  Json vocabulary = Json::object();
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const int code = printable ? byte : next++;
    std::string text;
    if (code < 0x80) {
      text = std::string(1, char(code));
    } else {
      text = {char(0xc0 | code >> 6), char(0x80 | (code & 63))};
    }
    vocabulary[text] = byte;
  }
  return {{"version", "1.0"},
          {"added_tokens", Json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
}

}  // namespace

std::filesystem::path with_tokenizer(const std::string& model, const std::filesystem::path& place) {
  const auto golden = data("models") / model;
  if (!std::filesystem::is_directory(golden)) return golden;
  std::filesystem::copy(golden, place);
  write_file_atomically(place / "tokenizer.json", byte_tokenizer().dump());
  return place;
}

std::filesystem::path with_many_experts(const std::filesystem::path& place, std::size_t blocks, std::size_t experts) {
  with_tokenizer("mixtral/hf", place);
  const auto file = place / "model.safetensors";
  SafetensorsWriter writer;
  {
    const SafetensorsFile golden = SafetensorsFile::open(file);
    const std::string block_prefix = "model.layers.0.", expert_prefix = "block_sparse_moe.experts.0.";
    const auto add = [&](const std::string& name, const SafetensorsEntry& entry, std::vector<std::size_t> shape, std::size_t times = 1) {
      std::vector<std::byte> bytes;
      for (std::size_t i = 0; i < times; ++i) bytes.insert(bytes.end(), entry.bytes.begin(), entry.bytes.end());
      writer.add(name, entry.dtype, std::move(shape), std::move(bytes));
    };
    for (const SafetensorsEntry& entry : golden.entries()) {
      if (!entry.name.starts_with("model.layers.")) {
        add(entry.name, entry, entry.shape);
        continue;
      }
      if (!entry.name.starts_with(block_prefix)) continue;
      const std::string part = entry.name.substr(block_prefix.size());
      for (std::size_t block = 0; block < blocks; ++block) {
        const std::string prefix = "model.layers." + std::to_string(block) + ".";
        if (part == "block_sparse_moe.gate.weight") {
          // A row an expert: the golden model's rows, as often as it takes.
          const std::size_t times = (experts + entry.shape[0] - 1) / entry.shape[0];
          add(prefix + part, entry, {times * entry.shape[0], entry.shape[1]}, times);
        } else if (!part.starts_with("block_sparse_moe.experts.")) {
          add(prefix + part, entry, entry.shape);
        } else if (part.starts_with(expert_prefix)) {
          for (std::size_t expert = 0; expert < experts; ++expert)
            add(prefix + "block_sparse_moe.experts." + std::to_string(expert) + "." + part.substr(expert_prefix.size()), entry,
                entry.shape);
        }
      }
    }
    writer.write(place / "many.safetensors");
  }
  std::filesystem::rename(place / "many.safetensors", file);
  Json config = read_json_file(place / "config.json");
  config["num_hidden_layers"] = blocks;
  config["num_local_experts"] = experts;
  write_file_atomically(place / "config.json", config.dump());
  return place;
}

}  // namespace lrc::test

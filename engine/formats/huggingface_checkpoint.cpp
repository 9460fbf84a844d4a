// A model folder: config.json, one safetensors file or shards with an index, tokenizer files.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "formats/checkpoint_kinds.h"
#include "formats/messages.h"
#include "formats/safetensors.h"

namespace lrc {
namespace {

constexpr const char* single_name = "model.safetensors";
constexpr const char* index_name = "model.safetensors.index.json";

std::optional<Json> read_optional(const std::filesystem::path& file) {
  std::error_code code;
  if (!std::filesystem::exists(file, code)) return std::nullopt;
  return read_json_file(file);
}

/// The template from its own file, or from tokenizer_config.json: a text, or a list of named ones of which "default" counts.
std::optional<std::string> read_chat_template(const std::filesystem::path& folder, const std::optional<Json>& tokenizer_config) {
  std::error_code code;
  if (const auto file = folder / "chat_template.jinja"; std::filesystem::exists(file, code)) return read_file(file);
  if (!tokenizer_config || !tokenizer_config->is_object()) return std::nullopt;
  const auto found = tokenizer_config->find("chat_template");
  if (found == tokenizer_config->end()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return std::nullopt;
  std::optional<std::string> first;
  for (const auto& entry : *found) {
    if (!entry.is_object() || !entry.contains("name") || !entry.contains("template") || !entry["template"].is_string()) continue;
    if (entry["name"] == "default") return entry["template"].get<std::string>();
    if (!first) first = entry["template"].get<std::string>();
  }
  return first;
}

/// generation_config.json often lists more ends than config.json does.
void add_end_tokens(Json& config, const std::optional<Json>& generation) {
  if (!generation || !generation->is_object() || !generation->contains("eos_token_id")) return;
  Json ends = Json::array();
  const auto add = [&](const Json& value) {
    if (value.is_number_integer() && std::find(ends.begin(), ends.end(), value) == ends.end()) ends.push_back(value);
  };
  for (const Json* source : {static_cast<const Json*>(&config), &*generation}) {
    const auto found = source->find("eos_token_id");
    if (found == source->end()) continue;
    if (found->is_array())
      for (const auto& value : *found) add(value);
    else
      add(*found);
  }
  if (ends.size() == 1)
    config["eos_token_id"] = ends[0];
  else if (ends.size() > 1)
    config["eos_token_id"] = std::move(ends);
}

class HuggingFaceCheckpoint final : public Checkpoint {
 public:
  explicit HuggingFaceCheckpoint(const std::filesystem::path& folder) {
    path_ = folder;
    const auto config_file = folder / "config.json";
    std::error_code code;
    if (!std::filesystem::exists(config_file, code))
      throw Error(ErrorKind::not_found,
                  folder.string() + " has no config.json; give a .gguf file or a model folder with config.json and *.safetensors.");
    config_ = read_json_file(config_file);
    if (!config_.is_object()) throw Error(ErrorKind::bad_file, config_file.string() + " is not a JSON object.");
    add_end_tokens(config_, read_optional(folder / "generation_config.json"));
    open_weights(folder);
    tokenizer_.tokenizer_json = read_optional(folder / "tokenizer.json");
    tokenizer_.tokenizer_config = read_optional(folder / "tokenizer_config.json");
    tokenizer_.chat_template = read_chat_template(folder, tokenizer_.tokenizer_config);
    hashed_files_.push_back(config_file);
    for (const auto& [name, file] : files_) {
      hashed_files_.push_back(file.path());
      file_bytes_ += std::filesystem::file_size(file.path());
    }
  }

  void read_rows(const TensorInfo& tensor, std::size_t first, std::size_t count, float* destination) const override {
    check_rows(tensor, first, count);
    const auto* entry = stored_.at(tensor.name);
    const std::size_t columns = tensor.columns();
    const std::size_t row_bytes = columns * block_bytes(tensor.dtype);
    const auto part = entry->bytes.subspan(first * row_bytes, count * row_bytes);
    to_float(tensor.dtype, part.data(), count * columns, destination);
    forget_pages(part);  // a large checkpoint would otherwise fill the memory beside what was made of it
    check_finite(tensor, {destination, count * columns});
  }

 private:
  void open_weights(const std::filesystem::path& folder) {
    std::error_code code;
    if (std::filesystem::exists(folder / index_name, code)) return open_shards(folder);
    if (!std::filesystem::exists(folder / single_name, code)) {
      std::string hint;
      for (const char* old : {"pytorch_model.bin", "pytorch_model.bin.index.json"})
        if (std::filesystem::exists(folder / old, code)) hint = " Its weights are in PyTorch's own format; convert them to safetensors.";
      throw Error(ErrorKind::not_found, folder.string() + " has neither " + single_name + " nor " + index_name + "." + hint);
    }
    const auto& file = files_.emplace(single_name, SafetensorsFile::open(folder / single_name)).first->second;
    for (const auto& entry : file.entries()) add(entry, single_name);
  }

  void open_shards(const std::filesystem::path& folder) {
    const auto index_file = folder / index_name;
    const auto index = read_json_file(index_file);
    const auto map = index.is_object() ? index.find("weight_map") : index.end();
    if (!index.is_object() || map == index.end() || !map->is_object())
      throw Error(ErrorKind::bad_file, index_file.string() + " has no weight_map.");
    for (const auto& [tensor, value] : map->items()) {
      const auto shard = value.is_string() ? value.get<std::string>() : std::string();
      // A shard lies beside its index: a path that leads elsewhere is not followed.
      if (shard.empty() || shard.find('/') != std::string::npos || shard == ".." || shard == ".")
        throw Error(ErrorKind::bad_file, index_file.string() + " keeps the tensor " + in_quotes(tensor) + " in " + in_quotes(shard) +
                                             ", which is no file name.");
      auto found = files_.find(shard);
      if (found == files_.end()) {
        std::error_code code;
        if (!std::filesystem::exists(folder / shard, code))
          throw Error(ErrorKind::not_found,
                      index_file.string() + " promises the file " + in_quotes(shard) + ", which is not in the folder; download it again.");
        found = files_.emplace(shard, SafetensorsFile::open(folder / shard)).first;
      }
      const auto* entry = find_in(found->second, tensor);
      if (!entry)
        throw Error(ErrorKind::bad_file,
                    index_file.string() + " promises the tensor " + in_quotes(tensor) + " in " + shard + ", which lacks it.");
      add(*entry, shard);
    }
  }

  /// By a table, since an index and its shards may name many thousands of tensors.
  const SafetensorsEntry* find_in(const SafetensorsFile& file, const std::string& name) {
    auto& names = names_[&file];
    if (names.empty())
      for (const auto& entry : file.entries()) names.emplace(entry.name, &entry);
    const auto found = names.find(name);
    return found == names.end() ? nullptr : found->second;
  }

  void add(const SafetensorsEntry& entry, const std::string& file_name) {
    tensors_.push_back({entry.name, entry.dtype, entry.shape, file_name, entry.name});
    stored_[entry.name] = &entry;
  }

  std::map<std::string, SafetensorsFile> files_;  // nodes stay where they are, so pointers to entries hold
  std::map<const SafetensorsFile*, std::map<std::string, const SafetensorsEntry*>> names_;
  std::map<std::string, const SafetensorsEntry*> stored_;
};

}  // namespace

std::shared_ptr<const Checkpoint> open_huggingface_checkpoint(const std::filesystem::path& folder) {
  return std::make_shared<HuggingFaceCheckpoint>(folder);
}

}  // namespace lrc

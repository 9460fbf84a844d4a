#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "tensor/dtype.h"
#include "tensor/matrix.h"

namespace lrc {

/// One tensor of a checkpoint, under its Hugging Face name, shape in torch order (a linear weight is {out, in}).
struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::size_t> shape;
  std::string file_name;    ///< the file that holds it, for messages
  std::string stored_name;  ///< its name in that file ("blk.0.attn_q.weight")
  std::size_t elements() const;
  std::size_t rows() const;     ///< product of all dimensions but the last (1 for a vector)
  std::size_t columns() const;  ///< the last dimension
};

/// The vocabulary section of a GGUF file, as it stands there.
struct GgufVocabulary {
  std::string model;  ///< "gpt2" (byte-level BPE) or "llama" (SentencePiece)
  std::string pre;    ///< pre-tokenizer name, empty if absent
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;  ///< 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte
  std::vector<float> scores;
  std::vector<std::string> merges;
  std::optional<std::int64_t> bos, eos, unknown, padding, eot;
  bool add_bos = false, add_eos = false, add_space_prefix = true;
  bool has_add_bos = false;  ///< whether the file says so at all
};

/// What a checkpoint brings for its tokenizer: exactly one of `gguf` and `tokenizer_json`, or neither.
struct TokenizerSource {
  std::optional<GgufVocabulary> gguf;
  std::optional<Json> tokenizer_json, tokenizer_config;
  std::optional<std::string> chat_template;
};

/// A model folder (config.json + safetensors, one file or shards) or a GGUF file, by Hugging Face tensor names. Opening
/// reads headers only; weights stay mapped. Immutable and safe from several threads.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  const std::filesystem::path& path() const { return path_; }
  bool is_gguf() const { return gguf_; }
  /// config.json; for GGUF one made from the metadata with the same keys (`model_type`, `hidden_size`,
  /// `num_attention_heads`, `rope_theta`, `rope_scaling`, `tie_word_embeddings`, …), so that models read one form.
  const Json& config() const { return config_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const TensorInfo* find(std::string_view name) const;
  const TensorInfo& get(std::string_view name) const;  ///< throws Error(bad_file) naming file and tensor

  /// Rows [first, first + count) of a tensor seen as (rows(), columns()), as float32; llama's q/k row permutation of GGUF
  /// files is undone. Throws Error(bad_file) naming the tensor when a value is NaN or infinite.
  virtual void read_rows(const TensorInfo& tensor, std::size_t first, std::size_t count, float* destination) const = 0;
  MatrixF read_matrix(std::string_view name) const;  ///< whole tensor, (rows(), columns())
  std::vector<float> read_vector(std::string_view name) const;

  const TokenizerSource& tokenizer_source() const { return tokenizer_; }
  std::uint64_t file_bytes() const { return file_bytes_; }  ///< of all weight files
  /// SHA-256 of the file's bytes; of a folder: over the sorted lines "name sha256" of config.json and the weight files.
  /// Cached beside size and modification time in the cache folder, so that a large file is read once.
  std::string sha256() const;

 protected:
  std::filesystem::path path_;
  bool gguf_ = false;
  Json config_;
  std::vector<TensorInfo> tensors_;
  TokenizerSource tokenizer_;
  std::uint64_t file_bytes_ = 0;
  std::vector<std::filesystem::path> hashed_files_;
};

/// Opens a .gguf file or a Hugging Face folder by content. Throws Error naming the file, what is wrong and what to do.
std::shared_ptr<const Checkpoint> open_checkpoint(const std::filesystem::path& path);

}  // namespace lrc

#pragma once
// GGUF versions 2 and 3 (little-endian). Reading is strict: every length, count, offset and type is checked against the
// file's size before it is used, so a hostile file costs no more memory than its own size explains.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/mapped_file.h"

namespace lrc {

/// A metadata value. Integers are widened to 64 bits, floats to double; arrays hold one element kind.
struct GgufValue {
  using Array =
      std::variant<std::vector<std::int64_t>, std::vector<std::uint64_t>, std::vector<double>, std::vector<std::string>, std::vector<bool>>;
  std::variant<std::int64_t, std::uint64_t, double, bool, std::string, Array> value;
  std::uint32_t type = 0;          ///< the file's own type number (0–12), kept for writing back
  std::uint32_t element_type = 0;  ///< of an array
};

struct GgufTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::size_t> shape;  ///< torch order (the reverse of the file's ne)
  std::span<const std::byte> bytes;
};

class GgufFile {
 public:
  static GgufFile open(const std::filesystem::path& file);

  const std::filesystem::path& path() const { return mapping_->path(); }
  std::uint32_t version() const { return version_; }
  const std::vector<std::pair<std::string, GgufValue>>& metadata() const { return metadata_; }  ///< in file order
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufValue* find_value(std::string_view key) const;
  const GgufTensor* find(std::string_view name) const;

  std::optional<std::int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;  ///< also from integers
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string> text(std::string_view key) const;

 private:
  std::shared_ptr<const MappedFile> mapping_;
  std::uint32_t version_ = 3;
  std::vector<std::pair<std::string, GgufValue>> metadata_;
  std::vector<GgufTensor> tensors_;
};

/// Writes GGUF v3, alignment 32, atomically.
class GgufWriter {
 public:
  void set(std::string key, std::string value);
  void set_u32(std::string key, std::uint32_t value);
  void set_f32(std::string key, float value);
  void set_bool(std::string key, bool value);
  void set_strings(std::string key, std::vector<std::string> values);
  void set_i32s(std::string key, std::vector<std::int64_t> values);
  void set_f32s(std::string key, std::vector<double> values);
  void copy(std::string key, const GgufValue& value);  ///< as it stood in another file
  /// `shape` in torch order; `bytes` already in the block layout of `dtype`. Throws Error(bad_input) naming the tensor when
  /// the format cannot hold it or the size does not fit.
  void add(std::string name, DType dtype, std::vector<std::size_t> shape, std::vector<std::byte> bytes);
  /// The bytes are made when their turn to be written comes, so that a large file needs no memory of its size.
  void add(std::string name, DType dtype, std::vector<std::size_t> shape, std::function<std::vector<std::byte>()> make);
  std::uint64_t file_bytes() const;  ///< what write() will write, to the byte
  std::size_t tensor_count() const { return tensors_.size(); }
  bool empty() const { return tensors_.empty(); }  ///< no tensors
  void write(const std::filesystem::path& file) const;

 private:
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<std::size_t> shape;
    std::size_t bytes = 0;
    std::function<std::vector<std::byte>()> make;
  };
  void set_value(std::string key, GgufValue value);
  std::string header() const;
  std::vector<std::pair<std::string, GgufValue>> metadata_;
  std::vector<Tensor> tensors_;
};

/// ggml's block encoders, byte for byte (no importance matrix): Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, F16, BF16, F32.
/// `count` is a multiple of the block size.
std::vector<std::byte> encode_blocks(DType type, const float* values, std::size_t count);

}  // namespace lrc

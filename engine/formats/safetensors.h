#pragma once
// safetensors: 8 bytes little-endian header length, a JSON header, then the buffer. The reader is strict (no holes, no
// overlap, no spare tail, no duplicate names, sizes checked for overflow); it does not look at the values.
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "tensor/dtype.h"
#include "tensor/mapped_file.h"
#include "tensor/matrix.h"

namespace lrc {

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::size_t> shape;
  std::span<const std::byte> bytes;  ///< into the mapping
};

class SafetensorsFile {
 public:
  /// Throws Error(bad_file) naming the file and what is wrong.
  static SafetensorsFile open(const std::filesystem::path& file);

  const std::filesystem::path& path() const { return mapping_->path(); }
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const SafetensorsEntry* find(std::string_view name) const;
  const SafetensorsEntry& get(std::string_view name) const;  ///< throws Error(bad_file) naming both

  MatrixF read_float(std::string_view name) const;   ///< any float type; a vector becomes (1, n)
  MatrixD read_double(std::string_view name) const;  ///< F64 exactly, others widened
  template <typename T>
  std::span<const T> raw(std::string_view name) const {  ///< the caller knows the type; Error(bad_file) when its size does not fit
    const auto& entry = get(name);
    check_raw(entry, sizeof(T), alignof(T));
    return {reinterpret_cast<const T*>(entry.bytes.data()), entry.bytes.size() / sizeof(T)};
  }

 private:
  void check_raw(const SafetensorsEntry& entry, std::size_t size, std::size_t alignment) const;
  std::shared_ptr<const MappedFile> mapping_;
  std::vector<SafetensorsEntry> entries_;
  std::map<std::string, std::string> metadata_;
};

/// Collects tensors, then writes them (sorted by dtype alignment, then name, as the reference writer does) atomically.
class SafetensorsWriter {
 public:
  void add(std::string name, DType dtype, std::vector<std::size_t> shape, std::vector<std::byte> bytes);
  void add(std::string name, const MatrixF& matrix);                                                     ///< F32
  void add(std::string name, const MatrixD& matrix);                                                     ///< F64
  void add_half(std::string name, const MatrixF& matrix);                                                ///< F16, round to nearest even
  void add_codes(std::string name, std::vector<std::size_t> shape, std::span<const std::int8_t> codes);  ///< I8
  void set_metadata(std::string key, std::string value);
  void write(const std::filesystem::path& file) const;

 private:
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<std::size_t> shape;
    std::vector<std::byte> bytes;
  };
  std::vector<Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace lrc

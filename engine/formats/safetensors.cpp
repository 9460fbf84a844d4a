#include "formats/safetensors.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/error.h"
#include "base/json.h"
#include "formats/messages.h"
#include "formats/safetensors_header.h"

namespace lrc {
namespace {

constexpr std::uint64_t longest_header = 100'000'000;

[[noreturn]] void fail(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::bad_file, file + " is not a usable safetensors file: " + what + ".");
}

std::uint64_t checked_bytes(const safetensors::HeaderEntry& entry, const std::string& file) {
  std::uint64_t bytes = block_bytes(entry.dtype);
  for (const auto size : entry.shape)
    if (__builtin_mul_overflow(bytes, size, &bytes))
      fail(file, "the tensor " + in_quotes(entry.name) + " has more elements than can be counted");
  return bytes;
}

/// Rank in the reference writer's order: wide types first, so that every tensor is aligned for its type.
int write_order(DType type) {
  switch (type) {
    case DType::i64:
      return 0;
    case DType::f64:
      return 1;
    case DType::f32:
      return 2;
    case DType::i32:
      return 3;
    case DType::bf16:
      return 4;
    case DType::f16:
      return 5;
    case DType::i16:
      return 6;
    case DType::i8:
      return 7;
    case DType::u8:
      return 8;
    default:
      return 9;
  }
}

template <typename T>
std::vector<std::byte> copy_bytes(const T* data, std::size_t count) {
  std::vector<std::byte> bytes(count * sizeof(T));
  if (count != 0) std::memcpy(bytes.data(), data, bytes.size());
  return bytes;
}

std::pair<std::size_t, std::size_t> matrix_shape(const SafetensorsEntry& entry) {
  std::size_t rows = 1;
  for (std::size_t i = 0; i + 1 < entry.shape.size(); ++i) rows *= entry.shape[i];
  return {rows, entry.shape.empty() ? 1 : entry.shape.back()};
}

void require_float(const SafetensorsEntry& entry, const std::filesystem::path& file) {
  if (!is_float_like(entry.dtype))
    throw Error(ErrorKind::bad_file, file.string() + ": the tensor " + in_quotes(entry.name) + " holds " + std::string(name(entry.dtype)) +
                                         ", not floating-point numbers.");
}

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  SafetensorsFile result;
  result.mapping_ = MappedFile::open(path);
  const std::string file = path.string();
  const auto bytes = result.mapping_->bytes();
  if (bytes.size() < 8) fail(file, "it has " + std::to_string(bytes.size()) + " bytes, fewer than the 8 of its first field");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  if (length > longest_header)
    fail(file, "it promises a header of " + std::to_string(length) + " bytes, and " + std::to_string(longest_header) + " are allowed");
  if (length > bytes.size() - 8)
    fail(file, "it promises a header of " + std::to_string(length) + " bytes, but the file ends after " + std::to_string(bytes.size()) +
                   "; it was probably not copied or downloaded to its end");
  const std::string_view json(reinterpret_cast<const char*>(bytes.data()) + 8, std::size_t(length));
  if (json.empty() || json.front() != '{') fail(file, "its header does not begin with {");
  auto header = safetensors::parse_header(json, file);
  result.metadata_ = std::move(header.metadata);

  auto& entries = header.entries;
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  const auto buffer = bytes.subspan(8 + std::size_t(length));
  std::uint64_t expected = 0;
  for (auto& entry : entries) {
    const std::string what = "the tensor " + in_quotes(entry.name);
    if (entry.begin != expected)
      fail(file, what + " begins at byte " + std::to_string(entry.begin) + " of the data where " + std::to_string(expected) +
                     " was due (a gap or an overlap)");
    if (entry.end < entry.begin) fail(file, what + " ends before it begins");
    const auto size = checked_bytes(entry, file);
    if (entry.end - entry.begin != size)
      fail(file, what + " has " + std::to_string(entry.end - entry.begin) + " bytes, and its shape and type need " + std::to_string(size));
    if (entry.end > buffer.size())
      fail(file, what + " ends at byte " + std::to_string(entry.end) + " of the data, but the file has only " +
                     std::to_string(buffer.size()) + "; it was probably not copied or downloaded to its end");
    expected = entry.end;
    result.entries_.push_back({std::move(entry.name),
                               entry.dtype,
                               {entry.shape.begin(), entry.shape.end()},
                               buffer.subspan(std::size_t(entry.begin), std::size_t(size))});
  }
  if (expected != buffer.size()) fail(file, std::to_string(buffer.size() - expected) + " bytes at its end belong to no tensor");
  return result;
}

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const {
  for (const auto& entry : entries_)
    if (entry.name == name) return &entry;
  return nullptr;
}

const SafetensorsEntry& SafetensorsFile::get(std::string_view name) const {
  if (const auto* entry = find(name)) return *entry;
  throw Error(ErrorKind::bad_file, path().string() + " has no tensor " + in_quotes(name) + ".");
}

MatrixF SafetensorsFile::read_float(std::string_view name) const {
  const auto& entry = get(name);
  require_float(entry, path());
  const auto [rows, columns] = matrix_shape(entry);
  MatrixF matrix(rows, columns);
  to_float(entry.dtype, entry.bytes.data(), matrix.size(), matrix.data());
  return matrix;
}

MatrixD SafetensorsFile::read_double(std::string_view name) const {
  const auto& entry = get(name);
  if (entry.dtype != DType::f64) return convert<double>(read_float(name));
  const auto [rows, columns] = matrix_shape(entry);
  MatrixD matrix(rows, columns);
  if (!matrix.empty()) std::memcpy(matrix.data(), entry.bytes.data(), entry.bytes.size());
  return matrix;
}

void SafetensorsFile::check_raw(const SafetensorsEntry& entry, std::size_t size, std::size_t alignment) const {
  if (block_bytes(entry.dtype) == size && reinterpret_cast<std::uintptr_t>(entry.bytes.data()) % alignment == 0) return;
  throw Error(ErrorKind::bad_file, path().string() + ": the tensor " + in_quotes(entry.name) + " holds " + std::string(name(entry.dtype)) +
                                       ", not the numbers of " + std::to_string(size) + " bytes that belong there.");
}

void SafetensorsWriter::add(std::string name, DType dtype, std::vector<std::size_t> shape, std::vector<std::byte> bytes) {
  std::size_t size = block_bytes(dtype);
  for (const auto dimension : shape) size *= dimension;
  if (block_elements(dtype) != 1 || size != bytes.size() || name.empty() || name == "__metadata__")
    throw Error(ErrorKind::bad_input,
                "The tensor " + in_quotes(name) + " cannot be written to a safetensors file: its name, type and size do not fit.");
  for (const auto& tensor : tensors_)
    if (tensor.name == name)
      throw Error(ErrorKind::bad_input, "The tensor " + in_quotes(name) + " would stand twice in a safetensors file.");
  tensors_.push_back({std::move(name), dtype, std::move(shape), std::move(bytes)});
}

void SafetensorsWriter::add(std::string name, const MatrixF& matrix) {
  add(std::move(name), DType::f32, {matrix.rows(), matrix.columns()}, copy_bytes(matrix.data(), matrix.size()));
}

void SafetensorsWriter::add(std::string name, const MatrixD& matrix) {
  add(std::move(name), DType::f64, {matrix.rows(), matrix.columns()}, copy_bytes(matrix.data(), matrix.size()));
}

void SafetensorsWriter::add_half(std::string name, const MatrixF& matrix) {
  std::vector<std::uint16_t> halves(matrix.size());
  std::transform(matrix.flat().begin(), matrix.flat().end(), halves.begin(), float_to_half);
  add(std::move(name), DType::f16, {matrix.rows(), matrix.columns()}, copy_bytes(halves.data(), halves.size()));
}

void SafetensorsWriter::add_codes(std::string name, std::vector<std::size_t> shape, std::span<const std::int8_t> codes) {
  add(std::move(name), DType::i8, std::move(shape), copy_bytes(codes.data(), codes.size()));
}

void SafetensorsWriter::set_metadata(std::string key, std::string value) { metadata_[std::move(key)] = std::move(value); }

void SafetensorsWriter::write(const std::filesystem::path& file) const {
  std::vector<const Tensor*> order;
  for (const auto& tensor : tensors_) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) {
    const int first = write_order(a->dtype), second = write_order(b->dtype);
    return first != second ? first < second : a->name < b->name;
  });
  Json header = Json::object();
  if (!metadata_.empty()) header["__metadata__"] = metadata_;
  std::size_t offset = 0;
  for (const auto* tensor : order) {
    header[tensor->name] = {
        {"dtype", name(tensor->dtype)}, {"shape", tensor->shape}, {"data_offsets", {offset, offset + tensor->bytes.size()}}};
    offset += tensor->bytes.size();
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::uint64_t length = text.size();
  AtomicFile out(file);
  out.write(std::as_bytes(std::span(&length, 1)));
  out.write(text);
  for (const auto* tensor : order) out.write(tensor->bytes);
  out.commit();
}

}  // namespace lrc

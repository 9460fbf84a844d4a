#include <algorithm>
#include <cassert>
#include <memory>

#include "base/error.h"
#include "base/files.h"
#include "formats/gguf.h"
#include "formats/gguf_types.h"

namespace lrc {
namespace {

using gguf::ValueType;

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_text(std::string& out, std::string_view text) {
  put(out, std::uint64_t(text.size()));
  out += text;
}

/// One number as the file's type says; the value was read from that type or set to fit it.
template <typename T>
void put_number(std::string& out, std::uint32_t type, T value) {
  switch (type) {
    case ValueType::u8:
      return put(out, std::uint8_t(value));
    case ValueType::i8:
      return put(out, std::int8_t(value));
    case ValueType::u16:
      return put(out, std::uint16_t(value));
    case ValueType::i16:
      return put(out, std::int16_t(value));
    case ValueType::u32:
      return put(out, std::uint32_t(value));
    case ValueType::i32:
      return put(out, std::int32_t(value));
    case ValueType::u64:
      return put(out, std::uint64_t(value));
    case ValueType::i64:
      return put(out, std::int64_t(value));
    case ValueType::f32:
      return put(out, float(value));
    case ValueType::f64:
      return put(out, double(value));
    case ValueType::boolean:
      return put(out, std::uint8_t(value != T(0)));
    default:
      assert(false && "not a number type");
  }
}

struct ElementWriter {
  std::string& out;
  std::uint32_t type;
  void operator()(const std::vector<std::string>& values) const {
    put(out, std::uint64_t(values.size()));
    for (const auto& value : values) put_text(out, value);
  }
  void operator()(const std::vector<bool>& values) const {
    put(out, std::uint64_t(values.size()));
    for (const bool value : values) put(out, std::uint8_t(value));
  }
  template <typename T>
  void operator()(const std::vector<T>& values) const {
    put(out, std::uint64_t(values.size()));
    for (const T value : values) put_number(out, type, value);
  }
};

void put_value(std::string& out, const GgufValue& value) {
  put(out, value.type);
  if (const auto* text = std::get_if<std::string>(&value.value)) return put_text(out, *text);
  if (const auto* array = std::get_if<GgufValue::Array>(&value.value)) {
    put(out, value.element_type);
    return std::visit(ElementWriter{out, value.element_type}, *array);
  }
  if (const auto* truth = std::get_if<bool>(&value.value)) return put(out, std::uint8_t(*truth));
  if (const auto* number = std::get_if<double>(&value.value)) return put_number(out, value.type, *number);
  if (const auto* number = std::get_if<std::int64_t>(&value.value)) return put_number(out, value.type, *number);
  put_number(out, value.type, std::get<std::uint64_t>(value.value));
}

std::uint64_t padded(std::uint64_t size) {
  return (size + gguf::default_alignment - 1) / gguf::default_alignment * gguf::default_alignment;
}

void pad(AtomicFile& out, std::uint64_t written) { out.write(std::string(std::size_t(padded(written) - written), '\0')); }

}  // namespace

void GgufWriter::set_value(std::string key, GgufValue value) {
  if (key == "general.alignment") return;  // this writer's own is the default
  for (auto& [name, old] : metadata_) {
    if (name == key) {
      old = std::move(value);
      return;
    }
  }
  metadata_.emplace_back(std::move(key), std::move(value));
}

void GgufWriter::set(std::string key, std::string value) { set_value(std::move(key), {std::move(value), ValueType::string, 0}); }
void GgufWriter::set_u32(std::string key, std::uint32_t value) { set_value(std::move(key), {std::uint64_t(value), ValueType::u32, 0}); }
void GgufWriter::set_f32(std::string key, float value) { set_value(std::move(key), {double(value), ValueType::f32, 0}); }
void GgufWriter::set_bool(std::string key, bool value) { set_value(std::move(key), {value, ValueType::boolean, 0}); }
void GgufWriter::set_strings(std::string key, std::vector<std::string> values) {
  set_value(std::move(key), {GgufValue::Array(std::move(values)), ValueType::array, ValueType::string});
}
void GgufWriter::set_i32s(std::string key, std::vector<std::int64_t> values) {
  set_value(std::move(key), {GgufValue::Array(std::move(values)), ValueType::array, ValueType::i32});
}
void GgufWriter::set_f32s(std::string key, std::vector<double> values) {
  set_value(std::move(key), {GgufValue::Array(std::move(values)), ValueType::array, ValueType::f32});
}
void GgufWriter::copy(std::string key, const GgufValue& value) { set_value(std::move(key), value); }

void GgufWriter::add(std::string name, DType dtype, std::vector<std::size_t> shape, std::vector<std::byte> bytes) {
  const auto held = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  const std::size_t size = held->size();
  add(std::move(name), dtype, std::move(shape), [held] { return *held; });
  if (tensors_.back().bytes != size)
    throw Error(ErrorKind::bad_input, "The tensor " + tensors_.back().name + " needs " + std::to_string(tensors_.back().bytes) +
                                          " bytes in a GGUF file and came with " + std::to_string(size) + ".");
}

void GgufWriter::add(std::string name, DType dtype, std::vector<std::size_t> shape, std::function<std::vector<std::byte>()> make) {
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorKind::bad_input, "The tensor " + name + " cannot be written to a GGUF file: " + why + ".");
  };
  if (name.empty() || name.size() > gguf::longest_tensor_name)
    refuse("its name has " + std::to_string(name.size()) + " bytes, and 1 to " + std::to_string(gguf::longest_tensor_name) +
           " are allowed");
  if (shape.size() > gguf::most_dimensions) refuse("it has " + std::to_string(shape.size()) + " dimensions, and 4 are allowed");
  if (!gguf::has_file_type(dtype)) refuse("the format has no element type " + std::string(lrc::name(dtype)));
  if (std::any_of(tensors_.begin(), tensors_.end(), [&](const Tensor& tensor) { return tensor.name == name; }))
    refuse("there is one of that name already");
  std::size_t elements = 1;
  for (const std::size_t size : shape) elements *= size;
  if (elements == 0) refuse("it has no elements");
  if (!shape.empty() && shape.back() % block_elements(dtype) != 0)
    refuse("its rows of " + std::to_string(shape.back()) + " elements are no whole blocks of " + std::string(lrc::name(dtype)));
  if (shape.empty() && block_elements(dtype) != 1) refuse("a single number is no whole block of " + std::string(lrc::name(dtype)));
  tensors_.push_back({std::move(name), dtype, std::move(shape), elements / block_elements(dtype) * block_bytes(dtype), std::move(make)});
}

std::string GgufWriter::header() const {
  std::string out(gguf::magic);
  put(out, std::uint32_t(3));
  put(out, std::uint64_t(tensors_.size()));
  put(out, std::uint64_t(metadata_.size()));
  for (const auto& [key, value] : metadata_) {
    put_text(out, key);
    put_value(out, value);
  }
  std::uint64_t offset = 0;
  for (const auto& tensor : tensors_) {
    put_text(out, tensor.name);
    put(out, std::uint32_t(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) put(out, std::uint64_t(*size));
    put(out, gguf::file_type_of(tensor.dtype));
    put(out, offset);
    offset += padded(tensor.bytes);
  }
  return out;
}

std::uint64_t GgufWriter::file_bytes() const {
  std::uint64_t sum = padded(header().size());
  for (const auto& tensor : tensors_) sum += padded(tensor.bytes);
  return sum;
}

void GgufWriter::write(const std::filesystem::path& file) const {
  AtomicFile out(file);
  const std::string head = header();
  out.write(head);
  pad(out, head.size());
  for (const auto& tensor : tensors_) {
    const auto bytes = tensor.make();
    if (bytes.size() != tensor.bytes)
      throw Error(ErrorKind::bad_input, "The tensor " + tensor.name + " was made with " + std::to_string(bytes.size()) +
                                            " bytes instead of " + std::to_string(tensor.bytes) + ".");
    out.write(bytes);
    pad(out, bytes.size());
  }
  out.commit();
}

}  // namespace lrc

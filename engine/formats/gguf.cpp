// The reader. Rules: those of ggml's own reader, and stricter where a length could cost memory.
#include "formats/gguf.h"

#include <bit>
#include <cstring>
#include <limits>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "formats/gguf_types.h"
#include "formats/messages.h"

namespace lrc {
namespace {

using gguf::ValueType;

/// Walks the bytes of a file; every step is checked against its end.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, std::string file) : bytes_(bytes), file_(std::move(file)) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::bad_file, file_ + " is not a usable GGUF file: " + what + ".");
  }

  std::size_t position() const { return position_; }
  std::size_t left() const { return bytes_.size() - position_; }

  void need(std::uint64_t count, const std::string& what) const {
    if (count > left())
      fail(what + " needs " + std::to_string(count) + " bytes at byte " + std::to_string(position_) + ", but the file ends after " +
           std::to_string(bytes_.size()) + " bytes");
  }

  template <typename T>
  T number(const std::string& what) {
    need(sizeof(T), what);
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  std::string text(const std::string& what) {
    const auto length = number<std::uint64_t>("the length of " + what);
    need(length, what);
    std::string value(reinterpret_cast<const char*>(bytes_.data()) + position_, std::size_t(length));
    position_ += std::size_t(length);
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
  std::string file_;
  std::size_t position_ = 0;
};

template <typename Wide, typename T>
std::vector<Wide> numbers(Cursor& in, std::size_t count, const std::string& what) {
  std::vector<Wide> values(count);
  for (auto& value : values) value = Wide(in.number<T>(what));
  return values;
}

bool read_bool(Cursor& in, const std::string& what) {
  const auto byte = in.number<std::uint8_t>(what);
  if (byte > 1) in.fail(what + " should be true or false and holds " + std::to_string(byte));
  return byte == 1;
}

GgufValue::Array read_array(Cursor& in, std::uint32_t element_type, const std::string& what) {
  if (element_type == ValueType::array) in.fail(what + " is an array of arrays, which the format does not allow");
  if (element_type >= ValueType::value_type_count) in.fail(what + " has elements of the unknown type " + std::to_string(element_type));
  const auto claimed = in.number<std::uint64_t>("the length of " + what);
  // Checked before anything is reserved: what is kept is at most a few times what the file holds.
  if (claimed > in.left() / gguf::smallest_size(element_type))
    in.fail(what + " promises " + std::to_string(claimed) + " elements, more than the " + std::to_string(in.left()) +
            " bytes that follow could hold");
  const auto count = std::size_t(claimed);
  switch (element_type) {
    case ValueType::u8:
      return numbers<std::uint64_t, std::uint8_t>(in, count, what);
    case ValueType::u16:
      return numbers<std::uint64_t, std::uint16_t>(in, count, what);
    case ValueType::u32:
      return numbers<std::uint64_t, std::uint32_t>(in, count, what);
    case ValueType::u64:
      return numbers<std::uint64_t, std::uint64_t>(in, count, what);
    case ValueType::i8:
      return numbers<std::int64_t, std::int8_t>(in, count, what);
    case ValueType::i16:
      return numbers<std::int64_t, std::int16_t>(in, count, what);
    case ValueType::i32:
      return numbers<std::int64_t, std::int32_t>(in, count, what);
    case ValueType::i64:
      return numbers<std::int64_t, std::int64_t>(in, count, what);
    case ValueType::f32:
      return numbers<double, float>(in, count, what);
    case ValueType::f64:
      return numbers<double, double>(in, count, what);
    case ValueType::boolean: {
      std::vector<bool> values(count);
      for (std::size_t i = 0; i < count; ++i) values[i] = read_bool(in, what);
      return values;
    }
    default: {
      std::vector<std::string> values;
      values.reserve(count);
      const std::string element = "an element of " + what;
      for (std::size_t i = 0; i < count; ++i) values.push_back(in.text(element));
      return values;
    }
  }
}

GgufValue read_value(Cursor& in, const std::string& key) {
  const std::string what = "the value of " + in_quotes(key);
  GgufValue result;
  result.type = in.number<std::uint32_t>("the type of " + in_quotes(key));
  switch (result.type) {
    case ValueType::u8:
      result.value = std::uint64_t(in.number<std::uint8_t>(what));
      break;
    case ValueType::u16:
      result.value = std::uint64_t(in.number<std::uint16_t>(what));
      break;
    case ValueType::u32:
      result.value = std::uint64_t(in.number<std::uint32_t>(what));
      break;
    case ValueType::u64:
      result.value = in.number<std::uint64_t>(what);
      break;
    case ValueType::i8:
      result.value = std::int64_t(in.number<std::int8_t>(what));
      break;
    case ValueType::i16:
      result.value = std::int64_t(in.number<std::int16_t>(what));
      break;
    case ValueType::i32:
      result.value = std::int64_t(in.number<std::int32_t>(what));
      break;
    case ValueType::i64:
      result.value = in.number<std::int64_t>(what);
      break;
    case ValueType::f32:
      result.value = double(in.number<float>(what));
      break;
    case ValueType::f64:
      result.value = in.number<double>(what);
      break;
    case ValueType::boolean:
      result.value = read_bool(in, what);
      break;
    case ValueType::string:
      result.value = in.text(what);
      break;
    case ValueType::array:
      result.element_type = in.number<std::uint32_t>("the element type of " + in_quotes(key));
      result.value = read_array(in, result.element_type, what);
      break;
    default:
      in.fail(what + " has the unknown type " + std::to_string(result.type));
  }
  return result;
}

void read_header(Cursor& in, std::uint32_t& version, std::uint64_t& tensors, std::uint64_t& values) {
  const std::string file_magic = [&] {
    std::string text(4, '\0');
    for (auto& c : text) c = char(in.number<std::uint8_t>("the header"));
    return text;
  }();
  if (file_magic != gguf::magic) in.fail("it does not begin with the letters GGUF");
  version = in.number<std::uint32_t>("the version");
  if ((version & 0xffff) == 0 && version != 0)
    in.fail("it was written for machines of the other byte order (big-endian); convert it to little-endian");
  if (version < 2 || version > 3)
    in.fail("its version is " + std::to_string(version) +
            ", and versions 2 and 3 can be read; convert the model again with a current converter");
  tensors = in.number<std::uint64_t>("the number of tensors");
  values = in.number<std::uint64_t>("the number of metadata values");
  // The least that one of each takes: a name's length, dimensions, type, offset; a key's length, a type and one byte.
  if (tensors > in.left() / 24)
    in.fail("it promises " + std::to_string(tensors) + " tensors, more than its " + std::to_string(in.left()) + " bytes could describe");
  if (values > in.left() / 13)
    in.fail("it promises " + std::to_string(values) + " metadata values, more than its " + std::to_string(in.left()) + " bytes could hold");
}

struct Placed {
  GgufTensor tensor;
  std::uint64_t offset = 0, size = 0;
};

Placed read_info(Cursor& in) {
  Placed placed;
  auto& tensor = placed.tensor;
  tensor.name = in.text("a tensor's name");
  const std::string what = "the tensor " + in_quotes(tensor.name);
  if (tensor.name.empty()) in.fail("a tensor has an empty name");
  if (tensor.name.size() > gguf::longest_tensor_name)
    in.fail(what + " has a name of " + std::to_string(tensor.name.size()) + " bytes, and " + std::to_string(gguf::longest_tensor_name) +
            " are allowed");
  const auto dimensions = in.number<std::uint32_t>(what);
  if (dimensions > gguf::most_dimensions) in.fail(what + " has " + std::to_string(dimensions) + " dimensions, and 4 are allowed");
  std::vector<std::uint64_t> ne(dimensions);
  for (auto& size : ne) size = in.number<std::uint64_t>(what);
  const auto type = in.number<std::uint32_t>(what);
  placed.offset = in.number<std::uint64_t>(what);

  const auto dtype = gguf::dtype_of(type);
  if (!dtype) {
    const auto type_name = gguf::file_type_name(type);
    if (type_name.empty()) in.fail(what + " has the unknown element type " + std::to_string(type));
    in.fail(what + " has the element type " + std::string(type_name) +
            ", which this program cannot read; take the model in F16, Q8_0 or Q4_K");
  }
  tensor.dtype = *dtype;
  std::uint64_t elements = 1;
  for (const auto size : ne) {
    if (size == 0) in.fail(what + " has a dimension of size 0");
    if (size > std::uint64_t(std::numeric_limits<std::int64_t>::max()) / elements) in.fail(what + " has more elements than can be counted");
    elements *= size;
  }
  const std::uint64_t row = ne.empty() ? 1 : ne[0];
  if (row % block_elements(*dtype) != 0)
    in.fail(what + " has rows of " + std::to_string(row) + " elements, which are no whole blocks of " + std::string(name(*dtype)));
  const std::uint64_t blocks = elements / block_elements(*dtype);
  if (blocks > std::uint64_t(std::numeric_limits<std::int64_t>::max()) / block_bytes(*dtype))
    in.fail(what + " has more bytes than can be counted");
  placed.size = blocks * block_bytes(*dtype);
  tensor.shape.assign(ne.rbegin(), ne.rend());
  return placed;
}

}  // namespace

GgufFile GgufFile::open(const std::filesystem::path& file) {
  GgufFile result;
  result.mapping_ = MappedFile::open(file);
  const auto bytes = result.mapping_->bytes();
  Cursor in(bytes, file.string());
  if (bytes.empty()) in.fail("it is empty");
  std::uint64_t tensor_count = 0, value_count = 0;
  read_header(in, result.version_, tensor_count, value_count);

  std::unordered_set<std::string> names;
  std::uint64_t alignment = gguf::default_alignment;
  for (std::uint64_t i = 0; i < value_count; ++i) {
    auto key = in.text("a metadata key");
    if (key.empty()) in.fail("a metadata key is empty");
    if (!names.insert(key).second) in.fail("the metadata key " + in_quotes(key) + " occurs twice");
    auto value = read_value(in, key);
    if (key == "general.alignment") {
      const auto* number = std::get_if<std::uint64_t>(&value.value);
      if (value.type != ValueType::u32 || !number || !std::has_single_bit(*number)) in.fail("its general.alignment is not a power of two");
      alignment = *number;
    }
    result.metadata_.emplace_back(std::move(key), std::move(value));
  }

  names.clear();
  std::vector<Placed> placed;
  for (std::uint64_t i = 0; i < tensor_count; ++i) {
    placed.push_back(read_info(in));
    if (!names.insert(placed.back().tensor.name).second) in.fail("the tensor " + in_quotes(placed.back().tensor.name) + " occurs twice");
  }

  const auto round_up = [&](std::uint64_t value) { return (value + alignment - 1) / alignment * alignment; };
  const std::uint64_t data = round_up(in.position());
  std::uint64_t expected = 0;
  for (auto& [tensor, offset, size] : placed) {
    if (offset != expected)
      in.fail("the tensor " + in_quotes(tensor.name) + " lies at offset " + std::to_string(offset) + " where " + std::to_string(expected) +
              " was due");
    if (data > bytes.size() || offset > bytes.size() - data || size > bytes.size() - data - offset)
      in.fail("the tensor " + in_quotes(tensor.name) + " needs " + std::to_string(size) + " bytes at byte " +
              std::to_string(data + offset) + ", but the file ends after " + std::to_string(bytes.size()) +
              " bytes; it was probably not copied or downloaded to its end");
    tensor.bytes = bytes.subspan(std::size_t(data + offset), std::size_t(size));
    expected = round_up(offset + size);
    result.tensors_.push_back(std::move(tensor));
  }
  return result;
}

const GgufValue* GgufFile::find_value(std::string_view key) const {
  for (const auto& [name, value] : metadata_)
    if (name == key) return &value;
  return nullptr;
}

const GgufTensor* GgufFile::find(std::string_view name) const {
  for (const auto& tensor : tensors_)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

std::optional<std::int64_t> GgufFile::integer(std::string_view key) const {
  const auto* value = find_value(key);
  if (!value) return std::nullopt;
  if (const auto* number = std::get_if<std::int64_t>(&value->value)) return *number;
  if (const auto* number = std::get_if<std::uint64_t>(&value->value); number && std::in_range<std::int64_t>(*number))
    return std::int64_t(*number);
  return std::nullopt;
}

std::optional<double> GgufFile::number(std::string_view key) const {
  const auto* value = find_value(key);
  if (!value) return std::nullopt;
  if (const auto* number = std::get_if<double>(&value->value)) return *number;
  if (const auto* number = std::get_if<std::int64_t>(&value->value)) return double(*number);
  if (const auto* number = std::get_if<std::uint64_t>(&value->value)) return double(*number);
  return std::nullopt;
}

std::optional<bool> GgufFile::boolean(std::string_view key) const {
  const auto* value = find_value(key);
  const auto* truth = value ? std::get_if<bool>(&value->value) : nullptr;
  return truth ? std::optional(*truth) : std::nullopt;
}

std::optional<std::string> GgufFile::text(std::string_view key) const {
  const auto* value = find_value(key);
  const auto* string = value ? std::get_if<std::string>(&value->value) : nullptr;
  return string ? std::optional(*string) : std::nullopt;
}

}  // namespace lrc

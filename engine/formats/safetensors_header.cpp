#include "formats/safetensors_header.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_set>

#include "base/error.h"
#include "base/json.h"
#include "formats/messages.h"

namespace lrc::safetensors {
namespace {

DType read_dtype(const std::string& text, const std::string& tensor, const std::string& file) {
  for (const DType type :
       {DType::f32, DType::f16, DType::bf16, DType::f64, DType::i64, DType::i32, DType::i16, DType::i8, DType::u8, DType::boolean})
    if (name(type) == text) return type;
  constexpr std::array<std::string_view, 14> others = {"U16",         "U32",         "U64",     "C64",     "F8_E5M2", "F8_E4M3", "F8_E8M0",
                                                       "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F6_E2M3", "F6_E3M2", "F4",      "F4_E2M1", "I4"};
  if (std::find(others.begin(), others.end(), text) != others.end())
    throw Error(ErrorKind::unsupported,
                file + ": the tensor " + in_quotes(tensor) + " has the element type " + text + ", which this program cannot read.");
  throw Error(ErrorKind::bad_file, file + " is not a usable safetensors file: the tensor " + in_quotes(tensor) +
                                       " has the unknown element type " + in_quotes(text) + ".");
}

/// Receives the events of the JSON parser and accepts exactly the three shapes that a header has.
class Handler : public nlohmann::json_sax<Json> {
 public:
  Handler(const std::string& file, Header& header) : file_(file), header_(header) {}

  bool start_object(std::size_t) override {
    if (place_ == Place::start)
      place_ = Place::top;
    else if (place_ == Place::top)
      place_ = in_metadata_ ? Place::metadata : Place::tensor;
    else
      unexpected("an object");
    return true;
  }

  bool key(string_t& text) override {
    switch (place_) {
      case Place::top:
        if (!names_.insert(text).second) fail("the name " + in_quotes(text) + " occurs twice");
        in_metadata_ = text == "__metadata__";
        current_ = {};
        current_.name = text;
        dtype_.reset();
        offsets_.reset();
        shape_.reset();
        break;
      case Place::metadata:
        if (header_.metadata.contains(text)) fail("the metadata key " + in_quotes(text) + " occurs twice");
        key_ = text;
        break;
      default:
        if (text != "dtype" && text != "shape" && text != "data_offsets")
          fail("the tensor " + in_quotes(current_.name) + " has the unknown field " + in_quotes(text));
        if ((text == "dtype" && dtype_) || (text == "shape" && shape_) || (text == "data_offsets" && offsets_))
          fail("the tensor " + in_quotes(current_.name) + " has two fields " + in_quotes(text));
        key_ = text;
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::top) {
      place_ = Place::end;
      return true;
    }
    if (place_ == Place::tensor) finish_tensor();
    place_ = Place::top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::tensor || key_ == "dtype") unexpected("an array");
    place_ = Place::numbers;
    (key_ == "shape" ? shape_ : offsets_).emplace();
    return true;
  }
  bool end_array() override {
    place_ = Place::tensor;
    return true;
  }

  bool string(string_t& text) override {
    if (place_ == Place::metadata)
      header_.metadata[key_] = text;
    else if (place_ == Place::tensor && key_ == "dtype")
      dtype_ = text;
    else
      unexpected("a text");
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::numbers) unexpected("a number");
    auto& list = key_ == "shape" ? *shape_ : *offsets_;
    if (key_ == "data_offsets" && list.size() == 2) fail("the tensor " + in_quotes(current_.name) + " has more than two data_offsets");
    list.push_back(value);
    return true;
  }
  bool number_integer(number_integer_t) override { unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { unexpected("a number that is no size"); }
  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("true or false"); }
  bool binary(binary_t&) override { unexpected("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail("its header is not valid JSON at byte " + std::to_string(position));
  }

 private:
  enum class Place { start, top, metadata, tensor, numbers, end };

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::bad_file, file_ + " is not a usable safetensors file: " + what + ".");
  }
  [[noreturn]] void unexpected(const std::string& what) const {
    const bool inside = place_ != Place::start && place_ != Place::end && !names_.empty();
    fail("its header has " + what + " where none belongs" + (inside ? ", at " + in_quotes(current_.name) : ""));
  }

  void finish_tensor() {
    const std::string what = "the tensor " + in_quotes(current_.name);
    if (!dtype_ || !shape_ || !offsets_) fail(what + " lacks its dtype, shape or data_offsets");
    if (offsets_->size() != 2) fail(what + " has no two data_offsets");
    current_.dtype = read_dtype(*dtype_, current_.name, file_);
    current_.shape = std::move(*shape_);
    current_.begin = (*offsets_)[0];
    current_.end = (*offsets_)[1];
    header_.entries.push_back(std::move(current_));
    current_ = {};
  }

  const std::string& file_;
  Header& header_;
  Place place_ = Place::start;
  bool in_metadata_ = false;
  std::unordered_set<std::string> names_;
  std::string key_;
  HeaderEntry current_;
  std::optional<std::string> dtype_;
  std::optional<std::vector<std::uint64_t>> shape_, offsets_;
};

}  // namespace

Header parse_header(std::string_view json, const std::string& file) {
  Header header;
  Handler handler(file, header);
  Json::sax_parse(json, &handler);
  return header;
}

}  // namespace lrc::safetensors

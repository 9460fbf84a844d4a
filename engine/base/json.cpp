#include "base/json.h"

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/files.h"

namespace lrc {
namespace {

/// Builds the document. Written by hand since the library's own builder looks for each key among all before it, which takes
/// minutes for the vocabulary of a tokenizer. A key that occurs twice keeps its first place and its last value.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(Json& root, const std::string& origin) : root_(root), origin_(origin) {}

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    auto& members = open_.back().value->get_ref<Json::object_t&>();
    const auto [known, is_new] = open_.back().places.emplace(name, members.size());
    if (is_new) members.emplace_back(std::move(name), nullptr);
    member_ = known->second;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    throw Error(ErrorKind::bad_file, origin_ + " is not valid JSON at byte " + std::to_string(position) + ".");
  }

 private:
  struct Open {
    Json* value;
    std::unordered_map<std::string, std::size_t> places;  // of an object's members
  };

  Json* place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    auto& parent = *open_.back().value;
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    auto& member = parent.get_ref<Json::object_t&>().begin()[std::ptrdiff_t(member_)].second;
    member = std::move(value);
    return &member;
  }
  bool put(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json value) {
    constexpr std::size_t deepest = 256;
    if (open_.size() == deepest)
      throw Error(ErrorKind::bad_file, origin_ + " is nested deeper than " + std::to_string(deepest) + " levels.");
    open_.push_back({place(std::move(value)), {}});
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Json& root_;
  const std::string& origin_;
  std::vector<Open> open_;
  std::size_t member_ = 0;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& origin) {
  Json value;
  Builder builder(value, origin);
  Json::sax_parse(text, &builder);
  return value;
}

Json read_json_file(const std::filesystem::path& file) { return parse_json(read_file(file), file.string()); }

}  // namespace lrc

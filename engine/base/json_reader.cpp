#include "base/json_reader.h"

#include <cmath>
#include <limits>

#include "base/error.h"

namespace lrc {

JsonReader::JsonReader(const Json& json, std::string where, std::string advice)
    : json_(json), where_(std::move(where)), advice_(std::move(advice)) {
  if (!json_.is_object()) throw Error(ErrorKind::bad_file, where_ + " is not a JSON object; " + advice_ + ".");
}

const Json& JsonReader::at(const char* key) const {
  const auto found = json_.find(key);
  if (found == json_.end()) throw Error(ErrorKind::bad_file, where_ + " lacks the key " + key + "; " + advice_ + ".");
  return *found;
}

bool JsonReader::has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }

std::string JsonReader::text(const char* key) const {
  if (!at(key).is_string()) fail(key, "a text");
  return at(key).get<std::string>();
}

double JsonReader::number(const char* key) const {
  if (at(key).is_null()) return std::numeric_limits<double>::quiet_NaN();
  if (!at(key).is_number()) fail(key, "a number");
  return at(key).get<double>();
}

double JsonReader::finite(const char* key) const {
  const double value = number(key);
  if (!std::isfinite(value)) fail(key, "a number");
  return value;
}

std::optional<double> JsonReader::maybe_number(const char* key) const { return has(key) ? std::optional(number(key)) : std::nullopt; }

std::uint64_t JsonReader::count(const char* key) const {
  if (!at(key).is_number_unsigned()) fail(key, "a whole number");
  return at(key).get<std::uint64_t>();
}

int JsonReader::small(const char* key) const {
  const auto value = count(key);
  if (value > 1'000'000) fail(key, "a small whole number");
  return int(value);
}

bool JsonReader::flag(const char* key) const {
  if (!at(key).is_boolean()) fail(key, "true or false");
  return at(key).get<bool>();
}

const Json& JsonReader::list(const char* key) const {
  if (!at(key).is_array()) fail(key, "a list");
  return at(key);
}

const Json& JsonReader::object(const char* key) const {
  if (!at(key).is_object()) fail(key, "an object");
  return at(key);
}

void JsonReader::fail(const char* key, const std::string& expected) const {
  throw Error(ErrorKind::bad_file, where_ + ": " + key + " is not " + expected + "; " + advice_ + ".");
}

}  // namespace lrc

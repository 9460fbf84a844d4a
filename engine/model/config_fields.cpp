#include "model/config_fields.h"

#include <cmath>

#include "base/error.h"

namespace lrc {

void ConfigFields::bad(const std::string& key, const std::string& why) const {
  throw Error(ErrorKind::bad_file, origin_ + ": the configuration's " + key + " " + why + ".");
}

const Json* ConfigFields::find(const char* key) const {
  const auto found = config_.find(key);
  return found == config_.end() || found->is_null() ? nullptr : &*found;
}

std::size_t ConfigFields::whole_number(const Json& value, const char* key, std::size_t highest) const {
  const bool integral = value.is_number_integer() || (value.is_number_float() && std::isfinite(value.get<double>()) &&
                                                      value.get<double>() == std::floor(value.get<double>()));
  if (!integral) bad(key, "is not a whole number");
  const double number = value.get<double>();
  if (number < 1 || number > double(highest)) bad(key, "is " + value.dump() + ", outside of 1 to " + std::to_string(highest));
  return std::size_t(number);
}

std::size_t ConfigFields::required_size(const char* key, std::size_t highest) const {
  const Json* value = find(key);
  if (!value) bad(key, "is missing");
  return whole_number(*value, key, highest);
}

std::size_t ConfigFields::size_or(const char* key, std::size_t otherwise) const {
  const Json* value = find(key);
  return value ? whole_number(*value, key, largest_size) : otherwise;
}

double ConfigFields::positive_number(const Json& value, const char* key) const {
  if (!value.is_number()) bad(key, "is not a number");
  const double number = value.get<double>();
  if (!std::isfinite(number) || number <= 0) bad(key, "is " + value.dump() + ", not a positive number");
  return number;
}

double ConfigFields::required_number(const char* key) const {
  const Json* value = find(key);
  if (!value) bad(key, "is missing");
  return positive_number(*value, key);
}

double ConfigFields::number_or(const char* key, double otherwise) const {
  const Json* value = find(key);
  return value ? positive_number(*value, key) : otherwise;
}

bool ConfigFields::flag_or(const char* key, bool otherwise) const {
  const Json* value = find(key);
  if (!value) return otherwise;
  if (!value->is_boolean()) bad(key, "is neither true nor false");
  return value->get<bool>();
}

std::int64_t ConfigFields::token_id(const Json& value, const char* key) const {
  if (!value.is_number_integer()) bad(key, "is not a token id");
  return value.get<std::int64_t>();
}

void read_optional_window(const Json& config, const std::string& origin, ModelConfig& result) {
  const ConfigFields fields(config, origin);
  if (!fields.flag_or("use_sliding_window", false)) {
    result.sliding_window = 0;
    return;
  }
  if (!result.full_attention.empty()) return;  // layer_types said it already
  const Json* first = fields.find("max_window_layers");
  const std::size_t full = first && *first == 0 ? 0 : fields.size_or("max_window_layers", 28);
  for (std::size_t block = 0; block < result.blocks; ++block) result.full_attention.push_back(block < full);
}

}  // namespace lrc

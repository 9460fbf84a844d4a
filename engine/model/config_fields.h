#pragma once
// Reading one configuration: every value is checked, every complaint names the file and the key.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/json.h"
#include "model/config.h"

namespace lrc {

class ConfigFields {
 public:
  /// Generous for any model, small enough that products of two sizes cannot overflow.
  static constexpr std::size_t largest_size = std::size_t(1) << 30;

  ConfigFields(const Json& config, std::string origin) : config_(config), origin_(std::move(origin)) {}

  /// Throws Error(bad_file): "ORIGIN: the configuration's KEY WHY."
  [[noreturn]] void bad(const std::string& key, const std::string& why) const;
  /// Nothing when the key is absent or null.
  const Json* find(const char* key) const;
  std::size_t required_size(const char* key, std::size_t highest = largest_size) const;
  std::size_t size_or(const char* key, std::size_t otherwise) const;
  double required_number(const char* key) const;  ///< positive
  double number_or(const char* key, double otherwise) const;
  bool flag_or(const char* key, bool otherwise) const;
  std::int64_t token_id(const Json& value, const char* key) const;

 private:
  std::size_t whole_number(const Json& value, const char* key, std::size_t highest) const;
  double positive_number(const Json& value, const char* key) const;
  const Json& config_;
  std::string origin_;
};

/// For families that name a sliding window and say with `use_sliding_window` and `max_window_layers` whether and where it is used.
void read_optional_window(const Json& config, const std::string& origin, ModelConfig& result);

}  // namespace lrc

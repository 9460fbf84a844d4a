#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "base/json.h"

namespace lrc {

/// Reads keys of one JSON object that may be hostile; every fault is an Error(bad_file) that names the place, the key and what
/// was expected. The JSON must outlive the reader.
class JsonReader {
 public:
  /// `where` names file and object; `advice` ends each sentence: "the manifest is damaged".
  JsonReader(const Json& json, std::string where, std::string advice);

  const Json& at(const char* key) const;
  bool has(const char* key) const;  ///< there, and not null
  std::string text(const char* key) const;
  double number(const char* key) const;  ///< null is NaN: unknown
  double finite(const char* key) const;  ///< null is refused
  std::optional<double> maybe_number(const char* key) const;
  std::uint64_t count(const char* key) const;
  int small(const char* key) const;  ///< a whole number from 0 to a million
  bool flag(const char* key) const;
  const Json& list(const char* key) const;
  const Json& object(const char* key) const;
  JsonReader inner(const char* key) const { return {object(key), where(key), advice_}; }

  std::string where(const char* key) const { return where_ + ": " + key; }
  [[noreturn]] void fail(const char* key, const std::string& expected) const;

 private:
  const Json& json_;
  std::string where_, advice_;
};

}  // namespace lrc

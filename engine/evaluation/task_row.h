#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "base/json.h"

namespace lrc {

/// One line of a task file. Faults name the file, the line and the field.
class TaskRow {
 public:
  /// `expected`: the fields that a row of this task has, for messages. Throws Error(bad_file) when the row is no JSON object.
  TaskRow(Json json, std::string file, std::size_t line, std::string expected);

  std::size_t line() const { return line_; }
  bool has(const char* field) const { return json_.contains(field); }
  std::string text(const char* field) const;  ///< never empty
  std::string text_or_empty(const char* field) const;
  std::vector<std::string> texts(const char* field) const;  ///< at least two, none empty
  /// A whole number, or a text of digits, from `first` to first + count − 1; given back from 0.
  std::size_t index(const char* field, std::size_t count, std::size_t first = 0) const;
  /// The object inside, such as ARC's {text, label}.
  TaskRow inner(const char* field) const;
  [[noreturn]] void fail(const std::string& what) const;

 private:
  const Json& at(const char* field) const;
  Json json_;
  std::string file_;
  std::size_t line_;
  std::string expected_;
};

}  // namespace lrc

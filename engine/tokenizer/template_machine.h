#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/template_callable.h"
#include "tokenizer/template_value.h"

namespace lrc {
struct TemplateLimits;
}

namespace lrc::jinja {

/// How json_text writes: as Python's json.dumps with these arguments.
struct JsonStyle {
  std::optional<std::string> indent;  ///< one level; none: everything in one line
  std::string item_separator = ", ", key_separator = ": ";
  bool sort_keys = false, ascii = false;
};

/// Makes values and keeps what a template may use within bounds: steps, time, bytes, depth.
class Machine {
 public:
  Machine(const TemplateLimits& limits, std::optional<std::int64_t> now);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  void step(std::size_t work = 1);  ///< counts work and looks at the clock
  void charge(std::size_t bytes);   ///< counts memory that is about to be used; also work in proportion
  void check_output(std::size_t bytes) const;
  [[noreturn]] void fail(const std::string& what) const;
  int line = 1;  ///< where the template is, for messages

  Value text(std::string text);
  Value list(std::vector<Value> items);
  Value dict(DictData data);
  Value pair(Value first, Value second);
  Value from_json(const nlohmann::ordered_json& json, std::size_t depth = 0);
  Namespace* make_namespace();
  Value function(Callable callable);

  std::string display(const Value& value);    ///< what {{ value }} writes
  std::string string_of(const Value& value);  ///< the same, but none is written out
  std::string json_text(const Value& value, const JsonStyle& style = {});
  /// What a loop goes through: items of a list, keys of a dictionary, characters of a text, nothing of undefined.
  std::vector<Value> items_of(const Value& value);
  std::size_t length_of(const Value& value);
  /// Equality as in Python: 1 == 1.0 == true; values of different kinds differ.
  bool equal(const Value& a, const Value& b);
  /// Below 0, 0 or above 0. Fails for values that have no order.
  int compare(const Value& a, const Value& b);
  /// `value.name`: a key, a place in a list, a method; undefined where there is none. Fails when `value` is undefined.
  Value member(const Value& value, const std::string& name, bool called = false);
  Value index(const Value& value, const Value& key);
  /// "a.b.0": members of members, as the attribute arguments of filters name them; an integer is a place.
  Value path(const Value& value, const Value& attribute);

  std::optional<std::int64_t> now() const { return now_; }

 private:
  void write_json(const Value& value, const JsonStyle& style, std::size_t level, std::string& out);
  void write_json_text(const std::string& text, bool ascii, std::string& out);

  std::size_t most_steps_, most_output_;
  std::optional<std::int64_t> now_;
  std::chrono::steady_clock::time_point deadline_;
  std::size_t steps_ = 0, since_clock_ = 0, bytes_ = 0;
  std::vector<std::unique_ptr<Namespace>> namespaces_;
};

/// Arguments matched to the names of parameters; null where one is not given.
struct Bound {
  std::vector<const Value*> values;
  const Arguments* all = nullptr;

  const Value* operator[](std::size_t i) const { return i < values.size() ? values[i] : nullptr; }
  bool given(std::size_t i) const { return (*this)[i] != nullptr; }
  bool flag(std::size_t i, bool otherwise = false) const { return given(i) ? values[i]->truth() : otherwise; }
};

/// A filter, a method, a function or a test: its parameters, separated by commas ("*": any), and what it does.
struct Operation {
  std::string_view name, parameters;
  Value (*run)(Machine& machine, const Value& self, const Bound& arguments);
};

/// Matches the arguments and runs. Fails for arguments that the operation does not have.
Value run_operation(Machine& machine, const Operation& operation, const Value& self, const Arguments& arguments);
std::string text_argument(Machine& machine, const Bound& arguments, std::size_t i, const std::string& otherwise);
std::int64_t integer_argument(Machine& machine, const Bound& arguments, std::size_t i, std::int64_t otherwise);

Value apply_filter(Machine& machine, const std::string& name, const Value& target, const Arguments& arguments);
bool apply_test(Machine& machine, const std::string& name, const Value& value, const Arguments& arguments);
const Operation* find_method(const Value& self, std::string_view name);
const Operation* find_function(std::string_view name);
const Operation* find_text_filter(std::string_view name);
const Operation* find_sequence_filter(std::string_view name);

Value binary_operation(Machine& machine, std::string_view op, const Value& a, const Value& b);
bool comparison(Machine& machine, std::string_view op, const Value& a, const Value& b);
Value slice_of(Machine& machine, const Value& value, const Value* start, const Value* stop, const Value* step);

/// printf-like: %s %d %i %f %g %x %%, with flags, width and precision.
std::string format_percent(Machine& machine, const std::string& format, const std::vector<Value>& values);
std::string format_time(Machine& machine, const std::string& format);

}  // namespace lrc::jinja

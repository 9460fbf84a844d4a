#pragma once
// Values of the chat template language. They never change once made (namespaces apart), so they can be shared freely.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace lrc::jinja {

struct Value;
struct ListData;
struct DictData;
struct Namespace;
struct Callable;

struct Undefined {
  bool operator==(const Undefined&) const = default;
};
struct None {
  bool operator==(const None&) const = default;
};
using Text = std::shared_ptr<const std::string>;
using List = std::shared_ptr<const ListData>;
using Dict = std::shared_ptr<const DictData>;
using CallableRef = std::shared_ptr<const Callable>;

struct Value {
  /// A Namespace* is owned by the machine that made it: namespaces may hold each other, or themselves.
  std::variant<Undefined, None, bool, std::int64_t, double, Text, List, Dict, Namespace*, CallableRef> data;

  Value() = default;
  template <class T>
  requires(!std::is_same_v<std::remove_cvref_t<T>, Value>) explicit Value(T&& from) : data(std::forward<T>(from)) {}

  template <class T>
  bool is() const {
    return std::holds_alternative<T>(data);
  }
  template <class T>
  const T& as() const {
    return std::get<T>(data);
  }
  const std::string* text() const;  ///< null when it is something else, as the two below
  const ListData* list() const;
  const DictData* dict() const;
  bool number() const { return is<bool>() || is<std::int64_t>() || is<double>(); }
  double real() const;           ///< of a number
  std::int64_t integer() const;  ///< of a bool or an integer
  bool whole() const { return is<bool>() || is<std::int64_t>(); }
  bool truth() const;
  /// How many levels of lists and dictionaries are in it; bounded by the machine so that no recursion runs away.
  std::size_t depth() const;
  const char* kind_name() const;  ///< for messages
};

struct ListData {
  std::vector<Value> items;
  std::size_t depth = 1;
};

struct DictData {
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::vector<std::pair<Value, Value>> items;  ///< in order
  std::unordered_map<std::string, std::size_t, Hash, std::equal_to<>> index;
  std::size_t depth = 1;

  const Value* find(std::string_view key) const;
  const Value* find(const Value& key) const;
  void set(const Value& key, Value value);
};

struct Namespace {
  std::unordered_map<std::string, Value> members;
};

/// The shortest decimal text that reads back as the same number, written as Python writes it (1.0, 1e+16).
std::string number_text(double value);

}  // namespace lrc::jinja

#include "tokenizer/template_value.h"

#include <charconv>
#include <cmath>

#include "tokenizer/template_callable.h"

namespace lrc::jinja {

namespace {

/// The index key of a dictionary key; texts stand for themselves.
std::string index_key(const Value& key) {
  if (key.is<Text>()) return *key.as<Text>();
  if (key.number()) return std::string("\0n", 2) + number_text(key.real());
  return std::string("\0o", 2) + key.kind_name();
}

}  // namespace

double Value::real() const {
  if (is<double>()) return as<double>();
  return static_cast<double>(integer());
}

std::int64_t Value::integer() const { return is<bool>() ? std::int64_t{as<bool>()} : as<std::int64_t>(); }

const std::string* Value::text() const { return is<Text>() ? as<Text>().get() : nullptr; }
const ListData* Value::list() const { return is<List>() ? as<List>().get() : nullptr; }
const DictData* Value::dict() const { return is<Dict>() ? as<Dict>().get() : nullptr; }

bool Value::truth() const {
  if (is<Undefined>() || is<None>()) return false;
  if (is<double>()) return as<double>() != 0;
  if (whole()) return integer() != 0;
  if (is<Text>()) return !as<Text>()->empty();
  if (is<List>()) return !as<List>()->items.empty();
  if (is<Dict>()) return !as<Dict>()->items.empty();
  return true;
}

std::size_t Value::depth() const {
  if (is<List>()) return as<List>()->depth;
  if (is<Dict>()) return as<Dict>()->depth;
  if (is<CallableRef>()) return as<CallableRef>()->self.depth() + 1;
  return 0;
}

const char* Value::kind_name() const {
  static const char* const names[] = {"an undefined value", "none",      "a truth value", "a whole number",
                                      "a number",           "a text",    "a list",        "a dictionary",
                                      "a namespace",        "a function"};
  return names[data.index()];
}

const Value* DictData::find(std::string_view key) const {
  const auto found = index.find(key);
  return found == index.end() ? nullptr : &items[found->second].second;
}

const Value* DictData::find(const Value& key) const {
  return key.is<Text>() ? find(std::string_view(*key.as<Text>())) : find(std::string_view(index_key(key)));
}

void DictData::set(const Value& key, Value value) {
  const auto [place, added] = index.try_emplace(index_key(key), items.size());
  if (added)
    items.emplace_back(key, std::move(value));
  else
    items[place->second].second = std::move(value);
}

std::string number_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view written(buffer, static_cast<std::size_t>(end - buffer));
  const int exponent = std::atoi(std::string(written.substr(written.find('e') + 1)).c_str());
  if (exponent < -4 || exponent >= 16) return std::string(written);
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed).ptr;
  std::string text(buffer, fixed);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

}  // namespace lrc::jinja

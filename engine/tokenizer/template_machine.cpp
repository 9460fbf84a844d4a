#include "tokenizer/template_machine.h"

#include <algorithm>

#include "base/json.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/template_lexer.h"
#include "tokenizer/unicode.h"

namespace lrc::jinja {

namespace {

constexpr std::size_t most_bytes = std::size_t{256} << 20;  // all memory a template uses, counted without what it frees
constexpr std::size_t deepest_value = 200;
constexpr std::size_t clock_interval = 512;

}  // namespace

Machine::Machine(const TemplateLimits& limits, std::optional<std::int64_t> now)
    : most_steps_(limits.steps),
      most_output_(limits.output_bytes),
      now_(now),
      deadline_(std::chrono::steady_clock::now() +
                std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(limits.seconds))) {}

Machine::~Machine() = default;

void Machine::fail(const std::string& what) const { fail_at(line, what); }

void Machine::step(std::size_t work) {
  steps_ += work;
  if (steps_ > most_steps_) fail("it takes too many steps (more than " + std::to_string(most_steps_) + "); it may never end");
  since_clock_ += work;
  if (since_clock_ < clock_interval) return;
  since_clock_ = 0;
  if (std::chrono::steady_clock::now() > deadline_) fail("it takes too long; it may never end");
}

void Machine::charge(std::size_t bytes) {
  if (bytes > most_bytes - bytes_) fail("it uses too much memory");
  bytes_ += bytes;
  step(bytes / 256);
}

void Machine::check_output(std::size_t bytes) const {
  if (bytes > most_output_) fail("it writes too much text (more than " + std::to_string(most_output_) + " bytes)");
}

Value Machine::text(std::string text) {
  charge(text.size() + 64);
  return Value(std::make_shared<const std::string>(std::move(text)));
}

Value Machine::list(std::vector<Value> items) {
  charge(items.size() * sizeof(Value) + 64);
  auto data = std::make_shared<ListData>();
  for (const Value& item : items) data->depth = std::max(data->depth, item.depth() + 1);
  if (data->depth > deepest_value) fail("lists and dictionaries are nested too deeply");
  data->items = std::move(items);
  return Value(List(std::move(data)));
}

Value Machine::dict(DictData data) {
  charge(data.items.size() * 4 * sizeof(Value) + 128);
  for (const auto& [key, value] : data.items) data.depth = std::max({data.depth, key.depth() + 1, value.depth() + 1});
  if (data.depth > deepest_value) fail("lists and dictionaries are nested too deeply");
  return Value(Dict(std::make_shared<DictData>(std::move(data))));
}

Value Machine::pair(Value first, Value second) {
  std::vector<Value> items;
  items.reserve(2);
  items.push_back(std::move(first));
  items.push_back(std::move(second));
  return list(std::move(items));
}

Value Machine::from_json(const Json& json, std::size_t depth) {
  if (depth > deepest_value) fail("the messages are nested too deeply");
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value(json.get<bool>());
    case Json::value_t::number_integer:
      return Value(json.get<std::int64_t>());
    case Json::value_t::number_unsigned: {
      const auto number = json.get<std::uint64_t>();
      if (number > static_cast<std::uint64_t>(INT64_MAX)) return Value(static_cast<double>(number));
      return Value(static_cast<std::int64_t>(number));
    }
    case Json::value_t::number_float:
      return Value(json.get<double>());
    case Json::value_t::string:
      return text(json.get<std::string>());
    case Json::value_t::array: {
      std::vector<Value> items;
      for (const Json& item : json) items.push_back(from_json(item, depth + 1));
      return list(std::move(items));
    }
    case Json::value_t::object: {
      DictData data;
      for (const auto& [key, value] : json.items()) data.set(text(key), from_json(value, depth + 1));
      return dict(std::move(data));
    }
    default:
      return Value(None{});
  }
}

Namespace* Machine::make_namespace() {
  charge(sizeof(Namespace) + 64);
  namespaces_.push_back(std::make_unique<Namespace>());
  return namespaces_.back().get();
}

Value Machine::function(Callable callable) {
  charge(sizeof(Callable) + 64);
  if (callable.self.depth() >= deepest_value) fail("lists and dictionaries are nested too deeply");
  return Value(CallableRef(std::make_shared<const Callable>(std::move(callable))));
}

std::string Machine::display(const Value& value) { return value.is<None>() ? std::string() : string_of(value); }

std::string Machine::string_of(const Value& value) {
  if (value.text()) return *value.text();
  if (value.is<Undefined>()) return {};
  if (value.is<None>()) return "None";
  if (value.is<bool>()) return value.as<bool>() ? "true" : "false";
  if (value.is<std::int64_t>()) return std::to_string(value.as<std::int64_t>());
  if (value.is<double>()) return number_text(value.as<double>());
  if (value.list() || value.dict()) return json_text(value);
  fail(std::string(value.kind_name()) + " cannot be written as text");
}

std::string Machine::json_text(const Value& value, const JsonStyle& style) {
  std::string out;
  write_json(value, style, 0, out);
  return out;
}

void Machine::write_json_text(const std::string& text, bool ascii, std::string& out) {
  static constexpr char digits[] = "0123456789abcdef";
  const auto escape = [&](char32_t code) {
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += digits[(code >> shift) & 15];
  };
  out += '"';
  for (std::size_t at = 0; at < text.size();) {
    const unicode::Decoded character = unicode::decode(text, at);
    const char32_t code = character.valid ? character.code : U'\uFFFD';
    at += character.length;
    static constexpr std::string_view special = "\"\\\n\r\t\b\f", letters = "\"\\nrtbf";
    if (const std::size_t known = code < 128 ? special.find(static_cast<char>(code)) : std::string_view::npos;
        known != std::string_view::npos) {
      out += '\\';
      out += letters[known];
    } else if (code < 0x20) {
      escape(code);
    } else if (code < 0x80 || !ascii) {
      unicode::append_utf8(out, code);
    } else if (code < 0x10000) {
      escape(code);
    } else {
      escape(0xD7C0 + (code >> 10));
      escape(0xDC00 + (code & 0x3FF));
    }
  }
  out += '"';
}

void Machine::write_json(const Value& value, const JsonStyle& style, std::size_t level, std::string& out) {
  const std::size_t before = out.size();
  const auto line_break = [&](std::size_t depth) {
    if (!style.indent) return;
    out += '\n';
    for (std::size_t i = 0; i < depth; ++i) out += *style.indent;
  };
  step();
  if (value.text()) {
    write_json_text(*value.text(), style.ascii, out);
  } else if (value.is<None>()) {
    out += "null";
  } else if (const ListData* items = value.list()) {
    out += '[';
    for (std::size_t i = 0; i < items->items.size(); ++i) {
      if (i > 0) out += style.item_separator;
      line_break(level + 1);
      write_json(items->items[i], style, level + 1, out);
    }
    if (!items->items.empty()) line_break(level);
    out += ']';
  } else if (const DictData* data = value.dict()) {
    std::vector<std::pair<std::string, const Value*>> members;
    for (const auto& [key, member_value] : data->items) members.emplace_back(key.is<None>() ? "null" : string_of(key), &member_value);
    if (style.sort_keys) std::ranges::stable_sort(members, {}, &std::pair<std::string, const Value*>::first);
    out += '{';
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (i > 0) out += style.item_separator;
      line_break(level + 1);
      write_json_text(members[i].first, style.ascii, out);
      out += style.key_separator;
      write_json(*members[i].second, style, level + 1, out);
    }
    if (!members.empty()) line_break(level);
    out += '}';
  } else if (value.number()) {
    out += string_of(value);
  } else {
    fail(std::string(value.kind_name()) + " cannot be written as JSON");
  }
  if (!value.list() && !value.dict()) charge(out.size() - before);
  check_output(out.size());
}

std::vector<Value> Machine::items_of(const Value& value) {
  std::vector<Value> items;
  if (value.is<Undefined>()) return items;
  if (const ListData* list_data = value.list()) {
    charge(list_data->items.size() * sizeof(Value));
    return list_data->items;
  }
  if (const DictData* data = value.dict()) {
    charge(data->items.size() * sizeof(Value));
    for (const auto& [key, member_value] : data->items) items.push_back(key);
    return items;
  }
  if (const std::string* characters = value.text()) {
    for (std::size_t at = 0; at < characters->size();) {
      const std::size_t length = unicode::decode(*characters, at).length;
      items.push_back(text(characters->substr(at, length)));
      at += length;
    }
    return items;
  }
  fail(std::string("one cannot go through the items of ") + value.kind_name());
}

std::size_t Machine::length_of(const Value& value) {
  if (value.is<Undefined>()) return 0;
  if (value.list()) return value.list()->items.size();
  if (value.dict()) return value.dict()->items.size();
  if (const std::string* characters = value.text()) {
    step(characters->size() / 256);
    std::size_t count = 0;
    for (std::size_t at = 0; at < characters->size(); ++count) at += unicode::decode(*characters, at).length;
    return count;
  }
  fail(std::string(value.kind_name()) + " has no length");
}

bool Machine::equal(const Value& a, const Value& b) {
  step();
  if (a.number() && b.number()) {
    if (a.whole() && b.whole()) return a.integer() == b.integer();
    return a.real() == b.real();
  }
  if (a.data.index() != b.data.index()) return false;
  if (a.text()) return *a.text() == *b.text();
  if (a.list()) {
    const auto &x = a.list()->items, &y = b.list()->items;
    if (x.size() != y.size()) return false;
    for (std::size_t i = 0; i < x.size(); ++i)
      if (!equal(x[i], y[i])) return false;
    return true;
  }
  if (a.dict()) {
    if (a.dict()->items.size() != b.dict()->items.size()) return false;
    for (const auto& [key, value] : a.dict()->items) {
      const Value* other = b.dict()->find(key);
      if (!other || !equal(value, *other)) return false;
    }
    return true;
  }
  return a.data == b.data;  // undefined, none, and the identity of namespaces and functions
}

int Machine::compare(const Value& a, const Value& b) {
  step();
  const auto sign = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
  if (a.whole() && b.whole()) return sign(a.integer(), b.integer());
  if (a.number() && b.number()) return sign(a.real(), b.real());
  if (a.text() && b.text()) return sign(*a.text(), *b.text());
  if (a.list() && b.list()) {
    const auto &x = a.list()->items, &y = b.list()->items;
    for (std::size_t i = 0; i < x.size() && i < y.size(); ++i)
      if (const int order = equal(x[i], y[i]) ? 0 : compare(x[i], y[i])) return order;
    return sign(x.size(), y.size());
  }
  if (a.is<None>() && b.is<None>()) return 0;
  fail(std::string(a.kind_name()) + " and " + b.kind_name() + " cannot be ordered");
}

Value Machine::member(const Value& value, const std::string& name, bool called) {
  if (value.is<Undefined>()) fail("\"" + name.substr(0, 80) + "\" is asked of something undefined");
  const auto method = [&]() -> std::optional<Value> {
    if (!find_method(value, name)) return std::nullopt;
    Callable callable;
    callable.kind = Callable::Kind::method;
    callable.name = name;
    callable.self = value;
    return function(std::move(callable));
  };
  // A key may have a method's name ("items" of a JSON schema): only a call means the method.
  if (called)
    if (auto found = method()) return *found;
  if (value.is<Namespace*>()) {
    const auto found = value.as<Namespace*>()->members.find(name);
    return found == value.as<Namespace*>()->members.end() ? Value() : found->second;
  }
  if (const DictData* data = value.dict())
    if (const Value* found = data->find(std::string_view(name))) return *found;
  if (value.list() && !name.empty() && name.size() < 10 && name.find_first_not_of("0123456789") == std::string::npos)
    return index(value, Value(std::int64_t{std::stol(name)}));
  if (auto found = method()) return *found;
  return Value();
}

Value Machine::index(const Value& value, const Value& key) {
  if (value.is<Undefined>()) fail("an item is asked of something undefined");
  if (const DictData* data = value.dict())
    if (const Value* found = data->find(key)) return *found;
  if (key.text()) return member(value, *key.text());
  if (!key.whole() || (!value.list() && !value.text())) return Value();
  const auto count = static_cast<std::int64_t>(length_of(value));
  const std::int64_t place = key.integer() < 0 ? key.integer() + count : key.integer();
  if (place < 0 || place >= count) return Value();
  if (value.list()) return value.list()->items[static_cast<std::size_t>(place)];
  const Value start(place), stop(place + 1);
  return slice_of(*this, value, &start, &stop, nullptr);
}

Value Machine::path(const Value& value, const Value& attribute) {
  if (!attribute.text()) return index(value, attribute);
  Value current = value;
  const std::string& names = *attribute.text();
  for (std::size_t at = 0; at <= names.size();) {
    const std::size_t dot = std::min(names.find('.', at), names.size());
    step();
    if (current.is<Undefined>()) return current;
    current = member(current, names.substr(at, dot - at));
    at = dot + 1;
  }
  return current;
}

}  // namespace lrc::jinja

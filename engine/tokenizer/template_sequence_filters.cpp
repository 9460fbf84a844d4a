#include <algorithm>

#include "tokenizer/template_machine.h"
#include "tokenizer/template_text.h"

namespace lrc::jinja {

namespace {

/// A list as it is, without copying; other values as a list of what a loop would go through.
Value as_list(Machine& machine, const Value& self) { return self.list() ? self : machine.list(machine.items_of(self)); }

Value length(Machine& machine, const Value& self, const Bound&) { return Value(static_cast<std::int64_t>(machine.length_of(self))); }

Value first(Machine& machine, const Value& self, const Bound&) {
  const Value items = as_list(machine, self);
  return items.list()->items.empty() ? Value() : items.list()->items.front();
}

Value last(Machine& machine, const Value& self, const Bound&) {
  const Value items = as_list(machine, self);
  return items.list()->items.empty() ? Value() : items.list()->items.back();
}

Value join(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string separator = arguments.given(0) ? machine.string_of(*arguments[0]) : "";
  std::string out;
  bool later = false;
  for (const Value& item : machine.items_of(self)) {
    if (later) out += separator;
    later = true;
    out += machine.string_of(arguments.given(1) ? machine.path(item, *arguments[1]) : item);
    machine.check_output(out.size());
    machine.step();
  }
  return machine.text(std::move(out));
}

Value items(Machine& machine, const Value& self, const Bound&) {
  if (self.is<Undefined>()) return machine.list({});
  if (!self.dict()) machine.fail(std::string(self.kind_name()) + " has no pairs of keys and values");
  std::vector<Value> pairs;
  for (const auto& [key, value] : self.dict()->items) pairs.push_back(machine.pair(key, value));
  return machine.list(std::move(pairs));
}

Value reversed(Machine& machine, const Value& self, const Bound&) {
  const Value back(std::int64_t{-1});
  return slice_of(machine, self.dict() ? as_list(machine, self) : self, nullptr, nullptr, &back);
}

/// What sorting and comparing go by: texts in lower case unless case matters.
Value sort_key(Machine& machine, const Value& value, bool case_sensitive) {
  return value.text() && !case_sensitive ? machine.text(lower(*value.text())) : value;
}

template <class Key>
std::vector<Value> sorted(Machine& machine, const std::vector<Value>& values, bool reverse, Key key) {
  std::vector<std::pair<Value, Value>> keyed;
  keyed.reserve(values.size());
  for (const Value& value : values) keyed.emplace_back(key(value), value);
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? machine.compare(b.first, a.first) < 0 : machine.compare(a.first, b.first) < 0;
  });
  std::vector<Value> result;
  result.reserve(keyed.size());
  for (auto& [by, value] : keyed) result.push_back(std::move(value));
  return result;
}

Value sort(Machine& machine, const Value& self, const Bound& arguments) {
  const bool case_sensitive = arguments.flag(1);
  return machine.list(sorted(machine, machine.items_of(self), arguments.flag(0), [&](const Value& value) {
    const bool by_attribute = arguments.given(2) && !arguments[2]->is<None>();
    return sort_key(machine, by_attribute ? machine.path(value, *arguments[2]) : value, case_sensitive);
  }));
}

Value dictsort(Machine& machine, const Value& self, const Bound& arguments) {
  const bool case_sensitive = arguments.flag(0);
  const std::string by = text_argument(machine, arguments, 1, "key");
  if (by != "key" && by != "value") machine.fail("\"dictsort\" sorts by \"key\" or \"value\"");
  const Value pairs = items(machine, self, {});
  return machine.list(sorted(machine, pairs.list()->items, arguments.flag(2), [&](const Value& pair) {
    return sort_key(machine, pair.list()->items[by == "key" ? 0 : 1], case_sensitive);
  }));
}

Value unique(Machine& machine, const Value& self, const Bound& arguments) {
  std::vector<Value> kept, keys;
  for (const Value& item : machine.items_of(self)) {
    const bool by_attribute = arguments.given(1) && !arguments[1]->is<None>();
    Value key = sort_key(machine, by_attribute ? machine.path(item, *arguments[1]) : item, arguments.flag(0));
    if (std::ranges::any_of(keys, [&](const Value& known) { return machine.equal(known, key); })) continue;
    keys.push_back(std::move(key));
    kept.push_back(item);
  }
  return machine.list(std::move(kept));
}

template <bool greatest>
Value extreme(Machine& machine, const Value& self, const Bound& arguments) {
  Value best, best_key;
  bool any = false;
  for (const Value& item : machine.items_of(self)) {
    const bool by_attribute = arguments.given(1) && !arguments[1]->is<None>();
    Value key = sort_key(machine, by_attribute ? machine.path(item, *arguments[1]) : item, arguments.flag(0));
    if (any && (greatest ? machine.compare(key, best_key) <= 0 : machine.compare(key, best_key) >= 0)) continue;
    any = true;
    best = item;
    best_key = std::move(key);
  }
  return best;
}

Value sum(Machine& machine, const Value& self, const Bound& arguments) {
  Value total = arguments.given(1) ? *arguments[1] : Value(std::int64_t{0});
  for (const Value& item : machine.items_of(self)) {
    const bool by_attribute = arguments.given(0) && !arguments[0]->is<None>();
    total = binary_operation(machine, "+", total, by_attribute ? machine.path(item, *arguments[0]) : item);
  }
  return total;
}

/// The arguments behind the first `count`, for the test or filter that those name.
Arguments rest_of(const Arguments& arguments, std::size_t count) {
  Arguments rest;
  for (std::size_t i = count; i < arguments.positional.size(); ++i) rest.positional.push_back(arguments.positional[i]);
  rest.named = arguments.named;
  return rest;
}

std::string name_argument(Machine& machine, const Arguments& arguments, std::size_t i) {
  if (i >= arguments.positional.size() || !arguments.positional[i].text())
    machine.fail("the name of an attribute, filter or test is missing");
  return *arguments.positional[i].text();
}

template <bool by_attribute, bool keep>
Value select(Machine& machine, const Value& self, const Bound& arguments) {
  const Arguments& all = *arguments.all;
  constexpr std::size_t test_place = by_attribute ? 1 : 0;
  if (by_attribute && all.positional.empty()) machine.fail("the name of an attribute is missing");
  const bool tests = all.positional.size() > test_place;
  const std::string test = tests ? name_argument(machine, all, test_place) : "";
  const Arguments rest = rest_of(all, test_place + 1);
  std::vector<Value> kept;
  for (const Value& item : machine.items_of(self)) {
    const Value value = by_attribute ? machine.path(item, all.positional[0]) : item;
    if ((tests ? apply_test(machine, test, value, rest) : value.truth()) == keep) kept.push_back(item);
  }
  return machine.list(std::move(kept));
}

Value map(Machine& machine, const Value& self, const Bound& arguments) {
  const Arguments& all = *arguments.all;
  const Value *attribute = nullptr, *otherwise = nullptr;
  for (const auto& [name, value] : all.named) {
    if (name == "attribute") attribute = &value;
    if (name == "default") otherwise = &value;
  }
  std::vector<Value> mapped;
  if (attribute && all.positional.empty()) {
    for (const Value& item : machine.items_of(self)) {
      Value value = machine.path(item, *attribute);
      mapped.push_back(value.is<Undefined>() && otherwise ? *otherwise : std::move(value));
    }
  } else {
    const std::string filter = name_argument(machine, all, 0);
    const Arguments rest = rest_of(all, 1);
    for (const Value& item : machine.items_of(self)) mapped.push_back(apply_filter(machine, filter, item, rest));
  }
  return machine.list(std::move(mapped));
}

Value groupby(Machine& machine, const Value& self, const Bound& arguments) {
  if (!arguments.given(0)) machine.fail("\"groupby\" needs an attribute");
  const auto key = [&](const Value& item) {
    Value value = machine.path(item, *arguments[0]);
    return value.is<Undefined>() && arguments.given(1) ? *arguments[1] : value;
  };
  std::vector<Value> groups;
  std::vector<Value> members;
  Value current;
  const auto close = [&] {
    if (!members.empty()) groups.push_back(machine.pair(current, machine.list(std::exchange(members, {}))));
  };
  for (const Value& item : sorted(machine, machine.items_of(self), false, key)) {
    Value own = key(item);
    if (members.empty() || !machine.equal(own, current)) {
      close();
      current = std::move(own);
    }
    members.push_back(item);
  }
  close();
  return machine.list(std::move(groups));
}

Value batch(Machine& machine, const Value& self, const Bound& arguments) {
  const std::int64_t count = integer_argument(machine, arguments, 0, 0);
  if (count < 1 || count > 1'000'000) machine.fail("\"batch\" needs a number of items from 1 on");
  std::vector<Value> batches, current;
  for (const Value& item : machine.items_of(self)) {
    current.push_back(item);
    if (static_cast<std::int64_t>(current.size()) == count) batches.push_back(machine.list(std::exchange(current, {})));
  }
  if (!current.empty()) {
    if (arguments.given(1)) {
      machine.charge(static_cast<std::size_t>(count) * sizeof(Value));
      current.resize(static_cast<std::size_t>(count), *arguments[1]);
    }
    batches.push_back(machine.list(std::move(current)));
  }
  return machine.list(std::move(batches));
}

Value attribute(Machine& machine, const Value& self, const Bound& arguments) {
  if (!arguments.given(0) || !arguments[0]->text()) machine.fail("\"attr\" needs a name");
  return machine.member(self, *arguments[0]->text());
}

const Operation filters[] = {
    {"attr", "name", attribute},
    {"batch", "linecount,fill_with", batch},
    {"count", "", length},
    {"dictsort", "case_sensitive,by,reverse", dictsort},
    {"first", "", first},
    {"groupby", "attribute,default", groupby},
    {"items", "", items},
    {"join", "d,attribute", join},
    {"last", "", last},
    {"length", "", length},
    {"list", "", [](Machine& machine, const Value& self, const Bound&) { return as_list(machine, self); }},
    {"map", "*", map},
    {"max", "case_sensitive,attribute", extreme<true>},
    {"min", "case_sensitive,attribute", extreme<false>},
    {"reject", "*", select<false, false>},
    {"rejectattr", "*", select<true, false>},
    {"reverse", "", reversed},
    {"select", "*", select<false, true>},
    {"selectattr", "*", select<true, true>},
    {"sort", "reverse,case_sensitive,attribute", sort},
    {"sum", "attribute,start", sum},
    {"unique", "case_sensitive,attribute", unique},
};

}  // namespace

const Operation* find_sequence_filter(std::string_view name) {
  for (const Operation& operation : filters)
    if (operation.name == name) return &operation;
  return nullptr;
}

}  // namespace lrc::jinja

// Tests: what stands behind "is".
#include "tokenizer/template_machine.h"
#include "tokenizer/template_text.h"

namespace lrc::jinja {

namespace {

const Value& other(Machine& machine, const Bound& arguments) {
  if (!arguments.given(0)) machine.fail("a test lacks what to compare with");
  return *arguments[0];
}

template <bool (*decide)(const Value&)>
Value plain(Machine&, const Value& self, const Bound&) {
  return Value(decide(self));
}

bool iterable(const Value& value) { return value.text() || value.list() || value.dict(); }

// Tests that are another spelling of an operator.
constexpr std::string_view operators[][2] = {{"eq", "=="},      {"equalto", "=="}, {"ne", "!="},    {"lt", "<"},
                                             {"le", "<="},      {"gt", ">"},       {"ge", ">="},    {"greaterthan", ">"},
                                             {"lessthan", "<"}, {"in", "in"},      {"sameas", "=="}};

Value divisible(Machine& machine, const Value& self, const Bound& arguments) {
  return Value(!binary_operation(machine, "%", self, other(machine, arguments)).truth());
}

template <int remainder>
Value parity(Machine& machine, const Value& self, const Bound&) {
  if (!self.whole()) machine.fail(std::string(self.kind_name()) + " is neither odd nor even");
  return Value((self.integer() & 1) == remainder);
}

template <bool up>
Value has_case(Machine& machine, const Value& self, const Bound&) {
  const std::string text = machine.string_of(self);
  return Value((up ? upper(text) : lower(text)) == text && (up ? lower(text) : upper(text)) != text);
}

const Operation tests[] = {
    {"boolean", "", plain<[](const Value& v) { return v.is<bool>(); }>},
    {"callable", "", plain<[](const Value& v) { return v.is<CallableRef>(); }>},
    {"defined", "", plain<[](const Value& v) { return !v.is<Undefined>(); }>},
    {"divisibleby", "num", divisible},
    {"even", "", parity<0>},
    {"false", "", plain<[](const Value& v) { return v.is<bool>() && !v.as<bool>(); }>},
    {"filter", "",
     [](Machine& machine, const Value& self, const Bound&) {
       const std::string name = machine.string_of(self);
       return Value(find_text_filter(name) != nullptr || find_sequence_filter(name) != nullptr);
     }},
    {"float", "", plain<[](const Value& v) { return v.is<double>(); }>},
    {"integer", "", plain<[](const Value& v) { return v.is<std::int64_t>(); }>},
    {"iterable", "", plain<iterable>},
    {"lower", "", has_case<false>},
    {"mapping", "", plain<[](const Value& v) { return v.dict() != nullptr || v.is<Namespace*>(); }>},
    {"none", "", plain<[](const Value& v) { return v.is<None>(); }>},
    {"number", "", plain<[](const Value& v) { return v.is<std::int64_t>() || v.is<double>(); }>},
    {"odd", "", parity<1>},
    {"sequence", "", plain<iterable>},
    {"string", "", plain<[](const Value& v) { return v.text() != nullptr; }>},
    {"true", "", plain<[](const Value& v) { return v.is<bool>() && v.as<bool>(); }>},
    {"undefined", "", plain<[](const Value& v) { return v.is<Undefined>(); }>},
    {"upper", "", has_case<true>},
};

}  // namespace

bool apply_test(Machine& machine, const std::string& name, const Value& value, const Arguments& arguments) {
  for (const auto& [test, op] : operators)
    if (test == name) {
      if (arguments.positional.size() != 1) machine.fail("the test \"" + name + "\" compares with one value");
      const Value& with = arguments.positional[0];
      if (test == "sameas" && value.data.index() != with.data.index()) return false;
      return comparison(machine, op, value, with);
    }
  for (const Operation& operation : tests)
    if (operation.name == name) return run_operation(machine, operation, value, arguments).truth();
  machine.fail("the test \"" + name.substr(0, 80) + "\" is not supported");
}

}  // namespace lrc::jinja

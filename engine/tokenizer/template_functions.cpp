// Functions that every template can call.
#include "base/error.h"
#include "tokenizer/template_machine.h"

namespace lrc::jinja {

namespace {

Value range(Machine& machine, const Value&, const Bound& arguments) {
  if (!arguments.given(0)) machine.fail("\"range\" needs a number");
  std::int64_t start = integer_argument(machine, arguments, 0, 0), stop = start;
  if (arguments.given(1))
    stop = integer_argument(machine, arguments, 1, 0);
  else
    start = 0;
  const std::int64_t step = integer_argument(machine, arguments, 2, 1);
  if (step == 0) machine.fail("the step of \"range\" is 0");
  std::vector<Value> items;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    machine.charge(sizeof(Value));
    machine.step();
    items.push_back(Value(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return machine.list(std::move(items));
}

Value make_namespace(Machine& machine, const Value&, const Bound& arguments) {
  Namespace* made = machine.make_namespace();
  for (const Value& value : arguments.all->positional) {
    if (!value.dict()) machine.fail("\"namespace\" takes dictionaries and named values");
    for (const auto& [key, member] : value.dict()->items) made->members[machine.string_of(key)] = member;
  }
  for (const auto& [name, value] : arguments.all->named) made->members[name] = value;
  return Value(made);
}

Value make_dict(Machine& machine, const Value&, const Bound& arguments) {
  DictData data;
  for (const Value& value : arguments.all->positional) {
    if (!value.dict()) machine.fail("\"dict\" takes dictionaries and named values");
    for (const auto& [key, member] : value.dict()->items) data.set(key, member);
  }
  for (const auto& [name, value] : arguments.all->named) data.set(machine.text(name), value);
  return machine.dict(std::move(data));
}

Value raise_exception(Machine& machine, const Value&, const Bound& arguments) {
  // The template's own sentence, for people: it says what the conversation lacks.
  throw Error(ErrorKind::bad_input, arguments.given(0) ? machine.string_of(*arguments[0]) : "The chat template refuses this conversation.");
}

Value strftime_now(Machine& machine, const Value&, const Bound& arguments) {
  return machine.text(format_time(machine, text_argument(machine, arguments, 0, "%Y-%m-%d")));
}

const Operation functions[] = {
    {"range", "start,stop,step", range},
    {"namespace", "*", make_namespace},
    {"dict", "*", make_dict},
    {"raise_exception", "message", raise_exception},
    {"strftime_now", "format", strftime_now},
};

}  // namespace

const Operation* find_function(std::string_view name) {
  for (const Operation& operation : functions)
    if (operation.name == name) return &operation;
  return nullptr;
}

}  // namespace lrc::jinja

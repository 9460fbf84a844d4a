// Matching arguments to parameters, for filters, tests, methods and functions alike.
#include "tokenizer/template_machine.h"

namespace lrc::jinja {

Value run_operation(Machine& machine, const Operation& operation, const Value& self, const Arguments& arguments) {
  machine.step();
  Bound bound;
  bound.all = &arguments;
  if (operation.parameters == "*") return operation.run(machine, self, bound);
  std::vector<std::string_view> names;
  for (std::string_view rest = operation.parameters; !rest.empty();) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    names.push_back(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  bound.values.resize(names.size(), nullptr);
  const std::string what = "\"" + std::string(operation.name) + "\"";
  if (arguments.positional.size() > names.size()) machine.fail(what + " takes " + std::to_string(names.size()) + " arguments at most");
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) bound.values[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    std::size_t place = 0;
    while (place < names.size() && names[place] != name) ++place;
    if (place == names.size()) machine.fail(what + " has no argument \"" + name.substr(0, 80) + "\"");
    if (bound.values[place]) machine.fail(what + " is given \"" + name.substr(0, 80) + "\" twice");
    bound.values[place] = &value;
  }
  return operation.run(machine, self, bound);
}

std::string text_argument(Machine& machine, const Bound& arguments, std::size_t i, const std::string& otherwise) {
  const Value* value = arguments[i];
  if (!value || value->is<None>()) return otherwise;
  if (!value->text()) machine.fail(std::string(value->kind_name()) + " stands where a text is needed");
  return *value->text();
}

std::int64_t integer_argument(Machine& machine, const Bound& arguments, std::size_t i, std::int64_t otherwise) {
  const Value* value = arguments[i];
  if (!value || value->is<None>()) return otherwise;
  if (!value->whole()) machine.fail(std::string(value->kind_name()) + " stands where a whole number is needed");
  return value->integer();
}

}  // namespace lrc::jinja

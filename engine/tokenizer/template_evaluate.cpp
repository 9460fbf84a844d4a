// Expressions: the other half of the evaluator.
#include "tokenizer/template_evaluator.h"

namespace lrc::jinja {

Value Evaluator::evaluate(const Expression& expression) {
  using Kind = Expression::Kind;
  const Level level(*this);
  machine_.step();
  machine_.line = expression.line;
  const auto part = [&](std::size_t i) { return evaluate(*expression.items[i]); };
  switch (expression.kind) {
    case Kind::literal:
      return expression.value;
    case Kind::name:
      return evaluate_name(expression.text);
    case Kind::list: {
      std::vector<Value> items;
      for (const ExpressionRef& item : expression.items) items.push_back(evaluate(*item));
      return machine_.list(std::move(items));
    }
    case Kind::dict: {
      DictData data;
      for (std::size_t i = 0; i + 1 < expression.items.size(); i += 2) {
        const Value key = part(i);
        if (!key.text() && !key.number() && !key.is<None>())
          machine_.fail(std::string(key.kind_name()) + " cannot be a key of a dictionary");
        data.set(key, part(i + 1));
      }
      return machine_.dict(std::move(data));
    }
    case Kind::member:
      return machine_.member(part(0), expression.text);
    case Kind::index: {
      const Value target = part(0), key = part(1);
      return machine_.index(target, key);
    }
    case Kind::slice: {
      Value borders[3];
      const Value target = part(0);
      const Value* given[3] = {};
      for (std::size_t i = 0; i < 3; ++i)
        if (expression.items[i + 1]) {
          borders[i] = part(i + 1);
          given[i] = &borders[i];
        }
      return slice_of(machine_, target, given[0], given[1], given[2]);
    }
    case Kind::call:
      return evaluate_call(expression, nullptr);
    case Kind::filter: {
      const Value target = part(0);
      const Arguments arguments = evaluate_arguments(expression.arguments);
      machine_.line = expression.line;
      return apply_filter(machine_, expression.text, target, arguments);
    }
    case Kind::test: {
      const Value target = part(0);
      const Arguments arguments = evaluate_arguments(expression.arguments);
      return Value(apply_test(machine_, expression.text, target, arguments));
    }
    case Kind::negation:
      return Value(!part(0).truth());
    case Kind::sign: {
      const Value value = part(0);
      if (!value.number()) machine_.fail(std::string(value.kind_name()) + " has no sign");
      if (value.is<double>()) return Value(expression.text == "-" ? -value.as<double>() : value.as<double>());
      return expression.text == "-" ? binary_operation(machine_, "-", Value(std::int64_t{0}), value) : Value(value.integer());
    }
    case Kind::binary: {
      const Value left = part(0), right = part(1);
      return binary_operation(machine_, expression.text, left, right);
    }
    case Kind::comparison:
      return evaluate_comparison(expression);
    case Kind::conjunction: {
      Value left = part(0);
      return left.truth() ? part(1) : left;
    }
    case Kind::disjunction: {
      Value left = part(0);
      return left.truth() ? left : part(1);
    }
    case Kind::condition:
      if (part(1).truth()) return part(0);
      return expression.items.size() > 2 ? part(2) : Value();
  }
  return Value();
}

Value Evaluator::evaluate_name(const std::string& name) {
  for (const Scope* scope = scope_.get(); scope; scope = scope->parent.get()) {
    machine_.step();
    if (const auto found = scope->names.find(name); found != scope->names.end()) return found->second;
  }
  if (!find_function(name)) return Value();
  Callable callable;
  callable.name = name;
  return machine_.function(std::move(callable));
}

Value Evaluator::evaluate_comparison(const Expression& expression) {
  Value left = evaluate(*expression.items[0]);
  for (std::size_t i = 0; i < expression.operators.size(); ++i) {
    Value right = evaluate(*expression.items[i + 1]);
    machine_.line = expression.line;
    if (!comparison(machine_, expression.operators[i], left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Arguments Evaluator::evaluate_arguments(const std::vector<Argument>& arguments) {
  Arguments evaluated;
  for (const Argument& argument : arguments) {
    Value value = evaluate(*argument.value);
    if (argument.kind == Argument::Kind::named) {
      evaluated.named.emplace_back(argument.name, std::move(value));
    } else if (argument.kind == Argument::Kind::spread) {
      for (Value& item : machine_.items_of(value)) evaluated.positional.push_back(std::move(item));
    } else {
      evaluated.positional.push_back(std::move(value));
    }
  }
  return evaluated;
}

Value Evaluator::evaluate_call(const Expression& expression, const Value* caller) {
  const Expression& target = *expression.items[0];
  const Value callee =
      target.kind == Expression::Kind::member ? machine_.member(evaluate(*target.items[0]), target.text, true) : evaluate(target);
  Arguments arguments = evaluate_arguments(expression.arguments);
  machine_.line = expression.line;
  if (!callee.is<CallableRef>()) {
    const std::string name = target.text.empty() ? "something" : "\"" + target.text.substr(0, 80) + "\"";
    machine_.fail(name + " is called, but it is " + callee.kind_name());
  }
  return call(*callee.as<CallableRef>(), std::move(arguments), caller);
}

Value Evaluator::call(const Callable& callable, Arguments arguments, const Value* caller) {
  switch (callable.kind) {
    case Callable::Kind::macro:
    case Callable::Kind::caller:
      return call_block(callable, std::move(arguments), caller);
    case Callable::Kind::function:
      return run_operation(machine_, *find_function(callable.name), Value(), arguments);
    case Callable::Kind::method:
      return run_operation(machine_, *find_method(callable.self, callable.name), callable.self, arguments);
    case Callable::Kind::cycle:
      if (arguments.positional.empty()) machine_.fail("\"cycle\" needs values");
      return arguments.positional[static_cast<std::size_t>(callable.self.integer()) % arguments.positional.size()];
  }
  return Value();
}

Value Evaluator::evaluate_filter(const Expression& expression, const Value* target) {
  const Level level(*this);
  const Value input = expression.items[0] ? evaluate_filter(*expression.items[0], target) : *target;
  const Arguments arguments = evaluate_arguments(expression.arguments);
  machine_.line = expression.line;
  return apply_filter(machine_, expression.text, input, arguments);
}

}  // namespace lrc::jinja

#include "tokenizer/template_evaluator.h"

#include <algorithm>

#include "base/json.h"

namespace lrc::jinja {

namespace {

constexpr std::size_t deepest_evaluation = 800;

/// Enters a scope of its own and leaves it again, also when an error passes.
class Entered {
 public:
  Entered(std::shared_ptr<Scope>& current, std::shared_ptr<Scope> parent) : current_(current), before_(current) {
    current_ = std::make_shared<Scope>();
    current_->parent = std::move(parent);
  }
  ~Entered() { current_ = std::move(before_); }
  Entered(const Entered&) = delete;
  Entered& operator=(const Entered&) = delete;

 private:
  std::shared_ptr<Scope>& current_;
  std::shared_ptr<Scope> before_;
};

}  // namespace

Evaluator::Level::Level(Evaluator& owner) : evaluator(owner) {
  if (evaluator.nesting_ >= deepest_evaluation) evaluator.machine_.fail("macros and expressions are nested too deeply; it may never end");
  ++evaluator.nesting_;
}

Evaluator::Evaluator(Machine& machine, const Json& context) : machine_(machine), global_(std::make_shared<Scope>()), scope_(global_) {
  for (const auto& [name, value] : context.items()) global_->names[name] = machine_.from_json(value);
}

std::string Evaluator::render(const Block& block) {
  std::string out;
  run(block, out);
  return out;
}

void Evaluator::write(std::string_view text, std::string& out) {
  machine_.check_output(out.size() + text.size());
  machine_.charge(text.size());
  out += text;
}

std::string Evaluator::captured(const Block& block) {
  std::string out;
  run(block, out);
  return out;
}

Evaluator::Flow Evaluator::run(const Block& block, std::string& out) {
  for (const auto& statement : block)
    if (const Flow flow = run_statement(*statement, out); flow != Flow::on) return flow;
  return Flow::on;
}

Evaluator::Flow Evaluator::run_statement(const Statement& statement, std::string& out) {
  using Kind = Statement::Kind;
  const Level level(*this);
  machine_.step();
  machine_.line = statement.line;
  switch (statement.kind) {
    case Kind::text:
      write(statement.text, out);
      return Flow::on;
    case Kind::output:
      write(machine_.display(evaluate(*statement.expression)), out);
      return Flow::on;
    case Kind::set:
    case Kind::set_block:
      run_set(statement);
      return Flow::on;
    case Kind::choice:
      for (const Statement::Branch& branch : statement.branches)
        if (!branch.condition || evaluate(*branch.condition).truth()) return run(branch.body, out);
      return Flow::on;
    case Kind::loop:
      return run_loop(statement, out);
    case Kind::loop_break:
      return Flow::loop_break;
    case Kind::loop_continue:
      return Flow::loop_continue;
    case Kind::macro: {
      Callable callable;
      callable.kind = Callable::Kind::macro;
      callable.name = statement.text;
      callable.body = &statement;
      callable.scope = scope_;
      scope_->names[statement.text] = machine_.function(std::move(callable));
      return Flow::on;
    }
    case Kind::call: {
      Callable callable;
      callable.kind = Callable::Kind::caller;
      callable.name = "caller";
      callable.body = &statement;
      callable.scope = scope_;
      const Value caller = machine_.function(std::move(callable));
      write(machine_.display(evaluate_call(*statement.expression, &caller)), out);
      return Flow::on;
    }
    case Kind::filter: {
      const Entered entered(scope_, scope_);
      const Value text = machine_.text(captured(statement.body));
      write(machine_.display(evaluate_filter(*statement.expression, &text)), out);
      return Flow::on;
    }
    case Kind::scope: {
      std::vector<Value> values;
      for (const ExpressionRef& item : statement.items) values.push_back(evaluate(*item));
      const Entered entered(scope_, scope_);
      for (std::size_t i = 0; i < values.size(); ++i) scope_->names[statement.names[i]] = std::move(values[i]);
      return run(statement.body, out);
    }
    case Kind::group:
      return run(statement.body, out);
    case Kind::evaluate:
      evaluate(*statement.expression);
      return Flow::on;
  }
  return Flow::on;
}

void Evaluator::run_set(const Statement& statement) {
  if (statement.kind == Statement::Kind::set_block) {
    std::string text;
    {
      const Entered entered(scope_, scope_);
      text = captured(statement.body);
    }
    Value value = machine_.text(std::move(text));
    if (statement.expression) value = evaluate_filter(*statement.expression, &value);
    scope_->names[statement.names[0]] = std::move(value);
    return;
  }
  Value value = evaluate(*statement.expression);
  if (statement.member.empty()) {
    bind(statement.names, value);
    return;
  }
  const Value target = evaluate_name(statement.text);
  if (!target.is<Namespace*>()) machine_.fail("\"" + statement.text + "\" is not a namespace, so nothing in it can be set");
  target.as<Namespace*>()->members[statement.member] = std::move(value);
}

void Evaluator::bind(const std::vector<std::string>& names, const Value& value) {
  if (names.size() == 1) {
    scope_->names[names[0]] = value;
    return;
  }
  const std::vector<Value> parts = machine_.items_of(value);
  if (parts.size() != names.size())
    machine_.fail(std::to_string(parts.size()) + " values cannot be given to " + std::to_string(names.size()) + " names");
  for (std::size_t i = 0; i < names.size(); ++i) scope_->names[names[i]] = parts[i];
}

Value Evaluator::loop_value(const std::vector<Value>& items, std::size_t i, std::size_t level) {
  const std::size_t count = items.size();
  const auto data = std::make_shared<DictData>();
  // Counted as work, not as memory: it is gone when the next round begins.
  machine_.step(4);
  const auto set = [&](const char* name, Value value) {
    Value& key = loop_keys_[name];
    if (key.is<Undefined>()) key = machine_.text(name);
    data->depth = std::max(data->depth, value.depth() + 1);
    data->set(key, std::move(value));
  };
  const auto number = [](std::size_t value) { return Value(static_cast<std::int64_t>(value)); };
  set("index", number(i + 1));
  set("index0", number(i));
  set("revindex", number(count - i));
  set("revindex0", number(count - i - 1));
  set("first", Value(i == 0));
  set("last", Value(i + 1 == count));
  set("length", number(count));
  set("depth", number(level));
  set("depth0", number(level - 1));
  if (i > 0) set("previtem", items[i - 1]);
  if (i + 1 < count) set("nextitem", items[i + 1]);
  Callable cycle;
  cycle.kind = Callable::Kind::cycle;
  cycle.name = "cycle";
  cycle.self = number(i);
  set("cycle", Value(CallableRef(std::make_shared<const Callable>(std::move(cycle)))));
  return Value(Dict(data));
}

Evaluator::Flow Evaluator::run_loop(const Statement& statement, std::string& out) {
  std::vector<Value> items = machine_.items_of(evaluate(*statement.expression));
  if (statement.filter) {
    std::vector<Value> kept;
    for (const Value& item : items) {
      const Entered entered(scope_, scope_);
      machine_.step();
      bind(statement.names, item);
      if (evaluate(*statement.filter).truth()) kept.push_back(item);
    }
    items = std::move(kept);
  }
  if (items.empty()) {
    const Entered entered(scope_, scope_);
    return run(statement.alternative, out);
  }
  ++loops_;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Entered entered(scope_, scope_);
    machine_.step();
    machine_.line = statement.line;
    scope_->names["loop"] = loop_value(items, i, loops_);
    bind(statement.names, items[i]);
    if (run(statement.body, out) == Flow::loop_break) break;
  }
  --loops_;
  return Flow::on;
}

Value Evaluator::call_block(const Callable& callable, Arguments arguments, const Value* caller) {
  const Statement& body = *callable.body;
  std::shared_ptr<Scope> defined = callable.scope.lock();
  const int line = machine_.line;
  const Entered entered(scope_, defined ? defined : global_);
  if (caller) scope_->names["caller"] = *caller;
  const std::size_t count = body.parameters.size();
  if (arguments.positional.size() > count)
    machine_.fail("\"" + callable.name + "\" takes " + std::to_string(count) + " arguments, not " +
                  std::to_string(arguments.positional.size()));
  for (std::size_t i = 0; i < count; ++i) {
    const Parameter& parameter = body.parameters[i];
    Value value;
    bool given = i < arguments.positional.size();
    if (given) value = std::move(arguments.positional[i]);
    for (auto& [name, named] : arguments.named)
      if (name == parameter.name) {
        if (given) machine_.fail("\"" + callable.name + "\" is given \"" + name + "\" twice");
        given = true;
        value = std::move(named);
        name.clear();
      }
    if (!given && parameter.fallback) value = evaluate(*parameter.fallback);
    scope_->names[parameter.name] = std::move(value);
  }
  for (const auto& [name, named] : arguments.named)
    if (!name.empty()) machine_.fail("\"" + callable.name + "\" has no argument \"" + name + "\"");
  Value result = machine_.text(captured(body.body));
  machine_.line = line;
  return result;
}

}  // namespace lrc::jinja

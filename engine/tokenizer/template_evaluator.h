#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tokenizer/template_machine.h"
#include "tokenizer/template_syntax.h"

namespace lrc::jinja {

/// Names that a block of the template has set.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::unordered_map<std::string, Value> names;
};

/// Walks the syntax tree and writes. One evaluator renders one template once.
class Evaluator {
 public:
  Evaluator(Machine& machine, const nlohmann::ordered_json& context);
  std::string render(const Block& block);

 private:
  enum class Flow { on, loop_break, loop_continue };
  struct Level;

  // Statements (template_evaluator.cpp)
  Flow run(const Block& block, std::string& out);
  Flow run_statement(const Statement& statement, std::string& out);
  Flow run_loop(const Statement& statement, std::string& out);
  void run_set(const Statement& statement);
  std::string captured(const Block& block);
  void bind(const std::vector<std::string>& names, const Value& value);
  void write(std::string_view text, std::string& out);
  Value loop_value(const std::vector<Value>& items, std::size_t i, std::size_t level);

  // Expressions (template_evaluate.cpp)
  Value evaluate(const Expression& expression);
  Value evaluate_name(const std::string& name);
  Value evaluate_comparison(const Expression& expression);
  Value evaluate_call(const Expression& expression, const Value* caller);
  Value evaluate_filter(const Expression& expression, const Value* target);
  Arguments evaluate_arguments(const std::vector<Argument>& arguments);
  Value call(const Callable& callable, Arguments arguments, const Value* caller);
  Value call_block(const Callable& callable, Arguments arguments, const Value* caller);

  Machine& machine_;
  std::shared_ptr<Scope> global_, scope_;
  std::unordered_map<std::string_view, Value> loop_keys_;
  std::size_t nesting_ = 0, loops_ = 0;
};

/// Counts how deep evaluation has called itself: macros that call themselves end in a sentence, not in a full stack.
struct Evaluator::Level {
  explicit Level(Evaluator& evaluator);
  ~Level() { --evaluator.nesting_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;
  Evaluator& evaluator;
};

}  // namespace lrc::jinja

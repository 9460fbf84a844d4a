#pragma once
#include <memory>
#include <string>
#include <vector>

#include "tokenizer/template_value.h"

namespace lrc::jinja {

struct Statement;
struct Scope;

/// Arguments of a call: in order, and by name.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// Something that can be called: a macro of the template, the body of a call block, a function or a method of `self`.
struct Callable {
  enum class Kind { macro, caller, function, method, cycle };
  Kind kind = Kind::function;
  std::string name;
  const Statement* body = nullptr;  ///< macro, caller
  std::weak_ptr<Scope> scope;       ///< where it was defined; weak, because that scope may hold the callable
  Value self;                       ///< method; cycle: the loop's index
};

}  // namespace lrc::jinja

#pragma once
// The syntax tree of a chat template.
#include <memory>
#include <string>
#include <vector>

#include "tokenizer/template_value.h"

namespace lrc::jinja {

struct Expression;
using ExpressionRef = std::unique_ptr<Expression>;

struct Argument {
  enum class Kind { positional, named, spread };
  Kind kind = Kind::positional;
  std::string name;
  ExpressionRef value;
};

struct Expression {
  enum class Kind {
    literal,      // value
    name,         // text
    list,         // items (tuples are lists)
    dict,         // items: key, value, key, value …
    member,       // items[0] . text
    index,        // items[0] [ items[1] ]
    slice,        // items[0] [ items[1] : items[2] : items[3] ], where 1 to 3 may be null
    call,         // items[0] ( arguments )
    filter,       // items[0] | text ( arguments ); items[0] is null in a filter block
    test,         // items[0] is text ( arguments )
    negation,     // not items[0]
    sign,         // text items[0]
    binary,       // items[0] text items[1]
    comparison,   // items[0] operators[0] items[1] operators[1] items[2] …
    conjunction,  // items[0] and items[1]
    disjunction,  // items[0] or items[1]
    condition,    // items[0] if items[1] else items[2], which may be null
  };
  Kind kind = Kind::literal;
  int line = 0;
  std::size_t depth = 1;  ///< levels of the tree, bounded by the parser
  std::string text;
  Value value;
  std::vector<ExpressionRef> items;
  std::vector<std::string> operators;
  std::vector<Argument> arguments;
};

struct Statement;
using Block = std::vector<std::unique_ptr<Statement>>;

struct Parameter {
  std::string name;
  ExpressionRef fallback;  ///< null: none
};

struct Statement {
  enum class Kind {
    text,       // text
    output,     // expression
    set,        // names (or text.member) = expression
    set_block,  // names[0] = body, filtered by expression
    choice,     // branches
    loop,       // for names in expression if filter: body, otherwise alternative
    loop_break,
    loop_continue,
    macro,     // text (parameters): body
    call,      // call (parameters) expression: body
    filter,    // body filtered by expression
    scope,     // with: branches are not used; names = items, then body
    group,     // body, in the same scope
    evaluate,  // do expression
  };
  struct Branch {
    ExpressionRef condition;  ///< null: else
    Block body;
  };
  Kind kind = Kind::text;
  int line = 0;
  std::string text, member;
  std::vector<std::string> names;
  ExpressionRef expression, filter;
  std::vector<ExpressionRef> items;
  std::vector<Branch> branches;
  std::vector<Parameter> parameters;
  Block body, alternative;
};

/// Both are bounded, so that neither parsing, nor evaluating, nor freeing a tree can exhaust the stack.
constexpr std::size_t deepest_expression = 200, deepest_block = 60;

/// Throws Error(bad_input) with the line of the fault.
Block parse_template(const std::string& source, bool trim_blocks, bool lstrip_blocks);

}  // namespace lrc::jinja

#include <algorithm>
#include <charconv>

#include "tokenizer/template_parser.h"

namespace lrc::jinja {

using Kind = Expression::Kind;

void TokenReader::expect_symbol(std::string_view symbol) {
  if (!take_symbol(symbol)) fail_at(line(), "\"" + std::string(symbol) + "\" is missing");
}

std::string TokenReader::expect_name() {
  if (peek().kind != Token::Kind::name) fail_at(line(), "a name is missing");
  return next().text;
}

void TokenReader::expect(Token::Kind kind, const char* what) {
  if (peek().kind != kind) fail_at(line(), std::string(what) + " is missing");
  next();
}

/// Counts how deep the parser has called itself, so that hostile nesting ends in a sentence.
struct ExpressionParser::Level {
  explicit Level(ExpressionParser& parser) : nesting(parser.nesting_) {
    if (++nesting > deepest_expression / 2) fail_at(parser.reader_.line(), "expressions are nested too deeply");
  }
  ~Level() { --nesting; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;
  std::size_t& nesting;
};

void ExpressionParser::add(Expression& parent, ExpressionRef child) {
  if (child) parent.depth = std::max(parent.depth, child->depth + 1);
  if (parent.depth > deepest_expression) fail_at(reader_.line(), "an expression has too many steps");
  parent.items.push_back(std::move(child));
}

ExpressionRef ExpressionParser::make(Kind kind, ExpressionRef first, ExpressionRef second, ExpressionRef third) {
  auto made = std::make_unique<Expression>();
  made->kind = kind;
  made->line = first ? first->line : reader_.line();
  if (first) add(*made, std::move(first));
  if (second) add(*made, std::move(second));
  if (third) add(*made, std::move(third));
  return made;
}

ExpressionRef ExpressionParser::condition() {
  const Level level(*this);
  ExpressionRef value = disjunction();
  while (reader_.take_name("if")) {
    ExpressionRef test = disjunction();
    ExpressionRef otherwise;
    if (reader_.take_name("else")) otherwise = condition();
    value = make(Kind::condition, std::move(value), std::move(test), std::move(otherwise));
  }
  return value;
}

ExpressionRef ExpressionParser::disjunction() {
  const Level level(*this);
  ExpressionRef left = conjunction();
  while (reader_.take_name("or")) left = make(Kind::disjunction, std::move(left), conjunction());
  return left;
}

ExpressionRef ExpressionParser::conjunction() {
  ExpressionRef left = negation();
  while (reader_.take_name("and")) left = make(Kind::conjunction, std::move(left), negation());
  return left;
}

ExpressionRef ExpressionParser::negation() {
  if (!reader_.is_name("not")) return comparison();
  const Level level(*this);
  reader_.next();
  return make(Kind::negation, negation());
}

ExpressionRef ExpressionParser::comparison() {
  ExpressionRef left = arithmetic(0);
  ExpressionRef whole;
  while (true) {
    std::string op;
    for (std::string_view symbol : {"==", "!=", "<=", ">=", "<", ">"})
      if (reader_.is_symbol(symbol)) op = symbol;
    if (reader_.is_name("in")) op = "in";
    if (reader_.is_name("not") && reader_.peek(1).kind == Token::Kind::name && reader_.peek(1).text == "in") op = "not in";
    if (op.empty()) break;
    reader_.next();
    if (op == "not in") reader_.next();
    if (!whole) whole = make(Kind::comparison, std::move(left));
    whole->operators.push_back(op);
    add(*whole, arithmetic(0));
  }
  return whole ? std::move(whole) : std::move(left);
}

ExpressionRef ExpressionParser::arithmetic(int level) {
  static constexpr std::string_view levels[][4] = {{"+", "-", "+", "-"}, {"~", "~", "~", "~"}, {"*", "/", "//", "%"}};
  const auto operand = [&] { return level == 2 ? power() : arithmetic(level + 1); };
  ExpressionRef left = operand();
  while (true) {
    std::string_view op;
    for (std::string_view symbol : levels[level])
      if (reader_.is_symbol(symbol)) op = symbol;
    if (op.empty()) return left;
    reader_.next();
    left = make(Kind::binary, std::move(left), operand());
    left->text = op;
  }
}

ExpressionRef ExpressionParser::power() {
  ExpressionRef left = sign(true);
  while (reader_.take_symbol("**")) {
    left = make(Kind::binary, std::move(left), sign(true));
    left->text = "**";
  }
  return left;
}

ExpressionRef ExpressionParser::sign(bool with_filters) {
  ExpressionRef value;
  if (reader_.is_symbol("-") || reader_.is_symbol("+")) {
    const Level level(*this);
    const std::string op = reader_.next().text;
    value = make(Kind::sign, sign(false));
    value->text = op;
  } else {
    value = postfix(primary());
  }
  return with_filters ? filters(std::move(value)) : std::move(value);
}

ExpressionRef ExpressionParser::primary() {
  const Token token = reader_.next();
  ExpressionRef made = make(Kind::literal);
  made->line = token.line;
  switch (token.kind) {
    case Token::Kind::name:
      if (token.text == "true" || token.text == "True") {
        made->value = Value(true);
      } else if (token.text == "false" || token.text == "False") {
        made->value = Value(false);
      } else if (token.text == "none" || token.text == "None") {
        made->value = Value(None{});
      } else {
        made->kind = Kind::name;
        made->text = token.text;
      }
      return made;
    case Token::Kind::string: {
      std::string text = token.text;
      while (reader_.peek().kind == Token::Kind::string) text += reader_.next().text;  // neighbours are one text
      made->value = Value(std::make_shared<const std::string>(std::move(text)));
      return made;
    }
    case Token::Kind::integer: {
      std::int64_t number = 0;
      if (std::from_chars(token.text.data(), token.text.data() + token.text.size(), number).ec != std::errc())
        fail_at(token.line, "the number " + token.text.substr(0, 40) + " is too large");
      made->value = Value(number);
      return made;
    }
    case Token::Kind::real: {
      double number = 0;
      if (std::from_chars(token.text.data(), token.text.data() + token.text.size(), number).ec != std::errc())
        fail_at(token.line, "the number " + token.text.substr(0, 40) + " is too large");
      made->value = Value(number);
      return made;
    }
    case Token::Kind::symbol:
      if (token.text == "(") {
        if (reader_.take_symbol(")")) return make(Kind::list);
        ExpressionRef inner = tuple(true);
        reader_.expect_symbol(")");
        return inner;
      }
      if (token.text == "[") return list("]");
      if (token.text == "{") return dictionary();
      [[fallthrough]];
    default:
      fail_at(token.line,
              token.text.empty() ? "an expression is missing" : "\"" + token.text.substr(0, 40) + "\" stands where an expression should");
  }
}

ExpressionRef ExpressionParser::tuple(bool conditional) {
  const auto one = [&] { return conditional ? condition() : disjunction(); };
  ExpressionRef first = one();
  if (!reader_.is_symbol(",")) return first;
  ExpressionRef items = make(Kind::list, std::move(first));
  while (reader_.take_symbol(",")) {
    const Token& token = reader_.peek();
    if (token.kind == Token::Kind::output_end || token.kind == Token::Kind::block_end || reader_.is_symbol(")")) break;
    add(*items, one());
  }
  return items;
}

ExpressionRef ExpressionParser::list(const char* closing) {
  ExpressionRef made = make(Kind::list);
  while (!reader_.take_symbol(closing)) {
    if (!made->items.empty()) {
      reader_.expect_symbol(",");
      if (reader_.take_symbol(closing)) break;
    }
    add(*made, condition());
  }
  return made;
}

ExpressionRef ExpressionParser::dictionary() {
  ExpressionRef made = make(Kind::dict);
  while (!reader_.take_symbol("}")) {
    if (!made->items.empty()) {
      reader_.expect_symbol(",");
      if (reader_.take_symbol("}")) break;
    }
    add(*made, condition());
    reader_.expect_symbol(":");
    add(*made, condition());
  }
  return made;
}

ExpressionRef ExpressionParser::postfix(ExpressionRef target) {
  while (true) {
    if (reader_.take_symbol(".")) {
      const Token& token = reader_.next();
      if (token.kind != Token::Kind::name && token.kind != Token::Kind::integer) fail_at(token.line, "a name is missing behind the dot");
      target = make(Kind::member, std::move(target));
      target->text = token.text;
    } else if (reader_.take_symbol("[")) {
      target = brackets(std::move(target));
    } else if (reader_.take_symbol("(")) {
      target = make(Kind::call, std::move(target));
      target->arguments = arguments();
      for (const Argument& argument : target->arguments) target->depth = std::max(target->depth, argument.value->depth + 1);
    } else {
      return target;
    }
  }
}

ExpressionRef ExpressionParser::brackets(ExpressionRef target) {
  ExpressionRef parts[3];
  std::size_t part = 0;
  bool slice = false;
  while (!reader_.is_symbol("]")) {
    if (reader_.take_symbol(":")) {
      slice = true;
      if (++part > 2) fail_at(reader_.line(), "a slice has more than three parts");
    } else {
      if (parts[part]) fail_at(reader_.line(), "\"]\" is missing");
      parts[part] = condition();
    }
  }
  reader_.next();
  if (!slice && !parts[0]) fail_at(reader_.line(), "nothing stands between the brackets");
  if (!slice) return make(Kind::index, std::move(target), std::move(parts[0]));
  ExpressionRef made = make(Kind::slice, std::move(target));
  for (ExpressionRef& value : parts) add(*made, std::move(value));
  return made;
}

std::vector<Argument> ExpressionParser::arguments() {
  std::vector<Argument> made;
  while (!reader_.take_symbol(")")) {
    if (!made.empty()) {
      reader_.expect_symbol(",");
      if (reader_.take_symbol(")")) break;
    }
    Argument argument;
    if (reader_.is_symbol("**")) fail_at(reader_.line(), "arguments from a dictionary (**) are not supported");
    if (reader_.take_symbol("*")) {
      argument.kind = Argument::Kind::spread;
    } else if (reader_.peek().kind == Token::Kind::name && reader_.is_symbol("=", 1)) {
      argument.kind = Argument::Kind::named;
      argument.name = reader_.next().text;
      reader_.next();
    }
    argument.value = condition();
    made.push_back(std::move(argument));
  }
  return made;
}

ExpressionRef ExpressionParser::filter_call(ExpressionRef target) {
  ExpressionRef made = make(Kind::filter);
  add(*made, std::move(target));
  made->text = reader_.expect_name();
  if (reader_.take_symbol("(")) made->arguments = arguments();
  for (const Argument& argument : made->arguments) made->depth = std::max(made->depth, argument.value->depth + 1);
  return made;
}

ExpressionRef ExpressionParser::filters_of_block() {
  ExpressionRef made = filter_call(nullptr);
  while (reader_.take_symbol("|")) made = filter_call(std::move(made));
  return made;
}

ExpressionRef ExpressionParser::filters(ExpressionRef target) {
  while (true) {
    if (reader_.take_symbol("|"))
      target = postfix(filter_call(std::move(target)));
    else if (reader_.take_name("is"))
      target = test(std::move(target));
    else
      return target;
  }
}

ExpressionRef ExpressionParser::test(ExpressionRef target) {
  const bool negated = reader_.take_name("not");
  ExpressionRef made = make(Kind::test, std::move(target));
  made->text = reader_.expect_name();
  static constexpr std::string_view binary[] = {"divisibleby", "eq", "equalto",     "ne",       "lt",     "le",
                                                "gt",          "ge", "greaterthan", "lessthan", "sameas", "in"};
  if (reader_.take_symbol("(")) {
    made->arguments = arguments();
  } else if (std::ranges::find(binary, made->text) != std::end(binary)) {
    Argument argument;
    argument.value = postfix(primary());
    made->arguments.push_back(std::move(argument));
  }
  for (const Argument& argument : made->arguments) made->depth = std::max(made->depth, argument.value->depth + 1);
  return negated ? make(Kind::negation, std::move(made)) : std::move(made);
}

}  // namespace lrc::jinja

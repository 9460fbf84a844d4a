#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/template_lexer.h"
#include "tokenizer/template_syntax.h"

namespace lrc::jinja {

/// A place in the tokens, and what both parts of the parser ask of it.
class TokenReader {
 public:
  explicit TokenReader(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& peek(std::size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token& next() { return tokens_[std::min(at_++, tokens_.size() - 1)]; }
  bool is_name(std::string_view name) const { return peek().kind == Token::Kind::name && peek().text == name; }
  bool is_symbol(std::string_view symbol, std::size_t ahead = 0) const {
    return peek(ahead).kind == Token::Kind::symbol && peek(ahead).text == symbol;
  }
  bool take_name(std::string_view name) { return is_name(name) && (next(), true); }
  bool take_symbol(std::string_view symbol) { return is_symbol(symbol) && (next(), true); }
  void expect_symbol(std::string_view symbol);
  std::string expect_name();
  void expect(Token::Kind kind, const char* what);
  int line() const { return peek().line; }

 private:
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
};

/// Parses expressions by precedence: if else, or, and, not, comparisons, + -, ~, * / // %, **, signs, then | and is.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenReader& reader) : reader_(reader) {}

  ExpressionRef condition();    ///< everything
  ExpressionRef disjunction();  ///< without "if … else": what stands behind "in" of a loop
  /// One or several separated by commas, which make a list. `conditional`: as condition(), otherwise as disjunction().
  ExpressionRef tuple(bool conditional);
  /// name | name(arguments) | …, applied to what a block renders.
  ExpressionRef filters_of_block();
  std::vector<Argument> arguments();  ///< behind the opening parenthesis, up to the closing one

 private:
  struct Level;
  ExpressionRef conjunction();
  ExpressionRef negation();
  ExpressionRef comparison();
  ExpressionRef arithmetic(int level);
  ExpressionRef power();
  ExpressionRef sign(bool with_filters);
  ExpressionRef primary();
  ExpressionRef postfix(ExpressionRef target);
  ExpressionRef brackets(ExpressionRef target);
  ExpressionRef filters(ExpressionRef target);
  ExpressionRef filter_call(ExpressionRef target);
  ExpressionRef test(ExpressionRef target);
  ExpressionRef list(const char* closing);
  ExpressionRef dictionary();
  ExpressionRef make(Expression::Kind kind, ExpressionRef first = {}, ExpressionRef second = {}, ExpressionRef third = {});
  void add(Expression& parent, ExpressionRef child);

  TokenReader& reader_;
  std::size_t nesting_ = 0;
};

}  // namespace lrc::jinja

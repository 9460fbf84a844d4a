#include <algorithm>

#include "tokenizer/template_parser.h"

namespace lrc::jinja {

namespace {

class StatementParser {
 public:
  explicit StatementParser(std::vector<Token> tokens) : reader_(std::move(tokens)), expressions_(reader_) {}

  Block run() {
    Block block = body({});
    if (reader_.peek().kind != Token::Kind::end) fail_at(reader_.line(), "\"" + reader_.peek(1).text.substr(0, 40) + "\" closes nothing");
    return block;
  }

 private:
  using Names = std::vector<std::string_view>;

  bool at_tag(const Names& names) const {
    return reader_.peek().kind == Token::Kind::block_begin && reader_.peek(1).kind == Token::Kind::name &&
           std::ranges::find(names, reader_.peek(1).text) != names.end();
  }

  /// Statements up to a tag of one of these names (which is not read) or the end of the template.
  Block body(const Names& ends) {
    if (++nesting_ > deepest_block) fail_at(reader_.line(), "blocks are nested too deeply");
    Block block;
    while (reader_.peek().kind != Token::Kind::end && !at_tag(ends)) {
      const Token token = reader_.next();
      auto statement = std::make_unique<Statement>();
      statement->line = token.line;
      if (token.kind == Token::Kind::text) {
        statement->text = token.text;
      } else if (token.kind == Token::Kind::output_begin) {
        statement->kind = Statement::Kind::output;
        statement->expression = expressions_.tuple(true);
        reader_.expect(Token::Kind::output_end, "\"}}\"");
      } else {
        read_block(*statement);
      }
      block.push_back(std::move(statement));
    }
    --nesting_;
    return block;
  }

  void end_tag() { reader_.expect(Token::Kind::block_end, "\"%}\""); }

  /// A body with its closing tag.
  Block closed_body(std::string_view closing) {
    end_tag();
    Block block = body({closing});
    close(closing);
    return block;
  }

  void close(std::string_view closing) {
    if (!at_tag({closing})) fail_at(reader_.line(), "{% " + std::string(closing) + " %} is missing");
    reader_.next();
    reader_.next();
    end_tag();
  }

  void read_block(Statement& made) {
    const std::string name = reader_.expect_name();
    using Kind = Statement::Kind;
    if (name == "if") {
      made.kind = Kind::choice;
      read_choice(made);
    } else if (name == "for") {
      made.kind = Kind::loop;
      read_loop(made);
    } else if (name == "set") {
      read_set(made);
    } else if (name == "macro") {
      made.kind = Kind::macro;
      made.text = reader_.expect_name();
      reader_.expect_symbol("(");
      read_parameters(made);
      made.body = closed_body("endmacro");
    } else if (name == "call") {
      made.kind = Kind::call;
      if (reader_.take_symbol("(")) read_parameters(made);
      made.expression = expressions_.condition();
      if (made.expression->kind != Expression::Kind::call) fail_at(made.line, "a call block does not call anything");
      made.body = closed_body("endcall");
    } else if (name == "filter") {
      made.kind = Kind::filter;
      made.expression = expressions_.filters_of_block();
      made.body = closed_body("endfilter");
    } else if (name == "with") {
      made.kind = Kind::scope;
      while (reader_.peek().kind == Token::Kind::name) {
        made.names.push_back(reader_.next().text);
        reader_.expect_symbol("=");
        made.items.push_back(expressions_.condition());
        if (!reader_.take_symbol(",")) break;
      }
      made.body = closed_body("endwith");
    } else if (name == "generation") {
      made.kind = Kind::group;  // marks what a model is trained on; what it holds is rendered as it is
      made.body = closed_body("endgeneration");
    } else if (name == "break" || name == "continue") {
      made.kind = name == "break" ? Kind::loop_break : Kind::loop_continue;
      if (loops_ == 0) fail_at(made.line, "\"" + name + "\" stands outside of a loop");
      end_tag();
    } else if (name == "do") {
      made.kind = Kind::evaluate;
      made.expression = expressions_.tuple(true);
      end_tag();
    } else if (name.starts_with("end") || name == "else" || name == "elif") {
      fail_at(made.line, "\"" + name.substr(0, 40) + "\" closes nothing");
    } else {
      fail_at(made.line, "the block \"" + name.substr(0, 40) + "\" is not supported");
    }
  }

  void read_choice(Statement& made) {
    while (true) {
      Statement::Branch branch;
      branch.condition = expressions_.tuple(true);
      end_tag();
      branch.body = body({"elif", "else", "endif"});
      made.branches.push_back(std::move(branch));
      if (!at_tag({"elif"})) break;
      reader_.next();
      reader_.next();
    }
    if (at_tag({"else"})) {
      reader_.next();
      reader_.next();
      end_tag();
      made.branches.push_back({nullptr, body({"endif"})});
    }
    close("endif");
  }

  void read_names(std::vector<std::string>& names) {
    const bool brackets = reader_.take_symbol("(");
    do {
      if (reader_.peek().kind != Token::Kind::name && !names.empty()) break;
      names.push_back(reader_.expect_name());
    } while (reader_.take_symbol(","));
    if (brackets) reader_.expect_symbol(")");
  }

  void read_loop(Statement& made) {
    read_names(made.names);
    if (!reader_.take_name("in")) fail_at(made.line, "\"in\" is missing in a loop");
    made.expression = expressions_.tuple(false);
    if (reader_.take_name("if")) made.filter = expressions_.condition();
    if (reader_.is_name("recursive")) fail_at(made.line, "recursive loops are not supported");
    end_tag();
    ++loops_;
    made.body = body({"else", "endfor"});
    --loops_;
    if (at_tag({"else"})) {
      reader_.next();
      reader_.next();
      end_tag();
      made.alternative = body({"endfor"});
    }
    close("endfor");
  }

  void read_set(Statement& made) {
    made.kind = Statement::Kind::set;
    read_names(made.names);
    if (made.names.size() == 1 && reader_.take_symbol(".")) {
      made.text = made.names[0];
      made.member = reader_.expect_name();
    }
    if (reader_.take_symbol("=")) {
      made.expression = expressions_.tuple(true);
      end_tag();
      return;
    }
    if (made.names.size() != 1 || !made.member.empty()) fail_at(made.line, "\"=\" is missing");
    made.kind = Statement::Kind::set_block;
    if (reader_.take_symbol("|")) made.expression = expressions_.filters_of_block();
    made.body = closed_body("endset");
  }

  /// Behind the opening parenthesis.
  void read_parameters(Statement& made) {
    while (!reader_.take_symbol(")")) {
      if (!made.parameters.empty()) reader_.expect_symbol(",");
      Parameter parameter;
      parameter.name = reader_.expect_name();
      if (reader_.take_symbol("=")) parameter.fallback = expressions_.condition();
      made.parameters.push_back(std::move(parameter));
    }
  }

  TokenReader reader_;
  ExpressionParser expressions_;
  std::size_t nesting_ = 0;
  int loops_ = 0;
};

}  // namespace

Block parse_template(const std::string& source, bool trim_blocks, bool lstrip_blocks) {
  return StatementParser(read_tokens(source, trim_blocks, lstrip_blocks)).run();
}

}  // namespace lrc::jinja

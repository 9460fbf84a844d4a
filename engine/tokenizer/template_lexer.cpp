#include "tokenizer/template_lexer.h"

#include <cctype>
#include <string_view>

#include "base/error.h"
#include "tokenizer/unicode.h"

namespace lrc::jinja {

void fail_at(int line, const std::string& what) {
  throw Error(ErrorKind::bad_input, "The chat template, line " + std::to_string(line) + ": " + what + ".");
}

namespace {

bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }
bool name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || static_cast<unsigned char>(c) >= 0x80; }
bool digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  Lexer(const std::string& source, bool trim_blocks, bool lstrip_blocks) : trim_(trim_blocks), lstrip_(lstrip_blocks) {
    source_.reserve(source.size());
    for (std::size_t i = 0; i < source.size(); ++i) {
      if (source[i] != '\r') {
        source_ += source[i];
      } else {
        source_ += '\n';
        if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      }
    }
    // The language drops one newline at the end of a template.
    if (source_.ends_with('\n')) source_.pop_back();
  }

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const std::size_t tag = next_tag(at_);
      read_text(tag);
      if (tag == std::string::npos) break;
      read_tag();
    }
    add(Token::Kind::end, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest(std::size_t at) const { return std::string_view(source_).substr(at); }
  void add(Token::Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  void skip_to(std::size_t at) {
    for (; at_ < at; ++at_)
      if (source_[at_] == '\n') ++line_;
  }

  std::size_t next_tag(std::size_t from) const {
    for (std::size_t at = source_.find('{', from); at != std::string::npos; at = source_.find('{', at + 1))
      if (at + 1 < source_.size() && (source_[at + 1] == '{' || source_[at + 1] == '%' || source_[at + 1] == '#')) return at;
    return std::string::npos;
  }

  /// Text up to the tag, less what the tags on both sides strip.
  void read_text(std::size_t tag) {
    const std::size_t end = tag == std::string::npos ? source_.size() : tag;
    std::size_t first = at_, last = end;
    if (strip_next_)
      while (first < last && blank(source_[first])) ++first;
    else if (trim_next_ && first < last && source_[first] == '\n')
      ++first;
    if (tag != std::string::npos) {
      const char mark = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      if (mark == '-') {
        while (last > first && blank(source_[last - 1])) --last;
      } else if (lstrip_ && mark != '+' && source_[tag + 1] != '{') {
        std::size_t line_start = last;
        while (line_start > first && (source_[line_start - 1] == ' ' || source_[line_start - 1] == '\t')) --line_start;
        // A tag in front of which only blanks stand on its line, the line's beginning being in this text or just behind a tag's newline.
        const bool at_line_start = line_start == 0 || source_[line_start - 1] == '\n';
        if (at_line_start) last = line_start;
      }
    }
    strip_next_ = trim_next_ = false;
    if (first < last) {
      skip_to(first);
      add(Token::Kind::text, source_.substr(first, last - first));
    }
    skip_to(end);
  }

  /// Behind a tag that ends at `end`: what its mark does to the text that follows.
  void close(std::size_t end, char mark, bool trims) {
    strip_next_ = mark == '-';
    trim_next_ = trims && trim_ && mark != '+';
    skip_to(end);
  }

  void read_tag() {
    const char type = source_[at_ + 1];
    std::size_t begin = at_ + 2;
    if (type == '#') {
      const std::size_t end = source_.find("#}", begin);
      if (end == std::string::npos) fail_at(line_, "a comment is not closed");
      close(end + 2, end > begin ? source_[end - 1] : '\0', true);
      return;
    }
    if (begin < source_.size() && (source_[begin] == '-' || (source_[begin] == '+' && type == '%'))) ++begin;
    if (type == '%' && read_raw(begin)) return;
    add(type == '{' ? Token::Kind::output_begin : Token::Kind::block_begin, "");
    skip_to(begin);
    read_expression_tokens(type == '{' ? "}}" : "%}");
  }

  bool read_raw(std::size_t begin) {
    std::size_t end = 0;
    char mark = '\0';
    if (!tag_named("raw", begin, end, mark)) return false;
    for (std::size_t at = source_.find("{%", end); at != std::string::npos; at = source_.find("{%", at + 2)) {
      std::size_t inner = at + 2, close_end = 0;
      const bool strip = inner < source_.size() && source_[inner] == '-';
      if (strip || (inner < source_.size() && source_[inner] == '+')) ++inner;
      char close_mark = '\0';
      if (!tag_named("endraw", inner, close_end, close_mark)) continue;
      std::size_t first = end, last = at;
      if (mark == '-')
        while (first < last && blank(source_[first])) ++first;
      else if (trim_ && first < last && source_[first] == '\n')
        ++first;
      if (strip)
        while (last > first && blank(source_[last - 1])) --last;
      if (first < last) add(Token::Kind::text, source_.substr(first, last - first));
      close(close_end, close_mark, true);
      return true;
    }
    fail_at(line_, "a raw block is not closed");
  }

  /// Whether a block tag holds this one word; `end` is behind it.
  bool tag_named(std::string_view name, std::size_t at, std::size_t& end, char& mark) const {
    while (at < source_.size() && blank(source_[at])) ++at;
    if (!rest(at).starts_with(name)) return false;
    at += name.size();
    while (at < source_.size() && blank(source_[at])) ++at;
    if (at < source_.size() && (source_[at] == '-' || source_[at] == '+')) mark = source_[at++];
    if (!rest(at).starts_with("%}")) return false;
    end = at + 2;
    return true;
  }

  void read_expression_tokens(std::string_view closing) {
    const int first_line = line_;
    int open = 0;  // brackets: }} may end a dictionary inside an output tag
    while (true) {
      while (at_ < source_.size() && blank(source_[at_])) skip_to(at_ + 1);
      if (at_ >= source_.size()) fail_at(first_line, "a tag is not closed");
      const char c = source_[at_];
      if (open == 0) {
        const bool marked = c == '-' || (c == '+' && closing == "%}");
        if (rest(at_ + (marked ? 1 : 0)).starts_with(closing)) {
          add(closing == "}}" ? Token::Kind::output_end : Token::Kind::block_end, "");
          close(at_ + (marked ? 3 : 2), marked ? c : '\0', closing == "%}");
          return;
        }
      }
      if (name_start(c)) {
        std::size_t end = at_;
        while (end < source_.size() && (name_start(source_[end]) || digit(source_[end]))) ++end;
        add(Token::Kind::name, source_.substr(at_, end - at_));
        skip_to(end);
      } else if (digit(c)) {
        read_number();
      } else if (c == '"' || c == '\'') {
        read_string(c);
      } else {
        read_symbol(open);
      }
    }
  }

  void read_number() {
    std::size_t end = at_;
    bool real = false;
    const auto digits = [&] {
      while (end < source_.size() && (digit(source_[end]) || (source_[end] == '_' && end + 1 < source_.size() && digit(source_[end + 1]))))
        ++end;
    };
    digits();
    // Behind a dot a number is a place in a list (content.0.type), not a fraction.
    const bool member = !tokens_.empty() && tokens_.back().kind == Token::Kind::symbol && tokens_.back().text == ".";
    if (!member && end + 1 < source_.size() && source_[end] == '.' && digit(source_[end + 1])) {
      real = true;
      ++end;
      digits();
    }
    if (!member && end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      std::size_t exponent = end + 1;
      if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) ++exponent;
      if (exponent < source_.size() && digit(source_[exponent])) {
        real = true;
        end = exponent;
        digits();
      }
    }
    std::string text = source_.substr(at_, end - at_);
    std::erase(text, '_');
    add(real ? Token::Kind::real : Token::Kind::integer, std::move(text));
    skip_to(end);
  }

  void read_string(char quote) {
    std::string text;
    std::size_t at = at_ + 1;
    while (at < source_.size() && source_[at] != quote) {
      if (source_[at] == '\\' && at + 1 < source_.size())
        read_escape(at, text);
      else
        text += source_[at++];
    }
    if (at >= source_.size()) fail_at(line_, "a text in quotes is not closed");
    add(Token::Kind::string, std::move(text));
    skip_to(at + 1);
  }

  void read_escape(std::size_t& at, std::string& text) const {
    const char c = source_[at + 1];
    static constexpr std::string_view letters = "ntrbfva\\'\"", meanings = "\n\t\r\b\f\v\a\\'\"";
    if (const std::size_t known = letters.find(c); known != std::string_view::npos) {
      text += meanings[known];
      at += 2;
      return;
    }
    const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    char32_t code = 0;
    std::size_t read = 0;
    for (; read < digits && at + 2 + read < source_.size() && std::isxdigit(static_cast<unsigned char>(source_[at + 2 + read])); ++read) {
      const char x = source_[at + 2 + read];
      code = code * 16 + static_cast<char32_t>(digit(x) ? x - '0' : (x | 32) - 'a' + 10);
    }
    if (digits > 0 && read == digits && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF)) {
      unicode::append_utf8(text, code);
      at += 2 + digits;
    } else {
      text += '\\';  // an escape that means nothing stays as it is
      ++at;
    }
  }

  void read_symbol(int& open) {
    static constexpr std::string_view pairs[] = {"==", "!=", "<=", ">=", "//", "**"};
    for (std::string_view pair : pairs)
      if (rest(at_).starts_with(pair)) {
        add(Token::Kind::symbol, std::string(pair));
        skip_to(at_ + 2);
        return;
      }
    const char c = source_[at_];
    if (std::string_view("+-*/%~|.,:()[]{}<>=").find(c) == std::string_view::npos)
      fail_at(line_, std::string("the character \"") + (c >= 32 && c < 127 ? std::string(1, c) : "?") + "\" has no meaning here");
    if (c == '(' || c == '[' || c == '{') ++open;
    if ((c == ')' || c == ']' || c == '}') && open > 0) --open;
    add(Token::Kind::symbol, std::string(1, c));
    skip_to(at_ + 1);
  }

  std::string source_;
  bool trim_, lstrip_, strip_next_ = false, trim_next_ = false;
  std::size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> read_tokens(const std::string& source, bool trim_blocks, bool lstrip_blocks) {
  return Lexer(source, trim_blocks, lstrip_blocks).run();
}

}  // namespace lrc::jinja

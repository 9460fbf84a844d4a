#pragma once
#include <string>
#include <vector>

namespace lrc::jinja {

struct Token {
  enum class Kind { text, output_begin, output_end, block_begin, block_end, name, string, integer, real, symbol, end };
  Kind kind = Kind::end;
  std::string text;  ///< strings without quotes, escapes resolved
  int line = 0;
};

/// Throws Error(bad_input) with the line of the fault.
std::vector<Token> read_tokens(const std::string& source, bool trim_blocks, bool lstrip_blocks);

[[noreturn]] void fail_at(int line, const std::string& what);

}  // namespace lrc::jinja

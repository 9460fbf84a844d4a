#include "tokenizer/pretokenizer.h"

#include <algorithm>
#include <utility>

#include "tokenizer/unicode.h"

namespace lrc {

namespace {

using unicode::Category;

struct Character {
  char32_t code;
  Category category;
  std::size_t begin;
};

/// Matches patterns over the characters [0, end) of one text; positions are character indices.
class Scanner {
 public:
  explicit Scanner(const std::vector<Character>& characters) : characters_(characters) {}

  // Each function returns where the match that begins at `at` ends, or `at` where there is none.

  std::size_t gpt2(std::size_t at, std::size_t end) const {
    if (const std::size_t after = contraction(at, end, false); after != at) return after;
    const std::size_t word = code(at) == U' ' && at + 1 < end ? at + 1 : at;
    if (is(word, unicode::letter)) return run(word, end, unicode::letter);
    if (is(word, unicode::number)) return run(word, end, unicode::number);
    if (!is(word, unicode::space)) return symbols(word, end);
    return white_space(at, end);
  }

  std::size_t llama(std::size_t at, std::size_t end, std::size_t most_digits) const {
    if (const std::size_t after = contraction(at, end, true); after != at) return after;
    if (is(at, unicode::letter)) return run(at, end, unicode::letter);
    if (!newline(at) && !is(at, unicode::number) && at + 1 < end && is(at + 1, unicode::letter)) return run(at + 1, end, unicode::letter);
    if (is(at, unicode::number)) return run(at, std::min(end, at + most_digits), unicode::number);
    const std::size_t word = code(at) == U' ' && at + 1 < end ? at + 1 : at;
    if (!is(word, unicode::space) && !is(word, unicode::letter) && !is(word, unicode::number)) {
      std::size_t after = symbols(word, end);
      while (after < end && newline(after)) ++after;
      return after;
    }
    const std::size_t blank_end = run(at, end, unicode::space);
    for (std::size_t i = blank_end; i > at; --i)
      if (newline(i - 1)) return i;
    return white_space(at, end);
  }

  std::size_t newlines(std::size_t at, std::size_t) const { return newline(at) ? at + 1 : at; }

  /// \s?X+ for a category X.
  std::size_t spaced_run(std::size_t at, std::size_t end, Category wanted) const {
    const std::size_t word = is(at, unicode::space) && at + 1 < end ? at + 1 : at;
    return is(word, wanted) ? run(word, end, wanted) : at;
  }

  std::size_t east_asian(std::size_t at, std::size_t end) const {
    while (at < end && ((code(at) >= 0x800 && code(at) <= 0x9FA5) || (code(at) >= 0xAC00 && code(at) <= 0xD7FF))) ++at;
    return at;
  }

  std::size_t number(std::size_t at, std::size_t) const { return is(at, unicode::number) ? at + 1 : at; }

 private:
  char32_t code(std::size_t at) const { return characters_[at].code; }
  bool is(std::size_t at, Category wanted) const { return characters_[at].category == wanted; }
  bool newline(std::size_t at) const { return code(at) == U'\n' || code(at) == U'\r'; }

  std::size_t run(std::size_t at, std::size_t end, Category wanted) const {
    while (at < end && is(at, wanted)) ++at;
    return at;
  }

  /// [^\s\p{L}\p{N}]+
  std::size_t symbols(std::size_t at, std::size_t end) const {
    while (at < end && !is(at, unicode::space) && !is(at, unicode::letter) && !is(at, unicode::number)) ++at;
    return at;
  }

  /// \s+(?!\S)|\s+: the last blank before a word is left to the word.
  std::size_t white_space(std::size_t at, std::size_t end) const {
    const std::size_t after = run(at, end, unicode::space);
    return after < end && after - at > 1 ? after - 1 : after;
  }

  std::size_t contraction(std::size_t at, std::size_t end, bool any_case) const {
    if (code(at) != U'\'' || at + 1 >= end) return at;
    const auto letter = [&](std::size_t i) {
      const char32_t c = code(i);
      if (!any_case) return c;
      // The long s is the one character outside ASCII that folds to a letter used here.
      return c == U'\u017F' ? U's' : (c < 128 ? unicode::to_lower(c) : c);
    };
    const char32_t first = letter(at + 1);
    if (first == U's' || first == U't' || first == U'm' || first == U'd') return at + 2;
    if (at + 2 >= end) return at;
    const char32_t second = letter(at + 2);
    const bool two = (first == U'r' && second == U'e') || (first == U'v' && second == U'e') || (first == U'l' && second == U'l');
    return two ? at + 3 : at;
  }

  const std::vector<Character>& characters_;
};

using Ends = std::vector<std::size_t>;

/// Cuts the pieces that `ends` describes further: every match of `match` becomes a piece, and so does what lies between.
template <class Match>
Ends isolate(const Ends& ends, Match match) {
  Ends result;
  std::size_t begin = 0;
  for (std::size_t end : ends) {
    std::size_t gap = begin;
    for (std::size_t at = begin; at < end;) {
      const std::size_t after = match(at, end);
      if (after == at) {
        ++at;
        continue;
      }
      if (at > gap) result.push_back(at);
      result.push_back(after);
      gap = at = after;
    }
    if (end > gap) result.push_back(end);
    begin = end;
  }
  return result;
}

std::vector<Character> classify(std::string_view text) {
  std::vector<Character> characters;
  characters.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const unicode::Decoded decoded = unicode::decode(text, at);
    if (decoded.valid)
      characters.push_back({decoded.code, unicode::category(decoded.code), at});
    else
      characters.push_back({U'\uFFFD', unicode::other, at});
    at += decoded.valid ? decoded.length : 1;
  }
  return characters;
}

}  // namespace

std::optional<Splitter> find_splitter(std::string_view name) {
  static const std::pair<std::string_view, Splitter> names[] = {
      {"gpt-2", Splitter::gpt2},
      {"phi-2", Splitter::gpt2},
      {"smollm", Splitter::smollm},
      {"llama-bpe", Splitter::llama_bpe},
      {"llama3", Splitter::llama_bpe},
      {"llama-v3", Splitter::llama_bpe},
      {"qwen2", Splitter::qwen2},
      {"deepseek-r1-qwen", Splitter::qwen2},
      {"deepseek-coder", Splitter::deepseek_coder},
  };
  for (const auto& [known, splitter] : names)
    if (known == name) return splitter;
  return std::nullopt;
}

std::vector<std::string_view> split_words(Splitter splitter, std::string_view text) {
  const std::vector<Character> characters = classify(text);
  if (characters.empty()) return {};
  const Scanner scan(characters);
  Ends ends{characters.size()};
  const auto number = [&](std::size_t at, std::size_t end) { return scan.number(at, end); };
  switch (splitter) {
    case Splitter::smollm:
      ends = isolate(ends, number);
      [[fallthrough]];
    case Splitter::gpt2:
      ends = isolate(ends, [&](std::size_t at, std::size_t end) { return scan.gpt2(at, end); });
      break;
    case Splitter::llama_bpe:
      ends = isolate(ends, [&](std::size_t at, std::size_t end) { return scan.llama(at, end, 3); });
      break;
    case Splitter::qwen2:
      ends = isolate(ends, [&](std::size_t at, std::size_t end) { return scan.llama(at, end, 1); });
      break;
    case Splitter::deepseek_coder:
      ends = isolate(ends, [&](std::size_t at, std::size_t end) { return scan.newlines(at, end); });
      ends = isolate(ends, [&](std::size_t at, std::size_t end) { return scan.spaced_run(at, end, unicode::letter); });
      ends = isolate(ends, [&](std::size_t at, std::size_t end) { return scan.spaced_run(at, end, unicode::punctuation); });
      ends = isolate(ends, [&](std::size_t at, std::size_t end) { return scan.east_asian(at, end); });
      ends = isolate(ends, number);
      break;
  }
  std::vector<std::string_view> words;
  words.reserve(ends.size());
  std::size_t begin = 0;
  for (std::size_t end : ends) {
    const std::size_t stop = end < characters.size() ? characters[end].begin : text.size();
    words.push_back(text.substr(begin, stop - begin));
    begin = stop;
  }
  return words;
}

}  // namespace lrc

#include "tokenizer/huggingface_splitters.h"

#include <utility>

#include "base/error.h"

namespace lrc {

namespace {

constexpr const char* space_mark = "\xE2\x96\x81";

[[noreturn]] void lacking(const std::string& what) {
  throw Error(ErrorKind::unsupported, "tokenizer.json: " + what + ", which this program lacks.");
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool flag_of(const Json& object, const char* key, bool otherwise) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() ? found->get<bool>() : otherwise;
}

/// The steps of a normalizer or pre-tokenizer: a sequence's members, a single one, or none.
std::vector<Json> steps_of(const Json& file, const char* key, const char* list_key) {
  if (!file.contains(key) || file.at(key).is_null()) return {};
  const Json& whole = file.at(key);
  if (!whole.is_object()) throw Error(ErrorKind::bad_file, "tokenizer.json: \"" + std::string(key) + "\" is not an object.");
  if (text_of(whole, "type") != "Sequence") return {whole};
  if (!whole.contains(list_key) || !whole.at(list_key).is_array())
    throw Error(ErrorKind::bad_file, "tokenizer.json: \"" + std::string(key) + "\" is a sequence without members.");
  std::vector<Json> steps;
  for (const Json& step : whole.at(list_key)) {
    if (!step.is_object()) throw Error(ErrorKind::bad_file, "tokenizer.json: a member of \"" + std::string(key) + "\" is not an object.");
    steps.push_back(step);
  }
  return steps;
}

/// A step in one word or pattern, so that a list of steps can be compared with the known ones.
std::string describe(const Json& step) {
  const std::string type = text_of(step, "type");
  if (type == "ByteLevel") {
    if (flag_of(step, "add_prefix_space", true)) lacking("it puts a space in front of all text (\"add_prefix_space\")");
    return flag_of(step, "use_regex", true) ? "words" : "bytes";
  }
  if (type == "Digits") return flag_of(step, "individual_digits", false) ? "digits" : "Digits in groups";
  if (type == "Split") {
    const auto pattern = step.find("pattern");
    const std::string expression = pattern != step.end() && pattern->is_object() ? text_of(*pattern, "Regex") : std::string();
    if (expression.empty() || text_of(step, "behavior") != "Isolated" || flag_of(step, "invert", false))
      return "Split by other means than isolating a pattern";
    return expression;
  }
  return type.empty() ? "a step without a type" : type;
}

const std::vector<std::pair<std::string, std::vector<std::string>>>& known_splitters() {
  static const std::string gpt2_words = R"(| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
  static const std::string shorts = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)";
  static const std::string rest = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  static const std::vector<std::pair<std::string, std::vector<std::string>>> known = {
      {"gpt-2", {"words"}},
      {"gpt-2", {"'s|'t|'re|'ve|'m|'ll|'d" + gpt2_words, "bytes"}},
      {"gpt-2", {"'(?:[sdmt]|ll|ve|re)" + gpt2_words, "bytes"}},
      {"smollm", {"digits", "words"}},
      {"llama-bpe", {shorts + R"(\p{N}{1,3})" + rest, "bytes"}},
      {"qwen2", {shorts + R"(\p{N})" + rest, "bytes"}},
      {"deepseek-coder", {"[\r\n]", R"(\s?\p{L}+)", R"(\s?\p{P}+)", "[一-龥ࠀ-一가-퟿]+", "digits", "bytes"}},
  };
  return known;
}

bool read_sentencepiece(const std::vector<Json>& normalizers, const std::vector<Json>& splitters, TokenizerSpec& spec) {
  spec.kind = TokenizerSpec::Kind::sentencepiece_bpe;
  spec.add_space_prefix = false;
  bool marks = false;
  for (const Json& step : normalizers) {
    const std::string type = text_of(step, "type");
    const auto pattern = step.find("pattern");
    const bool plain_pattern = pattern != step.end() && pattern->is_object();
    if (type == "Prepend" && text_of(step, "prepend") == space_mark && !marks)
      spec.add_space_prefix = true;
    else if (type == "Replace" && plain_pattern && text_of(*pattern, "String") == " " && text_of(step, "content") == space_mark)
      marks = true;
    else
      lacking("the normalizer \"" + type.substr(0, 80) + "\" of a SentencePiece tokenizer");
  }
  if (splitters.empty()) return marks;
  const Json& step = splitters[0];
  if (marks || splitters.size() > 1 || text_of(step, "type") != "Metaspace" || text_of(step, "replacement") != space_mark) return false;
  if (flag_of(step, "split", true)) lacking("a Metaspace step that splits words");
  const std::string scheme = text_of(step, "prepend_scheme");
  spec.add_space_prefix = scheme.empty() ? flag_of(step, "add_prefix_space", true) : scheme != "never";
  spec.space_prefix_everywhere = scheme != "first";
  return true;
}

}  // namespace

void read_splitting(const Json& file, bool byte_fallback, TokenizerSpec& spec) {
  const std::vector<Json> normalizers = steps_of(file, "normalizer", "normalizers");
  const std::vector<Json> splitters = steps_of(file, "pre_tokenizer", "pretokenizers");
  if (byte_fallback) {
    if (!read_sentencepiece(normalizers, splitters, spec)) lacking("the way in which this SentencePiece tokenizer treats spaces");
    return;
  }
  spec.kind = TokenizerSpec::Kind::byte_level_bpe;
  spec.add_space_prefix = false;
  for (const Json& step : normalizers)
    if (text_of(step, "type") != "NFC") lacking("the normalizer \"" + text_of(step, "type").substr(0, 80) + "\"");
  std::vector<std::string> steps;
  for (const Json& step : splitters) steps.push_back(describe(step));
  for (const auto& [name, pattern] : known_splitters())
    if (pattern == steps) {
      spec.pre = name;
      return;
    }
  std::string listed;
  for (const std::string& step : steps) listed += (listed.empty() ? "" : ", then ") + step.substr(0, 200);
  lacking("the text is split by " + (listed.empty() ? "nothing" : listed));
}

}  // namespace lrc

#include "model/load_tokenizer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"

namespace lrc {
namespace {

using Alias = std::pair<std::string_view, std::string_view>;
// GGUF files name a pre-tokenizer after the model that brought it; several names mean the same splitting rule. Names that are
// not listed go to make_tokenizer as they are.
constexpr std::array aliases = {
    Alias{"gpt2", "gpt-2"},
    Alias{"phi-2", "gpt-2"},
    Alias{"mpt", "gpt-2"},
    Alias{"olmo", "gpt-2"},
    Alias{"roberta-bpe", "gpt-2"},
    Alias{"jais", "gpt-2"},
    Alias{"starcoder", "smollm"},
    Alias{"refact", "smollm"},
    Alias{"command-r", "smollm"},
    Alias{"codeshell", "smollm"},
    Alias{"exaone", "smollm"},
    Alias{"minerva-7b", "smollm"},
    Alias{"llama3", "llama-bpe"},
    Alias{"llama-v3", "llama-bpe"},
    Alias{"falcon3", "llama-bpe"},
    Alias{"pixtral", "llama-bpe"},
    Alias{"stablelm2", "qwen2"},
    Alias{"megrez", "qwen2"},
    Alias{"deepseek-r1-qwen", "qwen2"},
};

// Control tokens that end a turn in the common chat formats.
constexpr std::array<std::string_view, 6> turn_ends = {"<|im_end|>", "<|eot_id|>",    "<|eom_id|>",
                                                       "<|end|>",    "<|endoftext|>", "<end_of_turn>"};
constexpr std::int32_t control_type = 3;

std::optional<TokenId> checked_id(std::optional<std::int64_t> id, std::size_t vocabulary) {
  // A file without such a token often says −1 or a number beyond the vocabulary.
  if (!id || *id < 0 || std::size_t(*id) >= vocabulary) return std::nullopt;
  return TokenId(*id);
}

TokenizerSpec from_gguf(const GgufVocabulary& vocabulary, const std::string& origin) {
  TokenizerSpec spec;
  if (vocabulary.model == "llama") {
    spec.kind = TokenizerSpec::Kind::sentencepiece_bpe;
  } else if (vocabulary.model == "gpt2") {
    spec.kind = TokenizerSpec::Kind::byte_level_bpe;
    if (vocabulary.pre.empty()) {
      throw Error(ErrorKind::unsupported,
                  origin + " does not name its pre-tokenizer (tokenizer.ggml.pre), and guessing one would garble every text.");
    }
    const auto alias = std::find_if(aliases.begin(), aliases.end(), [&](const Alias& a) { return a.first == vocabulary.pre; });
    spec.pre = alias == aliases.end() ? vocabulary.pre : std::string(alias->second);
  } else {
    throw Error(ErrorKind::unsupported, origin + " has a tokenizer of the kind \"" + vocabulary.model +
                                            "\", which is not supported; supported: llama (SentencePiece), gpt2 (byte-level BPE).");
  }
  const std::size_t count = vocabulary.tokens.size();
  if (count == 0) throw Error(ErrorKind::bad_file, origin + ": the tokenizer has no tokens.");
  if (!vocabulary.types.empty() && vocabulary.types.size() != count) {
    throw Error(ErrorKind::bad_file, origin + ": the tokenizer has " + std::to_string(count) + " tokens but " +
                                         std::to_string(vocabulary.types.size()) + " token types.");
  }
  if (!vocabulary.scores.empty() && vocabulary.scores.size() != count) {
    throw Error(ErrorKind::bad_file, origin + ": the tokenizer has " + std::to_string(count) + " tokens but " +
                                         std::to_string(vocabulary.scores.size()) + " scores.");
  }
  spec.tokens = vocabulary.tokens;
  spec.types = vocabulary.types;
  if (spec.types.empty()) spec.types.assign(count, 1);
  spec.scores = vocabulary.scores;
  spec.merges = vocabulary.merges;
  spec.bos = checked_id(vocabulary.bos, count);
  spec.eos = checked_id(vocabulary.eos, count);
  spec.unknown = checked_id(vocabulary.unknown, count);
  if (const auto end_of_turn = checked_id(vocabulary.eot, count)) spec.stop.push_back(*end_of_turn);
  // Files that do not say: SentencePiece and Llama 3 vocabularies begin a text with BOS.
  spec.add_bos =
      vocabulary.has_add_bos ? vocabulary.add_bos : spec.kind == TokenizerSpec::Kind::sentencepiece_bpe || spec.pre == "llama-bpe";
  spec.add_eos = vocabulary.add_eos;
  spec.add_space_prefix = vocabulary.add_space_prefix;
  return spec;
}

}  // namespace

TokenizerSpec tokenizer_spec(const TokenizerSource& source, const ModelConfig& config, const std::string& origin) {
  TokenizerSpec spec;
  if (source.gguf) {
    spec = from_gguf(*source.gguf, origin);
  } else if (source.tokenizer_json) {
    spec = spec_from_huggingface(*source.tokenizer_json, source.tokenizer_config ? &*source.tokenizer_config : nullptr);
  } else {
    throw Error(ErrorKind::unsupported, origin + " brings no tokenizer (tokenizer.json or the tokenizer section of a GGUF file).");
  }
  if (spec.tokens.size() > config.vocabulary) {
    throw Error(ErrorKind::bad_file, origin + ": the tokenizer has " + std::to_string(spec.tokens.size()) +
                                         " tokens, but the model's vocabulary is " + std::to_string(config.vocabulary) + ".");
  }
  if (!spec.bos) spec.bos = checked_id(config.bos, spec.tokens.size());
  if (!spec.eos && !config.eos.empty()) spec.eos = checked_id(config.eos.front(), spec.tokens.size());

  const auto add_stop = [&spec](TokenId id) {
    if (std::find(spec.stop.begin(), spec.stop.end(), id) == spec.stop.end()) spec.stop.push_back(id);
  };
  if (spec.eos) add_stop(*spec.eos);
  for (const std::int64_t id : config.eos) {
    if (const auto checked = checked_id(id, spec.tokens.size())) add_stop(*checked);
  }
  for (std::size_t id = 0; id < spec.tokens.size() && id < spec.types.size(); ++id) {
    if (spec.types[id] != control_type) continue;
    if (std::find(turn_ends.begin(), turn_ends.end(), spec.tokens[id]) != turn_ends.end()) add_stop(TokenId(id));
  }
  return spec;
}

}  // namespace lrc

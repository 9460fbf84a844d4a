// tokenizer.json and tokenizer_config.json of the Hugging Face libraries.
#include <algorithm>
#include <limits>
#include <unordered_map>

#include "base/error.h"
#include "tokenizer/huggingface_splitters.h"
#include "tokenizer/tokenizer.h"

namespace lrc {

namespace {

[[noreturn]] void damaged(const std::string& what) { throw Error(ErrorKind::bad_file, "tokenizer.json: " + what + "."); }
[[noreturn]] void lacking(const std::string& what) {
  throw Error(ErrorKind::unsupported, "tokenizer.json: " + what + ", which this program lacks.");
}

const Json* member(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

bool flag(const Json& object, const char* key, bool otherwise = false) {
  const Json* value = member(object, key);
  if (!value) return otherwise;
  if (!value->is_boolean()) damaged("\"" + std::string(key) + "\" is neither true nor false");
  return value->get<bool>();
}

std::size_t read_id(const Json& value, const std::string& token) {
  if (!value.is_number_integer() || value.get<std::int64_t>() < 0 || value.get<std::int64_t>() > std::numeric_limits<TokenId>::max())
    damaged("the id of token \"" + token.substr(0, 80) + "\" is not a whole number from 0 on");
  return value.get<std::size_t>();
}

/// Collects tokens by id; ids that nothing claims become unused tokens.
class Vocabulary {
 public:
  void add(const std::string& text, std::size_t id, std::int32_t type) {
    // Gaps are rare and small in real files; without this bound a short file could ask for gigabytes.
    if (id > 2 * expected_ + 65536)
      damaged("token \"" + text.substr(0, 80) + "\" has id " + std::to_string(id) + ", far beyond the vocabulary");
    if (text.empty()) damaged("token " + std::to_string(id) + " has no text");
    const auto [known, is_new] = ids_.try_emplace(text, id);
    if (!is_new) {
      if (known->second != id)
        damaged("token \"" + text.substr(0, 80) + "\" has the ids " + std::to_string(known->second) + " and " + std::to_string(id));
      types_[id] = type;
      return;
    }
    if (id >= tokens_.size()) {
      tokens_.resize(id + 1);
      types_.resize(id + 1, token_type::unused);
    }
    if (!tokens_[id].empty()) damaged("id " + std::to_string(id) + " belongs to two tokens");
    tokens_[id] = text;
    types_[id] = type;
  }
  void expect(std::size_t count) { expected_ += count; }

  std::optional<TokenId> find(const std::string& text) const {
    const auto known = ids_.find(text);
    return known == ids_.end() ? std::nullopt : std::optional(static_cast<TokenId>(known->second));
  }

  void move_to(TokenizerSpec& spec) {
    for (std::size_t id = 0; id < tokens_.size(); ++id)
      if (tokens_[id].empty()) tokens_[id] = "[PAD" + std::to_string(id) + "]";
    spec.tokens = std::move(tokens_);
    spec.types = std::move(types_);
  }

 private:
  std::unordered_map<std::string, std::size_t> ids_;
  std::vector<std::string> tokens_;
  std::vector<std::int32_t> types_;
  std::size_t expected_ = 0;
};

void add_added_token(const Json& token, std::size_t id, Vocabulary& vocabulary, TokenizerSpec& spec) {
  const Json* content = member(token, "content");
  if (!content || !content->is_string()) damaged("an added token has no \"content\"");
  vocabulary.add(content->get<std::string>(), id, flag(token, "special") ? token_type::control : token_type::user_defined);
  const auto remember = [&](const char* key, std::vector<TokenId>& ids) {
    const auto place = static_cast<TokenId>(id);
    if (flag(token, key) && std::ranges::find(ids, place) == ids.end()) ids.push_back(place);
  };
  remember("lstrip", spec.strip_before);
  remember("rstrip", spec.strip_after);
}

void read_merges(const Json& model, TokenizerSpec& spec) {
  const Json* merges = member(model, "merges");
  if (!merges) return;
  if (!merges->is_array()) damaged("\"merges\" is not a list");
  spec.merges.reserve(merges->size());
  for (const Json& merge : *merges) {
    if (merge.is_string()) {
      spec.merges.push_back(merge.get<std::string>());
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      spec.merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    } else {
      damaged("merge " + std::to_string(spec.merges.size()) + " is neither \"left right\" nor a pair of tokens");
    }
  }
}

/// GGUF files of this kind carry scores in place of merges: the earlier a merge makes a token, the higher its score.
void scores_from_merges(TokenizerSpec& spec) {
  std::unordered_map<std::string_view, std::size_t> ids;
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) ids.try_emplace(spec.tokens[id], id);
  spec.scores.assign(spec.tokens.size(), -static_cast<float>(spec.merges.size()) - 1);
  std::vector<bool> known(spec.tokens.size());
  for (std::size_t rank = 0; rank < spec.merges.size(); ++rank) {
    std::string joined = spec.merges[rank];
    std::erase(joined, ' ');
    const auto result = ids.find(joined);
    if (result == ids.end() || known[result->second]) continue;
    known[result->second] = true;
    spec.scores[result->second] = -static_cast<float>(rank);
  }
}

/// The token that a post-processor puts in front of a single text, or behind it.
std::optional<std::string> template_token(const Json* processor, bool in_front) {
  if (!processor || !processor->is_object()) return std::nullopt;
  if (const Json* list = member(*processor, "processors"); list && list->is_array()) {
    for (const Json& part : *list)
      if (auto token = template_token(&part, in_front)) return token;
    return std::nullopt;
  }
  const Json* single = member(*processor, "single");
  if (!single || !single->is_array() || single->empty()) return std::nullopt;
  const Json& item = in_front ? single->front() : single->back();
  const Json* token = item.is_object() ? member(item, "SpecialToken") : nullptr;
  const Json* id = token && token->is_object() ? member(*token, "id") : nullptr;
  return id && id->is_string() ? std::optional(id->get<std::string>()) : std::nullopt;
}

/// "bos_token" and its like: a text, or an object with "content".
std::optional<TokenId> configured_token(const Json* config, const char* key, const Vocabulary& vocabulary) {
  const Json* value = config ? member(*config, key) : nullptr;
  if (value && value->is_object()) value = member(*value, "content");
  return value && value->is_string() ? vocabulary.find(value->get<std::string>()) : std::nullopt;
}

void read_roles(const Json& file, const Json* config, const Vocabulary& vocabulary, TokenizerSpec& spec) {
  const Json* processor = member(file, "post_processor");
  const auto role = [&](const char* key, const char* switch_key, bool in_front, std::optional<TokenId>& id, bool& added) {
    const auto in_template = template_token(processor, in_front);
    id = configured_token(config, key, vocabulary);
    if (!id && in_template) id = vocabulary.find(*in_template);
    const Json* choice = config ? member(*config, switch_key) : nullptr;
    added = choice && choice->is_boolean() ? choice->get<bool>() : in_template && id && vocabulary.find(*in_template) == id;
    added = added && id;
  };
  role("bos_token", "add_bos_token", true, spec.bos, spec.add_bos);
  role("eos_token", "add_eos_token", false, spec.eos, spec.add_eos);
  if (!config && !spec.eos)
    for (const char* name : {"</s>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|endoftext|>"})
      if ((spec.eos = vocabulary.find(name))) break;
  if (!spec.unknown) spec.unknown = configured_token(config, "unk_token", vocabulary);
}

}  // namespace

TokenizerSpec spec_from_huggingface(const Json& file, const Json* config) {
  const Json* model = file.is_object() ? member(file, "model") : nullptr;
  if (!model || !model->is_object()) damaged("there is no \"model\" in it");
  if (config && !config->is_object()) throw Error(ErrorKind::bad_file, "tokenizer_config.json: it is not an object.");
  const Json* vocab = member(*model, "vocab");
  const Json* type = member(*model, "type");
  // Old files do not say the type; a list of merges does.
  const std::string kind = type && type->is_string() ? type->get<std::string>() : member(*model, "merges") ? "BPE" : "unknown";
  if (kind != "BPE") lacking("the tokenizer is of the kind \"" + kind.substr(0, 80) + "\"");
  if (!vocab || !vocab->is_object()) damaged("its vocabulary is missing");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (const Json* value = member(*model, key); value && (!value->is_string() || !value->get_ref<const std::string&>().empty()))
      lacking("it uses \"" + std::string(key) + "\"");
  const bool byte_fallback = flag(*model, "byte_fallback");

  TokenizerSpec spec;
  read_splitting(file, byte_fallback, spec);
  if (flag(*model, "ignore_merges") && spec.pre != "llama-bpe") lacking("it takes whole words before merging (\"ignore_merges\")");
  const bool sentencepiece = spec.kind == TokenizerSpec::Kind::sentencepiece_bpe;
  Vocabulary vocabulary;
  const Json* added = member(file, "added_tokens");
  if (added && !added->is_array()) damaged("\"added_tokens\" is not a list");
  const Json* decoder = config ? member(*config, "added_tokens_decoder") : nullptr;
  if (decoder && !decoder->is_object())
    throw Error(ErrorKind::bad_file, "tokenizer_config.json: \"added_tokens_decoder\" is not an object.");
  vocabulary.expect(vocab->size() + (added ? added->size() : 0) + (decoder ? decoder->size() : 0));
  for (const auto& [text, id] : vocab->items()) {
    const bool byte = sentencepiece && byte_fallback && text.size() == 6 && text.starts_with("<0x") && text.ends_with('>');
    vocabulary.add(text, read_id(id, text), byte ? token_type::byte : token_type::normal);
  }
  if (added)
    for (const Json& token : *added) {
      if (!token.is_object() || !member(token, "id")) damaged("an added token has no id");
      add_added_token(token, read_id(token["id"], "added"), vocabulary, spec);
    }
  if (decoder)
    for (const auto& [key, token] : decoder->items()) {
      const bool digits = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
      if (!digits || !token.is_object()) throw Error(ErrorKind::bad_file, "tokenizer_config.json: \"added_tokens_decoder\" is damaged.");
      add_added_token(token, std::stoul(key), vocabulary, spec);
    }
  if (const Json* unknown = member(*model, "unk_token"); unknown && unknown->is_string())
    spec.unknown = vocabulary.find(unknown->get<std::string>());
  if (!sentencepiece && spec.unknown && member(*model, "unk_token")) lacking("a byte-level tokenizer with an unknown token");
  read_roles(file, config, vocabulary, spec);
  vocabulary.move_to(spec);
  if (sentencepiece && spec.unknown) spec.types[static_cast<std::size_t>(*spec.unknown)] = token_type::unknown;
  read_merges(*model, spec);
  if (sentencepiece) scores_from_merges(spec);
  spec.stop = usual_stop_ids(spec);
  return spec;
}

}  // namespace lrc

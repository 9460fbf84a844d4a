#include "tokenizer/tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "tokenizer/tokenizer_base.h"
#include "tokenizer/unicode.h"

namespace lrc {

namespace {

constexpr std::size_t longest_token = 65535;

[[noreturn]] void damaged(const std::string& what) {
  throw Error(ErrorKind::bad_file, "The tokenizer is damaged: " + what + ". Get the model again from its source.");
}

/// Where the white space that ends at `end` begins.
std::size_t before_spaces(std::string_view text, std::size_t begin, std::size_t end) {
  while (end > begin) {
    std::size_t at = end - 1;
    while (at > begin && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    const unicode::Decoded character = unicode::decode(text.substr(0, end), at);
    if (!character.valid || at + character.length != end || unicode::category(character.code) != unicode::space) break;
    end = at;
  }
  return end;
}

std::size_t after_spaces(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const unicode::Decoded character = unicode::decode(text, at);
    if (!character.valid || unicode::category(character.code) != unicode::space) break;
    at += character.length;
  }
  return at;
}

}  // namespace

TokenizerBase::TokenizerBase(TokenizerSpec spec) {
  spec_ = std::move(spec);
  const std::size_t count = spec_.tokens.size();
  if (count == 0) damaged("its vocabulary is empty");
  if (count > (std::size_t{1} << 30)) damaged("its vocabulary has " + std::to_string(count) + " tokens");
  if (spec_.types.empty()) spec_.types.assign(count, token_type::normal);
  if (spec_.types.size() != count)
    damaged("it has " + std::to_string(count) + " tokens but " + std::to_string(spec_.types.size()) + " token types");
  if (spec_.bos) check_id(*spec_.bos, "beginning-of-text");
  if (spec_.eos) check_id(*spec_.eos, "end-of-text");
  if (spec_.unknown) check_id(*spec_.unknown, "unknown");
  for (TokenId id : spec_.stop) check_id(id, "stop");
  ids_.reserve(count);
  for (std::size_t id = 0; id < count; ++id) {
    if (spec_.tokens[id].size() > longest_token)
      damaged("token " + std::to_string(id) + " is " + std::to_string(spec_.tokens[id].size()) + " bytes long");
    if (!spec_.tokens[id].empty()) ids_.try_emplace(spec_.tokens[id], static_cast<TokenId>(id));
  }
  strip_before_.insert(spec_.strip_before.begin(), spec_.strip_before.end());
  strip_after_.insert(spec_.strip_after.begin(), spec_.strip_after.end());
}

void TokenizerBase::check_id(TokenId id, const char* what) const {
  if (id < 0 || static_cast<std::size_t>(id) >= spec_.tokens.size())
    damaged(std::string("its ") + what + " id is " + std::to_string(id) + ", the vocabulary ends at " +
            std::to_string(spec_.tokens.size() - 1));
}

void TokenizerBase::finish() {
  for (std::size_t id = 0; id < spec_.tokens.size(); ++id) {
    const bool user_defined = type(id) == token_type::user_defined;
    if (user_defined) always_.add(pieces_[id], static_cast<TokenId>(id));
    if (user_defined || type(id) == token_type::control || type(id) == token_type::unknown)
      special_.add(pieces_[id], static_cast<TokenId>(id));
  }
}

TokenId TokenizerBase::find(std::string_view text) const {
  const auto found = ids_.find(text);
  return found == ids_.end() ? -1 : found->second;
}

TokenizerBase::MergeTable TokenizerBase::read_merges() const {
  MergeTable table;
  table.reserve(spec_.merges.size());
  std::string joined;
  for (std::size_t rank = 0; rank < spec_.merges.size(); ++rank) {
    const std::string_view merge = spec_.merges[rank];
    const std::size_t blank = merge.find(' ', 1);
    const auto quoted = [&] { return "merge " + std::to_string(rank) + " (\"" + unicode::replace_invalid(merge.substr(0, 80)) + "\")"; };
    if (merge.empty() || blank == std::string_view::npos || blank + 1 >= merge.size() ||
        merge.find(' ', blank + 1) != std::string_view::npos)
      damaged(quoted() + " is not two tokens with a space between");
    const TokenId left = find(merge.substr(0, blank)), right = find(merge.substr(blank + 1));
    joined.assign(merge.substr(0, blank)).append(merge.substr(blank + 1));
    const TokenId result = find(joined);
    if (left < 0 || right < 0 || result < 0) damaged(quoted() + " names or makes a token that the vocabulary lacks");
    table.try_emplace(pair_key(left, right), Merge{static_cast<std::int32_t>(rank), result});
  }
  return table;
}

std::vector<TokenId> TokenizerBase::encode(std::string_view text, bool parse_special) const {
  std::vector<TokenId> ids;
  const TokenTrie& trie = parse_special ? special_ : always_;
  bool first = true;
  const auto ordinary = [&](std::size_t begin, std::size_t end) {
    if (begin < end) encode_text(text.substr(begin, end - begin), first, ids);
  };
  std::size_t begin = 0;
  for (std::size_t at = 0; !trie.empty() && at < text.size();) {
    const auto match = trie.longest(text, at);
    if (!match) {
      ++at;
      continue;
    }
    ordinary(begin, strip_before_.contains(match->id) ? before_spaces(text, begin, at) : at);
    ids.push_back(match->id);
    at += match->length;
    if (strip_after_.contains(match->id)) at = after_spaces(text, at);
    begin = at;
    first = false;
  }
  ordinary(begin, text.size());
  return ids;
}

std::string TokenizerBase::piece(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= pieces_.size())
    throw Error(ErrorKind::bad_input, "There is no token " + std::to_string(id) + "; the vocabulary has " + std::to_string(pieces_.size()) +
                                          " tokens. Use ids made by this model's tokenizer.");
  return pieces_[static_cast<std::size_t>(id)];
}

std::string TokenizerBase::decode_bytes(const std::vector<TokenId>& ids, bool skip_special) const {
  std::string bytes;
  for (TokenId id : ids)
    if (!skip_special || !is_special(id)) bytes += piece(id);
  return bytes;
}

std::string TokenizerBase::decode(const std::vector<TokenId>& ids, bool skip_special) const {
  return unicode::replace_invalid(decode_bytes(ids, skip_special));
}

bool TokenizerBase::is_special(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= spec_.types.size()) return false;
  const std::int32_t kind = type(static_cast<std::size_t>(id));
  return kind == token_type::control || kind == token_type::unknown;
}

std::shared_ptr<const Tokenizer> make_tokenizer(TokenizerSpec spec) {
  return spec.kind == TokenizerSpec::Kind::byte_level_bpe ? make_byte_level_bpe(std::move(spec)) : make_sentencepiece_bpe(std::move(spec));
}

std::vector<TokenId> usual_stop_ids(const TokenizerSpec& spec) {
  std::vector<TokenId> stop;
  if (spec.eos) stop.push_back(*spec.eos);
  static const std::string_view names[] = {"<|im_end|>", "<|eot_id|>", "<|end|>", "<|endoftext|>"};
  for (std::size_t id = 0; id < spec.tokens.size() && id < spec.types.size(); ++id) {
    if (spec.types[id] != token_type::control || std::ranges::find(names, spec.tokens[id]) == std::end(names)) continue;
    if (std::ranges::find(stop, static_cast<TokenId>(id)) == stop.end()) stop.push_back(static_cast<TokenId>(id));
  }
  return stop;
}

std::string Utf8Stream::push(std::string_view bytes) {
  pending_ += bytes;
  std::size_t at = 0;
  while (at < pending_.size()) {
    const unicode::Decoded character = unicode::decode(pending_, at);
    if (character.truncated) break;
    at += character.length;
  }
  std::string complete = unicode::replace_invalid(std::string_view(pending_).substr(0, at));
  pending_.erase(0, at);
  return complete;
}

std::string Utf8Stream::flush() {
  std::string rest = unicode::replace_invalid(pending_);
  pending_.clear();
  return rest;
}

}  // namespace lrc

#include "tokenizer/token_trie.h"

namespace lrc {

namespace {

std::uint64_t edge(std::uint32_t node, char byte) { return (std::uint64_t{node} << 8) | static_cast<unsigned char>(byte); }

}  // namespace

void TokenTrie::add(std::string_view text, TokenId id) {
  if (text.empty()) return;
  starts_[static_cast<unsigned char>(text[0])] = true;
  std::uint32_t node = 0;
  for (char byte : text) {
    const auto [place, added] = children_.try_emplace(edge(node, byte), static_cast<std::uint32_t>(ids_.size()));
    if (added) ids_.push_back(-1);
    node = place->second;
  }
  if (ids_[node] < 0) ids_[node] = id;
}

std::optional<TokenTrie::Match> TokenTrie::longest(std::string_view text, std::size_t at) const {
  if (!starts_[static_cast<unsigned char>(text[at])]) return std::nullopt;
  std::optional<Match> best;
  std::uint32_t node = 0;
  for (std::size_t i = at; i < text.size(); ++i) {
    const auto child = children_.find(edge(node, text[i]));
    if (child == children_.end()) break;
    node = child->second;
    if (ids_[node] >= 0) best = Match{ids_[node], i + 1 - at};
  }
  return best;
}

}  // namespace lrc

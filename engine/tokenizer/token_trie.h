#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace lrc {

/// Finds the longest of a set of byte strings at a place in a text.
class TokenTrie {
 public:
  struct Match {
    TokenId id;
    std::size_t length;
  };

  void add(std::string_view text, TokenId id);
  bool empty() const { return ids_.size() == 1; }
  std::optional<Match> longest(std::string_view text, std::size_t at) const;

 private:
  std::unordered_map<std::uint64_t, std::uint32_t> children_;  // (node, byte) → node
  std::vector<TokenId> ids_{-1};                               // by node; -1: nothing ends there
  bool starts_[256] = {};
};

}  // namespace lrc

#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "formats/gguf.h"
#include "support/test_data.h"
#include "tokenizer/tokenizer.h"

namespace lrc::test {

/// A file of the shared data folder, which may hold vocabularies that cannot be part of this project.
inline std::optional<std::filesystem::path> shared_file(const std::string& name) {
  const char* folder = std::getenv("LRC_SHARED");
  if (!folder) return std::nullopt;
  const std::filesystem::path file = std::filesystem::path(folder) / name;
  return std::filesystem::exists(file) ? std::optional(file) : std::nullopt;
}

template <class To, class From>
std::vector<To> converted(const std::vector<From>& from) {
  return std::vector<To>(from.begin(), from.end());
}

/// The vocabulary of a GGUF file, read here without the program's own loader.
inline TokenizerSpec spec_from_gguf(const std::filesystem::path& path) {
  const GgufFile file = GgufFile::open(path);
  TokenizerSpec spec;
  const auto array = [&](const char* key) -> const GgufValue::Array* {
    const GgufValue* value = file.find_value(std::string("tokenizer.ggml.") + key);
    return value ? std::get_if<GgufValue::Array>(&value->value) : nullptr;
  };
  const auto id = [&](const char* key) -> std::optional<TokenId> {
    const auto value = file.integer(std::string("tokenizer.ggml.") + key);
    return value ? std::optional(static_cast<TokenId>(*value)) : std::nullopt;
  };
  const bool byte_level = file.text("tokenizer.ggml.model") == "gpt2";
  spec.kind = byte_level ? TokenizerSpec::Kind::byte_level_bpe : TokenizerSpec::Kind::sentencepiece_bpe;
  spec.pre = file.text("tokenizer.ggml.pre").value_or("");
  spec.tokens = std::get<std::vector<std::string>>(*array("tokens"));
  if (const auto* types = array("token_type")) {
    if (const auto* signed_types = std::get_if<std::vector<std::int64_t>>(types))
      spec.types = converted<std::int32_t>(*signed_types);
    else
      spec.types = converted<std::int32_t>(std::get<std::vector<std::uint64_t>>(*types));
  }
  if (byte_level) spec.merges = std::get<std::vector<std::string>>(*array("merges"));
  if (!byte_level) spec.scores = converted<float>(std::get<std::vector<double>>(*array("scores")));
  spec.bos = id("bos_token_id");
  spec.eos = id("eos_token_id");
  spec.unknown = id("unknown_token_id");
  return spec;
}

/// Texts of llama.cpp's vocabulary tests and the ids of each.
struct TextVectors {
  std::vector<std::string> texts;
  std::vector<std::vector<TokenId>> ids;
};

inline TextVectors read_vectors(const std::filesystem::path& texts, const std::filesystem::path& ids) {
  TextVectors vectors;
  std::string rest = read_file(texts);
  const std::string separator = "\n__ggml_vocab_test__\n";
  for (std::size_t at; (at = rest.find(separator)) != std::string::npos; rest.erase(0, at + separator.size()))
    vectors.texts.push_back(rest.substr(0, at));
  vectors.texts.push_back(rest);
  std::istringstream lines(read_file(ids));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line);
    vectors.ids.emplace_back();
    for (TokenId id; numbers >> id;) vectors.ids.back().push_back(id);
  }
  // What follows the last separator is the end of the file, not a text.
  if (vectors.texts.size() == vectors.ids.size() + 1) vectors.texts.pop_back();
  return vectors;
}

inline void expect_vectors(const Tokenizer& tokenizer, const TextVectors& vectors) {
  ASSERT_EQ(vectors.texts.size(), vectors.ids.size());
  ASSERT_GT(vectors.texts.size(), 40u);
  for (std::size_t i = 0; i < vectors.texts.size(); ++i) {
    EXPECT_EQ(tokenizer.encode(vectors.texts[i], false), vectors.ids[i]) << i << ": " << vectors.texts[i];
    EXPECT_EQ(tokenizer.decode(vectors.ids[i], false), vectors.texts[i]);
  }
}

inline std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

inline std::vector<TokenId> ids_of(const Json& json) { return json.get<std::vector<TokenId>>(); }

}  // namespace lrc::test

#pragma once
// The tiny golden model of each family.
#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include "support/test_data.h"

namespace lrc::test {

struct FamilyModel {
  const char* family;
  const char* path;  ///< below tests/data/models
};
inline void PrintTo(const FamilyModel& model, std::ostream* stream) { *stream << model.path; }

inline const std::vector<FamilyModel>& family_models() {
  static const std::vector<FamilyModel> models = {{"llama", "llama-tied/hf"},
                                                  {"mistral", "mistral/hf"},
                                                  {"qwen2", "qwen2/qwen2-f16.gguf"},
                                                  {"qwen3", "qwen3/hf"},
                                                  {"phi3", "phi3/phi3-q8_0-q4_0.gguf"},
                                                  {"phi3", "phi3-longrope/hf"},
                                                  {"mixtral", "mixtral/hf"},
                                                  {"mixtral", "mixtral/mixtral-q8_0-q4_0.gguf"},
                                                  {"opt", "opt/hf"}};
  return models;
}

/// The model as it is when it brings a tokenizer (GGUF); the folders bring none: then a copy at `place` with a byte-level one.
std::filesystem::path with_tokenizer(const std::string& model, const std::filesystem::path& place);

/// The golden Mixtral with its first block and its first expert again and again: blocks × (4 + 3 × experts) layers at `place`.
std::filesystem::path with_many_experts(const std::filesystem::path& place, std::size_t blocks, std::size_t experts);

}  // namespace lrc::test

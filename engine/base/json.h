#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace lrc {

/// Key order is kept: manifests and recipes are read by people and compared byte for byte.
using Json = nlohmann::ordered_json;

/// Parses text that may be hostile: nesting is limited to 256, errors name `origin` and the byte. Throws Error(bad_file).
Json parse_json(std::string_view text, const std::string& origin);
Json read_json_file(const std::filesystem::path& file);

}  // namespace lrc

#pragma once
#include <string>
#include <vector>

#include "cli/commands.h"
#include "run/recipe.h"

namespace lrc::cli {

/// "1,2,3". Throws Error(bad_input) naming the part that is no whole number.
std::vector<int> parse_ids(const std::string& text);
/// "fp16,int8". Throws Error(bad_input) naming the part that is none.
std::vector<FactorScheme> parse_factor_schemes(const std::string& text);
/// "6442450944", "6GiB", "500 MB" as bytes; "" is 0. Throws Error(bad_input).
std::uint64_t parse_bytes(const std::string& text);
/// "task.txt:0.3"; without a number the share is a half; "none" is no second text.
std::optional<CalibrationMix> parse_mix(const std::string& text);
/// A recipe with the options laid over it. What this version lacks is refused by name.
Recipe recipe_of(const RecipeOptions& options, std::optional<std::uint64_t> seed);

}  // namespace lrc::cli

#pragma once
// Reading single fields of a recipe from JSON values, shared by recipe files, `--set` rules and command line flags.
#include <cstdint>
#include <string>

#include "base/json.h"
#include "run/recipe.h"

namespace lrc::fields {

/// Where a value stands, for messages: "recipe.json: rank".
struct Place {
  std::string origin, field;
  std::string text() const { return origin.empty() ? field : origin + ": " + field; }
};
[[noreturn]] void refuse(const Place& place, const Json& value, const std::string& allowed);

std::int64_t whole(const Place& place, const Json& value, std::int64_t lowest, std::int64_t highest);
double number(const Place& place, const Json& value, double lowest, double highest);
bool yes_or_no(const Place& place, const Json& value);
std::string words(const Place& place, const Json& value);
int bits(const Place& place, const Json& value);  ///< 2…8 or 16
RankChoice rank(const Place& place, const Json& value);
std::string method(const Place& place, const Json& value);
WeightClip weight_clip(const Place& place, const Json& value);
NumberFormat format(const Place& place, const Json& value);
FactorScheme factors(const Place& place, const Json& value);
PairInput pair_input(const Place& place, const Json& value);
DampingToward damping_toward(const Place& place, const Json& value);
RangeFinder range_finder(const Place& place, const Json& value);
std::string base(const Place& place, const Json& value);
std::string_view name(WeightClip clip);
std::string_view name(PairInput input);
std::string_view name(DampingToward toward);
std::string_view name(RangeFinder finder);

/// A flag's text as the JSON value that it stands for: a number, true/false (also on/off), or a string.
Json value_of(const std::string& text);
/// A float32 as the shortest decimal that gives it back (0.9, not 0.8999999761581421).
double shortest(float value);
/// The same as text, for flags.
std::string shortest_text(double value);

extern const char* const rule_fields;  ///< their names, for messages
/// Sets the field of a rule; false when a rule has no such field.
bool set(Override& rule, const Place& place, const Json& value);
Json to_json(const Override& rule);
Override rule_from_json(const Json& json, const std::string& origin);

}  // namespace lrc::fields

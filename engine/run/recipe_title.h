#pragma once
// What an edited recipe is called: the shipped one that it comes from, and in a few words what differs.
#include <string>
#include <vector>

#include "run/recipe.h"

namespace lrc {

/// What `recipe` does otherwise than `base`, in short phrases: "16,384 tokens", "no R4", "down_proj 15 %". Names are not compared.
/// With a model, overrides that name every layer of a role are told by the role.
std::vector<std::string> differences(const Recipe& base, const Recipe& recipe, const Model* model = nullptr);

/// "LRC 10 %, 16,384 tokens, down_proj 15 %": the shipped recipe whose name `recipe.name` is or begins with, and the differences
/// (three at most, then how many more). A name of the person's own stays as it is.
std::string title_of(const Recipe& recipe, const std::vector<Recipe>& shipped, const Model* model = nullptr);

/// The shipped recipe that `name` comes from; null for a name of the person's own.
const Recipe* origin_of(const std::string& name, const std::vector<Recipe>& shipped);

}  // namespace lrc

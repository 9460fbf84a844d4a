// The files that ship with the program: recipes and texts.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/error.h"
#include "base/json.h"
#include "run/recipe.h"

namespace lrc {
namespace {

std::filesystem::path program_folder() {
  std::error_code code;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", code);
  return code ? std::filesystem::path() : program.parent_path();
}

}  // namespace

std::filesystem::path resources_folder() {
  if (const char* chosen = std::getenv("LRC_RESOURCES"); chosen && *chosen) {
    std::error_code code;
    if (std::filesystem::is_directory(std::filesystem::path(chosen) / "recipes", code)) return chosen;
    throw Error(ErrorKind::not_found,
                std::string("LRC_RESOURCES names ") + chosen + ", which holds no folder recipes; correct or unset it.");
  }
  const auto program = program_folder();
  const std::array<std::filesystem::path, 3> places = {
      program / ".." / ".." / ".." / "resources",  // build/release/bin
      program / ".." / "share" / "lrc-workbench",  // installed
      std::filesystem::path(LRC_SOURCE_RESOURCES),
  };
  std::error_code code;
  for (const auto& place : places)
    if (std::filesystem::is_directory(place / "recipes", code)) return std::filesystem::weakly_canonical(place, code);
  throw Error(ErrorKind::not_found, "The program's recipes and texts were not found beside " + program.string() +
                                        "; set LRC_RESOURCES to the folder that holds them.");
}

std::vector<Recipe> shipped_recipes() {
  const auto folder = resources_folder() / "recipes";
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  // File names begin with a number: the order in which people meet them.
  std::sort(files.begin(), files.end());
  std::vector<Recipe> recipes;
  for (const auto& file : files) recipes.push_back(recipe_from_json(read_json_file(file), file.string()));
  return recipes;
}

Recipe load_recipe(const std::string& name_or_file) {
  if (name_or_file.starts_with('{')) return recipe_from_json(parse_json(name_or_file, "the recipe"), "the recipe");
  const auto recipes = shipped_recipes();
  std::string names;
  for (const auto& recipe : recipes) {
    if (recipe.name == name_or_file) return recipe;
    names += (names.empty() ? "\"" : ", \"") + recipe.name + "\"";
  }
  std::error_code code;
  if (std::filesystem::is_regular_file(name_or_file, code)) return recipe_from_json(read_json_file(name_or_file), name_or_file);
  throw Error(ErrorKind::not_found,
              "There is no recipe \"" + name_or_file + "\", neither as a file nor among the shipped ones: " + names + ".");
}

}  // namespace lrc

#include "run/match_size.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "run/sizes.h"

namespace lrc {
namespace {

constexpr double kTolerance = 0.005;

std::string two_decimals(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

double size_of(const Recipe& recipe, const Model& model) { return sizes_of(recipe, model).bits_per_weight(); }

bool near_enough(double size, double wanted) { return std::abs(size - wanted) <= kTolerance * wanted; }

[[noreturn]] void refuse(const Recipe& recipe, double wanted, double nearest, const std::string& why) {
  throw Error(ErrorKind::bad_input, recipe.name + " cannot take " + two_decimals(wanted) + " bits per weight: " + why +
                                        ", the nearest is " + two_decimals(nearest) + ".");
}

bool any_layer_has_rank(const Recipe& recipe, const Model& model) {
  return std::ranges::any_of(model.layers(), [&](const LayerInfo& layer) {
    const auto scheme = effective_scheme(recipe, layer);
    return !scheme.skipped && find_method(scheme.method).uses_rank;
  });
}

Recipe with_rank(const Recipe& recipe, int thousandths) {
  Recipe result = recipe;
  result.rank = {true, double(thousandths) / 1000};
  return result;
}

/// Layers that gain most by more first: what writes the residual stream, then values and keys, the wide ones last.
std::size_t place_of(Role role) {
  constexpr std::array order = {Role::down_proj,    Role::fc2,    Role::expert_down, Role::o_proj,     Role::v_proj,
                                Role::qkv_proj,     Role::k_proj, Role::q_proj,      Role::up_proj,    Role::expert_up,
                                Role::gate_up_proj, Role::fc1,    Role::gate_proj,   Role::expert_gate};
  return std::size_t(std::ranges::find(order, role) - order.begin());
}

/// "*.down_proj" where this names these layers and no others, else their names.
std::string pattern_of(const std::vector<const LayerInfo*>& layers, const Model& model) {
  const std::string& first = layers.front()->name;
  const std::string pattern = "*" + first.substr(first.rfind('.'));
  const auto named =
      std::size_t(std::ranges::count_if(model.layers(), [&](const LayerInfo& layer) { return matches(pattern, layer.name); }));
  const bool all = std::ranges::all_of(layers, [&](const LayerInfo* layer) { return matches(pattern, layer->name); });
  if (all && named == layers.size()) return pattern;
  std::string names;
  for (const LayerInfo* layer : layers) names += (names.empty() ? "" : ",") + layer->name;
  return names;
}

/// Gives as many layers a little more as bring `base`, which is too small, nearest to the size. `more` writes what the layers of
/// one role get into a rule.
template <typename More>
Recipe fill(const Recipe& base, const Model& model, double wanted, const More& more) {
  std::vector<const LayerInfo*> layers;
  for (const auto& layer : model.layers())
    if (!effective_scheme(base, layer).skipped) layers.push_back(&layer);
  std::ranges::stable_sort(layers, [](const LayerInfo* a, const LayerInfo* b) {
    const auto place_a = place_of(a->role), place_b = place_of(b->role);
    return place_a != place_b ? place_a < place_b : a->block > b->block;
  });
  // Rules written by hand come later in the recipe and win.
  const auto raised = [&](std::size_t count) {
    std::vector<Override> rules;
    for (std::size_t i = 0; i < count;) {
      std::vector<const LayerInfo*> of_role;
      for (const Role role = layers[i]->role; i < count && layers[i]->role == role; ++i) of_role.push_back(layers[i]);
      Override rule;
      rule.pattern = pattern_of(of_role, model);
      more(rule, effective_scheme(base, *of_role.front()));
      rules.push_back(std::move(rule));
    }
    Recipe result = base;
    result.overrides.insert(result.overrides.begin(), rules.begin(), rules.end());
    return result;
  };
  std::size_t low = 0, high = layers.size();
  while (high - low > 1) {
    const std::size_t middle = low + (high - low) / 2;
    (size_of(raised(middle), model) <= wanted ? low : high) = middle;
  }
  Recipe below = raised(low), above = raised(high);
  const double size_below = size_of(below, model), size_above = size_of(above, model);
  const bool take_below = wanted - size_below <= size_above - wanted;
  if (const double reached = take_below ? size_below : size_above; !near_enough(reached, wanted))
    refuse(base, wanted, reached, "one layer more or less is too large a step");
  return take_below ? below : above;
}

Recipe match_rank(const Recipe& recipe, const Model& model, double wanted) {
  const auto size_at = [&](int thousandths) { return size_of(with_rank(recipe, thousandths), model); };
  int low = 0, high = 100'000;
  const double least = size_at(low), most = size_at(high);
  if (least > wanted && !near_enough(least, wanted)) refuse(recipe, wanted, least, "without a correction it takes more");
  if (most < wanted && !near_enough(most, wanted)) refuse(recipe, wanted, most, "at full rank it takes less");
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    (size_at(middle) <= wanted ? low : high) = middle;
  }
  // Ranks are whole numbers, so that sizes rise in steps.
  const int nearer = wanted - size_at(low) <= size_at(high) - wanted ? low : high;
  if (near_enough(size_at(nearer), wanted)) return with_rank(recipe, nearer);
  return fill(with_rank(recipe, low), model, wanted, [](Override& rule, const LayerScheme& scheme) {
    rule.rank = RankChoice{false, double(scheme.rank + 1)};
  });
}

Recipe match_bits(const Recipe& recipe, const Model& model, double wanted) {
  Recipe base = recipe;
  for (base.weight.bits = 8; base.weight.bits > 2 && size_of(base, model) > wanted * (1 + kTolerance);) --base.weight.bits;
  const double least = size_of(base, model);
  if (near_enough(least, wanted)) return base;
  if (least > wanted) refuse(recipe, wanted, least, "with the fewest bits it takes more");
  if (base.weight.bits == 8) refuse(recipe, wanted, least, "with 8 bits it takes less");
  return fill(base, model, wanted, [](Override& rule, const LayerScheme& scheme) { rule.weight_bits = scheme.weight.bits + 1; });
}

}  // namespace

Recipe matched_to(const Recipe& recipe, const Model& model, double bits_per_weight) {
  if (!(bits_per_weight > 0) || !std::isfinite(bits_per_weight))
    throw Error(ErrorKind::bad_input, "The size to match must be above 0 bits per weight.");
  if (const auto problem = problem_of(recipe, model)) throw Error(ErrorKind::bad_input, *problem);
  Recipe result =
      any_layer_has_rank(recipe, model) ? match_rank(recipe, model, bits_per_weight) : match_bits(recipe, model, bits_per_weight);
  result.name = recipe.name + " at " + two_decimals(bits_per_weight) + " b/w";
  return result;
}

}  // namespace lrc

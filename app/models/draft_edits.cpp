#include "models/draft_edits.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "correction/solve.h"
#include "run/fit_rotation.h"

namespace lrc::app {

bool is_rule(const Override& change) { return change.pattern.find_first_of("*?[") != std::string::npos; }

namespace {

std::vector<std::string> split_names(const std::string& pattern) {
  std::vector<std::string> names;
  std::size_t start = 0;
  while (start <= pattern.size()) {
    const std::size_t comma = std::min(pattern.find(',', start), pattern.size());
    std::string name = pattern.substr(start, comma - start);
    std::erase(name, ' ');
    if (!name.empty()) names.push_back(std::move(name));
    start = comma + 1;
  }
  return names;
}

bool changes_nothing(Override change) {
  change.pattern.clear();
  return change == Override{};
}

template <typename Value>
void lay_over(std::optional<Value>& under, const std::optional<Value>& over) {
  if (over) under = over;
}

void lay_over(Override& under, const Override& over) {
  lay_over(under.method, over.method);
  lay_over(under.weight_bits, over.weight_bits);
  lay_over(under.activation_bits, over.activation_bits);
  lay_over(under.iterations, over.iterations);
  lay_over(under.group_size, over.group_size);
  lay_over(under.clip, over.clip);
  lay_over(under.rank, over.rank);
  lay_over(under.deflate, over.deflate);
  lay_over(under.damping, over.damping);
  lay_over(under.damping_toward, over.damping_toward);
  lay_over(under.gptq_damping, over.gptq_damping);
  lay_over(under.weight_format, over.weight_format);
  lay_over(under.activation_format, over.activation_format);
  lay_over(under.weight_asymmetric, over.weight_asymmetric);
  lay_over(under.activation_asymmetric, over.activation_asymmetric);
  lay_over(under.act_order, over.act_order);
  lay_over(under.polish, over.polish);
  lay_over(under.weight_clip, over.weight_clip);
  lay_over(under.activation_group_size, over.activation_group_size);
  lay_over(under.base, over.base);
  lay_over(under.factors, over.factors);
  lay_over(under.pair_input, over.pair_input);
  lay_over(under.drift, over.drift);
  lay_over(under.skip, over.skip);
}

std::map<std::string, Override> own_by_name(const Recipe& recipe) {
  std::map<std::string, Override> own;
  for (const Override& change : recipe.overrides) {
    if (is_rule(change)) continue;
    for (const std::string& name : split_names(change.pattern)) lay_over(own[name], change);
  }
  return own;
}

Recipe with_own(const Recipe& recipe, const Model& model, const std::map<std::string, Override>& own) {
  Recipe result = recipe;
  std::erase_if(result.overrides, [](const Override& change) { return !is_rule(change); });
  // Layers with equal settings share one override; in the model's order, so that the same settings give the same file.
  std::vector<Override> groups;
  const auto add = [&](const std::string& name, Override change) {
    if (changes_nothing(change)) return;
    for (Override& group : groups) {
      change.pattern = group.pattern;
      if (change == group) {
        group.pattern += "," + name;
        return;
      }
    }
    change.pattern = name;
    groups.push_back(std::move(change));
  };
  for (const LayerInfo& layer : model.layers())
    if (const auto found = own.find(layer.name); found != own.end()) add(layer.name, found->second);
  // Names that this model lacks are kept: the recipe may be for a family.
  for (const auto& [name, change] : own)
    if (!model.find_layer(name)) add(name, change);
  result.overrides.insert(result.overrides.end(), groups.begin(), groups.end());
  return result;
}

}  // namespace

std::optional<Formula> parse_formula(const std::string& text) {
  std::string bare;
  for (const char letter : text)
    if (letter != ' ') bare += letter;
  Formula formula;
  if (bare.empty()) return std::nullopt;
  std::string_view digits = bare;
  bool negative = false;
  if (digits.front() == '+' || digits.front() == '-') {
    formula.kind = Formula::Kind::add;
    negative = digits.front() == '-';
    digits.remove_prefix(1);
  } else if (digits.front() == '*') {
    formula.kind = Formula::Kind::multiply;
    digits.remove_prefix(1);
  } else if (digits.back() == '%') {
    formula.kind = Formula::Kind::percent;
    digits.remove_suffix(1);
  }
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), formula.value, std::chars_format::fixed);
  if (error != std::errc() || end != digits.data() + digits.size() || !std::isfinite(formula.value) || formula.value < 0)
    return std::nullopt;
  if (negative) formula.value = -formula.value;
  return formula;
}

double apply(const Formula& formula, double now, double whole) {
  switch (formula.kind) {
    case Formula::Kind::set:
      return formula.value;
    case Formula::Kind::add:
      return now + formula.value;
    case Formula::Kind::multiply:
      return now * formula.value;
    case Formula::Kind::percent:
      return std::floor(whole * formula.value / 100);
  }
  return now;
}

Recipe with_own_settings(const Recipe& recipe, const Model& model, const std::vector<int>& layers,
                         const std::function<void(Override&, const LayerInfo&)>& edit) {
  auto own = own_by_name(recipe);
  for (const int index : layers) {
    const LayerInfo& layer = model.layers().at(std::size_t(index));
    edit(own[layer.name], layer);
  }
  return with_own(recipe, model, own);
}

Recipe with_change(const Recipe& recipe, const Model& model, const std::vector<int>& layers, const Override& change) {
  return with_own_settings(recipe, model, layers, [&](Override& own, const LayerInfo&) { lay_over(own, change); });
}

Recipe with_rank(const Recipe& recipe, const Model& model, const std::vector<int>& layers, std::size_t rank) {
  return with_own_settings(recipe, model, layers, [&](Override& own, const LayerInfo& layer) {
    own.rank = RankChoice{false, double(std::min({rank, layer.out_features, layer.in_features}))};
  });
}

Recipe with_rank_formula(const Recipe& recipe, const Model& model, const std::vector<int>& layers, const Formula& formula) {
  return with_own_settings(recipe, model, layers, [&](Override& own, const LayerInfo& layer) {
    const double whole = double(std::min(layer.out_features, layer.in_features));
    const double now = double(effective_scheme(recipe, layer).rank);
    own.rank = RankChoice{false, std::clamp(std::floor(apply(formula, now, whole)), 0.0, whole)};
  });
}

Recipe with_bits_formula(const Recipe& recipe, const Model& model, const std::vector<int>& layers, const Formula& formula) {
  return with_own_settings(recipe, model, layers, [&](Override& own, const LayerInfo& layer) {
    const double now = effective_scheme(recipe, layer).weight.bits;
    own.weight_bits = int(std::clamp(std::floor(apply(formula, now, 8)), 2.0, 8.0));
  });
}

Recipe without_own_settings(const Recipe& recipe, const Model& model, const std::vector<int>& layers) {
  auto own = own_by_name(recipe);
  for (const int index : layers) own.erase(model.layers().at(std::size_t(index)).name);
  return with_own(recipe, model, own);
}

std::optional<Override> own_settings(const Recipe& recipe, const std::string& layer) {
  const auto own = own_by_name(recipe);
  const auto found = own.find(layer);
  if (found == own.end() || changes_nothing(found->second)) return std::nullopt;
  return found->second;
}

Recipe fitted_to(const Recipe& recipe, const Model& model) {
  Recipe fitted = recipe;
  leave_out_impossible_rotations(fitted, model);
  return fitted;
}

std::string short_name(const LayerInfo& layer) {
  const std::string role(name(layer.role)), block = std::to_string(layer.block) + ".";
  // "0.3.down_proj": the third expert of block 0.
  return block + (layer.expert == no_expert ? role : std::to_string(layer.expert) + role.substr(role.find('.')));
}

std::string describe_layers(const Model& model, const std::vector<int>& layers) {
  if (layers.size() == 1) return short_name(model.layers().at(std::size_t(layers.front())));
  return std::to_string(layers.size()) + " layers";
}

std::vector<std::size_t> possible_groups(const Model& model, const std::vector<int>& layers) {
  std::vector<std::size_t> groups = {0};
  for (const std::size_t group : {256, 128, 64, 32, 16}) {
    const auto divides = [&](const LayerInfo& layer) { return layer.in_features % group == 0; };
    const bool fits =
        layers.empty() ? std::all_of(model.layers().begin(), model.layers().end(), divides)
                       : std::all_of(layers.begin(), layers.end(), [&](int index) { return divides(model.layers()[std::size_t(index)]); });
    if (fits) groups.push_back(group);
  }
  return groups;
}

}  // namespace lrc::app
